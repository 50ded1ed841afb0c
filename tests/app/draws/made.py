"""Whole draws made in memory, and their published documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from app.draws import algorithm, published
from app.draws.algorithm import NO_BEACON, NO_NONCE, Mode, Opening, Params
from app.draws.published import (
    Beacon,
    Entry,
    Head,
    LogHead,
    Opened,
    Place,
    Replacement,
    Ticket,
)

VECTORS = Path(__file__).resolve().parents[3] / "docs" / "draw-v1.json"
SEED = sha256(b"a seed for tests").digest()
DRAW_AT = "2026-07-01T18:00:00Z"


def some(number: int, length: int, kind: str = "") -> bytes:
    """Bytes that look random and are the same every time."""
    return sha256(f"{kind}{number}".encode()).digest()[:length]


@dataclass
class Made:
    """A draw, and what is published of it."""

    params: Params
    head: Head
    entries: list[Entry]

    def lines(self) -> list[bytes]:
        """Of the document."""
        return [published.write_head(self.head), *map(published.write_entry, self.entries)]


def instant(
    quantities: Sequence[int] = (1, 3),
    boxes: int = 10,
    opened: int | None = None,
    *,
    heads: Sequence[int] = (),
    nonces: str = "nonce",
) -> Made:
    """An instant draw whose boxes were opened; every fifth without a nonce, every seventh alone.

    Args:
        heads: after which openings the head of the log was published.
    """
    lines = tuple((f"line{place}", number) for place, number in enumerate(quantities))
    params = Params(Mode.INSTANT, lines, boxes)
    document = params.document()
    end = commitment = algorithm.commitment(document, SEED)
    left, entries = list(quantities), list[Entry]()
    for number in range(1, (boxes if opened is None else opened) + 1):
        flag = "automatic" if number % 7 == 0 else "no_nonce" if number % 5 == 0 else None
        nonce = NO_NONCE if flag else some(number, 32, nonces)
        opening = Opening(some(number, 16, "box"), nonce, number)
        line = algorithm.outcome(SEED, opening, boxes=boxes, left=left)
        name = None if line is None else lines[line][0]
        if line is not None:
            left[line] -= 1
        entry = algorithm.log_entry(opening, flag=flag, line_id=name)
        previous, end = end, algorithm.log_hash(end, entry)
        entries.append(Opened(opening, flag, name, previous, end))
        if number in heads:
            entries.append(LogHead(number, end))
    won = tuple(all_ - rest for all_, rest in zip(quantities, left, strict=True))
    count = len(entries) - len(heads)
    head = Head("drw_1", document, commitment, SEED, count, end, won, 0, None, len(heads))
    return Made(params, head, entries)


def raffle(
    quantities: Sequence[int] = (1, 2),
    tickets: int = 9,
    *,
    people: int = 6,
    most: int = 1,
    reserves: int = 2,
    void: Sequence[int] = (),
    replaced: int = 0,
    beacon: Beacon | None = None,
) -> Made:
    """A raffle in which each of `people` has a ticket in turn, and some winners were replaced."""
    lines = tuple((f"line{place}", number) for place, number in enumerate(quantities))
    chain = "eip155:1" if beacon else None
    params = Params(Mode.RAFFLE, lines, None, None, DRAW_AT, most, reserves, chain)
    document = params.document()
    rows = [
        Ticket(seq, some(seq, 16, "ticket"), some(seq % people, 16, "tag"), seq in void)
        for seq in range(1, tickets + 1)
    ]
    live = [it for it in rows if not it.is_void]
    root = algorithm.merkle_root(
        [algorithm.leaf(it.id, it.seq, it.tag, is_void=it.is_void) for it in rows]
    )
    key = algorithm.draw_key(SEED, root, beacon.hash if beacon else NO_BEACON)
    units = [name for name, number in lines for _ in range(number)]
    drawn = algorithm.winners(key, [it.tag for it in live], places=len(units) + reserves, most=most)
    places = [
        Place(number, units[number - 1] if number <= len(units) else None, live[ticket].id)
        for number, ticket in enumerate(drawn, 1)
    ]
    moved, won = _replaced(places, len(units), replaced), [0] * len(lines)
    for place in places[: len(units)]:
        won[[name for name, _ in lines].index(str(place.line_id))] += 1
    for number, it in enumerate(moved):
        if it.by is None:
            line = places[number].line_id
            won[[name for name, _ in lines].index(str(line))] -= 1
    head = Head(
        "drw_2",
        document,
        algorithm.commitment(document, SEED),
        SEED,
        tickets,
        root,
        tuple(won),
        len(moved),
        beacon,
    )
    return Made(params, head, [*rows, *places, *moved])


def _replaced(places: Sequence[Place], prizes: int, count: int) -> list[Replacement]:
    """The first winners, each by the next reserve."""
    reserves = [it.ticket_id for it in places[prizes:]]
    return [
        Replacement(
            number,
            places[number - 1].ticket_id,
            reserves[number - 1] if number <= len(reserves) else None,
            "blocked",
        )
        for number in range(1, count + 1)
    ]
