"""Workers that run the product's engine until they are killed, or stopped for a while.

They are forked from a process that has everything loaded and warm, so that what is killed is work.
"""

import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from multiprocessing.sharedctypes import RawArray
from random import Random
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from app import engine
from chain.nodes import Node
from core import db
from core.errors import AppError
from tests.faults.ground import Ground
from tests.faults.notes import Freeze

WORKERS = 3
_IDLE_SECONDS = 0.02
STANDSTILL = "700ms"


class Phase(IntEnum):
    """What a worker is at."""

    IDLE = 0
    BETWEEN = 1
    IN_TRANSACTION = 2
    ASKING = 3
    SENDING = 4


def work(place: Ground, number: int, phases: Any) -> None:
    """What a worker does until it is killed: the engine's steps, whatever goes wrong."""
    db.IDLE_IN_TRANSACTION = STANDSTILL
    place.bind.dispose(close=False)  # whatever was open belongs to the parent
    _watch_phases(place.bind, _name(number), lambda phase: phases.__setitem__(number, phase))
    while True:
        phases[number] = Phase.BETWEEN
        try:
            for where in engine.workplaces():
                engine.step(where)
        except AppError:
            pass  # the chain said nothing: the next step asks again
        except DBAPIError:
            pass  # the server ended the transaction of a worker that stood still in it
        except Exception:  # as the product's worker does; a person reads what it was
            traceback.print_exc()
        phases[number] = Phase.IDLE
        time.sleep(_IDLE_SECONDS)


def _name(number: int) -> str:
    return f"worker {number}"


def _watch_phases(bind: Engine, name: str, enter: Callable[[Phase], None]) -> None:
    """Says what the worker is at, and lets the database know who writes."""

    def introduce(connection: Any, _record: Any) -> None:
        connection.execute(f"SET application_name = '{name}'")
        connection.commit()

    def exchange(self: Node, method: str, params: Any) -> Any:
        enter(Phase.SENDING if method == "eth_sendRawTransaction" else Phase.ASKING)
        try:
            return asked(self, method, params)
        finally:
            enter(Phase.BETWEEN)

    event.listen(bind, "connect", introduce)
    event.listen(bind, "begin", lambda _connection: enter(Phase.IN_TRANSACTION))
    for ending in ("commit", "rollback"):  # the event comes before the statement
        event.listen(bind, ending, lambda _connection: enter(Phase.IN_TRANSACTION))
    event.listen(bind, "checkin", lambda _connection, _record: enter(Phase.BETWEEN))
    asked, Node.exchange = Node.exchange, exchange  # type: ignore[method-assign]


class Workers:
    """Three of them, and what happened to them.

    Attributes:
        interrupted: how often each phase was cut short.
    """

    def __init__(self, place: Ground, seed: int) -> None:
        self._place = place
        self._random = Random(seed)
        self._phases = RawArray("b", WORKERS)
        self._running = [self._start(number) for number in range(WORKERS)]
        self.kills = 0
        self.freezes: list[Freeze] = []
        self.interrupted: Counter[str] = Counter()

    def _start(self, number: int) -> Any:
        sys.stdout.flush()
        process = self._place.context.Process(
            target=work, args=(self._place, number, self._phases), daemon=True
        )
        process.start()
        return process

    def kill_one(self) -> None:
        """One is gone in the middle of whatever it did, and another takes its place."""
        number = self._random.randrange(WORKERS)
        victim = self._running[number]
        victim.kill()
        victim.join()
        self._note_phase(number)
        self._running[number] = self._start(number)
        self.kills += 1

    def freeze_one(self, seconds: float) -> None:
        """One stands still in the middle of whatever it did, while the others go on."""
        number = self._random.randrange(WORKERS)
        pid = self._running[number].pid
        time.sleep(self._random.uniform(0, 0.2))
        os.kill(pid, signal.SIGSTOP)
        since = time.time()
        self._note_phase(number)
        time.sleep(seconds)
        until = time.time()
        os.kill(pid, signal.SIGCONT)
        self.freezes.append(Freeze(_name(number), since, until))

    def _note_phase(self, number: int) -> None:
        self.interrupted[Phase(self._phases[number]).name.lower()] += 1

    def stop(self) -> None:
        """All are gone."""
        for process in self._running:
            process.kill()
            process.join()
