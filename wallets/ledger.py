"""The signing ledger: one nonce, one call, however many processes ask, and whatever they believe.

An entry is written before the signature leaves the signer, and never changed. It binds its nonce
unless the SQL transaction that asked for it was rolled back: then the bytes died with the process
that held them, for nothing is sent before it is stored. In a restored database no entry binds;
there every nonce that one could speak of is used up first (`chain.recovery`).
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from eth_typing import ChecksumAddress
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from wallets.models import Signature

_RISE_PERCENT = 10
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:signer, 0))")
# The number of a transaction means something in its own database only. One that is so old that the
# server has forgotten how it ended has used its nonce, or left it to others, long ago.
_BINDS = text(
    "CASE WHEN signatures.home = cohort_home()"
    " THEN coalesce(pg_xact_status(signatures.caller::text::xid8), 'aborted') <> 'aborted'"
    " ELSE false END"
)
_IS_OPEN = text("SELECT pg_xact_status(CAST(CAST(:caller AS text) AS xid8)) = 'in progress'")


class Entry(NamedTuple):
    """What shall be signed for a nonce.

    Args:
        digest: which call it is; empty for a no-op.
        price: the most that is paid, in wei per gas; `tip` is part of it.
    """

    nonce: int
    digest: bytes
    gas: int
    price: int
    tip: int

    def may_replace(self, earlier: "Entry") -> bool:
        """Whether it is the same bytes, or dear enough for nodes to take it instead."""
        share = 100 + _RISE_PERCENT
        is_dearer = (
            self.price * 100 >= earlier.price * share and self.tip * 100 >= earlier.tip * share
        )
        return is_dearer or self == earlier


def lock(session: Session, chain_id: int, address: ChecksumAddress) -> None:
    """Nobody else signs with this key for this chain until the transaction ends."""
    session.execute(_LOCK, {"signer": f"{chain_id}:{address}"})


def is_open(session: Session, caller: int) -> bool:
    """Whether the SQL transaction that asks is one, and goes on."""
    return bool(session.scalar(_IS_OPEN, {"caller": caller}))


def refusal(
    session: Session, chain_id: int, address: ChecksumAddress, wanted: Sequence[Entry]
) -> str | None:
    """Why one of them may not be signed, or None.

    Another call for a nonce is refused, unless it is a no-op; the same call needs fees that a node
    takes for a replacement, or has the same bytes.

    References:
        Go-ethereum's price bump: a tenth more on both prices.
    """
    bound = _bound(session, chain_id, address, [entry.nonce for entry in wanted])
    for entry in wanted:
        for earlier in bound[entry.nonce]:
            if earlier.digest != entry.digest and entry.digest:
                return f"nonce {entry.nonce} belongs to another call"
            if earlier.digest == entry.digest and not entry.may_replace(earlier):
                return f"nonce {entry.nonce} was signed with higher fees"
        bound[entry.nonce].append(entry)
    return None


def _bound(
    session: Session, chain_id: int, address: ChecksumAddress, nonces: Sequence[int]
) -> defaultdict[int, list[Entry]]:
    rows = session.execute(
        select(
            Signature.nonce,
            Signature.digest,
            Signature.gas,
            Signature.max_fee_per_gas,
            Signature.max_priority_fee_per_gas,
        ).where(
            Signature.chain_id == chain_id,
            Signature.address == address,
            Signature.nonce.in_(nonces),
            _BINDS,
        )
    )
    bound: defaultdict[int, list[Entry]] = defaultdict(list)
    for row in rows:
        bound[row.nonce].append(Entry(*row))
    return bound


def record(
    session: Session,
    chain_id: int,
    address: ChecksumAddress,
    signed: Sequence[tuple[Entry, bytes]],
    *,
    caller: int,
    at: datetime,
) -> None:
    """One entry each, with the hash of its bytes."""
    rows = [
        {
            "chain_id": chain_id,
            "address": address,
            "nonce": entry.nonce,
            "digest": entry.digest,
            "gas": entry.gas,
            "max_fee_per_gas": entry.price,
            "max_priority_fee_per_gas": entry.tip,
            "tx_hash": tx_hash,
            "caller": caller,
            "signed_at": at,
        }
        for entry, tx_hash in signed
    ]
    # The table itself: the mapper would look for tables that this process does not load.
    session.execute(insert(Signature.metadata.tables[Signature.__tablename__]), rows)
