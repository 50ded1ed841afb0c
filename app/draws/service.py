"""Draws: committed to, handed out from, ended. What was promised can never change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.draws import algorithm, boxes, raffles, seeds
from app.draws.algorithm import MOST_BOXES, MOST_LINES, Mode, Params
from app.draws.errors import (
    BoxesBelowQuantitiesError,
    DrawDateBeforeEndError,
    DrawInvalidError,
    DrawNotFoundError,
    DrawStateError,
    QuantityExceedsStockError,
)
from app.draws.models import Draw, DrawLine, DrawState
from app.draws.moving import facts, lock, return_stock, title_of
from app.rewards import lines as reward_lines
from app.rewards.errors import EXHAUSTED
from app.rewards.lines import Choice
from app.rewards.models import RewardLine
from app.users.models import User, UserState
from chain.models import Chain, ChainKind
from core.events import emit
from core.ids import encode_id, new_id
from core.types import CampaignId, DrawId, UserId
from minting import anchors

MOST_RESERVES = 1_000
MOST_WINS = 1_000
NAME_LENGTH = 120


@dataclass(frozen=True)
class DrawDraft:
    """What people choose of a draw.

    Args:
        lines: a reward and its quantity each.
        boxes: of an instant draw how many there are; of a raffle the most tickets, or None.
        beacon_chain_id: the chain whose block adds to the randomness of a raffle, or None.
        shows_odds: whether the public page says how many of what there are.
    """

    name: str
    mode: Mode
    lines: Sequence[Choice]
    boxes: int | None = None
    draw_at: datetime | None = None
    max_wins_per_user: int = 1
    reserves: int = 0
    beacon_chain_id: int | None = None
    campaign_id: CampaignId | None = None
    shows_odds: bool = True

    @property
    def promised(self) -> int:
        """Prizes in all."""
        return sum(line.quantity or 0 for line in self.lines)


def commit(session: Session, draft: DrawDraft, *, at: datetime) -> Draw:
    """The draw is committed to: its parameters are fixed, and every prize is set aside.

    Raises:
        DrawInvalidError: `fields` names what must change.
        BoxesBelowQuantitiesError, DrawDateBeforeEndError: the same, by the name of the problem.
        QuantityExceedsStockError: a reward has fewer left than promised.
        RewardNotLiveError: a reward is not published.
        Whatever is raised, nothing was changed.

    Locks: what the lines give, in the order of its ids.
    """
    problems = _problems(session, draft, at)
    if problems:
        raise _refusal(draft, at)(problems)
    with session.begin_nested():
        return _commit(session, draft, at)


def _commit(session: Session, draft: DrawDraft, at: datetime) -> Draw:
    draw_id, seed = DrawId(new_id()), seeds.new_seed()
    rows = _reserve(session, draft.lines)
    lines = [
        DrawLine(reward_line_id=row.id, position=place, quantity=row.quantity, won_count=0)
        for place, row in enumerate(rows)
    ]
    document = _params(draft, lines).document()
    commitment = algorithm.commitment(document, seed)
    is_raffle = draft.mode is Mode.RAFFLE
    draw = Draw(
        id=draw_id,
        campaign_id=draft.campaign_id,
        name=draft.name.strip(),
        mode=draft.mode,
        params=document,
        commitment=commitment,
        sealed_salt=seeds.new_salt(draw_id),
        boxes=draft.boxes,
        draw_at=_whole_second(draft.draw_at) if is_raffle else None,
        max_wins_per_user=draft.max_wins_per_user if is_raffle else None,
        reserves=draft.reserves if is_raffle else 0,
        beacon_chain_id=draft.beacon_chain_id,
        shows_odds=draft.shows_odds,
        handed_out_count=0,
        opened_count=0,
        log_end=commitment,
        committed_at=at,
        lines=lines,
    )
    session.add(draw)
    session.flush()
    seeds.keep(session, draw_id, seed)
    anchors.request(session, commitment, at=at)
    emit(session, "cohort.draw.committed", at=at, **facts(draw), commitment=commitment.hex())
    return draw


def _params(draft: DrawDraft, lines: Sequence[DrawLine]) -> Params:
    promised = tuple((line.name, line.quantity) for line in lines)
    campaign = None if draft.campaign_id is None else encode_id("cmp", draft.campaign_id)
    if draft.mode is Mode.INSTANT:
        return Params(Mode.INSTANT, promised, draft.boxes, campaign)
    assert draft.draw_at is not None  # as checked
    chain = draft.beacon_chain_id
    return Params(
        Mode.RAFFLE,
        promised,
        draft.boxes,
        campaign,
        draw_at=algorithm.moment(draft.draw_at),
        max_wins_per_user=draft.max_wins_per_user,
        reserves=draft.reserves,
        beacon=f"eip155:{chain}" if chain else None,
    )


def _whole_second(moment: datetime | None) -> datetime | None:
    """What the parameters can say."""
    return moment and moment.astimezone(UTC).replace(microsecond=0)


def _reserve(session: Session, choices: Sequence[Choice]) -> list[RewardLine]:
    """A line for each choice, in their order; rewards are locked in the order of their ids."""
    made: dict[int, RewardLine] = {}
    for place, choice in sorted(enumerate(choices), key=lambda it: str(it[1].reward_id)):
        try:
            made[place] = reward_lines.make_line(session, choice, is_reserved=True)
        except EXHAUSTED as error:
            title = title_of(session, choice)
            raise QuantityExceedsStockError(title, wanted=error.wanted, left=error.left) from error
    return [made[place] for place in sorted(made)]


def _problems(session: Session, draft: DrawDraft, at: datetime) -> dict[str, str]:
    is_raffle = draft.mode is Mode.RAFFLE
    found = {
        "name": _name(draft.name),
        "lines": _lines(draft.lines),
        "boxes": _boxes(draft),
        "draw_at": _date(draft.draw_at, at) if is_raffle else None,
        "max_wins_per_user": _range(draft.max_wins_per_user, 1, MOST_WINS) if is_raffle else None,
        "reserves": _range(draft.reserves, 0, MOST_RESERVES) if is_raffle else None,
        "beacon_chain_id": _chain(session, draft),
    }
    return {name: sentence for name, sentence in found.items() if sentence}


def _refusal(draft: DrawDraft, at: datetime) -> type[DrawInvalidError]:
    """What is wrong by the name that programs know, where it has one."""
    if draft.mode is Mode.INSTANT and _are_boxes_below(draft):
        return BoxesBelowQuantitiesError
    if draft.mode is Mode.RAFFLE and draft.draw_at is not None and draft.draw_at <= at:
        return DrawDateBeforeEndError
    return DrawInvalidError


def _are_boxes_below(draft: DrawDraft) -> bool:
    return draft.boxes is not None and draft.boxes < draft.promised


def _name(name: str) -> str | None:
    is_sound = 1 <= len(name.strip()) <= NAME_LENGTH and name.strip().isprintable()
    return None if is_sound else f"Enter a name of 1 to {NAME_LENGTH} printable characters."


def _lines(lines: Sequence[Choice]) -> str | None:
    if not 1 <= len(lines) <= MOST_LINES:
        return f"Choose between 1 and {MOST_LINES} rewards."
    if len({line.reward_id for line in lines}) < len(lines):
        return "A reward stands here twice. Give more of it instead."
    if not all(line.quantity and 1 <= line.quantity <= MOST_BOXES for line in lines):
        return f"A quantity is between 1 and {MOST_BOXES:,}."
    return None


def _boxes(draft: DrawDraft) -> str | None:
    if draft.boxes is None:
        return None if draft.mode is Mode.RAFFLE else "Say how many boxes there are."
    if not 1 <= draft.boxes <= MOST_BOXES:
        return f"Between 1 and {MOST_BOXES:,}."
    if draft.mode is Mode.INSTANT and _are_boxes_below(draft):
        return f"There are {draft.promised:,} prizes, so there are at least as many boxes."
    return None


def _date(draw_at: datetime | None, at: datetime) -> str | None:
    return None if draw_at is not None and draw_at > at else "Choose a time in the future."


def _range(number: int, least: int, most: int) -> str | None:
    return None if least <= number <= most else f"Between {least:,} and {most:,}."


def _chain(session: Session, draft: DrawDraft) -> str | None:
    if draft.beacon_chain_id is None:
        return None
    if draft.mode is Mode.INSTANT:
        return "Only a raffle has a beacon."
    chain = session.get(Chain, draft.beacon_chain_id)
    if chain is None or chain.kind is ChainKind.EMBEDDED:
        return "Only a chain that others run can add randomness."
    return None


def get(session: Session, draw_id: DrawId) -> Draw:
    """The draw.

    Raises:
        DrawNotFoundError: this merchant has none with the id.
    """
    draw = session.get(Draw, draw_id)
    if draw is None:
        raise DrawNotFoundError
    return draw


def hand_out(
    session: Session, draw: Draw, users: Select[UserId], *, source_id: UUID, at: datetime
) -> int:
    """Each of these members, if active, has a box or a ticket from this source; a repeat adds none.

    Args:
        source_id: what gives it, an act of the team or a participation.

    Returns:
        How many are new.

    Raises:
        DrawStateError: nothing is handed out any more.
        BoxesExhaustedError: fewer are left; nothing was handed out.

    Locks: the draw.
    """
    lock(session, draw.id)
    is_over = draw.draw_at is not None and draw.draw_at <= at
    if not draw.is_taking or is_over:
        raise DrawStateError(draw.state, "handed out from")
    active = users.where(User.state == UserState.ACTIVE)
    deal = raffles.register if draw.is_raffle else boxes.deal
    with session.begin_nested():
        count = deal(session, draw, active, source_id=source_id, at=at)
    if count and draw.state is DrawState.COMMITTED:
        draw.state = DrawState.OPEN
    session.flush()
    return count


def end(session: Session, draw: Draw, *, at: datetime) -> None:
    """Nothing is handed out any more; a draw without anybody is void, and its prizes go back.

    Raises:
        DrawStateError: it has ended.

    Locks: the draw, then its lines and what they give.
    """
    lock(session, draw.id)
    if not draw.is_taking:
        raise DrawStateError(draw.state, "ended")
    draw.ended_at = at
    if draw.handed_out_count == 0:
        draw.state = DrawState.VOID
        return_stock(session, draw)
    elif not draw.is_raffle:
        boxes.finish(session, draw, at=at)
    session.flush()


def list_chains(session: Session) -> Sequence[Chain]:
    """Chains whose blocks can add randomness."""
    return session.scalars(
        select(Chain).where(Chain.kind != ChainKind.EMBEDDED).order_by(Chain.name)
    ).all()
