"""Raffles: tickets registered, a list that is fixed before anybody can know who wins, winners.

Closing publishes the root of all tickets; drawing is a later transaction, so that the root stands
before the seed is used.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, insert, select, update
from sqlalchemy.orm import Session, aliased

from app.draws import algorithm, seeds, winners
from app.draws.algorithm import ID_BYTES, NO_BEACON
from app.draws.errors import (
    BeaconMissingError,
    BoxesExhaustedError,
    DrawNotDueError,
    DrawStateError,
)
from app.draws.models import Draw, DrawPlace, DrawState, EntryState, Ticket
from app.draws.moving import facts, lines_of, lock, return_stock, reward_name
from app.draws.published import Beacon
from app.users.models import User, UserState
from core.events import emit_many
from core.ids import encode_id
from core.types import TicketId, UserId
from minting import anchors


def register(
    session: Session, draw: Draw, users: Select[UserId], *, source_id: UUID, at: datetime
) -> int:
    """Each of these members has a ticket of this source; their numbers follow without a gap.

    Raises:
        BoxesExhaustedError: fewer are left; roll back.

    Locks: nothing; the caller holds the draw.
    """
    theirs = select(Ticket.user_id).where(Ticket.draw_id == draw.id, Ticket.source_id == source_id)
    found = session.scalars(users.where(User.id.not_in(theirs)).order_by(None).order_by(User.id))
    new = [UserId(user) for user in found]
    left = None if draw.boxes is None else draw.boxes - draw.handed_out_count
    if left is not None and len(new) > left:
        raise BoxesExhaustedError(len(new), left)
    if not new:
        return 0
    first = draw.handed_out_count + 1
    rows: list[dict[str, Any]] = [
        {
            "id": UUID(bytes=os.urandom(ID_BYTES)),
            "draw_id": draw.id,
            "seq": seq,
            "tag": tag,
            "user_id": user,
            "source_id": source_id,
            "ordinal": 0,
            "state": EntryState.SEALED,
            "registered_at": at,
        }
        for seq, (user, tag) in enumerate(zip(new, seeds.tags(draw, new), strict=True), first)
    ]
    session.execute(insert(Ticket), rows)
    said = facts(draw)
    received = [(row["user_id"], {**said, "boxId": encode_id("tkt", row["id"])}) for row in rows]
    emit_many(session, "cohort.mystery-box.received", received, at=at)
    draw.handed_out_count += len(new)
    return len(new)


def close(session: Session, draw: Draw, *, at: datetime) -> None:
    """No more tickets are taken, and the root of all there are is fixed.

    Tickets of members who were blocked or erased are void. Without any other the draw is void, and
    its prizes go back.

    Raises:
        DrawStateError: it is no raffle that takes tickets.
        DrawNotDueError: its date has not come.

    Locks: the draw, then its lines and what they give where it is void.
    """
    lock(session, draw.id)
    if not draw.is_raffle or draw.state not in (DrawState.COMMITTED, DrawState.OPEN):
        raise DrawStateError(draw.state, "closed")
    assert draw.draw_at is not None  # of every raffle
    if at < draw.draw_at:
        raise DrawNotDueError(algorithm.moment(draw.draw_at))
    session.execute(
        update(Ticket)
        .where(Ticket.draw_id == draw.id, Ticket.user_id.in_(_gone()))
        .values(state=EntryState.VOID)
        .execution_options(synchronize_session=False)
    )
    tickets = list_leaves(session, draw)
    is_void = all(it.is_void for it in tickets)
    draw.ended_at, draw.closed_at = draw.ended_at or at, at
    draw.tickets_root = algorithm.merkle_root(hashes(tickets))
    draw.state = DrawState.VOID if is_void else DrawState.CLOSED
    if is_void:
        return_stock(session, draw)
    else:
        anchors.request(session, draw.tickets_root, at=at)
    session.flush()


def _gone() -> Select[UserId]:
    """Members who take no part any more, as themselves or as who they were merged into."""
    now = aliased(User)
    return (
        select(User.id)
        .outerjoin(now, now.id == User.merged_into_id)
        .where(
            User.state.in_((UserState.BLOCKED, UserState.ERASED))
            | ((User.state == UserState.MERGED) & (now.state != UserState.ACTIVE))
        )
    )


@dataclass(frozen=True, slots=True)
class Leaf:
    """A ticket as far as the draw needs it."""

    id: TicketId
    seq: int
    tag: bytes
    state: EntryState

    @property
    def is_void(self) -> bool:
        """Whether nobody is drawn by it."""
        return self.state is EntryState.VOID


def list_leaves(session: Session, draw: Draw) -> list[Leaf]:
    """All tickets by number, void ones, too."""
    query = select(Ticket.id, Ticket.seq, Ticket.tag, Ticket.state)
    rows = session.execute(query.where(Ticket.draw_id == draw.id).order_by(Ticket.seq))
    return [Leaf(*row) for row in rows]


def hashes(tickets: Sequence[Leaf]) -> list[bytes]:
    """The leaves of the tree over these tickets."""
    return [algorithm.leaf(it.id.bytes, it.seq, it.tag, is_void=it.is_void) for it in tickets]


def draw_winners(
    session: Session, draw: Draw, *, beacon: Beacon | None = None, at: datetime
) -> None:
    """The places are taken, and who won a prize has it; who cannot is replaced at once.

    Args:
        beacon: the block that was promised, where one was.

    Raises:
        DrawStateError: the tickets are not closed, or it is drawn already.
        BeaconMissingError: a block was promised.

    Locks: the draw, then the winners one by one with what they won.
    """
    lock(session, draw.id)
    if draw.state is not DrawState.CLOSED or draw.tickets_root is None:
        raise DrawStateError(draw.state, "drawn")
    if draw.beacon_chain_id is not None:
        if beacon is None:
            raise BeaconMissingError(draw.beacon_chain_id)
        draw.beacon_number, draw.beacon_hash = beacon.number, beacon.hash
        draw.beacon_timestamp = beacon.timestamp
    taken = _take_places(session, draw)
    draw.state, draw.drawn_at = DrawState.DRAWN, at
    session.execute(
        update(Ticket)
        .where(Ticket.draw_id == draw.id, Ticket.state == EntryState.SEALED)
        .values(state=EntryState.OPENED)
        .execution_options(synchronize_session=False)
    )
    session.flush()
    for place in taken:
        if place.line_id is not None:
            winners.serve(session, draw, place.ticket_id, place.line_id, at=at)
    _tell(session, draw, at=at)


def _take_places(session: Session, draw: Draw) -> list[DrawPlace]:
    tickets = [it for it in list_leaves(session, draw) if not it.is_void]
    assert draw.tickets_root is not None and draw.max_wins_per_user is not None
    seed = seeds.read(session, draw, purpose="drawing")
    key = algorithm.draw_key(seed, draw.tickets_root, draw.beacon_hash or NO_BEACON)
    units = [line for line in lines_of(draw) for _ in range(line.quantity)]
    places = len(units) + draw.reserves
    tags = [it.tag for it in tickets]
    drawn = algorithm.winners(key, tags, places=places, most=draw.max_wins_per_user)
    taken = [
        DrawPlace(
            draw_id=draw.id,
            number=number,
            ticket_id=tickets[ticket].id,
            line_id=units[number - 1].reward_line_id if number <= len(units) else None,
        )
        for number, ticket in enumerate(drawn, 1)
    ]
    session.add_all(taken)
    session.flush()
    return taken


def _tell(session: Session, draw: Draw, *, at: datetime) -> None:
    """Everybody with a ticket hears what it came to, also who lost."""
    held, said = winners.holders(session, draw), facts(draw)
    names = {line.reward_line_id: reward_name(session, line) for line in draw.lines}
    query = select(Ticket.id, Ticket.user_id).where(
        Ticket.draw_id == draw.id, Ticket.state == EntryState.OPENED
    )
    opened = []
    for ticket, user in session.execute(query.order_by(Ticket.seq)):
        data = {**said, "boxId": encode_id("tkt", ticket), "outcome": "lost"}
        if ticket in held:
            data |= {"outcome": "won", "rewardId": names[held[ticket]]}
        opened.append((user, data))
    emit_many(session, "cohort.mystery-box.opened", opened, at=at)
