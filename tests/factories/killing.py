"""Kills workers in the middle of what they do, again and again."""

import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

_PATIENCE_SECONDS = 60


def kill_again_and_again(
    start: Callable[[], BaseProcess], place: Callable[[], object], *, times: int
) -> None:
    """So many workers were started, committed something, and were killed anywhere in a part.

    Args:
        place: how far the work is committed.
    """
    draw = random.Random(7)
    for _ in range(times):
        before = place()
        worker = start()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while place() == before:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(draw.random() / 10)  # anywhere in a part
        worker.kill()
        worker.join()
