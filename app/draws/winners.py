"""Who holds the prizes of a raffle: served, and replaced by the next reserve when they drop out.

Whoever is blocked or erased once the tickets are closed, or gives no address in time, drops out by
themselves; the team may have anybody replaced. Every replacement is public with its reason.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Select, Text, case, cast, exists, func, literal, select, union_all
from sqlalchemy.orm import Session, aliased

from app.accounts.models import Merchant
from app.draws.errors import (
    DrawStateError,
    NoWinnerError,
    QuantityExceedsStockError,
    ReasonMissingError,
)
from app.draws.models import Draw, DrawLine, DrawPlace, DrawReplacement, DrawState, Ticket
from app.draws.moving import (
    give,
    lock,
    return_stock,
    set_aside_another,
    take_back,
    title_of,
)
from app.perks.models import Holding, ShipmentState
from app.rewards import returning
from app.rewards.errors import EXHAUSTED
from app.rewards.models import Grant, GrantSource, RewardLine
from app.rewards.service import Source
from app.users.mailing import write_to
from app.users.models import User, UserState
from app.web.i18n import gettext as _
from core.ids import encode_id
from core.types import DrawId, MerchantId, RewardLineId, TicketId

REASON_LENGTH = 200
NO_ADDRESS = "no address in time"
_GONE = (UserState.BLOCKED, UserState.ERASED)


def serve(
    session: Session, draw: Draw, ticket_id: TicketId, line_id: RewardLineId, *, at: datetime
) -> None:
    """The ticket's owner has the prize, or the next reserve has it, while there are some.

    Locks: nothing; the caller holds the draw.
    """
    line = next(line for line in draw.lines if line.reward_line_id == line_id)
    following: TicketId | None = ticket_id
    while following is not None:
        ticket = session.get_one(Ticket, following)
        problem = give(session, line, ticket.user_id, source=_source(ticket.id), at=at)
        if problem is None:
            line.won_count += 1
            _congratulate(session, draw, ticket, line, at=at)
            return
        following = _replace(session, draw, ticket.id, line, reason=problem, at=at).by_id


def _congratulate(
    session: Session, draw: Draw, ticket: Ticket, line: DrawLine, *, at: datetime
) -> None:
    """The winner has a mail, in the transaction of what was won."""
    prize = title_of(session, session.get_one(RewardLine, line.reward_line_id))

    def words(merchant: Merchant, _language: str) -> tuple[str, str]:
        said = {"prize": prize, "draw": draw.name, "brand": merchant.name}
        subject = _("You won: {prize}").format(**said)
        text = _("Your ticket was drawn in “{draw}” of {brand}. You won “{prize}”.").format(**said)
        return subject, f"{text} {_('It is here:')}"

    path = f"/space/boxes/{encode_id('tkt', ticket.id)}"
    write_to(session, ticket.user_id, words, kind="prize", path=path, at=at)


def _source(ticket_id: TicketId) -> Source:
    return Source(GrantSource.TICKET, ticket_id)


def replace_winner(
    session: Session, draw: Draw, ticket_id: TicketId, *, reason: str, at: datetime
) -> DrawReplacement:
    """The next reserve has the prize instead, and everybody may see why.

    What the ticket's owner has of it is taken back, if nothing came of it yet; otherwise it stays
    theirs, and another one is given.

    Args:
        reason: public, so it names nobody.

    Raises:
        DrawStateError: nobody has won yet.
        ReasonMissingError: nobody says why, or at too great a length.
        NoWinnerError: the ticket holds no prize.
        QuantityExceedsStockError: there is not another one.

    Locks: the draw, the reward line with what it gives, then who moves up.
    """
    lock(session, draw.id)
    if draw.state not in (DrawState.DRAWN, DrawState.REVEALED):
        raise DrawStateError(draw.state, "changed")
    said = reason.strip()
    if not 1 <= len(said) <= REASON_LENGTH or not reason.isprintable():
        raise ReasonMissingError(REASON_LENGTH)
    line_id = holders(session, draw).get(ticket_id)
    if line_id is None:
        raise NoWinnerError
    with session.begin_nested():
        line = session.get_one(DrawLine, line_id)
        if not take_back(session, line, _source(ticket_id), reason=said, at=at):
            set_aside_another(session, line)
        row = _follow(session, draw, ticket_id, line, reason=said, at=at)
    _return_rest(session, draw)
    return row


def replace_gone(session: Session, draw: Draw, *, at: datetime) -> None:
    """Whoever dropped out by themselves is replaced, if what they have can be taken back.

    What was used, sent or is on its way to the chain stays with them. Where a code was given, which
    nobody else may have, and no other one is left, they are replaced once there is one.

    Locks: the draw, the reward lines with what they give, then who moves up.
    """
    lock(session, draw.id)
    gone = dict(session.execute(_dropped_out().where(Ticket.draw_id == draw.id)).all())
    for ticket_id, line_id in holders(session, draw).items():
        if ticket_id not in gone:
            continue
        line = session.get_one(DrawLine, line_id)
        with suppress(QuantityExceedsStockError, *EXHAUSTED), session.begin_nested():
            said = gone[ticket_id]
            if take_back(session, line, _source(ticket_id), reason=said, at=at):
                _follow(session, draw, ticket_id, line, reason=said, at=at)
    _return_rest(session, draw)


def _return_rest(session: Session, draw: Draw) -> None:
    """What nobody follows for goes back; of a draw that is only drawn, the reveal does this."""
    if draw.state is DrawState.REVEALED:
        return_stock(session, draw)


def _follow(
    session: Session, draw: Draw, out: TicketId, line: DrawLine, *, reason: str, at: datetime
) -> DrawReplacement:
    line.won_count -= 1
    row = _replace(session, draw, out, line, reason=reason, at=at)
    if row.by_id is not None:
        serve(session, draw, row.by_id, line.reward_line_id, at=at)
    return row


def _replace(
    session: Session, draw: Draw, out: TicketId, line: DrawLine, *, reason: str, at: datetime
) -> DrawReplacement:
    counts = select(func.count(), func.count(DrawReplacement.by_id))
    count, used = session.execute(counts.where(DrawReplacement.draw_id == draw.id)).one()
    row = DrawReplacement(
        draw_id=draw.id,
        number=count + 1,
        out_id=out,
        by_id=_next_reserve(session, draw, used),
        line_id=line.reward_line_id,
        reason=reason,
        replaced_at=at,
    )
    session.add(row)
    session.flush()
    return row


def _next_reserve(session: Session, draw: Draw, used: int) -> TicketId | None:
    query = select(DrawPlace.ticket_id).where(
        DrawPlace.draw_id == draw.id, DrawPlace.line_id.is_(None)
    )
    return session.scalar(query.order_by(DrawPlace.number).offset(used).limit(1))


def _dropped_out() -> Select[TicketId, str]:
    """The tickets that won, of whom nothing can come any more, each with the reason.

    Found by the places and by who moved up, which are few beside the grants.
    """
    winning = union_all(
        select(DrawPlace.ticket_id).where(DrawPlace.line_id.is_not(None)),
        select(DrawReplacement.by_id).where(DrawReplacement.by_id.is_not(None)),
    ).subquery("winning")
    now = aliased(User)
    state = func.coalesce(now.state, User.state)
    has_lapsed = exists().where(
        Holding.grant_id == Grant.id, Holding.shipment == ShipmentState.LAPSED
    )
    return (
        select(Ticket.id, case((state.in_(_GONE), cast(state, Text)), else_=literal(NO_ADDRESS)))
        .join(winning, winning.c.ticket_id == Ticket.id)
        .join(
            Grant,
            (Grant.merchant_id == Ticket.merchant_id)
            & (Grant.source_type == GrantSource.TICKET)
            & (Grant.source_id == Ticket.id),
        )
        .join(User, User.id == Grant.user_id)
        .outerjoin(now, now.id == User.merged_into_id)
        .where(
            state.in_(_GONE) | has_lapsed,
            returning.is_returnable(),
            ~exists().where(DrawReplacement.out_id == Ticket.id),
        )
    )


def list_dropped_out(session: Session) -> list[tuple[MerchantId, DrawId]]:
    """Draws of which a winner dropped out: found across merchants, as the engine."""
    columns = (Ticket.merchant_id, Ticket.draw_id)
    rows = session.execute(_dropped_out().with_only_columns(*columns).distinct())
    return [(merchant, draw) for merchant, draw in rows]


def places(session: Session, draw: Draw) -> Sequence[DrawPlace]:
    """Who took which place, in order."""
    query = select(DrawPlace).where(DrawPlace.draw_id == draw.id)
    return session.scalars(query.order_by(DrawPlace.number)).all()


def replacements(session: Session, draw: Draw) -> Sequence[DrawReplacement]:
    """Who moved up for whom, in order."""
    query = select(DrawReplacement).where(DrawReplacement.draw_id == draw.id)
    return session.scalars(query.order_by(DrawReplacement.number)).all()


def holders(session: Session, draw: Draw) -> dict[TicketId, RewardLineId]:
    """The tickets that hold a prize now, and of which line."""
    held = {it.ticket_id: it.line_id for it in places(session, draw) if it.line_id is not None}
    for row in replacements(session, draw):
        held.pop(row.out_id, None)
        if row.by_id is not None:
            held[row.by_id] = row.line_id
    return held
