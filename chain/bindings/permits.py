"""What a holder signs to move a token without owning gas, and the digest of it.

References:
    EIP-712; `contracts/modules/permits.vy`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from eth_account.messages import encode_typed_data
from eth_typing import ChecksumAddress
from eth_utils.crypto import keccak


class PermitKind(StrEnum):
    """What a permit allows: the primary type of its typed data."""

    TRANSFER = "TransferPermit"
    REISSUE = "ReissuePermit"


@dataclass(frozen=True)
class Permit:
    """One move of one token.

    Attributes:
        contract_name: what `name()` of the contract says.
        sender: the holder, who signs.
        nonce: how often the token moved (`nonces(token_id)`).
        deadline: Unix seconds; the last second at which the signature holds.
    """

    kind: PermitKind
    contract_name: str
    chain_id: int
    contract: ChecksumAddress
    sender: ChecksumAddress
    receiver: ChecksumAddress
    token_id: int
    nonce: int
    deadline: int

    @property
    def typed_data(self) -> dict[str, Any]:
        """The document that wallets show and sign (`eth_signTypedData_v4`)."""
        move = [("from", "address"), ("to", "address"), ("tokenId", "uint256")]
        once = [("nonce", "uint256"), ("deadline", "uint256")]
        return {
            "types": {
                "EIP712Domain": _fields(
                    ("name", "string"),
                    ("version", "string"),
                    ("chainId", "uint256"),
                    ("verifyingContract", "address"),
                ),
                self.kind.value: _fields(*move, *once),
            },
            "primaryType": self.kind.value,
            "domain": {
                "name": self.contract_name,
                "version": "1",
                "chainId": self.chain_id,
                "verifyingContract": self.contract,
            },
            "message": {
                "from": self.sender,
                "to": self.receiver,
                "tokenId": self.token_id,
                "nonce": self.nonce,
                "deadline": self.deadline,
            },
        }

    @property
    def digest(self) -> bytes:
        """The 32 bytes that are signed."""
        message = encode_typed_data(full_message=self.typed_data)
        return keccak(b"\x19" + message.version + message.header + message.body)


def _fields(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in pairs]
