"""Whether draws are even, and how fast they are: `make bench BENCH=draws [N=1000000]`.

N draws of each kind are simulated, each with a seed of its own. Pearson's statistic says how far
the winners are from even; a sound draw exceeds the line, the 99.9th percentile, once in a thousand
times. A document of a hundred thousand openings is verified, and one of as many tickets; its
prizes are even over the order of opening, within the 99th percentile. Then eight sessions open
two thousand boxes of one draw in the database, each in a transaction of its own; and the worker
opens a hundred thousand that nobody opened, whose totals are exactly the lines and whose document
is verified.
"""

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

import app.models  # noqa: F401 - the mappers need every table
from app.draws import algorithm, boxes, documents, published, service, steps, verifier
from app.draws.algorithm import Mode, Opening, Params
from app.draws.models import Box, BoxOpening, Draw, DrawState
from app.draws.published import Head, Opened, Place, Ticket
from app.draws.service import DrawDraft
from app.perks import service as perks
from app.perks.drafting import PerkDraft
from app.rewards.lines import Choice
from app.rewards.models import Grant
from app.users.models import User
from app.users.service import new_row
from bench.wallets import installation
from core.db import unit_of_work
from core.ids import new_id
from core.types import MerchantId, utc_now

PLACES = 20
PRIZES = (1, 3)
WHOLE = 100_000
STRETCHES = 100
LINE_99 = 134.642
"""99th percentile of chi-squared for a hundred stretches."""
SESSIONS = 8
OPENINGS = 2_000
WON = [100, 900, 1_000]
"""Of the hundred thousand boxes that nobody opens."""
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


def whole_draws() -> dict[str, object]:
    """Documents of a hundred thousand openings and tickets are made and verified."""
    began = time.perf_counter()
    openings, statistic = _openings()
    made = time.perf_counter()
    is_sound = verifier.verify(openings).is_sound
    verified = time.perf_counter()
    raffle_is_sound = verifier.verify(_tickets()).is_sound
    found: dict[str, object] = {
        "openings_made_seconds": round(made - began, 1),
        "openings_verified_seconds": round(verified - made, 1),
        "chi_squared_over_order": round(statistic, 3),
        "line": LINE_99,
        "holds": is_sound and raffle_is_sound and statistic < LINE_99,
    }
    print(f"{WHOLE:,} openings:", found)
    return found


def _openings() -> tuple[list[bytes], float]:
    quantities = [100, 900, 9_000]
    lines = tuple((f"line{place}", quantity) for place, quantity in enumerate(quantities))
    params, seed = Params(Mode.INSTANT, lines, WHOLE), _some("whole", 0)
    document = params.document()
    end = commitment = algorithm.commitment(document, seed)
    left, entries, won = list(quantities), [], [0] * STRETCHES
    for number in range(1, WHOLE + 1):
        opening = Opening(_some("box", number)[:16], _some("nonce", number), number)
        line = algorithm.outcome(seed, opening, boxes=WHOLE, left=left)
        if line is not None:
            left[line] -= 1
            won[(number - 1) * STRETCHES // WHOLE] += 1
        name = None if line is None else lines[line][0]
        logged = algorithm.log_hash(end, algorithm.log_entry(opening, flag=None, line_id=name))
        entries.append(published.write_entry(Opened(opening, None, name, end, logged)))
        end = logged
    head = Head("drw_0", document, commitment, seed, WHOLE, end, tuple(quantities), 0, None)
    assert left == [0, 0, 0]  # every prize was won
    even = sum(quantities) / STRETCHES
    return [published.write_head(head), *entries], sum((it - even) ** 2 / even for it in won)


def _tickets() -> list[bytes]:
    params = Params(Mode.RAFFLE, (("line", 500),), None, None, "2026-01-01T00:00:00Z", 1, 100)
    document, seed = params.document(), _some("raffle", 0)
    rows = [
        Ticket(seq, _some("ticket", seq)[:16], _some("tag", seq % (WHOLE // 2))[:16], False)
        for seq in range(1, WHOLE + 1)
    ]
    root = algorithm.merkle_root([algorithm.leaf(it.id, it.seq, it.tag) for it in rows])
    key = algorithm.draw_key(seed, root, algorithm.NO_BEACON)
    taken = algorithm.winners(key, [it.tag for it in rows], places=600, most=1)
    places = [
        Place(number, "line" if number <= 500 else None, rows[ticket].id)
        for number, ticket in enumerate(taken, 1)
    ]
    commitment = algorithm.commitment(document, seed)
    head = Head("drw_1", document, commitment, seed, WHOLE, root, (500,), 0, None)
    entries: list[published.Entry] = [*rows, *places]
    return [published.write_head(head), *map(published.write_entry, entries)]


def openings_in_database() -> dict[str, object]:
    """Boxes of one draw opened by many sessions: each takes the next number under its lock."""
    with installation() as merchant, ThreadPoolExecutor(SESSIONS) as pool:
        ids = _deal(merchant)

        def one(box_id: object) -> float:
            began = time.perf_counter()
            with unit_of_work(merchant=merchant) as session:
                box = session.get_one(Box, box_id)
                boxes.open_box(session, box, nonce=os.urandom(32), at=utc_now())
            return time.perf_counter() - began

        began = time.perf_counter()
        times = sorted(pool.map(one, ids))
        seconds = time.perf_counter() - began
        with unit_of_work(merchant=merchant) as session:
            draw = session.scalars(select(Draw)).one()
            numbers = session.scalars(select(BoxOpening.number).order_by(BoxOpening.number)).all()
            is_sound = numbers == list(range(1, OPENINGS + 1))
            is_sound = is_sound and draw.state is DrawState.REVEALED
            is_sound = is_sound and [it.won_count for it in draw.lines] == [OPENINGS // 4]
    found: dict[str, object] = {
        "a_second": round(OPENINGS / seconds),
        "p50_ms": round(statistics.median(times) * 1000, 1),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1),
        "sessions": SESSIONS,
        "holds": is_sound,
    }
    print(f"{OPENINGS:,} openings in the database:", found)
    return found


def _deal(merchant: MerchantId) -> list[object]:
    with unit_of_work(merchant=merchant) as session:
        _commit(session, [OPENINGS // 4], people=OPENINGS, each=1)
        return list(session.scalars(select(Box.id)))


def _commit(session: Session, quantities: list[int], *, people: int, each: int) -> Draw:
    """A draw all of whose boxes are handed out."""
    lines = []
    for number, quantity in enumerate(quantities):
        perk = perks.create(session, PerkDraft(f"Perk {number}", "Perk"), at=utc_now())
        perks.publish(session, perk, at=utc_now())
        lines.append(Choice(perk_id=perk.id, quantity=quantity))
    emails = [f"m{number}@example.com" for number in range(people)]
    rows = [{**new_row(it, it, source="bench"), "created_at": utc_now()} for it in emails]
    session.execute(insert(User), rows)
    draft = DrawDraft("Draw", Mode.INSTANT, lines, boxes=people * each)
    draw = service.commit(session, draft, at=utc_now())
    for _ in range(each):
        service.hand_out(session, draw, select(User.id), source_id=new_id(), at=utc_now())
    return draw


def boxes_by_themselves() -> dict[str, object]:
    """A hundred thousand boxes nobody opened, opened by the worker a part after the other."""
    with installation() as merchant:
        with unit_of_work(merchant=merchant) as session:
            draw_id = _commit(session, WON, people=WHOLE // 10, each=10).id
        began = time.perf_counter()
        steps.advance(merchant, draw_id, at=utc_now() + boxes.OPENED_AFTER)
        opened = time.perf_counter()
        is_sound = verifier.verify(documents.lines(merchant, draw_id)).is_sound
        verified = time.perf_counter()
        with unit_of_work(merchant=merchant) as session:
            rows = session.execute(select(BoxOpening.number, BoxOpening.line_id)).all()
            lines = {it.reward_line_id: it.quantity for it in service.get(session, draw_id).lines}
            grants = Counter(session.scalars(select(Grant.reward_line_id)))
    won = Counter(line for _, line in rows if line is not None)
    stretches = Counter((number - 1) * STRETCHES // WHOLE for number, line in rows if line)
    even = sum(WON) / STRETCHES
    statistic = sum((stretches[it] - even) ** 2 / even for it in range(STRETCHES))
    found: dict[str, object] = {
        "opened_seconds": round(opened - began, 1),
        "a_second": round(WHOLE / (opened - began)),
        "verified_seconds": round(verified - opened, 1),
        "chi_squared_over_order": round(statistic, 3),
        "line": LINE_99,
        "holds": is_sound and len(rows) == WHOLE and won == grants == lines and statistic < LINE_99,
    }
    print(f"{WHOLE:,} boxes that nobody opened:", found)
    return found


def main() -> int:
    """0 when nothing is rejected."""
    count = int(os.environ.get("N") or 1_000_000)
    found = measure(count)
    found["whole draws"] = whole_draws()
    found["database"] = openings_in_database()
    found["by themselves"] = boxes_by_themselves()
    print(json.dumps({"benchmark": "draws", "draws": count, "results": found}))
    return 0 if all(it["holds"] for it in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
