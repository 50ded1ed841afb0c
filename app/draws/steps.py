"""What a draw does by itself: its log is published every hour, boxes nobody opened are opened, and
raffles are drawn on their date.

Each step is a transaction of its own, so a kill leaves a draw at a step and the next run goes on.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from app.draws import boxes, heads, raffles
from app.draws.algorithm import Mode, moment, seconds
from app.draws.boxes import OPENED_AFTER
from app.draws.models import Draw, DrawState
from app.draws.moving import reveal
from app.draws.published import Beacon
from app.draws.verifier import BEACON_SECONDS
from chain.beacons import find_block
from chain.models import Chain, NonceLane
from chain.networks import client_for, finality_line
from core.db import unit_of_work
from core.types import DrawId, MerchantId
from minting import anchors

PATIENCE = timedelta(hours=1)
"""A chain that does not take the root of the tickets for so long is not waited for."""
_TAKING = (DrawState.COMMITTED, DrawState.OPEN)


def is_due(at: datetime) -> ColumnElement[bool]:
    """True of draws that have something to do now."""
    is_old = and_(
        Draw.mode == Mode.INSTANT, Draw.state == DrawState.OPEN, Draw.ended_at <= at - OPENED_AFTER
    )
    is_over = and_(Draw.state.in_(_TAKING), Draw.draw_at <= at)
    is_moving = Draw.state.in_((DrawState.CLOSED, DrawState.DRAWN))
    return or_(heads.is_due(at), is_old, is_over, is_moving)


def advance(merchant: MerchantId, draw_id: DrawId, *, at: datetime) -> None:
    """The draw is as far as it can be now.

    Raises:
        ChainUnavailableError: the chain of the beacon does not answer; the next run tries again.
    """

    def in_unit(work: Callable[[Session, Draw], object]) -> Draw:
        with unit_of_work(merchant=merchant) as session:
            draw = session.get_one(Draw, draw_id)
            work(session, draw)
            return draw

    draw = in_unit(lambda *_: None)
    if not draw.is_raffle:
        in_unit(lambda session, draw: heads.publish_due(session, draw, at=at))
        _open_due(merchant, draw_id, at=at)
        return
    if draw.state in _TAKING and draw.draw_at is not None and draw.draw_at <= at:
        draw = in_unit(lambda session, draw: raffles.close(session, draw, at=at))
    if draw.state is DrawState.CLOSED:
        if _waits_for_anchor(merchant, draw, at=at):
            return
        beacon = _beacon(draw)
        if draw.beacon_chain_id is not None and beacon is None:
            return
        draw = in_unit(
            lambda session, draw: raffles.draw_winners(session, draw, beacon=beacon, at=at)
        )
    if draw.state is DrawState.DRAWN:
        in_unit(lambda session, draw: reveal(session, draw, at=at))


def _open_due(merchant: MerchantId, draw_id: DrawId, *, at: datetime) -> None:
    more = True
    while more:
        with unit_of_work(merchant=merchant) as session:
            more = boxes.open_due(session, session.get_one(Draw, draw_id), at=at)


def _waits_for_anchor(merchant: MerchantId, draw: Draw, *, at: datetime) -> bool:
    """The root is on the merchant's chain before the seed is used, if that answers in time."""
    if draw.closed_at is None or draw.tickets_root is None or at - draw.closed_at >= PATIENCE:
        return False
    with unit_of_work(merchant=merchant) as session:
        has_relayer = session.scalar(select(exists().where(NonceLane.id.is_not(None))))
        return bool(has_relayer) and anchors.find(session, draw.tickets_root) is None


def _beacon(draw: Draw) -> Beacon | None:
    """The first final block young enough, or None while there is none."""
    if draw.beacon_chain_id is None or draw.draw_at is None:
        return None
    with unit_of_work() as session:
        chain = session.get_one(Chain, draw.beacon_chain_id)
    client = client_for(chain)
    earliest = seconds(moment(draw.draw_at)) + BEACON_SECONDS
    block = find_block(client, finality_line(chain, client), since=earliest)
    return None if block is None else Beacon(block.number, block.hash, block.timestamp)


def list_due(session: Session, at: datetime) -> list[tuple[MerchantId, DrawId]]:
    """Draws with something to do, found across merchants: the session has the engine's role."""
    rows = session.execute(select(Draw.merchant_id, Draw.id).where(is_due(at)).order_by(Draw.id))
    return [(merchant, draw) for merchant, draw in rows]
