"""Pools: codes come in once, go out once, in their order, and nobody reads them in the tables."""

import io
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import engine
from app.accounts.models import Merchant
from app.perks import code_files, code_loading, codes, patterns, service, using
from app.perks.code_models import CodeFileState, CodeRefusal, CodeState, PerkCode
from app.perks.errors import (
    CodeUnknownError,
    NoPoolError,
    PatternInvalidError,
    PerkExhaustedError,
    PerkUnpublishableError,
    PoolFullError,
    ReasonMissingError,
)
from app.perks.models import Channel, Holding, HoldingState, Perk, PerkState
from app.perks.patterns import EASY, Pattern
from app.perks.terms import Options, RedemptionType
from core.db import unit_of_work
from core.events import Event
from core.ids import new_id
from core.secrets import SealBrokenError
from core.types import CodeFileId, GrantId, MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories import spreadsheets
from tests.factories.brand import make_members, make_other_merchant, make_perk
from tests.factories.perks import (
    code_of,
    codes_of,
    go_on,
    grants_of,
    hand_over,
    hold,
    load,
    perk_of,
)

UNIQUE = RedemptionType.UNIQUE_CODE


def refusals(session: Session) -> list[tuple[int, str]]:
    rows = session.execute(select(CodeRefusal.line, CodeRefusal.reason).order_by(CodeRefusal.line))
    return [(line, reason) for line, reason in rows]


def events(session: Session, kind: str) -> list[dict[str, object]]:
    return list(session.scalars(select(Event.data).where(Event.type == f"cohort.perk.{kind}")))


class TestImport:
    def test_every_code_of_the_file_is_in_the_pool(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        row = load(session, perk, "code,expiresAt,email\nA1,2027-01-31,\nB2,,Ada@Example.com\n")
        assert (row.state, row.added_count, row.refused_count) == (
            *(CodeFileState.COMPLETED, 2, 0),
        )
        found = codes_of(session, perk)
        assert found["A1"].expires_at is not None
        assert f"{found['A1'].expires_at:%F %T}" == "2027-01-31 23:59:59"
        assert found["B2"].reserved_for == "ada@example.com"
        assert (perk.code_count, perk.left, perk.has_reserved_codes) == (2, 2, True)
        assert events(session, "codes-added") == [
            {"perkId": str(perk.id), "added": 2, "refused": 0}
        ]

    def test_what_is_no_code_is_refused_with_line_and_reason(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "OLD\n", name="first.txt")
        row = load(
            session,
            perk,
            "code,expiresAt,email\nA,,\nA,,\n,,\nOLD,,\nB,soon,\nC,,nobody\n"
            f'"a\u200bb",,\n{"x" * 129},,\n{"y" * 128},,\nD;E,,,\n',
        )
        assert row.state is CodeFileState.COMPLETED_WITH_ERRORS
        assert refusals(session) == [
            *((3, "duplicate_in_file"), (4, "empty"), (5, "duplicate_in_pool")),
            *((6, "date_invalid"), (7, "email_invalid"), (8, "illegal_character")),
            *((9, "too_long"), (11, "illegal_character")),
        ]
        assert set(codes_of(session, perk)) == {"OLD", "A", "y" * 128}
        assert (perk.code_count, row.added_count, row.refused_count) == (3, 2, 8)
        lines = "".join(code_files.refusals_as_csv(session, row)).splitlines()
        assert lines[:2] == ["line,reason", "3,duplicate_in_file"]
        assert "OLD" not in "".join(lines)

    def test_a_text_file_has_a_code_a_line_whatever_is_in_it(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "\ufeffA,1\r\nB;2\r\n\r\nC|3", name="Codes.TXT")
        assert set(codes_of(session, perk)) == {"A,1", "B;2", "C|3"}

    def test_columns_are_known_by_their_place_without_a_header(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A;2027-01-31T10:00:00+01:00\nB;\n")
        [ends] = [it.expires_at for it in codes_of(session, perk).values() if it.expires_at]
        assert f"{ends:%F %T}" == "2027-01-31 09:00:00"

    def test_a_spreadsheet_is_read_like_a_table(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        cell = spreadsheets.text
        rows = [cell("code") + cell("expiresAt"), cell("A1") + spreadsheets.day(46_400), cell("B2")]
        load(session, perk, spreadsheets.workbook(*rows), name="codes.xlsx")
        found = codes_of(session, perk)
        assert set(found) == {"A1", "B2"}
        assert found["A1"].expires_at is not None and found["B2"].expires_at is None

    def test_a_file_that_is_none_fails_and_says_why(self, session: Session) -> None:
        row = load(session, perk_of(session, UNIQUE), b"\x00\x01\x02\x03")
        assert row.state is CodeFileState.FAILED and row.failure is not None

    def test_goes_on_at_the_part_that_was_lost_and_repeats_nothing(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(code_loading, "PART_BYTES", 200)
        perk = perk_of(session, UNIQUE)
        wanted = [f"CODE-{number:04}" for number in range(100)]
        content = io.BytesIO("\n".join(["code", *wanted]).encode())
        row = code_files.upload(session, perk, "c.csv", content, at=NOW)
        assert code_loading.run_part(session, row.id, at=NOW)
        killed = session.begin_nested()
        assert code_loading.run_part(session, row.id, at=NOW)
        killed.rollback()
        session.expire_all()
        go_on(session, row)
        assert sorted(codes_of(session, perk)) == wanted
        assert (row.added_count, row.refused_count) == (100, 0)

    def test_nothing_of_the_file_is_kept_once_it_is_read(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, UNIQUE)
            row = code_files.upload(session, perk, "c.txt", io.BytesIO(b"A\nB\n"), at=NOW)
        assert code_files.upload_path(row.id).exists()
        with unit_of_work(merchant=merchant.id) as session:
            assert not code_loading.run_part(session, row.id, at=NOW)
        assert not code_files.upload_path(row.id).exists()
        assert not code_files.table_path(row.id).exists()

    def test_nor_what_a_worker_left_that_was_killed_at_the_end(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, UNIQUE)
            read, running = (
                code_files.upload(session, perk, "c.txt", io.BytesIO(b"A\n"), at=NOW)
                for _ in range(2)
            )
            read.state = CodeFileState.COMPLETED
        torn, old = (code_files.upload_path(CodeFileId(new_id())) for _ in range(2))
        for path in (torn, old):
            path.write_bytes(b"A\n")
        os.utime(old, (0, 0))
        engine.forget_code_files()
        kept = {it.stem for it in torn.parent.iterdir()}
        assert {running.id.hex, torn.stem} <= kept
        assert not {read.id.hex, old.stem} & kept
        torn.unlink()
        code_files.forget_files(running.id)

    def test_a_perk_without_a_pool_takes_none(self, session: Session) -> None:
        with pytest.raises(NoPoolError):
            code_files.upload(session, make_perk(session), "c.csv", io.BytesIO(b"A"), at=NOW)

    def test_a_pool_has_its_limit(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(code_files, "MOST_CODES", 2)
        perk = perk_of(session, UNIQUE)
        row = load(session, perk, "A\nB\nC\n", name="c.txt")
        assert row.state is CodeFileState.FAILED and "at most 2 codes" in str(row.failure)
        session.refresh(perk)
        assert (perk.code_count, codes_of(session, perk)) == (0, {})
        with pytest.raises(PoolFullError):
            code_files.generate(session, perk, Pattern(), 3, at=NOW)


class TestGenerate:
    def test_makes_so_many_different_ones(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(code_loading, "MADE_AT_ONCE", 40)
        perk = perk_of(session, UNIQUE)
        pattern = Pattern(prefix="SUN-", length=8, has_check=True)
        row = go_on(session, code_files.generate(session, perk, pattern, 100, at=NOW))
        made = codes_of(session, perk)
        assert (row.state, row.added_count, len(made)) == (CodeFileState.COMPLETED, 100, 100)
        assert all(it.startswith("SUN-") and len(it) == 13 for it in made)
        assert all(patterns.is_sound(it[4:], EASY) for it in made)

    @pytest.mark.parametrize(
        ("field", "pattern", "count"),
        [
            ("length", Pattern(length=7), 1),
            ("length", Pattern(length=33), 1),
            ("length", Pattern(alphabet="0123456789", length=8), 100_000),
            ("alphabet", Pattern(alphabet="AAB"), 1),
            ("alphabet", Pattern(alphabet="A"), 1),
            ("alphabet", Pattern(alphabet="ABC", length=32, has_check=True), 1),
            ("prefix", Pattern(prefix="x" * 33), 1),
            ("count", Pattern(), 0),
        ],
    )
    def test_refuses_what_cannot_be_made_or_is_guessed(
        self, session: Session, field: str, pattern: Pattern, count: int
    ) -> None:
        with pytest.raises(PatternInvalidError) as refused:
            code_files.generate(session, perk_of(session, UNIQUE), pattern, count, at=NOW)
        assert list(refused.value.fields) == [field]

    @given(
        body=st.text(EASY, min_size=8, max_size=12),
        place=st.integers(0, 11),
        other=st.sampled_from(EASY),
    )
    def test_one_wrong_character_is_found(self, body: str, place: int, other: str) -> None:
        code = body + patterns.check_character(body, EASY)
        assert patterns.is_sound(code, EASY)
        place %= len(body)
        if body[place] != other:
            wrong = body[:place] + other + body[place + 1 :] + code[-1]
            assert not patterns.is_sound(wrong, EASY)


class TestSecrecy:
    def test_the_tables_do_not_tell_a_code(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "SECRET-CODE-1\n\n,\n")
        session.flush()
        for table in ("perk_codes", "code_files", "code_refusals", "events"):
            rows = session.execute(text(f"SELECT to_jsonb(t) FROM {table} t")).scalars().all()
            said = json.dumps(rows)
            assert "SECRET-CODE-1" not in said and b"SECRET-CODE-1".hex() not in said, table

    def test_a_code_moved_to_another_row_does_not_open(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A1\nB2\n")
        one, two = codes_of(session, perk).values()
        one.sealed = two.sealed
        with pytest.raises(SealBrokenError):
            codes.opened(one)

    def test_the_same_code_hashes_differently_in_another_pool(self, session: Session) -> None:
        one, two = perk_of(session, UNIQUE), perk_of(session, UNIQUE, title="Tea")
        assert codes.fingerprint_of(one.id, "A") != codes.fingerprint_of(two.id, "A")

    def test_every_reveal_leaves_an_event(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A1\n")
        holding = hold(session, perk)
        assert codes.reveal(session, holding, at=NOW) == "A1"
        assert events(session, "code-revealed") == [
            {"perkId": str(perk.id), "holdingId": str(holding.id)}
        ]
        using.revoke(session, holding, reason="wrong person", at=NOW)
        with pytest.raises(CodeUnknownError):
            codes.reveal(session, holding, at=NOW)


class TestFind:
    def test_finds_the_holding_in_whatever_pool(self, session: Session) -> None:
        perks = [perk_of(session, UNIQUE, title=name) for name in ("One", "Two")]
        for number, perk in enumerate(perks):
            load(session, perk, f"CODE-{number}\n", name="c.txt")
        holding = hold(session, perks[1])
        assert [it.id for it in codes.find(session, " CODE-1 ")] == [holding.id]

    def test_finds_one_a_pool_where_several_have_it(self, session: Session) -> None:
        held = []
        for name in ("One", "Two"):
            perk = perk_of(session, UNIQUE, title=name)
            load(session, perk, "SAME\n", name="c.txt")
            held.append(hold(session, perk, f"{name}@example.com"))
        assert [it.id for it in codes.find(session, "SAME")] == [it.id for it in held]

    @pytest.mark.parametrize("typed", ["", "code-1", "FREE", "x" * 500, "CODE-1\x00"])
    def test_finds_nothing_for_what_nobody_has(self, session: Session, typed: str) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "CODE-1\n", name="c.txt")
        hold(session, perk)
        load(session, perk, "FREE\n", name="c.txt")
        assert not codes.find(session, typed)

    def test_nor_anything_of_another_merchant(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, UNIQUE)
            load(session, perk, "CODE-1\n", name="c.txt")
            hold(session, perk)
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            assert not codes.find(session, "CODE-1")


class TestAssignment:
    def test_earlier_ends_go_first_and_the_holding_ends_with_its_code(
        self, session: Session
    ) -> None:
        perk = perk_of(session, UNIQUE, valid_until=None)
        load(session, perk, "code,expiresAt\nNEVER,\nLATE,2027-02-01\nEARLY,2027-01-01\n")
        given = [hold(session, perk) for _ in range(3)]
        assert [code_of(session, it) for it in given] == ["EARLY", "LATE", "NEVER"]
        assert [None if it.valid_until is None else it.valid_until.year for it in given] == [
            *(2027, 2027, None),
        ]

    def test_what_is_over_or_kept_for_somebody_else_is_given_to_nobody(
        self, session: Session
    ) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "code,expiresAt,email\nOVER,2020-01-01,\nKEPT,,eve@example.com\n")
        users = make_members(session, "ada@example.com", "eve@example.com")
        grants = grants_of(session, perk, users)
        assert hand_over(session, perk, grants) == 1
        [holding] = session.scalars(select(Holding))
        assert (holding.user_id, code_of(session, holding)) == (users[1], "KEPT")

    def test_what_is_kept_for_somebody_is_theirs_before_anything_else(
        self, session: Session
    ) -> None:
        perk = perk_of(session, UNIQUE)
        rows = "".join(
            f"{code},,{email}\n"
            for code, email in (
                *(("E1", "eve@example.com"), ("E2", "eve@example.com")),
                *(("A1", "ada@example.com"), ("X1", ""), ("X2", "")),
            )
        )
        load(session, perk, f"code,expiresAt,email\n{rows}")
        ada, eve, bob = make_members(session, "ada@example.com", "eve@example.com", "b@example.com")
        grants = grants_of(session, perk, [eve, ada, eve, bob, ada])
        assert hand_over(session, perk, grants) == 5
        held: dict[object, set[str]] = {}
        for holding in session.scalars(select(Holding)):
            held.setdefault(holding.user_id, set()).add(code_of(session, holding))
        assert held[eve] == {"E1", "E2"} and "A1" in held[ada] and len(held[ada]) == 2
        assert held[ada] | held[bob] == {"A1", "X1", "X2"}
        assert session.scalar(select(func.count(PerkCode.reserved_for))) == 0

    def test_fewer_codes_make_fewer_holdings(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A\nB\n", name="c.txt")
        users = make_members(session, *(f"m{n}@example.com" for n in range(5)))
        assert hand_over(session, perk, grants_of(session, perk, users)) == 2
        states = Counter(session.scalars(select(PerkCode.state)))
        assert states == {CodeState.ASSIGNED: 2}

    def test_a_thousand_have_a_thousand_different_ones(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        go_on(session, code_files.generate(session, perk, Pattern(), 1_200, at=NOW))
        users = make_members(session, *(f"m{n}@example.com" for n in range(1_000)))
        assert hand_over(session, perk, grants_of(session, perk, users)) == 1_000
        rows = session.execute(
            select(PerkCode.holding_id, Holding.id).join(Holding, Holding.id == PerkCode.holding_id)
        ).all()
        assert len({it[0] for it in rows}) == 1_000
        assert session.scalar(select(func.count()).where(PerkCode.state == CodeState.FREE)) == 200

    def test_the_database_refuses_a_second_code_of_a_holding(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A\nB\n", name="c.txt")
        holding = hold(session, perk)
        stolen = update(PerkCode).where(PerkCode.holding_id.is_(None)).values(holding_id=holding.id)
        with pytest.raises(IntegrityError, match="uq_perk_codes_holding"), session.begin_nested():
            session.execute(stolen)


class TestStock:
    def test_is_what_can_be_given_and_what_was(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE, total_quantity=10)
        load(session, perk, "A\nB\nC\n", name="c.txt")
        assert (perk.stock, perk.left) == (3, 3)
        holding = hold(session, perk)
        assert perk.left == 2
        free = next(it for it in "ABC" if it != code_of(session, holding))
        codes.void_typed(session, perk, free, reason="printed wrong", at=NOW)
        assert (perk.code_count, perk.left) == (2, 1)
        using.revoke(session, holding, reason="wrong person", at=NOW)
        assert perk.left == 1
        with pytest.raises(PerkExhaustedError) as refused:
            service.take_stock(perk, 2)
        assert (refused.value.wanted, refused.value.left) == (2, 1)

    def test_an_empty_pool_is_not_published(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE, state=PerkState.DRAFT)
        with pytest.raises(PerkUnpublishableError) as refused:
            service.publish(session, perk, at=NOW)
        assert refused.value.problems == ("codes_missing",)
        load(session, perk, "A\n", name="c.txt")
        service.publish(session, perk, at=NOW)


class TestVoid:
    def test_takes_free_and_given_ones_and_says_how_many(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A\nB\nC\n", name="c.txt")
        holding = hold(session, perk)
        given = code_of(session, holding)
        free = next(it for it in "ABC" if it != given)
        done = codes.void_typed(session, perk, f"{given}\n{free}\nZ\n", reason="leaked", at=NOW)
        assert (done.free, done.assigned, done.unknown) == (1, 1, 1)
        session.refresh(holding)
        assert holding.state is HoldingState.REVOKED
        states = {
            code: (row.state, row.void_reason) for code, row in codes_of(session, perk).items()
        }
        assert states[given] == states[free] == (CodeState.VOID, "leaked")
        assert codes.void_typed(session, perk, given, reason="leaked", at=NOW).unknown == 1
        assert events(session, "codes-voided") == [{"perkId": str(perk.id), "count": 2}]

    def test_leaves_what_was_used_as_it_is(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A\n", name="c.txt")
        holding = hold(session, perk)
        using.use(session, holding, channel=Channel.STAFF, actor="member:mem_1", at=NOW)
        done = codes.void_typed(session, perk, "A", reason="leaked", at=NOW)
        assert (done.free, done.assigned, done.used, done.unknown) == (0, 0, 1, 0)
        session.refresh(holding)
        assert holding.state is HoldingState.USED
        assert codes_of(session, perk)["A"].state is CodeState.ASSIGNED
        assert events(session, "codes-voided") == []

    def test_needs_a_reason(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A\n", name="c.txt")
        for reason in ("", "  ", "x" * 501):
            with pytest.raises(ReasonMissingError):
                codes.void_typed(session, perk, "A", reason=reason, at=NOW)
            with pytest.raises(ReasonMissingError):
                codes.void_free(session, perk, reason=reason, at=NOW)
        assert codes_of(session, perk)["A"].state is CodeState.FREE

    def test_all_that_nobody_has(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A\nB\nC\n", name="c.txt")
        hold(session, perk)
        assert codes.void_free(session, perk, reason="season is over", at=NOW) == 2
        session.refresh(perk)
        assert (perk.code_count, perk.left) == (1, 0)

    def test_at_most_so_many_at_once(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(codes, "MOST_AT_ONCE", 2)
        perk = perk_of(session, UNIQUE)
        load(session, perk, "A\nB\nC\n", name="c.txt")
        found = [codes.void_free(session, perk, reason="over", at=NOW) for _ in range(3)]
        assert found == [2, 1, 0]

    def test_what_is_over_goes_by_itself(self, session: Session) -> None:
        perk = perk_of(session, UNIQUE)
        load(session, perk, "code,expiresAt\nA,2026-06-01T11:00:00Z\nB,2026-06-02T11:00:00Z\n")
        assert codes.void_ended(session, at=NOW) == 1
        session.refresh(perk)
        assert perk.code_count == 1
        assert codes.void_ended(session, at=NOW) == 0
        assert codes.void_ended(session, at=NOW + timedelta(days=2)) == 1


class TestExport:
    def test_writes_every_code_and_leaves_an_event(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            perk = perk_of(session, UNIQUE)
            load(session, perk, "A1\n=B2\n", name="c.txt")
            codes.log_export(session, perk, at=NOW)
            assert events(session, "codes-exported") == [{"perkId": str(perk.id), "count": 2}]
        lines = "".join(codes.written(merchant, perk.id, actor="test")).splitlines()
        assert lines[0] == "code,state,expiresAt,holdingId,voidReason"
        assert sorted(lines[1:]) == ["'=B2,free,,,", "A1,free,,,"]

    def test_a_perk_without_a_pool_has_nothing_to_write(self, session: Session) -> None:
        with pytest.raises(NoPoolError):
            codes.log_export(session, make_perk(session), at=NOW)


class TestAtOnce:
    def claim(self, merchant: MerchantId, perk: Perk, grant: GrantId, together: Barrier) -> int:
        with unit_of_work(merchant=merchant) as session:
            row = session.get_one(Perk, perk.id)
            together.wait(20)
            return hand_over(session, row, [grant])

    def test_many_claim_the_last_codes_and_each_has_its_own(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            perk = perk_of(session, UNIQUE)
            load(session, perk, "A\nB\nC\nD\nE\n", name="c.txt")
            users = make_members(session, *(f"m{n}@example.com" for n in range(12)))
            grants = grants_of(session, perk, users)
        together = Barrier(12)
        with ThreadPoolExecutor(12) as pool:
            found = pool.map(lambda it: self.claim(merchant, perk, it, together), grants)
            assert sorted(found) == [0] * 7 + [1] * 5
        with unit_of_work(merchant=merchant) as session:
            given = [code_of(session, it) for it in session.scalars(select(Holding))]
            assert sorted(given) == ["A", "B", "C", "D", "E"]

    def test_two_files_with_the_same_codes_make_one_of_each(self, committed: None) -> None:
        merchant = make_merchant().id
        wanted = [f"CODE-{number}" for number in range(200)]
        with unit_of_work(merchant=merchant) as session:
            perk = perk_of(session, UNIQUE)
            rows = [
                code_files.upload(session, perk, "c.txt", io.BytesIO(content.encode()), at=NOW).id
                for content in ("\n".join(wanted), "\n".join(reversed(wanted)))
            ]
        together = Barrier(2)

        def read(number: int) -> None:
            with unit_of_work(merchant=merchant) as session:
                together.wait(20)
                assert not code_loading.run_part(session, rows[number], at=NOW)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(read, range(2)))
        with unit_of_work(merchant=merchant) as session:
            assert sorted(codes_of(session, perk)) == sorted(wanted)
            assert session.get_one(Perk, perk.id).code_count == 200
            assert {reason for _, reason in refusals(session)} == {"duplicate_in_pool"}


class TestPools:
    @pytest.mark.parametrize(
        ("kind", "terms", "has_pool"),
        [
            (UNIQUE, Options(), True),
            (RedemptionType.LINK, Options(url="https://a.example/?c={{code}}"), True),
            (RedemptionType.LINK, Options(url="https://a.example/?u={{userId}}"), False),
            (RedemptionType.SCAN, Options(), False),
            (RedemptionType.SHARED_CODE, Options(code="X"), False),
        ],
    )
    def test_only_what_shows_a_code_of_its_own_has_one(
        self, session: Session, kind: RedemptionType, terms: Options, has_pool: bool
    ) -> None:
        assert perk_of(session, kind, terms=terms).has_pool is has_pool
