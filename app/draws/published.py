"""The document that is published of a draw: JSON Lines, each in its canonical spelling.

The first line is the draw with its parameters, commitment and seed. An instant draw follows with a
line for every opening, and one for every head of the log behind the opening it was published after;
a raffle with every ticket, who took which place, and who was replaced. Like `app.draws.algorithm`
it knows nothing of the product, so that a verifier needs no more than both.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from app.draws.algorithm import (
    ID_BYTES,
    NONCE_BYTES,
    SEED_BYTES,
    TAG_BYTES,
    Opening,
    canonical,
)

FORMAT = 1
FORMAT_WITH_HEADS = 2
FLAGS = (None, "no_nonce", "automatic")


class DocumentError(ValueError):
    """The document is none of a draw; the message says in which line."""


@dataclass(frozen=True, slots=True)
class Beacon:
    """The block that added to the randomness of a raffle."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Head:
    """The first line.

    Args:
        params: their canonical spelling, which the commitment covers.
        count: how many openings or tickets follow.
        end: the last hash of the log of an instant draw; the root of the tree of a raffle.
        won: how many of each line were won, in the order of the lines.
        replaced: how many winners of a raffle dropped out.
        heads: how many heads of the log of an instant draw were published; documents from before
            there were any say nothing of them.
    """

    draw_id: str
    params: bytes
    commitment: bytes
    seed: bytes
    count: int
    end: bytes
    won: tuple[int, ...]
    replaced: int
    beacon: Beacon | None
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """An opening as it was written into the log."""

    opening: Opening
    flag: str | None
    line_id: str | None
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class LogHead:
    """What was published of the log while it was written: its hash at this opening."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket of a raffle; one that is void stands for nobody in the draw."""

    seq: int
    id: bytes
    tag: bytes
    is_void: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Who took a place, counted from 1: the prizes in the order of their lines, then reserves.

    Args:
        line_id: of the prize; None for a reserve.
    """

    number: int
    line_id: str | None
    ticket_id: bytes


@dataclass(frozen=True, slots=True)
class Replacement:
    """The next reserve won instead of somebody, or nobody did because there was none left."""

    number: int
    out: bytes
    by: bytes | None
    reason: str


Entry = Opened | LogHead | Ticket | Place | Replacement


def write_head(head: Head) -> bytes:
    """The first line."""
    beacon = head.beacon
    return canonical(
        {
            "beacon": None
            if beacon is None
            else {
                "hash": beacon.hash.hex(),
                "number": beacon.number,
                "timestamp": beacon.timestamp,
            },
            "commitment": head.commitment.hex(),
            "count": head.count,
            "drawId": head.draw_id,
            "end": head.end.hex(),
            "format": FORMAT_WITH_HEADS if head.heads else FORMAT,
            **({"heads": head.heads} if head.heads else {}),
            "params": head.params.decode(),
            "replaced": head.replaced,
            "serverSeed": head.seed.hex(),
            "type": "draw",
            "won": list(head.won),
        }
    )


def write_entry(entry: Entry) -> bytes:
    """A line after the first."""
    return canonical(_as_json(entry))


def _as_json(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, Opened):
        return {
            "type": "opening",
            "boxId": entry.opening.box_id.hex(),
            "clientNonce": entry.opening.nonce.hex(),
            "flag": entry.flag,
            "k": entry.opening.number,
            "logHash": entry.hash.hex(),
            "outcome": entry.line_id,
            "previousLogHash": entry.previous.hex(),
        }
    if isinstance(entry, LogHead):
        return {"type": "head", "k": entry.number, "logHash": entry.hash.hex()}
    if isinstance(entry, Ticket):
        return {
            "type": "ticket",
            "seq": entry.seq,
            "tag": entry.tag.hex(),
            "ticketId": entry.id.hex(),
            "void": entry.is_void,
        }
    if isinstance(entry, Place):
        return {
            "type": "place",
            "lineId": entry.line_id,
            "place": entry.number,
            "ticketId": entry.ticket_id.hex(),
        }
    return {
        "type": "replacement",
        "by": None if entry.by is None else entry.by.hex(),
        "number": entry.number,
        "reason": entry.reason,
        "ticketId": entry.out.hex(),
    }


def read(lines: Iterable[bytes]) -> tuple[Head, Iterator[Entry]]:
    """The draw, and what follows it, read as it is asked for.

    Raises:
        DocumentError: a line is not what `write_head` and `write_entry` write; also while reading.
    """
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (1, b""))
    head = _line(1, first, _head, write_head)
    return head, (_line(number, line, _entry, write_entry) for number, line in numbered)


Row = TypeVar("Row")


def _line(
    number: int, line: bytes, parse: Callable[[Any], Row], write: Callable[[Row], bytes]
) -> Row:
    text = line.removesuffix(b"\n")
    try:
        row = parse(json.loads(text))
        is_same = write(row) == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DocumentError(f"Line {number} is no line of a draw: {error}.") from error
    if not is_same:
        raise DocumentError(f"Line {number} is spelled in another way than it is published.")
    return row


def _head(found: dict[str, Any]) -> Head:
    if found["type"] != "draw" or found["format"] not in (FORMAT, FORMAT_WITH_HEADS):
        raise ValueError("it does not begin with a draw of a known format")
    beacon = found["beacon"]
    return Head(
        draw_id=found["drawId"],
        params=found["params"].encode(),
        commitment=_bytes(found["commitment"], 32),
        seed=_bytes(found["serverSeed"], SEED_BYTES),
        count=_count(found["count"]),
        end=_bytes(found["end"], 32),
        won=tuple(_count(it) for it in found["won"]),
        replaced=_count(found["replaced"]),
        beacon=None if beacon is None else _beacon(beacon),
        heads=_count(found["heads"]) if found["format"] == FORMAT_WITH_HEADS else 0,
    )


def _beacon(found: dict[str, Any]) -> Beacon:
    block = _bytes(found["hash"], 32)
    return Beacon(_count(found["number"]), block, _count(found["timestamp"]))


def _entry(found: dict[str, Any]) -> Entry:
    return _PARSERS[found["type"]](found)


def _opened(found: dict[str, Any]) -> Opened:
    if found["flag"] not in FLAGS:
        raise ValueError("the flag is unknown")
    box, nonce = _bytes(found["boxId"], ID_BYTES), _bytes(found["clientNonce"], NONCE_BYTES)
    return Opened(
        opening=Opening(box, nonce, _count(found["k"])),
        flag=found["flag"],
        line_id=found["outcome"],
        previous=_bytes(found["previousLogHash"], 32),
        hash=_bytes(found["logHash"], 32),
    )


def _log_head(found: dict[str, Any]) -> LogHead:
    return LogHead(_count(found["k"]), _bytes(found["logHash"], 32))


def _ticket(found: dict[str, Any]) -> Ticket:
    ticket, tag = _bytes(found["ticketId"], ID_BYTES), _bytes(found["tag"], TAG_BYTES)
    return Ticket(_count(found["seq"]), ticket, tag, is_void=found["void"] is True)


def _place(found: dict[str, Any]) -> Place:
    ticket = _bytes(found["ticketId"], ID_BYTES)
    return Place(_count(found["place"]), found["lineId"], ticket)


def _replacement(found: dict[str, Any]) -> Replacement:
    by = None if found["by"] is None else _bytes(found["by"], ID_BYTES)
    out = _bytes(found["ticketId"], ID_BYTES)
    return Replacement(_count(found["number"]), out, by, found["reason"])


_PARSERS: dict[str, Callable[[dict[str, Any]], Entry]] = {
    "opening": _opened,
    "head": _log_head,
    "ticket": _ticket,
    "place": _place,
    "replacement": _replacement,
}


def _bytes(text: str, length: int) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != length:
        raise ValueError(f"a value has {len(found)} bytes instead of {length}")
    return found


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError("a number is none")
    return value
