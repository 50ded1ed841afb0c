"""What a grant costs and whether it can be cheated: one reward for one member, many at once.

`python -m bench.grants`. Threads ask `app.rewards.granting.grant` as a request does, each call in a
transaction of its own: the last of a perk for a thousand, a thousand times the same, twenty
thousand members for ten thousand codes, and then at the speed of sixteen sessions in four
processes. The floor in the
same run is psycopg alone: the very statements that a grant sent, recorded and sent again for other
members, with as many sessions and the same durability. Codes are assigned once more at ten million
(`N`, filled by SQL).
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import create_engine, event, func, select

import app.models  # noqa: F401 - the mappers need every table
from app.perks.code_models import CodeFile, CodeFileState, PerkCode
from app.perks.models import Holding, Perk, PerkState
from app.perks.terms import RedemptionType
from app.postgres import EmbeddedPostgres
from app.rewards.granting import grant
from app.rewards.lines import Choice, make_line
from app.rewards.models import Grant, GrantSource, RewardLine
from app.rewards.service import Source
from bench.wallets import installation
from core.db import unit_of_work, use_bind
from core.errors import AppError
from core.ids import new_id
from core.settings import core_settings
from core.types import CodeFileId, MerchantId, PerkId, RewardLineId, UserId, utc_now

SESSIONS = 64
AT_SPEED = 16
PROCESSES = 4
CALLS = 1_000
CODES = 10_000
CLAIMANTS = 20_000
SPEED_CALLS = 4_000
WARM = 50
LIMIT_MS = 50
CODE_LIMIT_MS = 5
LEAST_RATIO = 1 / 3
_FILL = """
INSERT INTO users (id, merchant_id, email, email_key, name_key, state, source, mail_status,
    created_at, version)
SELECT cohort_new_id(), %(merchant)s, 'm' || n || '@example.com', 'm' || n || '@example.com',
    'm' || n, 'active', 'import', 'ok', now(), 1
FROM generate_series(1, %(count)s::bigint) AS n
"""
_CODES = """
INSERT INTO perk_codes (id, merchant_id, perk_id, file_id, fingerprint, sealed, state)
SELECT cohort_new_id(), %(merchant)s, %(perk)s, %(file)s, decode(md5(n::text), 'hex'),
    decode(md5(n::text), 'hex'), 'free'
FROM generate_series(1, %(count)s::bigint) AS n
"""

Call = tuple[RewardLineId, UserId, UUID]
Part = TypeVar("Part")


class Ground:
    """A merchant, members, and what there is to give."""

    def __init__(self, merchant: MerchantId) -> None:
        self.merchant = merchant
        self.url = EmbeddedPostgres(core_settings().data_dir / "postgres").owner_url
        self._dsn = self.url.replace("+psycopg", "")

    def fill(self, count: int) -> list[UserId]:
        """So many members."""
        self.sql(_FILL, count=count)
        with psycopg.connect(self._dsn) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM users ORDER BY id")]

    def sql(self, statement: str, **values: Any) -> None:
        """A statement of the owner."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(statement, {"merchant": self.merchant, **values})

    def line(self, *, total: int | None = None, codes: int = 0) -> RewardLineId:
        """A line of a new perk, with a pool if there are codes."""
        with unit_of_work(merchant=self.merchant) as session:
            perk = Perk(
                id=PerkId(new_id()),
                internal_name=f"Perk {new_id()}",
                title="Coffee",
                subtitle="",
                description="",
                redemption=RedemptionType.UNIQUE_CODE if codes else RedemptionType.NONE,
                total_quantity=total,
                code_count=codes,
                uses_per_holding=1,
                state=PerkState.LIVE,
                created_at=utc_now(),
            )
            session.add(perk)
            session.flush()
            line = make_line(session, Choice(perk_id=perk.id))
            if codes:
                file = CodeFile(
                    id=CodeFileId(new_id()),
                    perk_id=perk.id,
                    name="codes",
                    state=CodeFileState.COMPLETED,
                    actor="bench",
                    created_at=utc_now(),
                )
                session.add(file)
        if codes:
            self.sql(_CODES, perk=perk.id, file=file.id, count=codes)
            self.sql("VACUUM ANALYZE perk_codes")
        return line.id

    def ask(self, call: Call) -> tuple[str, float]:
        """What came of it, and how many milliseconds it took with its transaction."""
        line_id, user, source = call
        started = time.perf_counter()
        try:
            with unit_of_work(merchant=self.merchant) as session:
                line = session.get_one(RewardLine, line_id)
                origin = Source(GrantSource.CLAIM, source)
                given = grant(session, line, user, source=origin, at=utc_now())
                outcome = "given" if given.is_new else "known"
        except AppError as error:
            outcome = error.code
        return outcome, (time.perf_counter() - started) * 1000

    def ask_all(self, calls: Sequence[Call], sessions: int) -> list[tuple[str, float]]:
        """Every call, so many at a time."""
        with ThreadPoolExecutor(sessions) as pool:
            return list(pool.map(self.ask, calls))

    def held(self, line: RewardLineId) -> tuple[int, int]:
        """How many grants the line has in members' hands, and how many codes these are."""
        with unit_of_work(merchant=self.merchant) as session:
            grants = select(Grant.id).where(Grant.reward_line_id == line)
            holdings = select(Holding.id).where(Holding.grant_id.in_(grants))
            codes = func.count(PerkCode.fingerprint.distinct())
            return (
                session.scalar(select(func.count()).select_from(holdings.subquery())) or 0,
                session.scalar(select(codes).where(PerkCode.holding_id.in_(holdings))) or 0,
            )


def cheat(ground: Ground, users: Sequence[UserId]) -> tuple[int, int, float]:
    """How many were given too many, and given twice, and claims a second of the codes."""
    last = ground.line(total=1)
    ground.ask_all([(last, user, new_id()) for user in users[:CALLS]], SESSIONS)
    oversold = ground.held(last)[0] - 1

    same, source = ground.line(), new_id()
    answers = ground.ask_all([(same, users[0], source)] * CALLS, SESSIONS)
    doubled = ground.held(same)[0] - 1
    if sorted({outcome for outcome, _ in answers}) != ["given", "known"]:
        raise RuntimeError("Equal calls were not all answered alike.")

    pool = ground.line(codes=CODES)
    calls = [(pool, user, new_id()) for user in users[:CLAIMANTS]]
    started = time.monotonic()
    ground.ask_all(calls, SESSIONS)
    seconds = time.monotonic() - started
    holdings, codes = ground.held(pool)
    if holdings < CODES:
        raise RuntimeError(f"Only {holdings} of {CODES} codes were given.")
    return oversold + holdings - CODES, doubled + holdings - codes, len(calls) / seconds


Sent = list[tuple[str, dict[str, Any]]]


@contextmanager
def watched(note: Callable[[str, dict[str, Any], float], None]) -> Iterator[None]:
    """Inside the block `note` hears of every statement: its text, parameters, milliseconds."""
    engine = create_engine(_login_url(), pool_size=1)
    began = [0.0]

    def before(*_: Any) -> None:
        began[0] = time.perf_counter()

    def after(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        note(statement, dict(values), (time.perf_counter() - began[0]) * 1000)

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    with use_bind(engine):
        yield
    engine.dispose()


def _login_url() -> str:
    return EmbeddedPostgres(core_settings().data_dir / "postgres").login_url


@contextmanager
def sessions() -> Iterator[None]:
    """Inside the block as many calls as there may be at once have a session each."""
    engine = create_engine(_login_url(), pool_size=SESSIONS)
    with use_bind(engine):
        yield
    engine.dispose()


def at_speed(ground: Ground, calls: Sequence[Call]) -> tuple[list[float], float]:
    """Milliseconds of each call, and grants a second, of sixteen sessions."""
    started = time.monotonic()
    waits = in_processes(partial(_ask_here, ground), calls)
    return list(chain.from_iterable(waits)), len(calls) / (time.monotonic() - started)


def _ask_here(ground: Ground, calls: Sequence[Call]) -> list[float]:
    with sessions():
        return [wait for _, wait in ground.ask_all(calls, AT_SPEED // PROCESSES)]


def in_processes(work: Callable[[Sequence[Call]], Part], calls: Sequence[Call]) -> list[Part]:
    """Each process does its share, as processes of the web server do."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        return list(pool.map(work, [calls[n::PROCESSES] for n in range(PROCESSES)]))


def floor(recorded: Sent, known: Call, calls: Sequence[Call]) -> float:
    """Grants a second when what one call sent is sent by psycopg alone, for other members."""
    started = time.monotonic()
    in_processes(partial(_send_here, recorded, known), calls)
    return len(calls) / (time.monotonic() - started)


def _send_here(recorded: Sent, known: Call, calls: Sequence[Call]) -> None:
    dsn = _login_url().replace("+psycopg", "")
    _, user, source = known
    count = AT_SPEED // PROCESSES
    lanes: list[list[Call]] = [list(calls[n::count]) for n in range(count)]

    def work(lane: Sequence[Call]) -> None:
        with psycopg.connect(dsn) as connection:
            for _, other, another in lane:
                changed: dict[object, object] = {user: other, source: another}
                for statement, values in recorded:
                    sent = {
                        name: changed.get(value, value) if isinstance(value, UUID) else value
                        for name, value in values.items()
                    }
                    connection.execute(statement.encode(), sent)
                connection.commit()

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, lanes))


def assign(ground: Ground, users: Sequence[UserId], codes: int) -> list[float]:
    """Milliseconds of the statement that gives a perk with one of so many codes."""
    line = ground.line(codes=codes)
    waits: list[float] = []

    def note(statement: str, _values: Any, milliseconds: float) -> None:
        if "perk_codes" in statement:
            waits.append(milliseconds)

    with watched(note):
        for user in users:
            ground.ask((line, user, new_id()))
    if ground.held(line) != (len(users), len(users)):
        raise RuntimeError("Not every member has a code.")
    return waits[WARM:]


def p99(values: Sequence[float]) -> float:
    """What one in a hundred takes longer than."""
    return round(statistics.quantiles(values, n=100)[98], 1)


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    pool = int(os.environ.get("N") or 10_000_000)
    with installation() as merchant, sessions():
        ground = Ground(merchant)
        users = ground.fill(CLAIMANTS)
        oversold, doubled, claims = cheat(ground, users)

        line = ground.line()
        first: Call = (line, users[-1], new_id())
        sent: Sent = []
        with watched(lambda statement, values, _: sent.append((statement, values))):
            ground.ask(first)
        ask = [(line, user, new_id()) for user in users[:SPEED_CALLS]]
        waits, per_second = at_speed(ground, ask)
        others = [(line, user, new_id()) for user in users[SPEED_CALLS : 2 * SPEED_CALLS]]
        least = floor(sent, first, others)
        if ground.held(line)[0] != 2 * SPEED_CALLS + 1:
            raise RuntimeError("The floor did not give what the product gave.")
        codes = assign(ground, users[: CALLS + WARM], pool)
    decision, assigned, ratio = p99(waits), p99(codes), per_second / least
    report = {
        "bench": "grants",
        "oversold": oversold,
        "doubled": doubled,
        "claims_per_second": round(claims),
        "grants_per_second": round(per_second),
        "decision_p99_ms": decision,
        "floor_per_second": round(least),
        "ratio": round(ratio, 2),
        "codes": pool,
        "code_assign_p99_ms": assigned,
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>12}")
    print(json.dumps(report))
    is_exact = oversold == doubled == 0
    is_fast = decision <= LIMIT_MS and assigned <= CODE_LIMIT_MS and ratio >= LEAST_RATIO
    sys.exit(0 if is_exact and is_fast else 1)


if __name__ == "__main__":
    main()
