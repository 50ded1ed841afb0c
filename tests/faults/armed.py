"""A worker that is armed with points: it runs the product's engine, and dies where it comes by one.

Between two steps it does what people do, so that they are interrupted as well: plans are frozen,
transactions cancelled and sped up, the relayer is paused; what is held or paused goes on.
"""

import os
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from app import engine
from app.engine import Workplace
from chain import lanes, replacements
from chain.models import NonceLane, Transaction
from core.db import unit_of_work
from core.errors import AppError
from core.types import utc_now
from minting import sending
from minting.models import Batch, BatchState, Plan
from tests.faults.ground import Ground, freeze
from tests.faults.points import POINTS, Point, arm

A_PLAN = 2
"""Batches of a plan, of one recipient each."""
_IDLE_SECONDS = 0.01
_INTERFERING = 0.1


def work(
    place: Ground, plans: Any, armed: Mapping[Point, int], last_word: Callable[[int], None]
) -> None:
    """What a worker does until it comes by a point: the engine's steps, and what people do.

    Args:
        plans: shared with the parent: how many there shall be.
        armed: at which occurrence of each point it dies.
        last_word: called with the number of the point that it dies at.
    """
    place.bind.dispose(close=False)  # whatever was open belongs to the parent
    for point, occurrence in armed.items():
        arm(point, occurrence, partial(last_word, POINTS.index(point)))
    random = Random(os.getpid())
    while True:
        try:
            for where in engine.workplaces():
                engine.step(where)
                _plan(place, where, plans.value)
                _interfere(where, random, is_calm=not armed)
        except (AppError, DBAPIError):
            pass  # the chain said nothing, or another worker was faster
        except Exception:  # as the product's worker does; a person reads what it was
            traceback.print_exc()
        time.sleep(_IDLE_SECONDS)


def _plan(place: Ground, where: Workplace, wanted: int) -> None:
    """One plan more, if there shall be more."""
    with unit_of_work(merchant=where.merchant) as session:
        number = session.scalar(select(func.count()).select_from(Plan)) or 0
        if number < wanted:
            freeze(session, place, where.chain.id, number, A_PLAN, 1)


def _interfere(where: Workplace, random: Random, *, is_calm: bool) -> None:
    with unit_of_work(merchant=where.merchant) as session:
        for held in session.scalars(select(Batch.id).where(Batch.state == BatchState.HELD)):
            sending.release(session, held, at=utc_now())
        for lane in session.scalars(select(NonceLane.id)):
            lanes.resume(session, lane)
    if is_calm or random.random() > _INTERFERING:
        return
    with unit_of_work(merchant=where.merchant) as session:
        act = random.choice((replacements.cancel_unmined, replacements.speed_up, None))
        unmined = select(Transaction.id).where(Transaction.state.in_(lanes.UNMINED))
        if act is None:
            lanes.pause(session, session.scalars(select(NonceLane.id)).one(), "by a person")
        elif found := session.scalars(unmined.order_by(Transaction.nonce)).all():
            act(session, random.choice(found), at=utc_now())
