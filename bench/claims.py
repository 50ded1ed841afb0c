"""How fast claim codes are made, looked up, claimed and taken out.

`N=1000000 python -m bench.claims` makes a batch of N codes as the worker does, a part a
transaction, and once more after it was stopped half way; looks up known and unknown codes; lets
members claim, one after the other and sixteen at once; takes the codes out as a table and as
printed sheets; and has ten machines try a hundred thousand codes that nobody has.
"""

import json
import os
import resource
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from sqlalchemy import func, select, text

from app.claims import claiming, making, service, sheets, taking
from app.claims.claiming import Attempt, Claimed
from app.claims.guessing import network_of
from app.claims.models import ClaimBatch, ClaimGuess
from app.claims.seeds import code_of
from app.claims.service import BatchDraft
from app.claims.sheets import Paper, Sheet
from app.claims.taking import Printable
from app.perks import service as perks
from app.perks.drafting import PerkDraft
from app.rewards.lines import Choice
from app.users.models import User
from app.users.service import create_users, new_row
from bench.wallets import installation
from core.db import Role, unit_of_work
from core.types import ClaimBatchId, MerchantId, UserId, utc_now

LOOKS = 500
CLAIMS = 400
SHEETS = 1_200
THREADS = 16
GUESSES = 100_000
MACHINES = 10


def make_batch(merchant: MerchantId, count: int) -> ClaimBatchId:
    """A batch of which no code is made yet."""
    with unit_of_work(merchant=merchant) as session:
        perk = perks.create(session, PerkDraft("Coffee", "Coffee"), at=utc_now())
        perks.publish(session, perk, at=utc_now())
        draft = BatchDraft("Flyers", Choice(perk_id=perk.id), code_count=count)
        return service.create(session, draft, at=utc_now()).id


def make_codes(merchant: MerchantId, batch: ClaimBatchId, *, parts: int | None = None) -> None:
    """All codes are there, or those of so many parts."""
    done = 0
    more = True
    while more and done != parts:
        with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
            more = making.run_part(session, batch, at=utc_now())
        done += 1


def make_members(merchant: MerchantId, count: int) -> list[UserId]:
    """So many members without wallets of their own being asked for."""
    emails = [f"member{number}@example.com" for number in range(count)]
    with unit_of_work(merchant=merchant) as session:
        create_users(session, [new_row(it, it, source="bench") for it in emails], at=utc_now())
        return list(session.scalars(select(User.id).order_by(User.id)))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def look(merchant: MerchantId, typed: str, network: int) -> float:
    """Milliseconds of a look-up in its own transaction."""
    attempt = Attempt(typed, network_of(f"10.{network >> 16}.{network >> 8 & 255}.{network & 255}"))
    with unit_of_work(merchant=merchant) as session:
        return 1_000 * seconds(lambda: claiming.look(session, attempt, at=utc_now()))


def claim(merchant: MerchantId, user: UserId, typed: str) -> bool:
    """Whether the member has it now."""
    with unit_of_work(merchant=merchant) as session:
        found = session.get_one(User, user)
        attempt = Attempt(typed, network_of("10.0.0.1"))
        return isinstance(claiming.claim(session, found, attempt, at=utc_now()), Claimed)


def guess(merchant: MerchantId, count: int, *, machines: int) -> tuple[int, float]:
    """How many of so many guesses were looked up, and the seconds all took.

    None is right, so each that was looked up is counted.
    """

    def some(machine: int) -> None:
        attempt = Attempt("A" * 26, network_of(f"192.0.2.{machine}"))
        for _ in range(count // machines):
            with unit_of_work(merchant=merchant) as session:
                claiming.look(session, attempt, at=utc_now())

    with ThreadPoolExecutor(machines) as pool:
        took = seconds(lambda: list(pool.map(some, range(machines))))
    with unit_of_work(merchant=merchant) as session:
        total = select(func.sum(ClaimGuess.guess_count))
        is_theirs = ClaimGuess.network.in_([network_of(f"192.0.2.{it}") for it in range(machines)])
        return int(session.scalar(total.where(is_theirs)) or 0), took


def size(pieces: Iterable[str | bytes]) -> int:
    """How much a stream yields, of which nothing is kept."""
    return sum(len(piece) for piece in pieces)


def memory_mb() -> int:
    """The most this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure(merchant: MerchantId, count: int) -> dict[str, Any]:
    """Every number, in one run."""
    users = make_members(merchant, 2 * CLAIMS)
    batch_id = make_batch(merchant, count)
    before = memory_mb()
    half = count // making.CODES_A_PART // 2
    making_seconds = seconds(lambda: make_codes(merchant, batch_id, parts=half))
    making_seconds += seconds(lambda: make_codes(merchant, batch_id))
    with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
        batch = session.get_one(ClaimBatch, batch_id)
        assert batch.made_count == count
        stored = session.scalar(text("SELECT pg_total_relation_size('claim_codes')"))
        codes = [code_of(batch, place) for place in range(1, 2 * CLAIMS + 1)]
    known = [look(merchant, codes[it], it) for it in range(LOOKS)]
    unknown = [look(merchant, f"{it:026d}", it) for it in range(LOOKS)]
    one = seconds(lambda: [claim(merchant, *it) for it in zip(users, codes[:CLAIMS], strict=False)])
    with ThreadPoolExecutor(THREADS) as pool:
        rest = zip(users[CLAIMS:], codes[CLAIMS:], strict=True)
        many = seconds(lambda: list(pool.map(lambda it: claim(merchant, *it), rest)))
    chosen = Printable.of(batch, 1, count)
    table = seconds(lambda: size(taking.codes_as_csv(chosen)))
    sheet = Sheet(Paper.A4, 12)
    printed = Printable.of(batch, 1, SHEETS)
    paper = seconds(lambda: size(sheets.as_pdf(sheet, printed.codes())))
    looked_up, took = guess(merchant, GUESSES, machines=MACHINES)
    return {
        "codes": count,
        "made_per_second": round(count / making_seconds),
        "making_seconds": round(making_seconds, 1),
        "stored_bytes_per_code": round((stored or 0) / count),
        "known_look_ms": round(median(known), 2),
        "unknown_look_ms": round(median(unknown), 2),
        "claims_per_second_one": round(CLAIMS / one),
        "claims_per_second_many": round(CLAIMS / many),
        "csv_codes_per_second": round(count / table),
        "pdf_codes_per_second": round(SHEETS / paper),
        "guesses": GUESSES,
        "guesses_looked_up": looked_up,
        "guesses_per_second": round(GUESSES / took),
        "memory_before_mb": before,
        "memory_mb": memory_mb(),
    }


def main() -> None:
    """Print a table, and one line of JSON."""
    count = int(os.environ.get("N") or 1_000_000)
    with installation() as merchant:
        found = measure(merchant, count)
    for name, value in found.items():
        print(f"{name.replace('_', ' '):>28}  {value:>12,}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
