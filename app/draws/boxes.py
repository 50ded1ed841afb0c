"""Boxes of an instant draw: dealt, opened one after the other, and opened by themselves in the end.

An opening holds the draw's lock while it takes the next number, so numbers have no gaps and no two
boxes share a prize, however many are opened at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.draws import algorithm, heads, seeds
from app.draws.algorithm import NO_NONCE, NONCE_BYTES, Opening
from app.draws.errors import BoxesExhaustedError, DrawStateError, NonceInvalidError
from app.draws.models import Box, BoxOpening, Draw, DrawLine, DrawState, EntryState
from app.draws.moving import facts, give, lines_of, lock, reveal, reward_name
from app.rewards.models import GrantSource
from app.rewards.service import Source
from app.users.models import User
from core.db import sql_id
from core.events import emit_many
from core.ids import encode_id
from core.types import BoxId, UserId

OPENED_AFTER = timedelta(days=7)
"""Boxes nobody opened open by themselves so long after the last was handed out."""
_AT_ONCE = 1_000
_MOST_PRIZES = 100
"""So many boxes, or prizes, of one transaction of the sweep: members who open theirs wait for no
more."""


def deal(
    session: Session, draw: Draw, users: Select[UserId], *, source_id: UUID, at: datetime
) -> int:
    """Each of these members has a box of this source; the last box ends the handing out.

    Raises:
        BoxesExhaustedError: fewer are left; roll back.

    Locks: nothing; the caller holds the draw.
    """
    values: dict[InstrumentedAttribute[Any], Any] = {
        Box.id: sql_id(),
        Box.draw_id: literal(draw.id),
        Box.user_id: User.id,
        Box.source_id: literal(source_id),
        Box.ordinal: literal(0),
        Box.state: literal(EntryState.SEALED, type_=Box.state.type),
        Box.handed_out_at: literal(at),
    }
    dealt = (
        insert(Box)
        .from_select(
            [it.key for it in values],
            users.with_only_columns(*values.values()),
            include_defaults=False,
        )
        .on_conflict_do_nothing()
        .returning(Box.id, Box.user_id)
    )
    rows, said = session.execute(dealt).all(), facts(draw)
    received = [(user, {**said, "boxId": encode_id("box", box)}) for box, user in rows]
    emit_many(session, "cohort.mystery-box.received", received, at=at)
    count = len(rows)
    assert draw.boxes is not None  # of every instant draw
    left = draw.boxes - draw.handed_out_count
    if count > left:
        raise BoxesExhaustedError(count, left)
    draw.handed_out_count += count
    if draw.handed_out_count == draw.boxes:
        draw.ended_at = at
    return count


def read_nonce(text: str) -> bytes | None:
    """What the browser of whoever opens a box adds to the randomness; None where it adds nothing.

    Raises:
        NonceInvalidError: it is no nonce.
    """
    if not text:
        return None
    try:
        nonce = bytes.fromhex(text)
    except ValueError as error:
        raise NonceInvalidError from error
    if len(nonce) != NONCE_BYTES:
        raise NonceInvalidError
    return nonce


def find_opening(session: Session, box_id: BoxId) -> BoxOpening | None:
    """How the box was opened, or None while it is sealed."""
    return session.scalar(select(BoxOpening).where(BoxOpening.box_id == box_id))


def open_box(
    session: Session,
    box: Box,
    *,
    nonce: bytes | None,
    is_automatic: bool = False,
    at: datetime,
) -> BoxOpening:
    """The box is open, and what it held is its owner's; a repeat returns the first opening.

    Args:
        nonce: 32 bytes of the owner's browser, or None.
        is_automatic: nobody asked for it.

    Raises:
        DrawStateError: the draw is over.
        SealBrokenError: its seed was changed.

    Locks: the draw, then what the box held.
    """
    draw = lock(session, box.draw_id)
    opening = find_opening(session, box.id)
    if opening is not None:
        return opening
    if draw.state is not DrawState.OPEN:
        raise DrawStateError(draw.state, "opened")
    [opening] = _open(session, draw, [(box, nonce or NO_NONCE)], is_automatic=is_automatic, at=at)
    finish(session, draw, at=at)
    return opening


def _open(
    session: Session,
    draw: Draw,
    asked: Sequence[tuple[Box, bytes]],
    *,
    is_automatic: bool,
    at: datetime,
) -> list[BoxOpening]:
    """These boxes are opened with these nonces, up to the one with which prizes are enough."""
    purpose = f"opening {draw.opened_count + 1}" + (" and on" if len(asked) > 1 else "")
    turn = _Turn(session, draw, lines_of(draw), seeds.read(session, draw, purpose=purpose), at)
    for box, nonce in asked:
        turn.open(box, nonce, is_automatic=is_automatic)
        if turn.prize_count == _MOST_PRIZES:
            break
    session.add_all(turn.rows)
    session.flush()
    reached = [(row.number, row.hash) for row in turn.rows if row.number % heads.EVERY == 0]
    heads.publish(session, draw, reached, at=at)
    emit_many(session, "cohort.mystery-box.opened", turn.told, at=at)
    return turn.rows


@dataclass
class _Turn:
    """Boxes opened one after the other while the draw is locked; the rows are not written yet."""

    session: Session
    draw: Draw
    lines: Sequence[DrawLine]
    seed: bytes
    at: datetime
    rows: list[BoxOpening] = field(default_factory=list)
    told: list[tuple[UserId, dict[str, Any]]] = field(default_factory=list)
    prize_count: int = 0

    def open(self, box: Box, nonce: bytes, *, is_automatic: bool) -> None:
        """The box is the next one in the log, and its owner has what it held."""
        draw = self.draw
        opening = Opening(box.id.bytes, nonce, draw.opened_count + 1)
        line = self._decide(opening)
        flag = ("automatic" if is_automatic else "no_nonce") if nonce == NO_NONCE else None
        entry = algorithm.log_entry(opening, flag=flag, line_id=line.name if line else None)
        row = BoxOpening(
            draw_id=draw.id,
            number=opening.number,
            box_id=box.id,
            client_nonce=nonce,
            flag=flag,
            line_id=line.reward_line_id if line else None,
            previous_hash=draw.log_end,
            hash=algorithm.log_hash(draw.log_end, entry),
            unclaimed=None if line is None else self._give(line, box),
            opened_at=self.at,
        )
        draw.opened_count, draw.log_end = opening.number, row.hash
        box.state = EntryState.OPENED
        self.rows.append(row)
        self.told.append((box.user_id, self._facts(box, line)))

    def _decide(self, opening: Opening) -> DrawLine | None:
        assert self.draw.boxes is not None  # of every instant draw
        left = [line.quantity - line.won_count for line in self.lines]
        place = algorithm.outcome(self.seed, opening, boxes=self.draw.boxes, left=left)
        return None if place is None else self.lines[place]

    def _give(self, line: DrawLine, box: Box) -> str | None:
        """Why it goes back to the stock, or None."""
        line.won_count += 1
        self.prize_count += 1
        source = Source(GrantSource.BOX, box.id)
        return give(self.session, line, box.user_id, source=source, at=self.at)

    def _facts(self, box: Box, line: DrawLine | None) -> dict[str, Any]:
        data = {**facts(self.draw), "boxId": encode_id("box", box.id), "outcome": "lost"}
        if line is not None:
            data |= {"outcome": "won", "rewardId": reward_name(self.session, line)}
        return data


def finish(session: Session, draw: Draw, *, at: datetime) -> None:
    """Once the last box is open, the draw is closed, drawn and revealed.

    Locks: the draw, which the caller holds; then its lines and what they give.
    """
    if draw.ended_at is None or draw.opened_count < draw.handed_out_count:
        return
    heads.publish(session, draw, [(draw.opened_count, draw.log_end)], at=at)
    draw.closed_at = draw.drawn_at = at
    draw.state = DrawState.DRAWN
    session.flush()
    reveal(session, draw, at=at)


def open_due(session: Session, draw: Draw, *, at: datetime) -> bool:
    """Some boxes that nobody opened in time are open.

    Returns:
        Whether more are left.

    Locks: the draw, then what the boxes held.
    """
    lock(session, draw.id)
    is_due = draw.ended_at is not None and draw.ended_at + OPENED_AFTER <= at
    if not is_due or draw.state is not DrawState.OPEN:
        return False
    asked = [(box, NO_NONCE) for box in _sealed(session, draw)]
    _open(session, draw, asked, is_automatic=True, at=at)
    finish(session, draw, at=at)
    return draw.state is DrawState.OPEN


def _sealed(session: Session, draw: Draw) -> Sequence[Box]:
    query = select(Box).where(Box.draw_id == draw.id, Box.state == EntryState.SEALED)
    return session.scalars(query.order_by(Box.id).limit(_AT_ONCE)).all()
