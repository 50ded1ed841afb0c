"""How long the list of members takes in the database: pages, orders, filters, search, counts.

`N=1000000 python -m bench.user_list` fills the users table by one statement, with three properties
that nine in ten members have, a list and a segment, and asks for pages as the screen does: rows and
count together. Nothing about wallets is measured, so there are none.
"""

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
from sqlalchemy.orm import Session

import app.models  # noqa: F401 - the mappers need every table
from app.postgres import EmbeddedPostgres
from app.users import fields, filters, listing, lists, properties
from app.users.filters import Filters
from app.users.models import Property
from app.users.slots import Kind
from bench.wallets import installation
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.settings import core_settings
from core.types import MerchantId, SegmentId, utc_now

LIMIT_MS = 200
ROUNDS = 40
FAR = 100
_FILL = """
INSERT INTO users (id, merchant_id, email, email_key, first_name, last_name, first_key, last_key,
    name_key, lang, country, reference_id, state, source, mail_status, created_at, version,
    t1, k1, n1, d1)
SELECT cohort_new_id(), %(merchant)s, mail, mail, first, last, lower(first), lower(last),
    lower(first || ' ' || last), (ARRAY['en','de','fr',NULL])[1 + number %% 4],
    (ARRAY['CH','DE','US'])[1 + number %% 3], 'R' || number,
    CASE WHEN number %% 97 = 0 THEN 'blocked' ELSE 'active' END,
    CASE WHEN number %% 5 = 0 THEN 'space' ELSE 'import' END, 'ok', now(), 1,
    city, lower(city), amount, day
FROM (
    SELECT number, md5(number::text) || '@example.com' AS mail,
        'First' || (number * 7919 %% 2003) AS first, 'Last' || (number * 104729 %% 20011) AS last,
        CASE WHEN number %% 10 > 0 THEN 'City ' || (number * 31 %% 5003) END AS city,
        CASE WHEN number %% 10 > 0 THEN round((random() * 100000)::numeric, 2) END AS amount,
        CASE WHEN number %% 10 > 0 THEN date '1950-01-01' + (random() * 20000)::int END AS day
    FROM generate_series(1, %(count)s::bigint) AS number
) AS made
"""
_SEGMENT = """
INSERT INTO segment_members (merchant_id, segment_id, user_id, since)
SELECT %(merchant)s, %(segment)s, id, now() FROM users WHERE n1 > 90000
"""
_LIST = """
INSERT INTO list_members (merchant_id, list_id, user_id, added_at, actor)
SELECT %(merchant)s, %(list)s, id, now(), 'system' FROM users WHERE n1 > 99900
"""


@dataclass(frozen=True)
class Ground:
    """What there is to ask for."""

    merchant: MerchantId
    word: Property
    number: Property
    day: Property
    list: str
    segment: str


@dataclass(frozen=True)
class View:
    """One page of one list."""

    sort: str = ""
    asked: Filters = field(default_factory=Filters)
    cursor: str | None = None


def fill(merchant: MerchantId, count: int) -> Ground:
    """So many members, with their values."""
    with unit_of_work(merchant=merchant) as session:
        word = properties.create(session, "City", Kind.TEXT, at=utc_now())
        number = properties.create(session, "Spent", Kind.NUMBER, at=utc_now())
        day = properties.create(session, "Birth", Kind.DATE, at=utc_now())
        chosen = lists.create(session, "Best", at=utc_now())
    segment = SegmentId(new_id())
    server = EmbeddedPostgres(core_settings().data_dir / "postgres")
    url = server.owner_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FILL, {"merchant": merchant, "count": count})
        connection.execute(_SEGMENT, {"merchant": merchant, "segment": segment})
        connection.execute(_LIST, {"merchant": merchant, "list": chosen.id})
        connection.execute("VACUUM ANALYZE")
    names = encode_id("lst", chosen.id), encode_id("seg", segment)
    return Ground(merchant, word, number, day, *names)


def show(session: Session, view: View) -> str | None:
    """The page as the screen asks for it; the cursor of the next one."""
    known = fields.catalogue(session)
    shown = [known[key] for key in ("email", "state", "created_at")]
    conditions = filters.conditions(session, view.asked, known)
    order = listing.order_of(view.sort, known)
    page = listing.list_members(session, conditions, order, shown, cursor=view.cursor)
    listing.count(session, conditions)
    return page.next


def scenarios(ground: Ground) -> dict[str, Callable[[int], View]]:
    """What is asked for in each round."""
    draw = random.Random(1)
    key = {it.name: encode_id("prp", it.id) for it in (ground.word, ground.number, ground.day)}

    def sorted_by(name: str) -> Callable[[int], View]:
        return lambda number: View(f"{'-' * (number % 2)}{key[name]}")

    def in_city(_number: int) -> View:
        city = f"City {draw.randint(0, 5002)}"
        return View(key["Spent"], Filters(field=key["City"], op="is", value=city))

    def spent(_number: int) -> View:
        most = str(draw.randint(1, 100_000))
        return View(key["Birth"], Filters(field=key["Spent"], op="from", value=most))

    def search(number: int) -> View:
        texts = (f"{draw.getrandbits(16):04x}", f"last{draw.randint(1, 20_000)}", "first1", "R77")
        return View("", Filters(q=texts[number % 4]))

    far: dict[str, str | None] = {}

    def page_far(_number: int) -> View:
        if not far:
            with unit_of_work(merchant=ground.merchant) as session:
                far["cursor"] = None
                for _ in range(FAR - 1):
                    far["cursor"] = show(session, View(key["Spent"], cursor=far["cursor"]))
        return View(key["Spent"], cursor=far["cursor"])

    return {
        "first_page": lambda _number: View(),
        "sorted_by_number": sorted_by("Spent"),
        "sorted_by_text": sorted_by("City"),
        "sorted_by_date": sorted_by("Birth"),
        "filtered_and_sorted": in_city,
        "range_and_sorted": spent,
        "in_list": lambda _number: View(key["Spent"], Filters(list=ground.list)),
        "in_segment": lambda _number: View(key["City"], Filters(segment=ground.segment)),
        "search": search,
        f"page_{FAR}": page_far,
    }


def measure(ground: Ground) -> Iterator[tuple[str, float, float]]:
    """Each scenario with the time that half the pages take longer than, and one in twenty; ms."""
    for name, make in scenarios(ground).items():
        seconds = []
        for number in range(ROUNDS):
            view = make(number)
            with unit_of_work(merchant=ground.merchant) as session:
                started = time.perf_counter()
                show(session, view)
                seconds.append(time.perf_counter() - started)
        often, rarely = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
        yield name, often * 1000, rarely * 1000


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 1_000_000)
    with installation() as merchant:
        started = time.monotonic()
        ground = fill(merchant, count)
        filled = time.monotonic() - started
        found = {}
        print(f"{'':<24}{'p50 ms':>10}{'p95 ms':>10}")
        for name, often, rarely in measure(ground):
            found[name] = round(rarely, 1)
            print(f"{name:<24}{often:>10.1f}{rarely:>10.1f}", flush=True)
    is_met = max(found.values()) <= LIMIT_MS
    report = {"bench": "user_list", "users": count, "fill_seconds": round(filled, 1)}
    print(json.dumps({**report, "limit_ms": LIMIT_MS, "is_met": is_met, "p95_ms": found}))
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    main()
