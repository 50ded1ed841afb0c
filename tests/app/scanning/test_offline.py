"""What devices accepted without connection: judged once, with its own time, and nothing is lost."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.passes import keys
from app.passes.tokens import parse, sign
from app.perks import using
from app.perks.models import Holding, Redemption
from app.scanning import devices, offline, queries
from app.scanning.models import OfflineScan, Outcome
from app.scanning.offline import Queued
from app.scanning.scanner import Scanner
from app.users.models import User, UserState
from core.db import unit_of_work
from minting.models import PassState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant
from tests.factories.passes import make_code, make_pass
from tests.factories.perks import make_place
from tests.factories.scanning import code_for, make_device, make_holding

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def scanner(session: Session) -> Scanner:
    """A device at a place that allows it."""
    return allowed(session, "Till")


def allowed(session: Session, name: str) -> Scanner:
    scanner = make_device(session, name=name)[0]
    assert scanner.place_id is not None
    devices.allow_offline(session, scanner.place_id, is_allowed=True, at=NOW)
    return scanner


def queued(token: str, at: datetime = NOW, identifier: UUID | None = None) -> Queued:
    return Queued(identifier or uuid4(), token, at)


def judge(
    session: Session, scanner: Scanner, *items: Queued, at: datetime = NOW + HOUR
) -> list[tuple[Outcome, str | None]]:
    return [(row.outcome, row.reason) for row in offline.sync(session, scanner, items, at=at)]


def redemptions(session: Session) -> list[datetime]:
    return list(session.scalars(select(Redemption.occurred_at).order_by(Redemption.id)))


class TestTerms:
    def test_hold_the_keys_where_it_is_allowed(self, session: Session, scanner: Scanner) -> None:
        key = keys.current(session, at=NOW)
        terms = offline.terms(session, scanner, at=NOW)
        assert (terms["allowed"], terms["now"]) == (True, "2026-06-01T12:00:00.000Z")
        assert [it["kid"] for it in terms["keys"]] == [key.id]

    def test_hold_none_where_it_is_not(self, session: Session) -> None:
        keys.current(session, at=NOW)
        device = make_device(session)[0]
        for who in (device, Scanner(device.merchant, "member:x")):
            terms = offline.terms(session, who, at=NOW)
            assert (terms["allowed"], terms["keys"]) == (False, [])


class TestSync:
    def test_accepts_with_the_original_time(self, session: Session, scanner: Scanner) -> None:
        token = code_for(session, make_holding(session))
        assert judge(session, scanner, queued(token)) == [(Outcome.ACCEPTED, None)]
        assert redemptions(session) == [NOW]

    def test_again_answers_the_same_and_takes_nothing(
        self, session: Session, scanner: Scanner
    ) -> None:
        holding = make_holding(session, uses_per_holding=3)
        item = queued(code_for(session, holding))
        first = judge(session, scanner, item)
        assert judge(session, scanner, item, at=NOW + DAY) == first
        assert len(redemptions(session)) == 1

    def test_the_same_code_of_another_device_is_a_conflict_with_the_first_time(
        self, session: Session, scanner: Scanner
    ) -> None:
        other = allowed(session, "Other")
        token = code_for(session, make_holding(session, uses_per_holding=3))
        judge(session, scanner, queued(token, NOW))
        [row] = offline.sync(session, other, [queued(token, NOW + MINUTE)], at=NOW + HOUR)
        assert (row.outcome, row.reason, row.first_at) == ("conflict", "already_used", NOW)
        [(found, device, _)] = queries.list_conflicts(session)
        assert (found.id, device) == (row.id, "Other")
        assert len(redemptions(session)) == 1

    def test_one_that_was_used_online_meanwhile_is_a_conflict(
        self, session: Session, scanner: Scanner
    ) -> None:
        holding = make_holding(session)
        token = code_for(session, holding)
        using.use(session, holding, channel=using.Channel.STAFF, actor="member:x", at=NOW)
        assert judge(session, scanner, queued(token)) == [(Outcome.CONFLICT, "already_used")]

    def test_one_of_a_member_who_was_blocked_is_a_conflict(
        self, session: Session, scanner: Scanner
    ) -> None:
        holding = make_holding(session)
        token = code_for(session, holding)
        session.get_one(User, holding.user_id).state = UserState.BLOCKED
        session.flush()
        assert judge(session, scanner, queued(token)) == [(Outcome.CONFLICT, "suspended")]
        assert redemptions(session) == []

    def test_one_that_was_revoked_is_a_conflict(self, session: Session, scanner: Scanner) -> None:
        holding = make_holding(session)
        token = code_for(session, holding)
        using.revoke(session, holding, reason="x", at=NOW)
        assert judge(session, scanner, queued(token)) == [(Outcome.CONFLICT, "revoked")]

    def test_one_whose_time_was_over_is_expired(self, session: Session, scanner: Scanner) -> None:
        holding = make_holding(session)
        token = code_for(session, holding)
        holding.valid_until = NOW - MINUTE
        session.flush()
        assert judge(session, scanner, queued(token)) == [(Outcome.EXPIRED, "expired")]

    @pytest.mark.parametrize(
        ("scanned", "synced", "reason"),
        [
            (timedelta(seconds=91), HOUR, "token_expired"),
            (timedelta(seconds=-31), HOUR, "token_not_yet_valid"),
            (timedelta(), 8 * DAY, "token_expired"),
            (timedelta(seconds=30), -5 * MINUTE, "token_expired"),
        ],
    )
    def test_out_of_time_is_expired(
        self,
        session: Session,
        scanner: Scanner,
        scanned: timedelta,
        synced: timedelta,
        reason: str,
    ) -> None:
        item = queued(code_for(session, make_holding(session)), NOW + scanned)
        found = judge(session, scanner, item, at=NOW + synced)
        assert found == [(Outcome.EXPIRED, reason)]
        assert redemptions(session) == []

    @pytest.mark.parametrize("text", ["SUMMER-1", "x.y", "/v/nothing"])
    def test_what_nobody_signed_is_never_accepted(
        self, session: Session, scanner: Scanner, text: str
    ) -> None:
        assert judge(session, scanner, queued(text)) == [(Outcome.CONFLICT, "token_forged")]

    @pytest.mark.parametrize("by", ["altered", "another key", "an unknown key"])
    def test_a_forged_one_neither(self, session: Session, scanner: Scanner, by: str) -> None:
        token = code_for(session, make_holding(session, uses_per_holding=9))
        claims = parse(token).claims
        if by == "altered":
            token = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
        else:
            known = claims.key_id if by == "another key" else "zzzzzzzz"
            token = sign(replace(claims, nonce=bytes(8), key_id=known), bytes(32))
        assert judge(session, scanner, queued(token)) == [(Outcome.CONFLICT, "token_forged")]
        assert redemptions(session) == []

    def test_nor_one_of_another_brand(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            token = code_for(session, make_holding(session))
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            found = judge(session, allowed(session, "Till"), queued(token))
            assert found == [(Outcome.CONFLICT, "token_forged")]
            assert redemptions(session) == []

    def test_where_it_is_not_allowed_it_is_listed_for_people(self, session: Session) -> None:
        scanner = make_device(session)[0]
        token = code_for(session, make_holding(session))
        found = judge(session, scanner, queued(token))
        assert found == [(Outcome.CONFLICT, "offline_not_allowed")]
        assert len(queries.list_conflicts(session)) == 1 and redemptions(session) == []

    def test_a_pass_is_accepted_once(self, session: Session, scanner: Scanner) -> None:
        make_pass(session, state=PassState.MINTING)
        token = make_code(session, NOW)
        assert judge(session, scanner, queued(token), queued(token)) == [
            (Outcome.ACCEPTED, None),
            (Outcome.CONFLICT, "already_used"),
        ]

    def test_the_older_scan_of_a_queue_comes_first(
        self, session: Session, scanner: Scanner
    ) -> None:
        holding = make_holding(session)
        late = queued(code_for(session, holding, NOW + MINUTE), NOW + MINUTE)
        early = queued(code_for(session, holding), NOW)
        rows = offline.sync(session, scanner, [late, early], at=NOW + HOUR)
        assert [(row.id, row.outcome) for row in rows] == [
            (early.id, Outcome.ACCEPTED),
            (late.id, Outcome.CONFLICT),
        ]

    def test_one_refused_item_spoils_no_other(self, session: Session, scanner: Scanner) -> None:
        good = [
            queued(code_for(session, make_holding(session, f"m{it}@example.com")), NOW)
            for it in range(2)
        ]
        found = judge(session, scanner, good[0], queued("nonsense"), good[1])
        assert sorted(outcome for outcome, _ in found) == ["accepted", "accepted", "conflict"]
        assert len(redemptions(session)) == 2

    def test_the_same_queue_twice_at_once_is_judged_once(self, committed: None) -> None:
        merchant, together = make_merchant().id, Barrier(4)
        with unit_of_work(merchant=merchant) as session:
            holding = make_holding(session, uses_per_holding=9)
            scanner = make_device(session, make_place(session))[0]
            assert scanner.place_id is not None
            devices.allow_offline(session, scanner.place_id, is_allowed=True, at=NOW)
            items = [queued(code_for(session, holding)) for _ in range(3)]

        def send(_: int) -> list[str]:
            with unit_of_work(merchant=merchant) as session:
                together.wait(20)
                rows = offline.sync(session, scanner, items, at=NOW + HOUR)
                return [row.outcome for row in rows]

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(send, range(4))) == [["accepted"] * 3] * 4
        with unit_of_work(merchant=merchant) as session:
            assert session.get_one(Holding, holding.id).uses_left == 6
            assert session.scalar(select(func.count()).select_from(OfflineScan)) == 3
