"""Addresses of people who were erased: known again when a file names them, and not to be read.

What is kept is a keyed hash. Who has the database alone cannot try addresses against it; the
installation can, which is what an import needs in order not to bring somebody back by accident.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import LargeBinary, cast, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from app.users.models import ErasedAddress
from core.db import merchant_of
from core.secrets import fingerprint

_PURPOSE = "erased-address"


def remember(session: Session, keys: Collection[str]) -> None:
    """Whoever had these addresses was erased.

    Args:
        keys: as `email_key` makes them.
    """
    rows = [{"fingerprint": it} for it in _marks(session, sorted(keys))]
    if rows:
        session.execute(insert(ErasedAddress).on_conflict_do_nothing(), rows)


def erased(session: Session, keys: Sequence[str | None]) -> list[bool]:
    """Of each address whether somebody who had it was erased."""
    is_mine = ErasedAddress.merchant_id == merchant_of(session)
    if not session.scalar(select(exists().where(is_mine))):
        return [False] * len(keys)
    marks = _marks(session, [it or "" for it in keys])
    wanted = select(func.unnest(cast(marks, ARRAY(LargeBinary))))
    query = select(ErasedAddress.fingerprint).where(is_mine, ErasedAddress.fingerprint.in_(wanted))
    known = set(session.scalars(query))
    return [it in known for it in marks]


def _marks(session: Session, keys: Sequence[str]) -> list[bytes]:
    """Brands cannot be compared with each other."""
    merchant = merchant_of(session)
    return [fingerprint(_PURPOSE, f"{merchant}\0{key}") for key in keys]
