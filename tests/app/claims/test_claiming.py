"""One code, one use: whoever asks, in whatever order, at the same moment."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.claims import claiming, service
from app.claims.claiming import Attempt, Claimed, Offer, claim, look
from app.claims.codes import in_groups
from app.claims.guessing import network_of
from app.claims.models import (
    ClaimAudience,
    ClaimBatch,
    ClaimCode,
    ClaimOpening,
    ClaimPlace,
    ClaimUse,
)
from app.claims.seeds import code_of
from app.perks.models import Holding, Perk, PerkState
from app.perks.terms import RedemptionType
from app.rewards.lines import Choice
from app.rewards.models import Grant, GrantRefusal, GrantSource, RewardLine
from app.segments import rules as segment_rules
from app.segments import service as segments
from app.segments.models import Segment, SegmentMember
from app.users import lists
from app.users.models import User
from app.users.queries import only
from core.db import unit_of_work
from core.errors import AppError
from core.events import Event
from core.ids import encode_id
from core.types import ClaimBatchId, MerchantId, UserId
from minting.models import Token
from tests.conftest import NOW, make_merchant, wait_until
from tests.factories.brand import make_asset, make_members, make_other_merchant, make_perk
from tests.factories.claims import make_batch
from tests.factories.perks import make_place, perk_of

NETWORK = network_of("192.0.2.1")


def attempt(batch: ClaimBatch, position: int = 1) -> Attempt:
    return Attempt(code_of(batch, position), NETWORK)


def user_of(session: Session, email: str = "ada@example.com") -> User:
    return session.get_one(User, make_members(session, email)[0])


@pytest.fixture
def user(session: Session) -> User:
    """A member."""
    return user_of(session)


def answer_of(outcome: Claimed | Offer | AppError) -> tuple[int, str]:
    """Status and code of an answer."""
    if isinstance(outcome, AppError):
        return outcome.status, outcome.code
    return 200, "claimed" if isinstance(outcome, Claimed) else "offer"


def left_of(session: Session, position: int = 1) -> int | None:
    return session.scalar(select(ClaimCode.uses_left).where(ClaimCode.position == position))


class TestClaim:
    def test_gives_the_reward_and_uses_the_code_up(self, session: Session, user: User) -> None:
        batch = make_batch(session)
        given = claim(session, user, attempt(batch), at=NOW)
        assert isinstance(given, Claimed) and given.given.is_new
        use = session.scalars(select(ClaimUse)).one()
        grant = session.get_one(Grant, use.grant_id)
        assert (use.batch_id, use.position, use.user_id) == (batch.id, 1, user.id)
        assert (grant.source_type, grant.source_id) == (GrantSource.CLAIM, batch.id)
        assert session.scalars(select(Holding.user_id)).one() == user.id
        assert left_of(session) == 0
        told = session.scalars(select(Event).where(Event.type == "cohort.claim.redeemed")).one()
        perk = session.scalars(select(Perk)).one()
        assert told.user_id == user.id
        assert told.data == {
            "batchId": encode_id("clb", batch.id),
            "rewardId": encode_id("prk", perk.id),
        }

    def test_queues_the_token_of_a_digital_asset(self, session: Session, user: User) -> None:
        batch = make_batch(session, choice=Choice(make_asset(session).id))
        assert isinstance(claim(session, user, attempt(batch), at=NOW), Claimed)
        assert session.scalars(select(Token.user_id)).one() == user.id

    def test_however_the_code_was_typed(self, session: Session, user: User) -> None:
        batch = make_batch(session)
        typed = in_groups(code_of(batch, 1)).lower().replace("0", "o").replace("1", "l")
        outcome = claim(session, user, Attempt(typed, NETWORK), at=NOW)
        assert isinstance(outcome, Claimed)

    def test_a_code_of_several_uses_serves_several(self, session: Session, user: User) -> None:
        batch = make_batch(session, uses_per_code=2)
        other = user_of(session, "bob@example.com")
        late = user_of(session, "eve@example.com")
        outcomes = [claim(session, it, attempt(batch), at=NOW) for it in (user, other, late)]
        assert [answer_of(it)[1] for it in outcomes] == ["claimed", "claimed", "code_used"]

    def test_a_member_uses_as_many_as_the_batch_allows(self, session: Session, user: User) -> None:
        batch = make_batch(session, codes=3, max_per_user=2)
        outcomes = [claim(session, user, attempt(batch, it), at=NOW) for it in (1, 2, 3)]
        assert [answer_of(it) for it in outcomes] == [
            *((200, "claimed"),) * 2,
            (409, "already_claimed"),
        ]
        assert set(session.scalars(select(Grant.ordinal))) == {0, 1}
        assert left_of(session, 3) == 1


class TestRefusal:
    """Each says why, is remembered, and leaves the code as it was."""

    def refused(
        self, session: Session, user: User, tried: Attempt, status: int, code: str
    ) -> AppError:
        before = _counts(session)
        outcome = claim(session, user, tried, at=NOW)
        assert answer_of(outcome) == (status, code)
        assert isinstance(outcome, AppError)
        assert _counts(session) == before
        return outcome

    def remembered(self, session: Session) -> list[tuple[str, str]]:
        rows = session.execute(select(GrantRefusal.source_type, GrantRefusal.code))
        return [(source, code) for source, code in rows]

    def test_the_code_is_used(self, session: Session, user: User) -> None:
        batch = make_batch(session)
        claim(session, user, attempt(batch), at=NOW)
        self.refused(session, user_of(session, "bob@example.com"), attempt(batch), 409, "code_used")
        assert self.remembered(session) == [("claim", "code_used")]

    def test_the_same_answer_is_remembered_once_an_hour(self, session: Session, user: User) -> None:
        batch = make_batch(session)
        service.close(session, batch, at=NOW)
        for minutes in (0, 1, 59, 60, 61):
            claim(session, user, attempt(batch), at=NOW + timedelta(minutes=minutes))
        assert self.remembered(session) == [("claim", "code_disabled")] * 2

    def test_the_member_used_it(self, session: Session, user: User) -> None:
        batch = make_batch(session)
        claim(session, user, attempt(batch), at=NOW)
        self.refused(session, user, attempt(batch), 409, "already_claimed")

    def test_nothing_is_left_of_the_reward(self, session: Session, user: User) -> None:
        perk = make_perk(session, total_quantity=1)
        batch = make_batch(session, choice=Choice(perk_id=perk.id), codes=2)
        claim(session, user_of(session, "bob@example.com"), attempt(batch), at=NOW)
        self.refused(session, user, attempt(batch, 2), 409, "stock_exhausted")
        assert left_of(session, 2) == 1
        perk.total_quantity = 2
        session.flush()
        assert isinstance(claim(session, user, attempt(batch, 2), at=NOW), Claimed)

    def test_no_code_is_left_in_the_pool_of_the_perk(self, session: Session, user: User) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        batch = make_batch(session, choice=Choice(perk_id=perk.id))
        self.refused(session, user, attempt(batch), 409, "stock_exhausted")
        assert left_of(session) == 1

    def test_nothing_is_left_of_the_edition(self, session: Session, user: User) -> None:
        asset = make_asset(session, max_supply=1)
        batch = make_batch(session, choice=Choice(asset.id), codes=2)
        claim(session, user_of(session, "bob@example.com"), attempt(batch), at=NOW)
        self.refused(session, user, attempt(batch, 2), 409, "stock_exhausted")

    def test_the_member_has_as_many_as_anybody_may(self, session: Session, user: User) -> None:
        perk = make_perk(session, max_per_user=1)
        batch = make_batch(session, choice=Choice(perk_id=perk.id), codes=2, max_per_user=2)
        claim(session, user, attempt(batch), at=NOW)
        self.refused(session, user, attempt(batch, 2), 409, "per_user_limit")

    def test_the_reward_is_given_no_more(self, session: Session, user: User) -> None:
        perk = make_perk(session)
        batch = make_batch(session, choice=Choice(perk_id=perk.id))
        perk.state = PerkState.ARCHIVED
        session.flush()
        error = self.refused(session, user, attempt(batch), 410, "code_disabled")
        assert "Publish" not in str(error)

    def test_the_time_is_over_or_has_not_come(self, session: Session, user: User) -> None:
        hour = timedelta(hours=1)
        batch = make_batch(session, valid_from=NOW + hour, valid_until=NOW + 2 * hour)
        self.refused(session, user, attempt(batch), 409, "code_not_open")
        late = claim(session, user, attempt(batch), at=NOW + 2 * hour)
        assert answer_of(late) == (410, "code_expired")
        service.extend(session, batch, None, at=NOW)
        assert answer_of(claim(session, user, attempt(batch), at=NOW + 2 * hour))[0] == 200

    def test_the_batch_is_closed(self, session: Session, user: User) -> None:
        batch = make_batch(session)
        service.close(session, batch, at=NOW)
        self.refused(session, user, attempt(batch), 410, "code_disabled")
        service.reopen(session, batch, at=NOW)
        assert isinstance(claim(session, user, attempt(batch), at=NOW), Claimed)

    def test_the_code_is_disabled_and_no_other_is(self, session: Session, user: User) -> None:
        batch = make_batch(session, codes=2, max_per_user=2)
        service.disable(session, batch, 1, is_disabled=True, at=NOW)
        self.refused(session, user, attempt(batch), 410, "code_disabled")
        assert isinstance(claim(session, user, attempt(batch, 2), at=NOW), Claimed)
        service.disable(session, batch, 1, is_disabled=False, at=NOW)
        assert isinstance(claim(session, user, attempt(batch), at=NOW), Claimed)

    def test_the_member_is_not_on_the_list(self, session: Session, user: User) -> None:
        row = lists.create(session, "Guests", at=NOW)
        batch = make_batch(session, audience_kind=ClaimAudience.LIST, audience_id=row.id)
        self.refused(session, user, attempt(batch), 403, "not_in_audience")
        lists.add(session, row, only(user.id), reason="test", at=NOW)
        assert isinstance(claim(session, user, attempt(batch), at=NOW), Claimed)

    def test_the_member_is_not_in_the_segment(
        self, session: Session, user: User, segment: Segment
    ) -> None:
        batch = make_batch(session, audience_kind=ClaimAudience.SEGMENT, audience_id=segment.id)
        self.refused(session, user, attempt(batch), 403, "not_in_audience")
        session.add(SegmentMember(segment_id=segment.id, user_id=user.id, since=NOW))
        session.flush()
        assert isinstance(claim(session, user, attempt(batch), at=NOW), Claimed)

    @pytest.fixture
    def segment(self, session: Session) -> Segment:
        """A segment nobody is in."""
        asked = {"kind": "property", "field": "email", "op": "is_set"}
        rule = segment_rules.load({"groups": [{"conditions": [asked]}]})
        return segments.create(session, rule, name="S", at=NOW)

    def test_a_bug_is_no_answer(
        self, session: Session, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise AppError("ours")

        batch = make_batch(session)
        monkeypatch.setattr(claiming, "grant", broken)
        with pytest.raises(AppError, match="ours"):
            claim(session, user, attempt(batch), at=NOW)


def _counts(session: Session) -> list[object]:
    session.expire_all()
    counted = [session.scalar(select(func.count()).select_from(it)) for it in (Grant, ClaimUse)]
    sums = (func.sum(ClaimCode.uses_left), func.sum(RewardLine.granted_count))
    return [*counted, *(session.scalar(select(it)) for it in sums)]


class TestLook:
    def test_uses_nothing_up_and_is_counted(self, session: Session) -> None:
        batch = make_batch(session)
        for _ in range(3):
            offer = look(session, attempt(batch), at=NOW)
            assert isinstance(offer, Offer) and offer.reward.title == "Coffee"
        assert left_of(session) == 1
        assert session.scalars(select(ClaimOpening.opened_count)).one() == 3
        session.expire_all()
        assert session.scalars(select(ClaimCode.opened_count)).one() == 3
        assert session.scalars(select(GrantRefusal)).all() == []

    def test_says_what_a_claim_would(self, session: Session, user: User) -> None:
        batch = make_batch(session, codes=2)
        claim(session, user, attempt(batch), at=NOW)
        second = look(session, attempt(batch, 2), user, at=NOW)
        assert answer_of(second) == (409, "already_claimed")
        assert isinstance(look(session, attempt(batch, 2), at=NOW), Offer)
        assert answer_of(look(session, attempt(batch), user, at=NOW)) == (409, "already_claimed")
        assert answer_of(look(session, attempt(batch), at=NOW)) == (409, "code_used")
        service.close(session, batch, at=NOW)
        assert answer_of(look(session, attempt(batch), at=NOW))[1] == "code_used"

    def test_unknown_malformed_and_foreign_codes_answer_alike(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            theirs = code_of(make_batch(session), 1)
        with unit_of_work(merchant=merchant.id) as session:
            answers = [
                look(session, Attempt(typed, NETWORK), at=NOW)
                for typed in (theirs, "A" * 26, "nonsense", "", "\0", "ü" * 26)
            ]
        assert {answer_of(it) for it in answers} == {(404, "code_unknown")}
        assert len({str(it) for it in answers}) == 1

    def test_they_cost_the_same_work(self, merchant: Merchant) -> None:
        """The same statements in the same order, whatever was typed."""
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            theirs = code_of(make_batch(session), 1)
        work = []
        for typed in (theirs, "A" * 26, "nonsense", ""):
            with unit_of_work(merchant=merchant.id) as session, statements(session) as seen:
                look(session, Attempt(typed, network_of(typed)), at=NOW)
            work.append(seen)
        assert work[0] == work[1] == work[2] == work[3] and len(work[0]) == 3


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """Every statement that is sent inside the block."""
    seen: list[str] = []

    def note(*args: Any) -> None:
        seen.append(args[2])

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    yield seen
    event.remove(connection, "before_cursor_execute", note)


class TestTogether:
    """Many sessions at once."""

    def test_a_code_of_one_use_serves_one_of_64(self, committed: None) -> None:
        merchant, code, users = _stage(64)
        outcomes = _all_at_once(merchant, [(user, code) for user in users])
        assert sorted(outcomes) == ["claimed", *["code_used"] * 63]
        assert _given(merchant) == 1

    def test_64_codes_and_a_stock_of_one_serve_one(self, committed: None) -> None:
        merchant, batch, users = _stage_batch(64, codes=64, total_quantity=1)
        with unit_of_work(merchant=merchant) as session:
            found = session.get_one(ClaimBatch, batch)
            asked = [(user, code_of(found, place)) for place, user in enumerate(users, start=1)]
        outcomes = _all_at_once(merchant, asked)
        assert sorted(outcomes) == ["claimed", *["stock_exhausted"] * 63]
        assert _given(merchant) == 1

    def test_a_member_with_many_codes_has_one(self, committed: None) -> None:
        merchant, batch, [user] = _stage_batch(1, codes=32)
        with unit_of_work(merchant=merchant) as session:
            found = session.get_one(ClaimBatch, batch)
            asked = [(user, code_of(found, place)) for place in range(1, 33)]
        outcomes = _all_at_once(merchant, asked)
        assert sorted(outcomes) == [*["already_claimed"] * 31, "claimed"]
        assert _given(merchant) == 1

    def test_a_double_click_is_one_use(self, committed: None) -> None:
        merchant, batch, [user] = _stage_batch(1, uses_per_code=100)
        with unit_of_work(merchant=merchant) as session:
            code = code_of(session.get_one(ClaimBatch, batch), 1)
        outcomes = _all_at_once(merchant, [(user, code)] * 16)
        assert sorted(outcomes) == [*["already_claimed"] * 15, "claimed"]

    def test_at_one_place_everybody_is_counted(self, committed: None) -> None:
        """Pages are opened and codes claimed at the same moment, and nobody waits for ever."""
        merchant, batch_id, users = _stage_batch(16, codes=16)
        with unit_of_work(merchant=merchant) as session:
            batch = session.get_one(ClaimBatch, batch_id)
            codes = [code_of(batch, place) for place in range(1, 17)]
            bar = make_place(session, "Bar").id
        barrier = Barrier(16)

        def visit(number: int) -> str:
            tried = Attempt(codes[number], NETWORK, place=bar)
            barrier.wait(timeout=30)
            for other in (tried, replace(tried, typed=codes[15 - number])):
                with unit_of_work(merchant=merchant) as session:
                    look(session, other, at=NOW)
            with unit_of_work(merchant=merchant) as session:
                user = session.get_one(User, users[number])
                return answer_of(claim(session, user, tried, at=NOW))[1]

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(visit, range(16))) == {"claimed"}
        with unit_of_work(merchant=merchant) as session:
            row = session.scalars(select(ClaimPlace)).one()
            assert (row.opened_count, row.claimed_count) == (32, 16)


class TestClosing:
    """A batch that is closed gives nothing more, however far a claim had come."""

    def test_a_claim_that_began_before_gives_nothing_after(self, committed: None) -> None:
        """It waits for the code, which somebody looks at, while the batch is closed."""
        merchant, batch_id, [user] = _stage_batch(1)
        with unit_of_work(merchant=merchant) as session:
            code = code_of(session.get_one(ClaimBatch, batch_id), 1)
        with ThreadPoolExecutor(1) as pool, unit_of_work(merchant=merchant) as closing:
            closing.execute(select(ClaimCode).with_for_update()).all()
            asked = pool.submit(_ask, merchant, user, code)
            _wait_for_lock(closing)
            service.close(closing, service.get(closing, batch_id), at=NOW)
            closing.commit()
            assert asked.result(timeout=30) == "code_disabled"
        assert _given(merchant) in (0, None)

    def test_closing_waits_for_a_claim_under_way(self, committed: None) -> None:
        merchant, batch_id, [user] = _stage_batch(1)
        with ThreadPoolExecutor(1) as pool:
            with unit_of_work(merchant=merchant) as session:
                batch = session.get_one(ClaimBatch, batch_id)
                claimed = claim(session, session.get_one(User, user), attempt(batch), at=NOW)
                assert isinstance(claimed, Claimed)
                closing = pool.submit(_close, merchant, batch_id)
                _wait_for_lock(session)
                assert not closing.done()
            closing.result(timeout=30)
        assert _given(merchant) == 1


def _ask(merchant: MerchantId, user: UserId, code: str) -> str:
    with unit_of_work(merchant=merchant) as session:
        found = session.get_one(User, user)
        return answer_of(claim(session, found, Attempt(code, NETWORK), at=NOW))[1]


def _close(merchant: MerchantId, batch_id: ClaimBatchId) -> None:
    with unit_of_work(merchant=merchant) as session:
        service.close(session, service.get(session, batch_id), at=NOW)


def _wait_for_lock(session: Session) -> None:
    """Somebody waits for what this transaction holds."""
    waiting = text(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
        " AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    )
    wait_until(lambda: bool(session.scalar(waiting)))


def _stage(members: int) -> tuple[MerchantId, str, list[UserId]]:
    merchant, batch, users = _stage_batch(members)
    with unit_of_work(merchant=merchant) as session:
        return merchant, code_of(session.get_one(ClaimBatch, batch), 1), users


def _stage_batch(
    members: int, *, total_quantity: int | None = None, **changes: Any
) -> tuple[MerchantId, Any, list[UserId]]:
    merchant = make_merchant().id
    with unit_of_work(merchant=merchant) as session:
        users = make_members(session, *(f"m{n}@example.com" for n in range(members)))
        perk = make_perk(session, total_quantity=total_quantity)
        batch = make_batch(session, choice=Choice(perk_id=perk.id), **changes)
        return merchant, batch.id, users


def _all_at_once(merchant: MerchantId, asked: list[tuple[UserId, str]]) -> list[str]:
    barrier = Barrier(16)

    def ask(one: tuple[UserId, str]) -> str:
        with unit_of_work(merchant=merchant) as session:
            user = session.get_one(User, one[0])
            barrier.wait(timeout=30)
            return answer_of(claim(session, user, Attempt(one[1], NETWORK), at=NOW))[1]

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, asked))


def _given(merchant: MerchantId) -> int | None:
    with unit_of_work(merchant=merchant) as session:
        counts = {
            session.scalar(select(func.count()).select_from(Grant)),
            session.scalar(select(func.count()).select_from(ClaimUse)),
            session.scalar(select(func.count()).select_from(Holding)),
            session.scalar(select(func.sum(RewardLine.granted_count))),
        }
        assert len(counts) == 1
        return counts.pop()
