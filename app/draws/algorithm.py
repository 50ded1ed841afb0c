"""The algorithm `draw-v1`: from a secret that was committed to, to winners anybody can recompute.

Pure, and without anything of the product, so that a verifier needs this file and nothing else. It
never changes: whoever wants another algorithm gives it another name. `docs/draws.md` describes it
in words, with test vectors.
"""

import hmac
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from itertools import count
from struct import unpack
from typing import Any

NAME = "draw-v1"
SEED_BYTES = 32
NONCE_BYTES = 32
ID_BYTES = 16
TAG_BYTES = 16
NO_NONCE = bytes(NONCE_BYTES)
NO_BEACON = bytes(32)
MOST_BOXES = 100_000_000
MOST_LINES = 10
_WORDS = 2**64
_EXACT = 2**53 - 1
"""The largest integer that every reader of JSON understands alike (RFC 8785 §3.2.2.3)."""
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_BEACON = re.compile(r"eip155:[1-9]\d{0,17}")


class Mode(StrEnum):
    """How the prizes are distributed."""

    INSTANT = "instant"
    RAFFLE = "raffle"


class ParamsError(ValueError):
    """The parameters are none of this algorithm; the message says which and why."""


def canonical(value: Any) -> bytes:
    """The one spelling of these strings, integers, booleans, nulls, lists and objects as JSON.

    Raises:
        ValueError: something whose spelling would need more rules than these types have.

    References:
        RFC 8785. Names are ASCII, so their order is the same in every encoding.
    """
    _refuse_others(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def _refuse_others(value: Any) -> None:
    if isinstance(value, dict):
        if not all(isinstance(name, str) and name.isascii() for name in value):
            raise ValueError("The names of an object are ASCII.")
        for inner in value.values():
            _refuse_others(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_others(inner)
    elif isinstance(value, int):
        if abs(value) > _EXACT:
            raise ValueError(f"{value} is too large for JSON.")
    elif value is not None and not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} has no place here.")


@dataclass(frozen=True)
class Params:
    """What a draw promises before anybody takes part; nothing of it can change.

    Args:
        lines: id and quantity of each prize, in the order in which they are walked.
        boxes: how many there are of an instant draw; at most so many tickets, or None.
        draw_at: when a raffle is drawn, `2026-06-01T12:00:00Z`.
        max_wins_per_user: of a raffle; an instant draw has none.
        reserves: how many of a raffle wait for a winner to drop out; an instant draw has none.
        beacon: the chain whose block adds to the randomness, `eip155:1`, or None.
    """

    mode: Mode
    lines: tuple[tuple[str, int], ...]
    boxes: int | None
    campaign_id: str | None = None
    draw_at: str | None = None
    max_wins_per_user: int | None = None
    reserves: int | None = None
    beacon: str | None = None

    def __post_init__(self) -> None:
        """Refuse what the algorithm has no rule for."""
        problem = _problem(self)
        if problem:
            raise ParamsError(problem)

    @property
    def quantities(self) -> list[int]:
        """Of the lines, in their order."""
        return [quantity for _, quantity in self.lines]

    def document(self) -> bytes:
        """The bytes that are published and hashed."""
        return canonical(
            {
                "algorithm": NAME,
                "beacon": self.beacon,
                "boxes": self.boxes,
                "campaignId": self.campaign_id,
                "drawAt": self.draw_at,
                "lines": [{"id": line, "quantity": number} for line, number in self.lines],
                "maxWinsPerUser": self.max_wins_per_user,
                "mode": self.mode.value,
                "reserves": self.reserves,
            }
        )

    @classmethod
    def read(cls, document: bytes) -> "Params":
        """The parameters behind a published document.

        Raises:
            ParamsError: it is not exactly what `document` writes.
        """
        try:
            found = json.loads(document)
            params = cls(
                mode=Mode(found["mode"]),
                lines=tuple((line["id"], line["quantity"]) for line in found["lines"]),
                boxes=found["boxes"],
                campaign_id=found["campaignId"],
                draw_at=found["drawAt"],
                max_wins_per_user=found["maxWinsPerUser"],
                reserves=found["reserves"],
                beacon=found["beacon"],
            )
            is_same = params.document() == document
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ParamsError(f"The parameters cannot be read: {error}") from error
        if not is_same:
            raise ParamsError(f"The parameters are not the canonical ones of {NAME}.")
        return params


def _is_moment(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(_MOMENT.fullmatch(text)) and seconds(text) > 0
    except ValueError:  # the thirtieth of February
        return False


def _is_count(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _problem(params: Params) -> str | None:
    names = [name for name, _ in params.lines]
    if not 1 <= len(names) <= MOST_LINES or len(set(names)) < len(names):
        return f"There are 1 to {MOST_LINES} lines, each once."
    if not all(isinstance(name, str) and name for name in names):
        return "Every line has an id."
    if not all(_is_count(quantity, 1, MOST_BOXES) for quantity in params.quantities):
        return f"A quantity is between 1 and {MOST_BOXES}."
    if params.boxes is not None and not _is_count(params.boxes, 1, MOST_BOXES):
        return f"There are 1 to {MOST_BOXES} boxes."
    return _problem_of_mode(params)


def _problem_of_mode(params: Params) -> str | None:
    rest = (params.draw_at, params.max_wins_per_user, params.reserves, params.beacon)
    if params.mode is Mode.INSTANT:
        if params.boxes is None or sum(params.quantities) > params.boxes:
            return "There are at least as many boxes as prizes."
        is_plain = all(it is None for it in rest)
        return None if is_plain else "Only a raffle has a date, limits, reserves and a beacon."
    if not _is_moment(params.draw_at):
        return "A raffle has a date in UTC, to the second."
    if not _is_count(params.max_wins_per_user, 1, 1_000):
        return "A member of a raffle wins between once and a thousand times."
    if not _is_count(params.reserves, 0, 1_000):
        return "A raffle has at most a thousand reserves."
    if params.beacon is not None and not _BEACON.fullmatch(params.beacon):
        return "A beacon is a chain, like eip155:1."
    return None


def moment(at: datetime) -> str:
    """A time as parameters say it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> int:
    """Since 1970, of a time as parameters say it."""
    return int(datetime.fromisoformat(text).timestamp())


def commitment(document: bytes, seed: bytes) -> bytes:
    """What is published of the seed before anybody takes part.

    Args:
        document: `Params.document()`.
    """
    return sha256(b"draw-v1/commit\0" + sha256(document).digest() + seed).digest()


def words(key: bytes, message: bytes) -> Iterator[int]:
    """Numbers below 2^64 without end that only the key's holder can know beforehand.

    References:
        RFC 2104 (HMAC), with SHA-256, as a generator in counter mode.
    """
    for number in count():
        block = hmac.digest(key, message + number.to_bytes(4), "sha256")
        yield from unpack(">4Q", block)


def uniform(numbers: Iterator[int], size: int) -> int:
    """A number from 0 to `size` - 1, each as likely as the others.

    A word in the last, incomplete stretch of `size` numbers is passed over, because it would make
    the small ones likelier.
    """
    limit = _WORDS // size * size
    return next(word for word in numbers if word < limit) % size


@dataclass(frozen=True)
class Opening:
    """What decides about a box.

    Args:
        number: of the opening among those of the draw, from 1 without gaps.
        nonce: what the browser of whoever opened it added.
    """

    box_id: bytes
    nonce: bytes
    number: int


def outcome(seed: bytes, opening: Opening, *, boxes: int, left: Sequence[int]) -> int | None:
    """Which line the box holds, as its place; None for no reward.

    Args:
        boxes: how many the draw has in all.
        left: how many of each line nobody has won yet, in the order of the lines.
    """
    message = b"draw-v1/open\0" + opening.box_id + opening.nonce + opening.number.to_bytes(8)
    place = uniform(words(seed, message), boxes - opening.number + 1)
    for line, quantity in enumerate(left):
        if place < quantity:
            return line
        place -= quantity
    return None


def log_hash(previous: bytes, entry: dict[str, Any]) -> bytes:
    """The hash that ties an opening to all before it; the first follows the commitment."""
    return sha256(b"draw-v1/log\0" + previous + sha256(canonical(entry)).digest()).digest()


def log_entry(opening: Opening, *, flag: str | None, line_id: str | None) -> dict[str, Any]:
    """What is hashed of an opening.

    Args:
        flag: why the nonce is zeros, or None.
        line_id: of what was won, or None.
    """
    return {
        "boxId": opening.box_id.hex(),
        "clientNonce": opening.nonce.hex(),
        "flag": flag,
        "k": opening.number,
        "outcome": line_id,
    }


def leaf(ticket_id: bytes, seq: int, tag: bytes, *, is_void: bool = False) -> bytes:
    """A ticket in the tree; one that is void is there, too, and is told from the others."""
    return sha256(bytes([2 * is_void]) + ticket_id + seq.to_bytes(8) + tag).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _levels(leaves: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """From the leaves up to the root; a last one without a neighbour rises as it is."""
    level = leaves
    yield level
    while len(level) > 1:
        pairs = range(0, len(level) - 1, 2)
        lone = level[-1:] if len(level) % 2 else ()
        level = [*(_node(level[at], level[at + 1]) for at in pairs), *lone]
        yield level


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root of the tree over these leaves.

    References:
        RFC 6962 §2.1, whose leaves are hashed with a zero byte before them and whose empty tree is
        the hash of nothing.
    """
    *_, top = _levels(leaves)
    return top[0] if top else sha256().digest()


def merkle_path(leaves: Sequence[bytes], index: int) -> list[tuple[bool, bytes]]:
    """What proves that the leaf is in the tree: (whether it stands left, sibling), upwards."""
    path = []
    for level in _levels(leaves):
        sibling = index ^ 1
        if sibling < len(level):
            path.append((sibling < index, level[sibling]))
        index //= 2
    return path


def climb(start: bytes, path: Iterable[tuple[bool, bytes]]) -> bytes:
    """The root that a leaf and its path lead to."""
    found = start
    for is_left, sibling in path:
        found = _node(sibling, found) if is_left else _node(found, sibling)
    return found


def draw_key(seed: bytes, root: bytes, beacon: bytes) -> bytes:
    """The key of a raffle: it depends on every ticket and on the beacon."""
    return hmac.digest(seed, b"draw-v1/raffle\0" + root + beacon, "sha256")


def shuffled(key: bytes, size: int) -> Iterator[int]:
    """The numbers from 0 to `size` - 1 in the order in which they are drawn.

    References:
        Fisher and Yates, as Durstenfeld's algorithm 235; only what was moved is remembered.
    """
    moved: dict[int, int] = {}
    for place in range(size):
        other = place + uniform(words(key, place.to_bytes(8)), size - place)
        drawn, here = moved.get(other, other), moved.pop(place, place)
        if other != place:
            moved[other] = here
        yield drawn


def winners(key: bytes, tags: Sequence[bytes], *, places: int, most: int) -> list[int]:
    """The tickets that take the places: the prizes in the order of their lines, then the reserves.

    A place among the reserves counts like a prize, so that whoever moves up stays within the limit.

    Args:
        tags: whose the tickets are, in the order of the tickets.
        places: prizes and reserves; fewer are taken where there are too few tickets.
        most: how many places of one tag.
    """
    taken: list[int] = []
    counts: Counter[bytes] = Counter()
    for ticket in shuffled(key, len(tags)):
        if len(taken) == places:
            break
        if counts[tags[ticket]] < most:
            counts[tags[ticket]] += 1
            taken.append(ticket)
    return taken
