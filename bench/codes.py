"""How fast pools of codes are: imported, given one by one and in thousands, found by what is typed.

`N=10000000 python -m bench.codes` writes a file of so many codes, imports it as the worker does,
then hands perks over: each alone in a transaction of its own, and twenty thousand by one statement,
at the beginning of the pool and again after nearly everything before has been given. Load around it
is not taken out: the percentiles are those of the machine as it was.
"""

import json
import os
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import select

import app.models  # noqa: F401 - the mappers need every table
from app.campaigns import service as campaigns
from app.perks import code_files, code_loading, codes, handing, service
from app.perks.drafting import PerkDraft
from app.perks.models import Holding, Perk
from app.perks.terms import RedemptionType
from app.postgres import EmbeddedPostgres
from app.rewards.lines import Choice, set_lines
from app.rewards.models import Grant, GrantSource
from app.rewards.service import Source, grant_many, members
from app.users.models import User
from bench.wallets import installation
from core.db import unit_of_work
from core.settings import core_settings
from core.types import GrantId, MerchantId, PerkId, utc_now

LIMIT_MS = 5
SINGLES = 2_000
AT_ONCE = 20_000
_PEOPLE = """
INSERT INTO users (id, merchant_id, email, email_key, name_key, state, source, mail_status,
    created_at, version)
SELECT cohort_new_id(), %(merchant)s, mail, mail, '', 'active', 'bench', 'ok', now(), 1
FROM (SELECT 'm' || n || '@example.com' AS mail FROM generate_series(1, %(count)s) n) AS made
"""


def timed(work: Callable[[], object]) -> float:
    """Seconds the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def write_file(path: Path, count: int) -> None:
    """So many different codes, a line each."""
    with path.open("w") as file:
        file.write("code\n")
        for number in range(count):
            file.write(f"{secrets.token_hex(5)}{number:08X}\n")


def load(merchant: MerchantId, perk_id: PerkId, count: int) -> float:
    """Seconds from the upload to the last code."""
    path = core_settings().data_dir / "codes.csv"
    write_file(path, count)
    started = time.perf_counter()
    with unit_of_work(merchant=merchant) as session, path.open("rb") as content:
        perk = service.get(session, perk_id)
        file_id = code_files.upload(session, perk, "codes.csv", content, at=utc_now()).id
    more = True
    while more:
        with unit_of_work(merchant=merchant) as session:
            more = code_loading.run_part(session, file_id, at=utc_now())
    return time.perf_counter() - started


def promise(merchant: MerchantId, perk_id: PerkId) -> list[GrantId]:
    """Everybody is promised one by a campaign; the grants."""
    with unit_of_work(merchant=merchant) as session:
        service.publish(session, service.get(session, perk_id), at=utc_now())
        campaign = campaigns.create_airdrop(session, "B", at=utc_now())
        [line] = set_lines(session, campaign.id, [Choice(perk_id=perk_id)])
        source = Source(GrantSource.AIRDROP, campaign.id)
        grant_many(session, line, members(select(User.id)), source=source, at=utc_now())
        return list(session.scalars(select(Grant.id)))


def give(merchant: MerchantId, perk_id: PerkId, grants: list[GrantId]) -> float:
    """Seconds of the statement that makes the holdings of these grants."""
    with unit_of_work(merchant=merchant) as session:
        perk = session.get_one(Perk, perk_id)
        rows: Any = select(Grant.id, Grant.user_id).where(Grant.id.in_(grants))
        held = handing.hand_over(perk, rows, at=utc_now())
        query = select(held.c.id)
        started = time.perf_counter()
        made = len(session.execute(query).all())
        spent = time.perf_counter() - started
    if made != len(grants):
        sys.exit(f"{made} holdings of {len(grants)} grants")
    return spent


def find(merchant: MerchantId, count: int) -> list[float]:
    """Seconds to find a holding by what is typed, so many times."""
    with unit_of_work(merchant=merchant) as session:
        held = session.scalars(select(Holding).limit(count)).all()
        typed = [codes.opened(row) for it in held if (row := codes.of_holding(session, it))]
    with unit_of_work(merchant=merchant) as session:
        return [timed(partial(codes.find, session, code)) for code in typed]


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """What half of them take longer than, and one in a hundred; ms."""
    ordered = statistics.quantiles(seconds, n=100)
    return statistics.median(seconds) * 1000, ordered[98] * 1000


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 1_000_000)
    with installation() as merchant:
        with unit_of_work(merchant=merchant) as session:
            draft = PerkDraft("B", "B", redemption=RedemptionType.UNIQUE_CODE)
            perk_id = service.create(session, draft, at=utc_now()).id
        spent = load(merchant, perk_id, count)
        print(
            f"{count:,} codes imported in {spent:.1f} s, {count / spent:,.0f} a second", flush=True
        )
        server = EmbeddedPostgres(core_settings().data_dir / "postgres")
        with psycopg.connect(server.owner_url.replace("+psycopg", "")) as connection:
            people = {"merchant": merchant, "count": 2 * (SINGLES + AT_ONCE)}
            connection.execute(_PEOPLE, people)
        grants = promise(merchant, perk_id)
        found = {}
        print(f"{'':<28}{'p50 ms':>10}{'p99 ms':>10}")
        for name in ("first", "later"):
            singles, grants = grants[:SINGLES], grants[SINGLES:]
            often, rarely = percentiles([give(merchant, perk_id, [it]) for it in singles])
            found[f"one_{name}"] = round(rarely, 2)
            print(f"{'one alone, ' + name:<28}{often:>10.2f}{rarely:>10.2f}", flush=True)
            many, grants = grants[:AT_ONCE], grants[AT_ONCE:]
            seconds = give(merchant, perk_id, many)
            found[f"many_{name}"] = round(seconds * 1000)
            print(f"{f'{AT_ONCE:,} at once, ' + name:<28}{seconds * 1000:>10.0f}", flush=True)
        often, rarely = percentiles(find(merchant, SINGLES))
        found["find"] = round(rarely, 2)
        print(f"{'found by what is typed':<28}{often:>10.2f}{rarely:>10.2f}", flush=True)
    is_met = max(found["one_first"], found["one_later"]) <= LIMIT_MS
    report = {"bench": "codes", "codes": count, "import_seconds": round(spent, 1)}
    print(json.dumps({**report, "limit_ms": LIMIT_MS, "is_met": is_met, "p99_ms": found}))
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
