"""What uses a property or a list: asked before one is deleted or becomes another type."""

from collections.abc import Sequence

from sqlalchemy import Text, cast, or_, select
from sqlalchemy.orm import Session

from app.segments.models import Badge, BadgeState, Segment
from app.users.models import Property, UserList
from core.ids import encode_id


def of_property(session: Session, row: Property) -> list[str]:
    """The segments whose rule asks for the property, by name."""
    return _segments(session, encode_id("prp", row.id))


def of_list(session: Session, row: UserList) -> list[str]:
    """The segments whose rule asks for the list, and the badges its members own, by name."""
    badges = session.scalars(
        select(Badge.internal_name)
        .where(Badge.list_id == row.id, Badge.state != BadgeState.ARCHIVED)
        .order_by(Badge.id)
    )
    named = _segments(session, encode_id("lst", row.id), str(row.id), row.id.hex)
    return [*named, *(f"the badge “{name}”" for name in badges)]


def _segments(session: Session, *spellings: str) -> list[str]:
    """Rules that name one of these: an identifier is nothing else anywhere in a rule."""
    rule = cast(Segment.rule, Text)
    names: Sequence[str] = session.scalars(
        select(Segment.name)
        .where(or_(*(rule.contains(it, autoescape=True) for it in spellings)))
        .order_by(Segment.id)
    ).all()
    return [f"the segment “{name}”" for name in names]
