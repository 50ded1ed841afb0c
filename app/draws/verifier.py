"""Recomputes a published draw, step by step, from its document alone: no database, no network."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from app.draws import algorithm, published
from app.draws.algorithm import NO_BEACON, NO_NONCE, Mode, Params, ParamsError
from app.draws.published import (
    DocumentError,
    Entry,
    Head,
    LogHead,
    Opened,
    Place,
    Replacement,
    Ticket,
)

BEACON_SECONDS = 60
"""A beacon's block is at least so much younger than the date of the draw."""


@dataclass(frozen=True)
class Step:
    """One thing that was checked; `problem` says what does not hold, or None."""

    name: str
    problem: str | None = None


@dataclass
class Report:
    """What was checked, in order; the first step that fails is the last one that says something."""

    steps: list[Step] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether everything holds."""
        return all(step.problem is None for step in self.steps)

    def note(self, name: str, problem: str | None) -> None:
        """Another step was taken.

        Raises:
            _FailedError: it does not hold, so nothing that follows would mean anything.
        """
        self.steps.append(Step(name, problem))
        if problem is not None:
            raise _FailedError


class _FailedError(Exception):
    """A step does not hold."""


def verify(lines: Iterable[bytes], *, params: bytes | None = None) -> Report:
    """What holds of the published draw.

    Args:
        lines: of the document, with or without their ends.
        params: the file of the parameters, if it is there: it must be what the document says.
    """
    report = Report()
    try:
        _verify(report, lines, params)
    except _FailedError:
        pass
    except DocumentError as error:
        report.steps.append(Step("document", str(error)))
    return report


def _verify(report: Report, lines: Iterable[bytes], file: bytes | None) -> None:
    head, entries = published.read(lines)
    report.note("document", None)
    if file is not None and file != head.params:
        report.note("parameters", "The file of the parameters is not what the draw was made with.")
    try:
        params = Params.read(head.params)
    except ParamsError as error:
        report.note("parameters", str(error))
        return
    report.note("parameters", None)
    is_committed = algorithm.commitment(head.params, head.seed) == head.commitment
    report.note("commitment", _unless(is_committed, "Seed and parameters do not lead to it."))
    if params.mode is Mode.INSTANT:
        _verify_openings(report, head, params, entries)
    else:
        _verify_raffle(report, head, params, entries)


def _unless(holds: bool, sentence: str) -> str | None:
    return None if holds else sentence


def _verify_openings(report: Report, head: Head, params: Params, entries: Iterator[Entry]) -> None:
    """The log is read once: what is found first in an opening is what is said of it."""
    assert params.boxes is not None  # of every instant draw
    left, previous, boxes = params.quantities, head.commitment, set[bytes]()
    names, heads = [name for name, _ in params.lines], 0
    for entry in entries:
        if isinstance(entry, LogHead):
            is_so = entry == LogHead(len(boxes), previous)
            _refuse(report, "heads", _unless(is_so, f"The log was another at {entry.number}."))
            heads += 1
            continue
        number = len(boxes) + 1
        problem = _problem_of_opening(entry, number, params, boxes)
        _refuse(report, "openings", problem)
        assert isinstance(entry, Opened)
        logged = algorithm.log_entry(entry.opening, flag=entry.flag, line_id=entry.line_id)
        is_tied = entry.previous == previous
        is_tied = is_tied and algorithm.log_hash(previous, logged) == entry.hash
        _refuse(report, "log", _unless(is_tied, f"Opening {number} does not follow the last."))
        line = algorithm.outcome(head.seed, entry.opening, boxes=params.boxes, left=left)
        found = None if line is None else names[line]
        same = found == entry.line_id
        _refuse(report, "outcomes", _unless(same, f"Opening {number} had another outcome."))
        if line is not None:
            left[line] -= 1
        boxes.add(entry.opening.box_id)
        previous = entry.hash
    is_whole = len(boxes) == head.count
    report.note("openings", _unless(is_whole, f"{len(boxes)} are here instead of {head.count}."))
    report.note("log", _unless(previous == head.end, "It does not end as was published."))
    report.note("heads", _unless(heads == head.heads, f"{heads} are here, not {head.heads}."))
    report.note("outcomes", None)
    won = tuple(all_ - rest for all_, rest in zip(params.quantities, left, strict=True))
    is_sum = won == head.won and head.replaced == 0
    report.note("totals", _unless(is_sum, "They are not what was won."))


def _refuse(report: Report, name: str, problem: str | None) -> None:
    if problem is not None:
        report.note(name, problem)


def _problem_of_opening(entry: Entry, number: int, params: Params, boxes: set[bytes]) -> str | None:
    assert params.boxes is not None
    if not isinstance(entry, Opened):
        return f"After opening {number - 1} something else stands."
    if entry.opening.number != number or number > params.boxes:
        return f"Opening {number} is missing or one too many."
    if entry.opening.box_id in boxes:
        return f"The box of opening {number} was opened before."
    if (entry.flag is not None) != (entry.opening.nonce == NO_NONCE):
        return f"Opening {number} does not say why it has no nonce."
    return None


@dataclass
class _Raffle:
    """The lines of a raffle, by kind."""

    tickets: list[Ticket]
    places: list[Place]
    replacements: list[Replacement]


def _verify_raffle(report: Report, head: Head, params: Params, entries: Iterator[Entry]) -> None:
    raffle = _sorted(report, entries)
    report.note("tickets", _problem_of_tickets(head, params, raffle.tickets))
    live = [it for it in raffle.tickets if not it.is_void]
    leaves = [algorithm.leaf(it.id, it.seq, it.tag, is_void=it.is_void) for it in raffle.tickets]
    root = algorithm.merkle_root(leaves)
    report.note("root", _unless(root == head.end, "The tickets do not lead to it."))
    report.note("beacon", _problem_of_beacon(head, params))
    beacon = NO_BEACON if head.beacon is None else head.beacon.hash
    key = algorithm.draw_key(head.seed, root, beacon)
    report.note("winners", _problem_of_places(params, key, live, raffle.places))
    report.note("replacements", _problem_of_replacements(head, params, raffle))
    is_sum = _won(params, raffle) == head.won and head.heads == 0
    report.note("totals", _unless(is_sum, "They are not what was won."))


def _sorted(report: Report, entries: Iterator[Entry]) -> _Raffle:
    raffle = _Raffle([], [], [])
    for entry in entries:
        if isinstance(entry, Ticket) and not raffle.places:
            raffle.tickets.append(entry)
        elif isinstance(entry, Place) and not raffle.replacements:
            raffle.places.append(entry)
        elif isinstance(entry, Replacement):
            raffle.replacements.append(entry)
        else:
            report.note("tickets", "The document is not in the order of a raffle.")
    return raffle


def _problem_of_tickets(head: Head, params: Params, tickets: Sequence[Ticket]) -> str | None:
    if [it.seq for it in tickets] != list(range(1, len(tickets) + 1)):
        return "Their numbers have gaps."
    if len({it.id for it in tickets}) < len(tickets):
        return "One is here twice."
    if params.boxes is not None and len(tickets) > params.boxes:
        return f"There are more than {params.boxes}."
    return _unless(len(tickets) == head.count, f"{len(tickets)} are here, not {head.count}.")


def _problem_of_beacon(head: Head, params: Params) -> str | None:
    if params.beacon is None:
        return _unless(head.beacon is None, "There is one, but none was promised.")
    if head.beacon is None:
        return f"A block of {params.beacon} was promised."
    assert params.draw_at is not None  # of every raffle
    return _unless(
        head.beacon.timestamp >= algorithm.seconds(params.draw_at) + BEACON_SECONDS,
        "The block is older than was promised.",
    )


def prize_units(params: Params) -> list[str]:
    """The line of each prize, in the order in which they are won."""
    return [line for line, quantity in params.lines for _ in range(quantity)]


def _problem_of_places(
    params: Params, key: bytes, live: Sequence[Ticket], places: Sequence[Place]
) -> str | None:
    prizes = prize_units(params)
    most, reserves = params.max_wins_per_user, params.reserves
    assert most is not None and reserves is not None  # of every raffle
    wanted = len(prizes) + reserves
    drawn = algorithm.winners(key, [it.tag for it in live], places=wanted, most=most)
    if len(drawn) != len(places):
        return f"{len(places)} places were given, not {len(drawn)}."
    for number, (ticket, place) in enumerate(zip(drawn, places, strict=True), 1):
        line = prizes[number - 1] if number <= len(prizes) else None
        if place != Place(number, line, live[ticket].id):
            return f"Place {number} belongs to another ticket or line."
    return None


def _problem_of_replacements(head: Head, params: Params, raffle: _Raffle) -> str | None:
    """Whoever won and does not any more is followed by the next reserve, while there are some."""
    prizes = len(prize_units(params))
    holders = {it.ticket_id for it in raffle.places[:prizes]}
    reserves = [it.ticket_id for it in raffle.places[prizes:]]
    for number, it in enumerate(raffle.replacements, 1):
        following = reserves.pop(0) if reserves else None
        if it.number != number or it.out not in holders or it.by != following or not it.reason:
            return f"Replacement {number} does not follow the order."
        holders.discard(it.out)
        if following is not None:
            holders.add(following)
    count = len(raffle.replacements)
    return _unless(count == head.replaced, f"{count} are here, not {head.replaced}.")


def _won(params: Params, raffle: _Raffle) -> tuple[int, ...]:
    """How many of each line somebody won in the end."""
    counts = Counter(it.line_id for it in raffle.places if it.line_id is not None)
    lines = {it.ticket_id: it.line_id for it in raffle.places if it.line_id is not None}
    for it in raffle.replacements:
        line = lines.pop(it.out)
        if it.by is None:
            counts[line] -= 1
        else:
            lines[it.by] = line
    return tuple(counts[name] for name, _ in params.lines)
