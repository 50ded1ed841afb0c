"""How soon segments are right: built for everybody, counted while edited, and after one change.

`N=1000000 python -m bench.segments` fills a merchant with N members of eight properties and two
events each, and gives it 500 segments of mixed kinds. Then, in one run: all segments are built
from nothing and once more from what they are; rules are counted as the editor does; one process
keeps the segments while another changes members, and each change is timed until it is in the
tables; and, for comparison, every rule is run again as if one change had made that necessary.
"""

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event as Signal
from typing import Any
from uuid import UUID

from sqlalchemy import create_engine, exists, func, select, text
from sqlalchemy.orm import Session

from app.postgres import EmbeddedPostgres
from app.segments import book as books
from app.segments import compile as compiler
from app.segments import keeping, rules, service
from app.segments.models import Segment, SegmentMember, SegmentState
from app.users import properties
from app.users.fields import fold
from app.users.models import User
from app.users.slots import Kind, sought_name, value_name
from bench.wallets import installation
from core.db import Role, unit_of_work
from core.events import emit
from core.ids import encode_id, new_id
from core.settings import core_settings
from core.types import ListId, MerchantId, SegmentId, UserId, utc_now

SEGMENTS = 500
CITIES = 500
TIERS = ("Bronze", "Silver", "Gold", "Platinum", "Black")
BUILDERS = 2
PREVIEWS = 100
CHANGES = 200
BURST = 20_000
BEAT_SECONDS = 0.5

_PROPERTIES = {
    "City": Kind.TEXT,
    "Tier": Kind.TEXT,
    "Company": Kind.TEXT,
    "Spend": Kind.NUMBER,
    "Visits": Kind.NUMBER,
    "Vip": Kind.BOOLEAN,
    "Birthday": Kind.DATE,
    "Last order": Kind.DATE,
}
Rule = dict[str, Any]


class Brand:
    """A merchant with its properties and lists."""

    def __init__(self, merchant: MerchantId) -> None:
        self.merchant = merchant
        self.columns: dict[str, tuple[str, str]] = {}
        self.keys: dict[str, str] = {}
        self.lists = [ListId(new_id()) for _ in range(10)]
        with self.unit() as session:
            for name, kind in _PROPERTIES.items():
                row = properties.create(session, name, kind, at=utc_now())
                self.keys[name] = encode_id("prp", row.id)
                self.columns[name] = value_name(kind, row.slot), sought_name(kind, row.slot)

    @contextmanager
    def unit(self, role: Role = Role.APP) -> Iterator[Session]:
        """A transaction of the merchant."""
        with unit_of_work(merchant=self.merchant, actor="bench", role=role) as session:
            yield session

    def fill(self, count: int) -> None:
        """Members, their values, their events and their lists, by chance but always the same."""
        values = {name: column for name, (column, _) in self.columns.items()}
        texts = {name: self.columns[name][1] for name in ("City", "Tier", "Company")}
        with self.unit(Role.ENGINE) as session:
            session.execute(text("SELECT setseed(0.5)"))
            session.execute(
                text(
                    f"""
                    INSERT INTO users (id, merchant_id, email, email_key, first_name, first_key,
                        name_key, country, state, source, mail_status, created_at, version,
                        {", ".join([*values.values(), *texts.values()])})
                    SELECT cohort_new_id(), :merchant, 'm' || n || '@example.com',
                        'm' || n || '@example.com', 'First' || n % 900, 'first' || n % 900,
                        'first' || n % 900, (ARRAY['FR','DE','ES','IT','GB','US','NL','BE'])[1+n%8],
                        'active', 'import', 'ok', now() - random() * interval '900 days', 1,
                        'City ' || c, (ARRAY['Bronze','Silver','Gold','Platinum','Black'])[t],
                        'Company ' || n / 20, round((random() * random() * 5000)::numeric, 2),
                        floor(random() * 100), random() < 0.1,
                        date '1950-01-01' + floor(random() * 20000)::int,
                        date_trunc('day', now()) - floor(random() * 400) * interval '1 day',
                        'city ' || c, (ARRAY['bronze','silver','gold','platinum','black'])[t],
                        'company ' || n / 20
                    FROM (SELECT n, floor(random() * random() * {CITIES})::int AS c,
                              1 + floor(random() * random() * 5)::int AS t
                          FROM generate_series(1, :count) AS n) AS made
                    """
                ),
                {"merchant": self.merchant, "count": count},
            )
        for kind, share in (("custom.bought", 1.0), ("custom.opened", 0.7), ("custom.left", 0.3)):
            with self.unit(Role.ENGINE) as session:
                session.execute(
                    text(
                        """
                        INSERT INTO events
                            (id, occurred_at, type, user_id, actor, data, merchant_id)
                        SELECT cohort_new_id(), now() - random() * interval '90 days', :kind, id,
                            'bench', jsonb_build_object('amount', floor(random() * 200)), :merchant
                        FROM users WHERE merchant_id = :merchant AND random() < :share
                        """
                    ),
                    {"merchant": self.merchant, "kind": kind, "share": share},
                )
        for number, list_id in enumerate(self.lists):
            with self.unit(Role.ENGINE) as session:
                place = {"merchant": self.merchant, "list": list_id, "name": f"List {number}"}
                session.execute(
                    text(
                        "INSERT INTO lists (id, merchant_id, name, created_at, version)"
                        " VALUES (:list, :merchant, :name, now(), 1)"
                    ),
                    place,
                )
                session.execute(
                    text(
                        "INSERT INTO list_members (list_id, user_id, added_at, actor, merchant_id)"
                        " SELECT :list, id, now(), 'bench', :merchant FROM users"
                        " WHERE merchant_id = :merchant AND random() < 0.01"
                    ),
                    place,
                )


def rule_of(brand: Brand, number: int, known: list[SegmentId]) -> Rule:
    """The rule of a segment, one of ten kinds by turns."""
    chance = random.Random(number)
    ask = _Asks(brand.keys, chance)
    kinds = {
        0: lambda: [[ask.city()]],
        1: lambda: [[ask.city(), ask.spends(500)]],
        2: lambda: [[ask.spends(100), ask.is_vip()]],
        3: lambda: [[ask.visits(3), ask.tier()]],
        4: lambda: [[ask.ordered(chance.randint(1, 30)), ask.country()]],
        5: lambda: [[ask.bought(chance.randint(1, 20), at_least=chance.randint(150, 190))]],
        6: lambda: [[ask.bought(chance.randint(1, 40), at_least=0), ask.city()]],
        7: lambda: [[ask.member("list", chance.choice(brand.lists))], [ask.city(), ask.is_vip()]],
        8: lambda: [[ask.birthday(chance.randint(0, 7))], [ask.company()]],
        9: lambda: (
            [[ask.member("segment", chance.choice(known)), ask.not_left(30)]]
            if known
            else [[ask.city(), ask.not_left(30)]]
        ),
    }
    return {"groups": [{"conditions": it} for it in kinds[number % 10]()]}


class _Asks:
    """Conditions by chance."""

    def __init__(self, keys: dict[str, str], chance: random.Random) -> None:
        self._keys, self._chance = keys, chance

    def _of(self, name: str, op: str, *value: object) -> Rule:
        field = self._keys.get(name, name)
        return {"kind": "property", "field": field, "op": op, "value": [*map(str, value)]}

    def city(self) -> Rule:
        return self._of("City", "is", f"City {self._chance.randrange(CITIES)}")

    def company(self) -> Rule:
        return self._of("Company", "starts_with", f"Company {self._chance.randint(100, 999)}")

    def country(self) -> Rule:
        return self._of("country", "is", self._chance.choice(["FR", "DE", "ES", "IT"]))

    def tier(self) -> Rule:
        return self._of("Tier", "one_of", *self._chance.sample(TIERS[2:], 2))

    def spends(self, width: int) -> Rule:
        least = self._chance.randrange(3_000)
        return self._of("Spend", "between", least, least + width)

    def visits(self, width: int) -> Rule:
        least = self._chance.randrange(100 - width)
        return self._of("Visits", "between", least, least + width)

    def is_vip(self) -> Rule:
        return self._of("Vip", "true")

    def ordered(self, days: int) -> Rule:
        return self._of("Last order", "in_last", days)

    def birthday(self, days: int) -> Rule:
        return self._of("Birthday", "anniversary_in_next", days)

    def bought(self, days: int, *, at_least: int) -> Rule:
        window = {"kind": "last", "amount": days, "unit": "days"}
        filters = [{"name": "amount", "op": "at_least", "value": str(at_least)}]
        return {
            "kind": "event",
            "type": "custom.bought",
            "window": window,
            "filters": filters if at_least else [],
        }

    def not_left(self, days: int) -> Rule:
        window = {"kind": "last", "amount": days, "unit": "days"}
        return {"kind": "event", "type": "custom.left", "is_done": False, "window": window}

    def member(self, kind: str, of: UUID) -> Rule:
        return {"kind": kind, "id": str(of)}


def make(brand: Brand) -> list[SegmentId]:
    """The segments exist, not built yet."""
    made: list[SegmentId] = []
    for number in range(SEGMENTS):
        with brand.unit() as session:
            rule = rules.load(rule_of(brand, number, made[:50]))
            made.append(service.create(session, rule, name=f"Segment {number}", at=utc_now()).id)
    return made


def build(brand: Brand) -> float:
    """Seconds until every segment that waits is built, by as many processes as the worker has."""

    def work() -> None:
        built: object = True
        while built is not None:
            with brand.unit(Role.ENGINE) as session:
                built = keeping.rebuild_next(session, at=utc_now())

    started = time.monotonic()
    with ThreadPoolExecutor(BUILDERS) as pool:
        for done in [pool.submit(work) for _ in range(BUILDERS)]:
            done.result()
    return time.monotonic() - started


def naive(brand: Brand, segments: list[SegmentId]) -> float:
    """Seconds to run every rule once more."""
    started = time.monotonic()
    with brand.unit(Role.ENGINE) as session:
        known = books.open_book(session).rules
        ground = books.ground(session, known, at=utc_now())
        for segment in segments:
            wanted = compiler.is_member(ground.merchant), compiler.meets(known[segment], ground)
            session.scalar(select(func.count()).select_from(User).where(*wanted))
    return time.monotonic() - started


def preview(brand: Brand) -> list[float]:
    """Milliseconds of each count with its sample."""
    found = []
    for number in range(PREVIEWS):
        rule = rules.load(rule_of(brand, 10_000 + number, []))
        with brand.unit() as session:
            started = time.monotonic()
            assert service.preview(session, rule, at=utc_now()).is_exact
            found.append((time.monotonic() - started) * 1000)
    return found


def change(session: Session, brand: Brand, user: UserId, city: str) -> None:
    """The member moves."""
    value, sought = brand.columns["City"]
    session.execute(
        text(f"UPDATE users SET {value} = :city, {sought} = :key WHERE id = :id"),
        {"city": city, "key": fold(city), "id": user},
    )
    changed = [brand.keys["City"]]
    emit(session, "cohort.user.updated", at=utc_now(), user_id=user, changed=changed)


def keep(brand: Brand) -> None:
    """Everything that happened is in the segments."""
    more = True
    while more:
        with brand.unit(Role.ENGINE) as session:
            more = keeping.keep(session, at=utc_now())


def updates(brand: Brand, users: list[UserId], target: SegmentId, city: str) -> list[float]:
    """Milliseconds from each commit until the member is in the segment, the worker beating."""
    stop = Signal()

    def beat() -> None:
        while not stop.wait(BEAT_SECONDS):
            keep(brand)

    found = []
    with ThreadPoolExecutor(1) as pool:
        beating = pool.submit(beat)
        for user in users:
            with brand.unit() as session:
                change(session, brand, user, city)
            started = time.monotonic()
            place = (SegmentMember.segment_id == target, SegmentMember.user_id == user)
            is_in = False
            while not is_in:
                with brand.unit() as session:
                    is_in = bool(session.scalar(select(exists().where(*place))))
                time.sleep(0 if is_in else 0.005)
            found.append((time.monotonic() - started) * 1000)
        stop.set()
        beating.result()
    return found


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 1_000_000)
    with installation() as merchant:
        brand = Brand(merchant)
        brand.fill(count)
        _settle()
        segments = make(brand)
        first = build(brand)
        with brand.unit() as session:
            rows = session.scalar(select(func.sum(Segment.member_count)))
            keeping.make_anew(session, segments)
        again = build(brand)
        again_and_again = naive(brand, segments)
        previews = preview(brand)
        report = _after_changes(brand, segments)
        build(brand)  # what the reader marked when it skipped what filling and building said
        with brand.unit() as session:
            states = set(session.scalars(select(Segment.state)))
    report = {
        "bench": "segments",
        "members": count,
        "segments": SEGMENTS,
        "memberships": int(rows or 0),
        "rebuild_seconds": round(first, 1),
        "proof_seconds": round(again, 1),
        "preview_p95_ms": round(_percentile(previews, 95)),
        **report,
        "naive_seconds": round(again_and_again, 1),
        "times_cheaper": round(again_and_again * 1000 / report["step_ms"]),
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>16}")
    print(json.dumps(report))
    sys.exit(0 if states == {SegmentState.LIVE} else 1)


def _settle() -> None:
    """What autovacuum does within minutes of an import."""
    server = EmbeddedPostgres(core_settings().data_dir / "postgres")
    engine = create_engine(server.owner_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _after_changes(brand: Brand, segments: list[SegmentId]) -> dict[str, Any]:
    keep(brand)  # what filling and building said
    with brand.unit() as session:
        users = list(session.scalars(select(User.id).limit(CHANGES + BURST)))
        [asked] = rules.load(session.get_one(Segment, segments[0]).rule).conditions()
    city = asked.value[0]  # type: ignore[union-attr]
    waits = updates(brand, users[:CHANGES], segments[0], city)
    steps = []
    for user in users[:20]:
        with brand.unit() as session:
            change(session, brand, user, "City 0")
        started = time.monotonic()
        keep(brand)
        steps.append((time.monotonic() - started) * 1000)
    with brand.unit() as session:
        for user in users[CHANGES:]:
            change(session, brand, user, city)
    started = time.monotonic()
    keep(brand)
    return {
        "update_p50_ms": round(statistics.median(waits)),
        "update_p99_ms": round(_percentile(waits, 99)),
        "step_ms": round(statistics.mean(steps), 1),
        "updates_per_second": round(BURST / (time.monotonic() - started)),
    }


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
