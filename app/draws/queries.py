"""Reads of draws for screens."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from app.draws.errors import BoxNotFoundError
from app.draws.models import (
    Box,
    BoxOpening,
    Draw,
    DrawLine,
    DrawPlace,
    DrawReplacement,
    EntryState,
    Ticket,
)
from app.draws.moving import lines_of
from app.draws.winners import holders, replacements
from app.rewards.lines import Reward, reward_of
from app.users.models import User
from core.types import BoxId, DrawId, RewardLineId, TicketId, UserId


@dataclass(frozen=True)
class Prize:
    """A line of a draw and what it gives."""

    line: DrawLine
    reward: Reward

    @property
    def title(self) -> str:
        """What members call it."""
        return self.reward.title

    @property
    def left(self) -> int:
        """How many nobody has won yet."""
        return self.line.quantity - self.line.won_count


def draws() -> Select[Draw]:
    """All draws of the merchant."""
    return select(Draw)


def prizes(session: Session, draw: Draw) -> list[Prize]:
    """What can be won, in the order of the parameters."""
    return [Prize(line, reward_of(session, line.reward_line_id)) for line in lines_of(draw)]


def count_sealed(session: Session, draw: Draw) -> int:
    """How many boxes are not open."""
    query = select(func.count()).where(Box.draw_id == draw.id, Box.state == EntryState.SEALED)
    return session.scalar(query) or 0


def openings(draw_id: DrawId) -> Select[BoxOpening]:
    """The log of the draw."""
    return select(BoxOpening).where(BoxOpening.draw_id == draw_id)


def owners_of_boxes(session: Session, rows: Sequence[BoxOpening]) -> dict[BoxId, User]:
    """The members whose boxes these were."""
    query = select(Box.id, User).join(User, User.id == Box.user_id)
    found = session.execute(query.where(Box.id.in_([row.box_id for row in rows])))
    return dict(found.all())


def places(draw_id: DrawId) -> Select[DrawPlace]:
    """Who took which place."""
    return select(DrawPlace).where(DrawPlace.draw_id == draw_id)


@dataclass(frozen=True)
class Results:
    """Who the tickets of some places belong to, which hold a prize now, and who was replaced."""

    owners: dict[TicketId, User]
    held: dict[TicketId, RewardLineId]
    reasons: dict[TicketId, str]


def results(session: Session, draw: Draw, rows: Sequence[DrawPlace]) -> Results:
    """Of the places on a page."""
    query = select(Ticket.id, User).join(User, User.id == Ticket.user_id)
    found = session.execute(query.where(Ticket.id.in_([row.ticket_id for row in rows])))
    reasons = {row.out_id: row.reason for row in replacements(session, draw)}
    return Results(dict(found.all()), holders(session, draw), reasons)


def list_boxes(
    session: Session, user_ids: Sequence[UserId], *, limit: int | None = None
) -> Sequence[Box]:
    """A member's boxes, the sealed ones first, then the newest."""
    query = select(Box).where(Box.user_id.in_(user_ids)).options(joinedload(Box.draw))
    order = ((Box.state == EntryState.SEALED).desc(), Box.id.desc())
    return session.scalars(query.order_by(*order).limit(limit)).all()


def list_tickets(
    session: Session, user_ids: Sequence[UserId], *, limit: int | None = None
) -> Sequence[Ticket]:
    """A member's tickets, the sealed ones first, then the newest."""
    query = select(Ticket).where(Ticket.user_id.in_(user_ids)).options(joinedload(Ticket.draw))
    is_sealed = Ticket.state == EntryState.SEALED
    order = (is_sealed.desc(), Ticket.registered_at.desc(), Ticket.seq)
    return session.scalars(query.order_by(*order).limit(limit)).all()


def get_box(session: Session, user_ids: Sequence[UserId], box_id: BoxId) -> Box:
    """The member's box.

    Raises:
        BoxNotFoundError: they have none with the id.
    """
    box = session.get(Box, box_id)
    if box is None or box.user_id not in user_ids:
        raise BoxNotFoundError
    return box


def get_ticket(session: Session, user_ids: Sequence[UserId], ticket_id: TicketId) -> Ticket:
    """The member's ticket.

    Raises:
        BoxNotFoundError: they have none with the id.
    """
    ticket = session.get(Ticket, ticket_id)
    if ticket is None or ticket.user_id not in user_ids:
        raise BoxNotFoundError
    return ticket


def why_replaced(session: Session, ticket_id: TicketId) -> str | None:
    """Why the ticket does not hold the prize any more that it won, or None."""
    query = select(DrawReplacement.reason).where(DrawReplacement.out_id == ticket_id)
    return session.scalar(query)


def prize_of_ticket(session: Session, draw: Draw, ticket_id: TicketId) -> Reward | None:
    """What the ticket holds now, or None."""
    line_id = holders(session, draw).get(ticket_id)
    return None if line_id is None else reward_of(session, line_id)
