"""Odds as they are, and how a draw could go: the same algorithm, under a seed made for looking."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from app.draws import algorithm
from app.draws.algorithm import ID_BYTES, NO_NONCE, SEED_BYTES, Opening, Params

STRETCHES = 10
MOST_SIMULATED = 20_000
"""More boxes are simulated as so many, each line in proportion: enough to see, quick to show."""


@dataclass(frozen=True)
class Chance:
    """That the next box holds something: so many of so many."""

    of: int
    among: int

    @property
    def share(self) -> str:
        """Of a hundred, to four digits after the point, rounded down."""
        whole = self.of * 1_000_000 // (self.among or 1)
        return f"{whole // 10_000}.{whole % 10_000:04d} %"


def chances(left: Sequence[int], unopened: int) -> list[Chance]:
    """Of each line, and of no reward, for the next box that is opened."""
    return [Chance(it, unopened) for it in (*left, unopened - sum(left))]


@dataclass(frozen=True)
class Simulation:
    """How many of each line are won in each tenth of the boxes, the last column being no reward.

    Args:
        boxes: how many were simulated.
    """

    boxes: int
    stretches: Sequence[Sequence[int]]


def simulate(params: Params) -> Simulation:
    """All boxes of an instant draw opened in turn, under a seed that is thrown away."""
    assert params.boxes is not None  # of every instant draw
    boxes = min(params.boxes, MOST_SIMULATED)
    left = [max(1, it * boxes // params.boxes) for it in params.quantities]
    seed, won = os.urandom(SEED_BYTES), [[0] * (len(left) + 1) for _ in range(STRETCHES)]
    for number in range(1, boxes + 1):
        opening = Opening(os.urandom(ID_BYTES), NO_NONCE, number)
        line = algorithm.outcome(seed, opening, boxes=boxes, left=left)
        stretch = won[(number - 1) * STRETCHES // boxes]
        stretch[len(left) if line is None else line] += 1
        if line is not None:
            left[line] -= 1
    return Simulation(boxes, won)
