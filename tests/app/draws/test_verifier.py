"""A published draw holds, and one that was changed anywhere does not, and says where."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import pytest

from app.draws import algorithm, published, verifier
from app.draws.published import (
    Beacon,
    DocumentError,
    LogHead,
    Opened,
    Place,
    Replacement,
    Ticket,
)
from app.draws.verifier import Report
from tests.app.draws import made
from tests.app.draws.made import Made, some

LATE = algorithm.seconds(made.DRAW_AT) + verifier.BEACON_SECONDS
BLOCK = Beacon(21_000_000, some(1, 32, "block"), LATE)
SOUND: dict[str, Callable[[], Made]] = {
    "instant": made.instant,
    "instant, half opened": lambda: made.instant((2, 5), boxes=20, opened=9),
    "instant with heads": lambda: made.instant(heads=(4, 10)),
    "raffle": made.raffle,
    "raffle with a beacon": lambda: made.raffle(beacon=BLOCK),
    "raffle with too few": lambda: made.raffle((5, 5), tickets=3, reserves=0),
    "raffle without anybody": lambda: made.raffle(tickets=0),
    "raffle with void tickets": lambda: made.raffle(tickets=12, void=(2, 5)),
    "raffle with replacements": lambda: made.raffle(replaced=2),
    "raffle without reserves left": lambda: made.raffle(reserves=1, replaced=3),
}


def failed(report: Report) -> str | None:
    """The step that does not hold."""
    return next((step.name for step in report.steps if step.problem), None)


@pytest.mark.parametrize("kind", SOUND)
class TestSound:
    def test_holds(self, kind: str) -> None:
        report = verifier.verify(SOUND[kind]().lines())
        assert report.is_sound, report
        assert "commitment" in [step.name for step in report.steps]

    def test_holds_with_the_file_of_its_parameters(self, kind: str) -> None:
        draw = SOUND[kind]()
        assert verifier.verify(draw.lines(), params=draw.params.document()).is_sound

    def test_does_not_with_another(self, kind: str) -> None:
        draw = SOUND[kind]()
        assert failed(verifier.verify(draw.lines(), params=b"{}")) == "parameters"

    def test_one_changed_byte_of_any_value_fails(self, kind: str) -> None:
        """Every hexadecimal digit and every figure of the document, but for the draw's own name
        and the height of its block, which only the chain can tell.
        """
        lines = SOUND[kind]().lines()
        for number, line in enumerate(lines):
            for place in range(len(line)):
                if chr(line[place]) not in "0123456789abcdef" or _is_unproven(line, place):
                    continue
                changed = bytearray(line)
                changed[place] = ord("1") if chr(line[place]) != "1" else ord("2")
                document = [*lines[:number], bytes(changed), *lines[number + 1 :]]
                assert not verifier.verify(document).is_sound, (bytes(changed), place)

    def test_a_line_more_less_or_twice_fails(self, kind: str) -> None:
        lines = SOUND[kind]().lines()
        for number in range(1, len(lines)):
            assert not verifier.verify([*lines[:number], *lines[number + 1 :]]).is_sound
            assert not verifier.verify([*lines, lines[number]]).is_sound
        assert not verifier.verify([*lines, lines[0]]).is_sound
        assert not verifier.verify([]).is_sound


def _is_unproven(line: bytes, place: int) -> bool:
    """Whether the place is in a value that nothing in the document proves."""
    for name in (b'"drawId":"', b'"number":', b'"timestamp":', b'"reason":"'):
        start = line.find(name)
        if name == b'"number":' and b'"type":"replacement"' in line:
            continue
        if start >= 0 and start <= place < _end(line, start + len(name)):
            return True
    return False


def _end(line: bytes, start: int) -> int:
    return min(at for sign in b'",}' if (at := line.find(bytes([sign]), start)) >= 0)


class TestCheats:
    """Documents that are well spelled and consistent in themselves, and yet untrue."""

    def test_a_seed_chosen_afterwards(self) -> None:
        draw = made.instant()
        draw.head = dataclasses.replace(draw.head, seed=some(7, 32))
        assert failed(verifier.verify(draw.lines())) == "commitment"

    def test_an_outcome_given_to_a_friend_with_a_new_log(self) -> None:
        draw = made.instant()
        rows = [it for it in draw.entries if isinstance(it, Opened)]
        blank = next(it for it in rows if it.line_id is None)
        end, entries = draw.head.commitment, []
        for it in rows:
            name = "line0" if it is blank else None if it.line_id == "line0" else it.line_id
            entry = algorithm.log_entry(it.opening, flag=it.flag, line_id=name)
            previous, end = end, algorithm.log_hash(end, entry)
            entries.append(dataclasses.replace(it, line_id=name, previous=previous, hash=end))
        draw.entries, draw.head = entries, dataclasses.replace(draw.head, end=end)
        assert failed(verifier.verify(draw.lines())) == "outcomes"

    def test_an_opening_left_out_and_the_rest_renumbered(self) -> None:
        draw = made.instant()
        rows = [it for it in draw.entries if isinstance(it, Opened)][1:]
        draw.entries = [
            dataclasses.replace(it, opening=dataclasses.replace(it.opening, number=number))
            for number, it in enumerate(rows, 1)
        ]
        assert failed(verifier.verify(draw.lines())) == "log"

    def test_a_box_opened_twice(self) -> None:
        draw = made.instant()
        first, second, *rest = (it for it in draw.entries if isinstance(it, Opened))
        again = dataclasses.replace(second.opening, box_id=first.opening.box_id)
        draw.entries = [first, dataclasses.replace(second, opening=again), *rest]
        assert failed(verifier.verify(draw.lines())) == "openings"

    def test_a_nonce_of_nobody_that_is_not_flagged(self) -> None:
        draw = made.instant()
        row = draw.entries[4]
        assert isinstance(row, Opened) and row.flag == "no_nonce"
        draw.entries[4] = dataclasses.replace(row, flag=None)
        assert failed(verifier.verify(draw.lines())) == "openings"

    def test_totals_that_are_not_what_was_won(self) -> None:
        draw = made.instant()
        draw.head = dataclasses.replace(draw.head, won=(0, 3))
        assert failed(verifier.verify(draw.lines())) == "totals"

    def test_a_log_written_anew_after_its_head_was_published(self) -> None:
        """With other nonces, and so other outcomes, and all of it recomputed."""
        draw = made.instant(heads=(4, 10), nonces="other")
        assert verifier.verify(draw.lines()).is_sound
        before = {it.number: it for it in _heads(made.instant(heads=(4, 10)))}
        draw.entries = [before[it.number] if isinstance(it, LogHead) else it for it in draw.entries]
        report = verifier.verify(draw.lines())
        assert (failed(report), report.steps[-1].problem) == ("heads", "The log was another at 4.")

    @pytest.mark.parametrize("heads", [0, 1, 3])
    def test_another_number_of_heads_than_was_published(self, heads: int) -> None:
        draw = made.instant(heads=(4, 10))
        draw.head = dataclasses.replace(draw.head, heads=heads)
        assert failed(verifier.verify(draw.lines())) == "heads"

    def test_a_head_of_a_raffle(self) -> None:
        draw = made.raffle()
        draw.head = dataclasses.replace(draw.head, heads=1)
        assert failed(verifier.verify(draw.lines())) == "totals"
        draw.entries.append(LogHead(1, some(1, 32)))
        assert failed(verifier.verify(draw.lines())) == "tickets"

    def test_a_ticket_slipped_in(self) -> None:
        draw = made.raffle()
        extra = Ticket(10, some(99, 16), some(99, 16, "tag"), is_void=False)
        places = [it for it in draw.entries if not isinstance(it, Ticket)]
        tickets = [it for it in draw.entries if isinstance(it, Ticket)]
        draw.entries = [*tickets, extra, *places]
        draw.head = dataclasses.replace(draw.head, count=10)
        assert failed(verifier.verify(draw.lines())) == "root"

    def test_two_winners_exchanged(self) -> None:
        draw = made.raffle()
        at = next(n for n, it in enumerate(draw.entries) if isinstance(it, Place))
        one, two = draw.entries[at : at + 2]
        assert isinstance(one, Place) and isinstance(two, Place)
        draw.entries[at] = dataclasses.replace(one, ticket_id=two.ticket_id)
        draw.entries[at + 1] = dataclasses.replace(two, ticket_id=one.ticket_id)
        assert failed(verifier.verify(draw.lines())) == "winners"

    def test_a_winner_kept_back(self) -> None:
        draw = made.raffle(reserves=0)
        draw.entries.pop()
        draw.head = dataclasses.replace(draw.head, won=(1, 1))
        assert failed(verifier.verify(draw.lines())) == "winners"

    def test_a_reserve_passed_over(self) -> None:
        draw = made.raffle(replaced=1)
        row = draw.entries[-1]
        reserve = draw.entries[-2]
        assert isinstance(row, Replacement) and isinstance(reserve, Place)
        draw.entries[-1] = dataclasses.replace(row, by=reserve.ticket_id)
        assert failed(verifier.verify(draw.lines())) == "replacements"

    def test_a_replacement_without_a_reason(self) -> None:
        draw = made.raffle(replaced=1)
        row = draw.entries[-1]
        assert isinstance(row, Replacement)
        draw.entries[-1] = dataclasses.replace(row, reason="")
        assert failed(verifier.verify(draw.lines())) == "replacements"

    def test_a_block_from_before_the_draw(self) -> None:
        draw = made.raffle(beacon=dataclasses.replace(BLOCK, timestamp=LATE - 1))
        assert failed(verifier.verify(draw.lines())) == "beacon"

    def test_a_block_that_was_promised_and_is_not_there(self) -> None:
        draw = made.raffle(beacon=BLOCK)
        draw.head = dataclasses.replace(draw.head, beacon=None)
        assert failed(verifier.verify(draw.lines())) == "beacon"

    def test_a_block_that_nobody_promised(self) -> None:
        draw = made.raffle()
        draw.head = dataclasses.replace(draw.head, beacon=BLOCK)
        assert failed(verifier.verify(draw.lines())) == "beacon"


def _heads(draw: Made) -> list[LogHead]:
    return [it for it in draw.entries if isinstance(it, LogHead)]


class TestOld:
    def test_documents_say_nothing_of_heads_and_hold(self) -> None:
        head, *_ = made.instant().lines()
        assert b'"format":1,' in head and b"heads" not in head
        assert b'"format":2,"heads":2,' in made.instant(heads=(4, 10)).lines()[0]

    def test_documents_do_not_say_that_there_are_none(self) -> None:
        head, *rest = made.instant().lines()
        forged = head.replace(b'"format":1,', b'"format":2,"heads":0,')
        assert failed(verifier.verify([forged, *rest])) == "document"


class TestSpelling:
    @pytest.mark.parametrize(
        "line",
        [b"", b"[]", b"null", b'"text"', b'{"type":"draw"}', b"[" * 5_000, b"\xff", b'{"type":[]}'],
    )
    def test_what_is_no_line_is_said_to_be_none(self, line: bytes) -> None:
        with pytest.raises(DocumentError, match="Line 1 "):
            published.read([line])
        lines = made.instant().lines()
        report = verifier.verify([lines[0], line])
        assert (failed(report), "Line 2" in str(report.steps[-1].problem)) == ("document", True)

    def test_another_spelling_of_the_same_is_refused(self) -> None:
        head, *rest = made.instant().lines()
        assert failed(verifier.verify([head + b" ", *rest])) == "document"
        assert failed(verifier.verify([head, rest[0].replace(b":1,", b": 1,"), *rest[1:]])) in (
            "document",
        )

    def test_ends_of_lines_do_not_matter(self) -> None:
        assert verifier.verify([line + b"\n" for line in made.instant().lines()]).is_sound


class TestAlone:
    def test_needs_nothing_of_the_product(self) -> None:
        """Three files and the standard library: no database, no network, no settings."""
        program = (
            "import sys, app.draws.verifier\n"
            "ours = ('app.', 'core', 'sqlalchemy')\n"
            "print(sorted(it for it in sys.modules if it.startswith(ours)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        found = ["app.draws", "app.draws.algorithm", "app.draws.published", "app.draws.verifier"]
        assert done.stdout.strip() == str(found)
