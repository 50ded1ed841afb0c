"""Heads of the log of openings: what it has said so far, published and put on the chain.

Whoever keeps a head, or finds it on the chain, can tell if the log before it was written anew.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.draws.algorithm import Mode
from app.draws.models import BoxOpening, Draw, DrawHead, DrawState
from app.draws.moving import lock
from core.types import DrawId
from minting import anchors
from minting.anchors import Anchored

EVERY = 1_000
"""Openings; a head is published with each of these at once."""
PATIENCE = timedelta(hours=1)
"""No opening waits longer for a head that covers it."""


def publish(
    session: Session, draw: Draw, reached: Sequence[tuple[int, bytes]], *, at: datetime
) -> None:
    """The log up to these openings is public, and asked for on the chain; a repeat adds nothing.

    Args:
        reached: numbers of openings that are written, each with the hash of the log there.

    Locks: nothing; the caller holds the draw.
    """
    for number, digest in reached:
        values = {"draw_id": draw.id, "number": number, "hash": digest, "published_at": at}
        session.execute(insert(DrawHead).values(values).on_conflict_do_nothing())
        anchors.request(session, digest, at=at)


def publish_due(session: Session, draw: Draw, *, at: datetime) -> None:
    """An hour after the first opening that no head covers, one does.

    Locks: the draw.
    """
    lock(session, draw.id)
    if session.scalar(select(exists().where(Draw.id == draw.id, is_due(at)))):
        publish(session, draw, [(draw.opened_count, draw.log_end)], at=at)


def is_due(at: datetime) -> ColumnElement[bool]:
    """True of draws with an opening that has waited long enough for a head."""
    last = select(func.max(DrawHead.number)).where(DrawHead.draw_id == Draw.id).scalar_subquery()
    is_waiting = exists().where(
        BoxOpening.draw_id == Draw.id,
        BoxOpening.number == func.coalesce(last, 0) + 1,
        BoxOpening.opened_at <= at - PATIENCE,
    )
    return (Draw.mode == Mode.INSTANT) & (Draw.state == DrawState.OPEN) & is_waiting


def of_draw(draw_id: DrawId) -> Select[DrawHead]:
    """The heads of the draw."""
    return select(DrawHead).where(DrawHead.draw_id == draw_id)


def anchors_of(session: Session, heads: Sequence[DrawHead]) -> Mapping[bytes, Anchored]:
    """Where a chain tells of these, by their hash; those that are not final yet are left out."""
    return anchors.find_many(session, [head.hash for head in heads])
