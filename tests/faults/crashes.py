"""Workers kill themselves at named points, and an oracle outside the system counts.

`make faults-crashes TIMES=50 SEED=1`, or `python -m tests.faults.crashes`. Three workers run the
product's engine on PostgreSQL against the model chain, while people cancel, speed up, pause, resume
and release. Each worker is armed with a handful of the points (`points.py`) that were not reached
often enough; whoever comes by one is gone at once, and another is forked. Fees are raised as soon
as a transaction waits, nodes refuse calls and sends, and while a point of a restore is missing, a
copy of the tables is put back again and again. At the end the canonical chain is compared with the
frozen plans, which follow from their numbers alone.

What the catalogue of crashes names and this code base does not have: an outbox and deliveries of
webhooks, an audit chain, refunds. Events, passes and tokens are written by the transaction that
settles. Keys are opened in the signer, which is killed elsewhere (`tests/e2e/test_kills.py`), as is
who sends mail (`tests/core/test_mail_kills.py`). The cursors here are the finality line and the
blocks that a restored lane has read; that of reconciliation delivers nothing and is kept for
minutes after a kill (`reconcile.py`).
"""

import argparse
import gc
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from multiprocessing.connection import wait
from multiprocessing.sharedctypes import RawArray, RawValue
from random import Random
from signal import SIGKILL
from typing import Any

from sqlalchemy import create_engine, func, select
from sqlalchemy.pool import NullPool

from app import engine
from chain import recovery
from chain.models import LaneState, NonceLane
from chain.settings import chain_settings
from core.db import Role, unit_of_work
from minting.models import BatchState, Plan
from tests.faults.armed import A_PLAN, work
from tests.faults.copies import copy_tables, put_back
from tests.faults.ground import CONTRACTS, Ground, count, ground, set_up, tables, warm_up
from tests.faults.model import Faults
from tests.faults.points import POINTS, Point, find
from tests.faults.worlds import model_world

WORKERS = 3
ARMED_SHARE = 5
"""A worker is armed with one point in so many of those that are left: it has to get somewhere."""
ARMED_LEAST = 8
"""What is left in the end is rare."""
_OPEN = (BatchState.PLANNED, BatchState.ASSIGNED, BatchState.HELD)
_FEW = 16
_COPY_SECONDS = 0.4
_LIES = Faults(
    lost_before=0.02,
    lost_after=0.02,
    nonsense=0.02,
    duplicate=0.02,
    false_null=0.03,
    forgotten_pool=0.01,
    refused_call=0.04,
    refused_send=0.08,
    reorg=0.02,
)


@dataclass
class Campaign:
    """The workers, how often each point was reached, and how many plans there shall be."""

    place: Ground
    points: Sequence[Point]
    times: int
    random: Random
    reached: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    restores: int = 0
    copied_at: float | None = None

    def __post_init__(self) -> None:
        self.owner = create_engine(self.place.owner_url, poolclass=NullPool)
        self.plans = RawValue("i", CONTRACTS)
        self.last_words = RawArray("i", WORKERS)
        self.running: dict[int, Any] = {}

    def left(self) -> list[Point]:
        """The points that were not reached often enough."""
        return [point for point in self.points if self.reached[point.name] < self.times]

    def start(self, slot: int) -> None:
        """A worker that is armed with some of the points that are left."""
        left = self.left()
        size = min(len(left), max(len(left) // ARMED_SHARE, ARMED_LEAST))
        armed = {it: self.random.randint(1, it.most) for it in self.random.sample(left, size)}
        self.last_words[slot] = -1
        self.running[slot] = self.place.context.Process(
            target=work,
            args=(self.place, self.plans, armed, partial(self.last_words.__setitem__, slot)),
            daemon=True,
        )
        self.running[slot].start()

    def reap(self) -> None:
        """Who is gone said where, and another takes its place."""
        ended = wait([process.sentinel for process in self.running.values()], 0.1)
        for slot, process in list(self.running.items()):
            if process.sentinel in ended:
                process.join()
                said = self.last_words[slot]
                if process.exitcode != -SIGKILL or said < 0:
                    raise RuntimeError(f"A worker ended by itself, with {process.exitcode}.")
                self.reached[POINTS[said].name] += 1
                self.kills += 1
                if self.kills % 100 == 0:
                    sys.stderr.write(f"{self.kills} kills, {len(self.left())} points to go\n")
                self.start(slot)

    def supply(self) -> None:
        """Work never runs out; a plan that a copy has forgotten would be frozen a second time."""
        if self.copied_at is None and count(*_OPEN) < _FEW:
            self.plans.value += 1

    def turn_back(self) -> None:
        """A copy is taken of a lane that works, and put back a little later."""
        if self.copied_at is not None:
            if time.monotonic() > self.copied_at + _COPY_SECONDS:
                self._restore()
        elif any(point.needs_restore for point in self.left()) and self._is_settled():
            copy_tables(self.owner, "old")
            self.copied_at = time.monotonic()

    def _is_settled(self) -> bool:
        """Every plan is there, and no lane recovers from the last time."""
        with unit_of_work(role=Role.ENGINE) as session:
            plans = session.scalar(select(func.count()).select_from(Plan))
            states = session.scalars(select(NonceLane.state)).all()
        return plans == self.plans.value and states == [LaneState.ACTIVE]

    def _restore(self) -> None:
        """As after a restore by hand: everybody stops, the copy comes back, `cohort recover`."""
        self.stop()
        put_back(self.owner, "old")
        [where] = engine.workplaces()
        with unit_of_work(merchant=where.merchant) as session:
            recovery.restore_all(session)
        self.restores, self.copied_at = self.restores + 1, None
        self.restart()

    def restart(self) -> None:
        """Everybody is gone, and others begin."""
        self.stop()
        for slot in range(WORKERS):
            self.start(slot)

    def stop(self) -> None:
        """All are gone."""
        for process in self.running.values():
            process.kill()
            process.join()
        self.running.clear()

    def is_finished(self) -> bool:
        """Whether nothing is left to kill or to do."""
        return not self.left() and self._is_settled() and not count(*_OPEN)

    def wanted(self) -> set[str]:
        """The calldata of all plans, as their numbers say."""
        calldata = self.place.world.calldata
        each = product(range(self.plans.value), range(A_PLAN))
        return {calldata(number, index, index, 1).hex() for number, index in each}


def run(points: Sequence[Point], times: int, seed: int, limit_seconds: float) -> dict[str, Any]:
    """The campaign and its report."""
    for point in points:
        find(point.call)
    started = time.monotonic()
    context = multiprocessing.get_context("fork")
    with model_world(context, _LIES, seed) as world, ground(world, context) as place:
        chain_settings().bump_seconds = 0
        chain_settings().in_flight = 4
        set_up(place, CONTRACTS * A_PLAN, 1)
        warm_up(place)
        gc.freeze()  # what the workers inherit stays shared
        campaign = Campaign(place, points, times, Random(seed))
        try:
            campaign.restart()
            is_finished = _last(campaign, started + limit_seconds)
        finally:
            campaign.stop()
        report = _report(campaign)
    seconds = round(time.monotonic() - started, 1)
    return {"faults": "crashes", "seed": seed, "finished": is_finished, "seconds": seconds} | report


def _last(campaign: Campaign, deadline: float) -> bool:
    """Whether every point was reached often enough, and everything is final, in time."""
    while time.monotonic() < deadline:
        had_left = campaign.left()
        campaign.reap()
        if campaign.left():
            campaign.supply()
            campaign.turn_back()
        elif had_left:  # from now on nobody dies
            campaign.restart()
        elif campaign.is_finished():
            return True
    return False


def _report(campaign: Campaign) -> dict[str, Any]:
    wanted, executed, told = campaign.wanted(), campaign.place.world.executed(), tables()
    return {
        "points": len(campaign.points),
        "times": campaign.times,
        "kills": campaign.kills,
        "restores": campaign.restores,
        "recipients": len(wanted),
        "attempts": told["attempts"],
        "lost": len(wanted - set(executed)),
        "doubled": sum(executed.get(batch, 0) > 1 for batch in wanted),
        "held": count(BatchState.HELD),
        "stray": len(set(executed) - wanted - {""}),  # a no-op says nothing
        "untold": len(wanted ^ set(told["delivered"])),
        "has_gap": told["has_gap"],
        "missed": [point.name for point in campaign.left()],
        "reached": {point.name: campaign.reached[point.name] for point in campaign.points},
    }


def is_clean(report: dict[str, Any]) -> bool:
    """Nobody lost or served twice, nothing held, and every point was reached often enough."""
    bad = ("lost", "doubled", "held", "stray", "untold", "has_gap", "missed")
    return bool(report["finished"]) and not any(report[name] for name in bad)


def main() -> int:
    """Prints one JSON object; 0 when the run was clean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=int(os.environ.get("TIMES") or 50))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    parser.add_argument("--limit-seconds", type=float, default=1_800)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="points with these names")
    given = parser.parse_args()
    chosen = [it for it in POINTS if not given.only or it.name.split(":")[0] in given.only]
    report = run(chosen, given.times, given.seed, given.limit_seconds)
    print(json.dumps(report))  # noqa: T201 - a command's answer
    return 0 if is_clean(report) else 1


if __name__ == "__main__":
    sys.exit(main())
