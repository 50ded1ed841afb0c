"""Drift after drift between database and chain, and whether a pass finds each.

`make faults-reconcile TRIALS=1000 SEED=1`, or `python -m tests.faults.reconcile`. A trial makes one
drift (`tests/faults/drifts.py`) in a world that was clean, runs a full pass, takes the drift back
and runs another: the first has to find it by all of its rules, the second must find nothing. Every
tenth trial the world grows by a drop, so that short passes run between the full ones.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import app.models  # noqa: F401 - the mappers need every table
from app import database
from app.accounts.service import ensure_installation
from app.postgres import EmbeddedPostgres
from core.db import unit_of_work, use_bind
from core.log import configure_logging
from core.types import MerchantId
from tests.conftest import NOW
from tests.factories.reconciled import World, make_world
from tests.faults.drifts import DRIFTS
from tests.signing import SameSession, login
from wallets.client import use_signer

_GROWTH = 10
_WORLD = 100
"""Trials in a world, before there is a new one: the chain of the tests is read as a whole."""


@contextmanager
def ground() -> Iterator[MerchantId]:
    """A database of the campaign's own, and a merchant."""
    home = Path(tempfile.mkdtemp(prefix="cohort-reconcile-"))
    server = EmbeddedPostgres(home / "postgres")
    server.initialise()
    command = [*server.command(), "-c", "fsync=off"]  # nothing is killed here
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not database.answers(server.owner_url):
                time.sleep(0.05)
            database.prepare(server.owner_url, server.login_url, server.signer_url)
            with use_bind(login(server)), use_signer(SameSession()):
                with unit_of_work() as session:
                    merchant = ensure_installation(session, at=NOW).id
                yield merchant
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: the data is thrown away
    shutil.rmtree(home, ignore_errors=True)


def run(trials: int, seed: int) -> dict[str, Any]:
    """The report of so many trials."""
    started, random, counts = time.monotonic(), Random(seed), Counter[str]()
    missed: list[str] = []
    for first in range(0, trials, _WORLD):
        with ground() as merchant:
            world = make_world(merchant)
            _expect_nothing(world, counts)
            for number in range(first, min(first + _WORLD, trials)):
                _try(world, random, counts, missed)
                if number % _GROWTH == _GROWTH - 1:
                    world.drop(world.holders(random.randint(1, 5)))
                    world.settle()
                    _expect_nothing(world, counts, is_full=False)
            _say(f"{min(first + _WORLD, trials)} trials, {len(missed)} missed")
    return {
        "trials": trials,
        "seed": seed,
        "found": counts["found"],
        "missed": len(missed),
        "missed_kinds": sorted(set(missed)),
        "clean_runs": counts["clean"],
        "false_alarms": counts["false"],
        "seconds": round(time.monotonic() - started, 1),
    }


def _try(world: World, random: Random, counts: Counter[str], missed: list[str]) -> None:
    name = random.choice(list(DRIFTS))
    drift = DRIFTS[name]
    restore = drift.apply(world, random)
    if drift.rules <= world.rules(is_full=True):
        counts["found"] += 1
    else:
        missed.append(name)
    restore()
    _expect_nothing(world, counts)


def _expect_nothing(world: World, counts: Counter[str], *, is_full: bool = True) -> None:
    counts["clean"] += 1
    found = world.reconcile(is_full=is_full)
    counts["false"] += bool(found)
    for difference in found:
        _say(f"false alarm: {difference.rule} {difference.expected} | {difference.found}")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    """Prints one JSON object; 0 when everything was found, and nothing else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=int(os.environ.get("TRIALS") or 1000))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    given = parser.parse_args()
    os.environ["COHORT_LOG_LEVEL"] = "CRITICAL"
    configure_logging("faults")
    report = run(given.trials, given.seed)
    print(json.dumps({"faults": "reconcile", **report}))  # noqa: T201 - a command's answer
    return 0 if report["missed"] == report["false_alarms"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
