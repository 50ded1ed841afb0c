"""Perks in members' hands: once for each grant, never more than there are or anybody may have."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Text, cast, column, func, literal, null, select, update, values
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.perks.errors import PerkExhaustedError
from app.perks.models import Holding, HoldingState, Perk, PerkQuota
from app.rewards import service
from app.rewards.errors import StockExhaustedError
from app.rewards.lines import Choice, set_lines
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from app.rewards.service import Recipients, Source
from app.users.models import User
from core.db import unit_of_work
from core.events import Event
from core.types import MerchantId, RewardLineId, UserId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_campaign, make_members, make_perk

SOURCE = UUID(int=1)
ADDRESS = "0x000000000000000000000000000000000000dEaD"


@pytest.fixture
def users(session: Session) -> list[UserId]:
    """Three members."""
    return make_members(session, *(f"m{n}@example.com" for n in range(3)))


def make_line(session: Session, perk: Perk, *, quantity: int | None = None) -> RewardLine:
    choice = Choice(perk_id=perk.id, quantity=quantity)
    return set_lines(session, make_campaign(session).id, [choice])[0]


def promise(
    session: Session,
    line: RewardLine,
    users: Sequence[UserId],
    *,
    each: int = 1,
    source_id: UUID = SOURCE,
) -> int:
    chosen = service.members(select(User.id).where(User.id.in_(users)), quantity=each)
    source = Source(GrantSource.AIRDROP, source_id)
    return service.grant_many(session, line, chosen, source=source, at=NOW)


def grants(session: Session) -> list[tuple[GrantState, str | None]]:
    rows = session.execute(select(Grant.state, Grant.reason).order_by(Grant.id)).all()
    return [(state, reason) for state, reason in rows]


def quotas(session: Session) -> dict[UserId, int]:
    rows = session.execute(select(PerkQuota.user_id, PerkQuota.granted_count))
    return {user: count for user, count in rows if count}


class TestPromise:
    def test_reserves_the_stock_and_gives_nothing_yet(
        self, session: Session, users: list[UserId]
    ) -> None:
        perk = make_perk(session, total_quantity=10)
        line = make_line(session, perk)
        assert promise(session, line, users, each=2) == 6
        assert (perk.granted_count, line.granted_count, line.delivered_count) == (6, 6, 0)
        assert grants(session) == [(GrantState.PENDING, None)] * 6
        assert quotas(session) == dict.fromkeys(users, 2)
        assert session.scalars(select(Holding)).all() == []

    def test_again_promises_nothing_more(self, session: Session, users: list[UserId]) -> None:
        perk = make_perk(session)
        line = make_line(session, perk)
        promise(session, line, users[:2])
        assert [promise(session, line, users, each=3), promise(session, line, users)] == [3, 0]
        assert (perk.granted_count, len(grants(session))) == (5, 5)

    def test_a_perk_has_no_more_than_its_quantity(
        self, session: Session, users: list[UserId]
    ) -> None:
        perk = make_perk(session, total_quantity=2)
        with pytest.raises(PerkExhaustedError) as refused, session.begin_nested():
            promise(session, make_line(session, perk), users)
        assert (refused.value.wanted, refused.value.left) == (3, 2)
        assert grants(session) == []

    def test_nor_a_line(self, session: Session, users: list[UserId]) -> None:
        line = make_line(session, make_perk(session), quantity=2)
        with pytest.raises(StockExhaustedError), session.begin_nested():
            promise(session, line, users)

    def test_who_has_as_many_as_anybody_may_is_skipped_with_the_reason(
        self, session: Session, users: list[UserId]
    ) -> None:
        perk = make_perk(session, max_per_user=3)
        first, second = make_line(session, perk), make_line(session, perk)
        assert promise(session, first, users[:1], each=2) == 2
        assert promise(session, second, users[:2], each=2, source_id=UUID(int=2)) == 3
        assert grants(session)[2:].count((GrantState.SKIPPED, "per_user_limit")) == 1
        assert quotas(session) == {users[0]: 3, users[1]: 2}
        assert (perk.granted_count, second.granted_count, second.skipped_count) == (5, 3, 1)

    def test_an_address_is_no_member(self, session: Session, users: list[UserId]) -> None:
        found = values(column("address", Grant.address.type), name="found").data([(ADDRESS,)])
        nobody = cast(null(), Grant.user_id.type)
        chosen = select(cast(found.c.address, Text), nobody, found.c.address, literal(1))
        perk = make_perk(session)
        line = make_line(session, perk)
        source = Source(GrantSource.AIRDROP, SOURCE)
        assert service.grant_many(session, line, Recipients(chosen), source=source, at=NOW) == 0
        assert grants(session) == [(GrantState.SKIPPED, "perk_needs_user")]
        assert (perk.granted_count, line.skipped_count, quotas(session)) == (0, 1, {})

    def test_the_database_refuses_what_passes_a_limit(
        self, session: Session, users: list[UserId]
    ) -> None:
        perk = make_perk(session, total_quantity=5, max_per_user=2)
        promise(session, make_line(session, perk), users[:1], each=2)
        for change, name in (
            (update(PerkQuota).values(granted_count=3), "ck_perk_quotas_limit"),
            (update(Perk).values(granted_count=6), "ck_perks_stock"),
        ):
            with pytest.raises(IntegrityError, match=name), session.begin_nested():
                session.execute(change)


class TestHandOver:
    def test_everything_promised_is_held_and_told_of(
        self, session: Session, users: list[UserId]
    ) -> None:
        perk = make_perk(session)
        line = make_line(session, perk)
        promise(session, line, users, each=2)
        assert service.hand_over(session, line, at=NOW) == 6
        assert service.hand_over(session, line, at=NOW) == 0
        assert grants(session) == [(GrantState.DELIVERED, None)] * 6
        held = session.scalars(select(Holding)).all()
        assert {(it.state, it.perk_id) for it in held} == {(HoldingState.AVAILABLE, perk.id)}
        assert {it.grant_id for it in held} == set(session.scalars(select(Grant.id)))
        told = session.scalars(select(Event).where(Event.type == "cohort.perk.received")).all()
        assert {(it.user_id, it.data["holdingId"]) for it in told} == {
            (it.user_id, str(it.id)) for it in held
        }
        assert {(it.data["perkId"], it.data["campaignId"]) for it in told} == {
            (str(perk.id), str(line.campaign_id))
        }

    def test_many_are_handed_over_part_by_part(
        self, session: Session, users: list[UserId], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = make_line(session, make_perk(session))
        promise(session, line, users, each=3)
        monkeypatch.setattr(service, "_AT_ONCE", 4)
        assert [service.hand_over(session, line, at=NOW) for _ in range(4)] == [4, 4, 1, 0]
        assert session.scalar(select(func.count()).select_from(Holding)) == 9

    def test_a_grant_is_held_once(self, session: Session, users: list[UserId]) -> None:
        line = make_line(session, make_perk(session))
        promise(session, line, users[:1])
        service.hand_over(session, line, at=NOW)
        session.execute(update(Grant).values(state=GrantState.PENDING))
        line.delivered_count = 0
        session.flush()
        with pytest.raises(IntegrityError, match="uq_holdings_grant_id"), session.begin_nested():
            service.hand_over(session, line, at=NOW)


class TestCancel:
    def test_what_was_not_handed_over_is_free_for_others(
        self, session: Session, users: list[UserId], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        perk = make_perk(session, total_quantity=6, max_per_user=2)
        line = make_line(session, perk)
        promise(session, line, users, each=2)
        monkeypatch.setattr(service, "_AT_ONCE", 2)
        service.hand_over(session, line, at=NOW)
        assert service.cancel_open(session, line, reason="cancelled") == 4
        assert (perk.granted_count, line.granted_count, line.delivered_count) == (2, 2, 2)
        assert sum(quotas(session).values()) == 2
        session.expire_all()
        other = make_line(session, perk)
        assert promise(session, other, users, each=2, source_id=UUID(int=2)) == 4
        assert service.cancel_open(session, line, reason="cancelled") == 0


class TestAtOnce:
    def take(
        self, merchant: MerchantId, line: RewardLineId, user: UserId, together: Barrier
    ) -> int:
        try:
            with unit_of_work(merchant=merchant) as session:
                row = session.get_one(RewardLine, line)
                together.wait(20)
                return promise(session, row, [user], source_id=line)
        except PerkExhaustedError:
            return 0

    def test_the_last_one_goes_to_one_of_many_campaigns(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            users = make_members(session, *(f"m{n}@example.com" for n in range(4)))
            perk = make_perk(session, total_quantity=1)
            lines = [make_line(session, perk).id for _ in users]
        together = Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            taken = pool.map(lambda n: self.take(merchant, lines[n], users[n], together), range(4))
            assert sorted(taken) == [0, 0, 0, 1]
        with unit_of_work(merchant=merchant) as session:
            assert session.get_one(Perk, perk.id).granted_count == len(grants(session)) == 1

    def test_no_member_has_more_than_anybody_may(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            [user] = make_members(session, "m@example.com")
            perk = make_perk(session, max_per_user=2)
            lines = [make_line(session, perk).id for _ in range(4)]
        together = Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            taken = pool.map(lambda n: self.take(merchant, lines[n], user, together), range(4))
            assert sorted(taken) == [0, 0, 1, 1]
        with unit_of_work(merchant=merchant) as session:
            assert quotas(session) == {user: 2}

    def test_two_sweeps_hand_over_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            users = make_members(session, *(f"m{n}@example.com" for n in range(4)))
            line = make_line(session, make_perk(session)).id
            promise(session, session.get_one(RewardLine, line), users)
        together = Barrier(3)

        def sweep(_: int) -> int:
            with unit_of_work(merchant=merchant) as session:
                row = session.get_one(RewardLine, line)
                together.wait(20)
                return service.hand_over(session, row, at=NOW)

        with ThreadPoolExecutor(3) as pool:
            assert sorted(pool.map(sweep, range(3))) == [0, 0, 4]
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.count()).select_from(Holding)) == 4


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["promise", "hand_over", "cancel"]),
        st.integers(0, 2),
        st.sets(st.integers(0, 2), min_size=1),
        st.integers(1, 3),
    ),
    max_size=12,
)


class TestSums:
    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(acts=ACTS, limit=st.none() | st.integers(1, 4), stock=st.none() | st.integers(1, 9))
    def test_agree_whatever_happens(
        self,
        session: Session,
        users: list[UserId],
        acts: list[tuple[str, int, set[int], int]],
        limit: int | None,
        stock: int | None,
    ) -> None:
        world = session.begin_nested()
        perk = make_perk(session, max_per_user=limit, total_quantity=stock)
        lines = [make_line(session, perk) for _ in range(3)]
        for act, number, members, each in acts:
            line = lines[number]
            if act == "promise":
                try:
                    with session.begin_nested():
                        chosen = [users[it] for it in members]
                        promise(session, line, chosen, each=each, source_id=line.id)
                except PerkExhaustedError:
                    assert stock is not None
            elif act == "hand_over":
                service.hand_over(session, line, at=NOW)
            else:
                service.cancel_open(session, line, reason="cancelled")
            self.check(session, perk, lines)
        world.rollback()
        session.expire_all()

    def check(self, session: Session, perk: Perk, lines: list[RewardLine]) -> None:
        by_user: dict[UserId | None, int] = {}
        open_or_held = (GrantState.PENDING, GrantState.DELIVERED)
        rows = session.scalars(select(Grant).where(Grant.state.in_(open_or_held))).all()
        for row in rows:
            by_user[row.user_id] = by_user.get(row.user_id, 0) + 1
        held = session.scalar(select(func.count()).select_from(Holding))
        for row in (perk, *lines):
            session.refresh(row)
        assert perk.granted_count == len(rows) == sum(it.granted_count for it in lines)
        assert held == sum(it.delivered_count for it in lines)
        assert quotas(session) == by_user
        assert perk.total_quantity is None or len(rows) <= perk.total_quantity
        assert perk.max_per_user is None or max(by_user.values(), default=0) <= perk.max_per_user
