"""The rules of go-ethereum's pool in front of a development chain that is laxer.

Anvil takes a replacement that pays a twentieth more, or the same tip; Geth demands a tenth more of
both prices. What this refuses never reaches the chain.

References:
    Go-ethereum, `core/txpool/errors.go` and `core/txpool/legacypool/list.go`.
"""

from threading import Lock

from tests.chain.fakes import Signed, decode
from tests.faults.upstream import Upstream


class Pool:
    """What the chain was given and has not mined yet, by sender and nonce.

    Attributes:
        raws: every transaction ever taken, by hash: a reorganisation asks for them again.
    """

    def __init__(self, chain: Upstream) -> None:
        self._chain = chain
        self._lock = Lock()
        self._waiting: dict[tuple[str, int], Signed] = {}
        self.raws: dict[str, bytes] = {}

    def send(self, raw: bytes) -> str | None:
        """The reason why the transaction is refused; None when it is taken."""
        signed = decode(raw)
        with self._lock:
            refusal = self._refusal(signed)
            if refusal is None:
                self.raws["0x" + signed.tx_hash.hex()] = raw  # first: the miner does not wait
                answer = self._chain.exchange("eth_sendRawTransaction", ["0x" + raw.hex()])
                refusal = answer["error"]["message"] if "error" in answer else None
            if refusal is None:
                self._waiting[signed.sender, signed.nonce] = signed
        return refusal

    def drop(self, chosen: int) -> bool:
        """One that waits is forgotten, if any does."""
        with self._lock:
            waiting = sorted(self._waiting)
            if not waiting:
                return False
            dropped = self._waiting.pop(waiting[chosen % len(waiting)])
            self._chain.ask("anvil_dropTransaction", "0x" + dropped.tx_hash.hex())
        return True

    def _refusal(self, signed: Signed) -> str | None:
        used = int(self._chain.ask("eth_getTransactionCount", signed.sender, "latest"), 16)
        if signed.nonce < used:
            return "nonce too low"
        other = self._waiting.get((signed.sender, signed.nonce))
        if other is None or not self._is_there(other):
            return None
        if other.tx_hash == signed.tx_hash:
            return "already known"
        return None if signed.may_replace(other) else "replacement transaction underpriced"

    def _is_there(self, signed: Signed) -> bool:
        return bool(self._chain.ask("eth_getTransactionByHash", "0x" + signed.tx_hash.hex()))
