"""To whom the team hands out: members by name, a list, a segment, or everybody."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.draws.errors import RecipientsMissingError
from app.draws.schemas import HandOutForm
from app.rewards.manual import find_recipients
from app.segments import service as segments
from app.segments.models import SegmentMember
from app.users import lists
from app.users.models import ListMember, User, UserState
from core.db import sql_ids
from core.ids import decode_id
from core.types import ListId, SegmentId, UserId


def chosen(session: Session, form: HandOutForm) -> Select[UserId]:
    """The members the form names, active or not.

    Raises:
        RecipientsMissingError: nobody is chosen.
        RecipientsInvalidError: an address is nobody's.
        ListNotFoundError, SegmentNotFoundError: this merchant has none with the id.
    """
    if form.to == "all":
        return select(User.id)
    if form.to == "list" and form.list_id:
        row = lists.get(session, ListId(decode_id("lst", form.list_id)))
        members = select(ListMember.user_id).where(ListMember.list_id == row.id)
        return select(User.id).where(User.id.in_(members))
    if form.to == "segment" and form.segment:
        segment = segments.get(session, SegmentId(decode_id("seg", form.segment)))
        members = select(SegmentMember.user_id).where(SegmentMember.segment_id == segment.id)
        return select(User.id).where(User.id.in_(members))
    if form.to != "emails":
        raise RecipientsMissingError(form.to)
    users = find_recipients(session, form.emails)
    return select(User.id).where(User.id.in_(select(sql_ids(users))))


def count(session: Session, users: Select[UserId]) -> int:
    """How many of them are active, and so receive something."""
    active = users.where(User.state == UserState.ACTIVE).subquery()
    return session.scalar(select(func.count()).select_from(active)) or 0
