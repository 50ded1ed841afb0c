"""Whether draws are even, and how fast they are recomputed: `make bench BENCH=draws [N=1000000]`.

N draws of each kind are simulated, each with a seed of its own. Pearson's statistic says how far
the winners are from even; a sound draw exceeds the line, the 99.9th percentile, once in a thousand
times.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from itertools import islice

from app.draws import algorithm
from app.draws.algorithm import Opening

PLACES = 20
PRIZES = (1, 3)
LINES_999 = {1: 10.828, 2: 13.816, 3: 16.266, 19: 43.820}
"""99.9th percentiles of chi-squared, by degrees of freedom."""


def _some(kind: str, number: int) -> bytes:
    return sha256(f"{kind}/{number}".encode()).digest()


def first_ticket(number: int) -> int:
    """Which of the tickets wins the first prize of a raffle."""
    root, seed = _some("root", number), _some("seed", number)
    key = algorithm.draw_key(seed, root, algorithm.NO_BEACON)
    return next(algorithm.shuffled(key, PLACES))


def third_ticket(number: int) -> int:
    """Which of the tickets wins the third."""
    key = _some("key", number)
    return next(islice(algorithm.shuffled(key, PLACES), 2, None))


def first_box(number: int) -> int:
    """What the first of the boxes holds; the last cell is no reward."""
    opening = Opening(_some("box", number)[:16], _some("nonce", number), 1)
    line = algorithm.outcome(_some("seed", number), opening, boxes=PLACES, left=PRIZES)
    return len(PRIZES) if line is None else line


def place_of_grand_prize(number: int) -> int:
    """Which of the boxes holds the only one of the first line, when all are opened in turn."""
    left, seed = list(PRIZES), _some("seed", number)
    for place in range(PLACES):
        box = _some("box", number * PLACES + place)[:16]
        opening = Opening(box, algorithm.NO_NONCE, place + 1)
        line = algorithm.outcome(seed, opening, boxes=PLACES, left=left)
        if line == 0:
            return place
        if line is not None:
            left[line] -= 1
    raise AssertionError("every prize is won")


def rejected_low(number: int) -> int:
    """The lowest bit where half of the words are passed over: the worst size there is."""
    return algorithm.uniform(algorithm.words(_some("key", number), b""), 2**63 + 1) & 1


EVEN = dict.fromkeys(range(PLACES), 1 / PLACES)
SIMULATED: dict[str, tuple[Callable[[int], int], dict[int, float]]] = {
    "ticket of the first prize": (first_ticket, EVEN),
    "ticket of the third prize": (third_ticket, EVEN),
    "box of the grand prize": (place_of_grand_prize, EVEN),
    "content of the first box": (
        first_box,
        {0: 1 / PLACES, 1: 3 / PLACES, 2: (PLACES - 4) / PLACES},
    ),
    "lowest bit with rejections": (rejected_low, {0: 0.5, 1: 0.5}),
}


def measure(count: int) -> dict[str, dict[str, object]]:
    """Statistic, line and rate of everything that is simulated."""
    found: dict[str, dict[str, object]] = {}
    print(f"{'simulated':32} {'χ²':>9} {'99.9 %':>9} {'a second':>10}")
    for name, (one, shares) in SIMULATED.items():
        began = time.perf_counter()
        counts = Counter(map(one, range(count)))
        seconds = time.perf_counter() - began
        statistic = sum((counts[it] - count * p) ** 2 / (count * p) for it, p in shares.items())
        line = LINES_999[len(shares) - 1]
        found[name] = {
            "chi_squared": round(statistic, 3),
            "line": line,
            "holds": statistic < line and set(counts) <= set(shares),
            "a_second": round(count / seconds),
        }
        print(f"{name:32} {statistic:9.3f} {line:9.3f} {count / seconds:10,.0f}")
    return found


def main() -> int:
    """0 when nothing is rejected."""
    count = int(os.environ.get("N") or 1_000_000)
    found = measure(count)
    print(json.dumps({"benchmark": "draws", "draws": count, "results": found}))
    return 0 if all(it["holds"] for it in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
