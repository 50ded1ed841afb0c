"""Fault campaigns: workers are killed while a chain lies, and an oracle outside the system counts.

`make faults LEVEL=pr SIZE=100000 SEED=1`, or `python -m tests.faults.campaign`. A level is a few
parts. In each, three workers run the product's engine on PostgreSQL against a chain that executes
whatever is sent, a model (`model.py`) or a real EVM behind proxies (`proxy.py`). One of them is
killed with SIGKILL again and again and forked anew, or stopped for longer than anything takes while
the others go on. At the end the canonical chain is compared with the frozen plan, and the tables
with both. A run is repeated by its seed as far as the timing of processes allows.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from minting.models import BatchState
from tests.faults import judge
from tests.faults.ground import CONTRACTS, Ground, count, ground, set_up, tables, warm_up
from tests.faults.model import Faults
from tests.faults.notes import stale_writes
from tests.faults.proxy import Weather
from tests.faults.workers import Workers
from tests.faults.worlds import World, evm_world, model_world


@dataclass(frozen=True)
class Part:
    """How much and how hard.

    Args:
        chain: `model` or `evm`.
        kill_seconds: from one kill to the next.
        freezes: how often a worker stands still, after the kills.
        limit_seconds: until the part counts as hanging.
        a_batch: recipients of a batch: few, so that there is something to hit.
    """

    chain: str
    recipients: int
    kills: int
    limit_seconds: float
    kill_seconds: float = 0.08
    freezes: int = 0
    a_batch: int = 100


PARTS = {
    "slice-model": Part("model", 4_000, 40, 240),
    "slice-evm": Part("evm", 2_000, 15, 240, kill_seconds=0.15),
    "naive-model": Part("model", 10_000, 20, 60),
    "naive-evm": Part("evm", 10_000, 20, 60, kill_seconds=0.15),
    "slice-frozen": Part("model", 1_600, 0, 240, freezes=4, a_batch=10),
    "model": Part("model", 100_000, 1_000, 600, kill_seconds=0.045),
    "evm": Part("evm", 10_000, 100, 200),
    "frozen": Part("model", 8_000, 0, 200, freezes=20, a_batch=10),
    "long-evm": Part("evm", 100_000, 1_000, 1_200),
    "long-frozen": Part("model", 120_000, 0, 1_500, freezes=200, a_batch=10),
    "volume": Part("model", 1_000_000, 10_000, 7_200),
}
LEVELS = {
    "slice": ("slice-model", "slice-evm", "slice-frozen"),
    "pr": ("model", "evm", "frozen"),
    "nightly": ("long-evm", "long-frozen"),
    "weekly": ("volume", "long-evm", "long-evm", "long-evm", "long-frozen", "long-frozen"),
}
WITH_MUTANTS = ("nightly", "weekly")
A_FREEZE = 1.5
"""Seconds: longer than it takes to become final here, and than a transaction may stand still."""

_LIES = Faults(
    lost_before=0.01,
    lost_after=0.02,
    nonsense=0.01,
    duplicate=0.02,
    false_null=0.02,
    forgotten_pool=0.002,
    reorg=0.006,
)
_WEATHER = Weather(reorg=0.06, drop=0.01, outage=0.02, cut=0.05, block_seconds=0.12)
_SUMMED = (
    *("recipients", "kills", "freezes", "reorgs", "bad_sends", "false_nulls"),
    *("lost", "doubled", "held", "untold", "stale_writes"),
)
_BAD = ("lost", "doubled", "held", "untold", "stray", "stale_writes", "has_gap")


def run(part: Part, seed: int) -> dict[str, Any]:
    """One part and its report."""
    started = time.monotonic()
    context = multiprocessing.get_context("fork")
    with _world(part, context, seed) as world, ground(world, context) as place:
        set_up(place, part.recipients, part.a_batch)
        warm_up(place)
        ready = time.monotonic()
        workers = Workers(place, seed)
        try:
            _harass(place, workers, part)
            harassed = time.monotonic()
            finished = _wait(part.limit_seconds - (time.monotonic() - started))
        finally:
            workers.stop()
        report = _report(place, workers)
    return report | {
        "seed": seed,
        "finished": finished,
        "kill_seconds": round(harassed - ready, 1),
        "after_kills_seconds": round(time.monotonic() - harassed, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def _world(part: Part, context: Any, seed: int) -> AbstractContextManager[World]:
    if part.chain == "evm":
        return evm_world(context, _WEATHER, seed, contracts=CONTRACTS)
    return model_world(context, _LIES, seed)


def _harass(place: Ground, workers: Workers, part: Part) -> None:
    """Kills, then stops, until there were enough or everything is final."""
    next_at = time.monotonic()
    while workers.kills < part.kills and (workers.kills % 20 or _left(place, workers)):
        next_at += part.kill_seconds
        time.sleep(max(0.0, next_at - time.monotonic()))
        workers.kill_one()
    while len(workers.freezes) < part.freezes and _left(place, workers):
        workers.freeze_one(A_FREEZE)
    place.bind.dispose()


def _left(_place: Ground, workers: Workers) -> int:
    left = count(BatchState.PLANNED, BatchState.ASSIGNED)
    done = f"{workers.kills} kills, {len(workers.freezes)} freezes"
    sys.stderr.write(f"{done}, {left} batches to go\n")
    return left


def _wait(seconds: float) -> bool:
    """Whether everything is final in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not count(BatchState.PLANNED, BatchState.ASSIGNED):
            return True
        time.sleep(0.2)
    return False


def _report(place: Ground, workers: Workers) -> dict[str, Any]:
    counts, executed, told = place.world.counts(), place.world.executed(), tables()
    abandoned = counts.pop("abandoned")
    stale = stale_writes(place.owner_url, workers.freezes, abandoned)
    wanted = place.wanted
    times = {batch: executed.get(batch, 0) for batch in wanted}
    return counts | {
        "recipients": sum(wanted.values()),
        "kills": workers.kills,
        "freezes": len(workers.freezes),
        "interrupted": dict(workers.interrupted),
        "attempts": told["attempts"],
        "lost": sum(size for batch, size in wanted.items() if not times[batch]),
        "doubled": sum(size * max(0, times[batch] - 1) for batch, size in wanted.items()),
        "stray": len(set(executed) - set(wanted)),
        "held": count(BatchState.HELD),
        "untold": len(set(wanted) ^ set(told["delivered"])),
        "has_gap": told["has_gap"],
        "stale_writes": len(stale),
        "stale": dict(Counter(stale)),
    }


def is_clean(report: dict[str, Any]) -> bool:
    """Nobody lost, nobody served twice, nothing held, and the tables say what the chain says."""
    return bool(report["finished"]) and not any(report[name] for name in _BAD)


def run_apart(name: str, part: Part, seed: int) -> dict[str, Any]:
    """The report of a part that runs in a process of its own: settings are read once a process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(part, seed, theirs))
    process.start()
    theirs.close()
    try:
        report: dict[str, Any] = ours.recv()
    except EOFError:
        report = {"finished": False}
    process.join()
    return {"part": name, "is_clean": bool(report["finished"]) and is_clean(report), **report}


def _tell(part: Part, seed: int, pipe: Any) -> None:
    try:
        pipe.send(run(part, seed))
    except Exception:
        traceback.print_exc()
        raise


def summary(level: str, reports: list[dict[str, Any]], judged: judge.Verdicts) -> dict[str, Any]:
    """One object for all parts of a level."""
    sums = {name: sum(report.get(name, 0) for report in reports) for name in _SUMMED}
    return {
        "faults": level,
        "is_clean": all(report["is_clean"] for report in reports),
        **sums,
        "mutants": judged.count,
        "mutants_caught": judged.caught,
        "naive_doubled": judged.naive_doubled,
        "parts": reports,
    }


def main() -> int:
    """Prints one JSON object; 0 when every part was clean and every mutant was caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = {**LEVELS, **{name: (name,) for name in PARTS}}
    parser.add_argument("--level", choices=names, default=os.environ.get("LEVEL") or "pr")
    parser.add_argument("--size", type=int, default=int(os.environ.get("SIZE") or 0))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    given = parser.parse_args()
    started = time.monotonic()
    reports = [
        run_apart(name, _sized(PARTS[name], given.size), given.seed + number)
        for number, name in enumerate(names[given.level])
    ]
    judged = judge.judge_all() if given.level in WITH_MUTANTS else judge.Verdicts()
    told = summary(given.level, reports, judged)
    told["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(told))  # noqa: T201 - a command's answer
    return 0 if told["is_clean"] and judged.caught == judged.count else 1


def _sized(part: Part, recipients: int) -> Part:
    """The part with so many recipients, and everything else in proportion."""
    if not recipients:
        return part
    share = recipients / part.recipients
    kills, freezes = round(part.kills * share), round(part.freezes * share)
    limit = part.limit_seconds * max(1, share)
    return replace(part, recipients=recipients, kills=kills, freezes=freezes, limit_seconds=limit)


if __name__ == "__main__":
    sys.exit(main())
