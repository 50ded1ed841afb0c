"""The secret of a draw: made here, sealed, and read through a function that writes down who reads.

No role of the product can select the sealed seed, so no read goes without its row.
"""

import hmac
import os
from collections.abc import Iterable

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from app.draws.algorithm import SEED_BYTES, TAG_BYTES
from app.draws.models import Draw, DrawSeed, DrawSeedRead
from core.db import merchant_of
from core.errors import AppError
from core.secrets import seal, unseal
from core.types import DrawId, UserId

_SEED = "draw-seed"
_SALT = "draw-salt"


class SeedMissingError(AppError):
    """There is no seed of the draw; that is our bug, or somebody took the row."""

    def __init__(self) -> None:
        super().__init__("The draw has no seed. Restore its row from a backup.")


def new_seed() -> bytes:
    """Randomness of the operating system that nobody has seen."""
    return os.urandom(SEED_BYTES)


def keep(session: Session, draw_id: DrawId, seed: bytes) -> None:
    """The seed can be read for the draw from now on, and by no other way."""
    sealed = seal(_SEED, seed, bound_to=draw_id.bytes)
    # Without RETURNING, which would need the right to read.
    session.execute(
        insert(DrawSeed.__table__),  # type: ignore[arg-type]
        {"draw_id": draw_id, "sealed": sealed, "merchant_id": merchant_of(session)},
    )


def read(session: Session, draw: Draw, *, purpose: str) -> bytes:
    """The seed; that it was read, by whom and for what, is a row.

    Raises:
        SeedMissingError: there is none.
        SealBrokenError: it was changed, or sealed under another secret.
    """
    actor = session.info["actor"]
    sealed = session.scalar(select(func.cohort_read_draw_seed(draw.id, purpose, actor)))
    if sealed is None:
        raise SeedMissingError
    return unseal(_SEED, bytes(sealed), bound_to=draw.id.bytes)


def reads_of(session: Session, draw: Draw, *, limit: int) -> list[DrawSeedRead]:
    """Who read the seed, the newest first."""
    query = select(DrawSeedRead).where(DrawSeedRead.draw_id == draw.id)
    return list(session.scalars(query.order_by(DrawSeedRead.id.desc()).limit(limit)))


def new_salt(draw_id: DrawId) -> bytes:
    """A sealed salt for the tags of a draw; it is never published."""
    return seal(_SALT, os.urandom(SEED_BYTES), bound_to=draw_id.bytes)


def tags(draw: Draw, users: Iterable[UserId]) -> list[bytes]:
    """What stands for these members where the tickets are published."""
    salt = unseal(_SALT, draw.sealed_salt, bound_to=draw.id.bytes)
    return [hmac.digest(salt, user.bytes, "sha256")[:TAG_BYTES] for user in users]
