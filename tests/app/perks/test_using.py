"""What happens to a holding: what the table of transitions lists, and nothing else."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.perks import using
from app.perks.code_models import CodeState
from app.perks.errors import (
    AlreadyUndoneError,
    AlreadyUsedError,
    HolderSuspendedError,
    HoldingExpiredError,
    HoldingRevokedError,
    HoldingTransitionError,
    NotYetValidError,
    OutsideHoursError,
    ReasonMissingError,
    TooFewUsesError,
    UndoForbiddenError,
    UndoWindowOverError,
    WrongChannelError,
    WrongPlaceError,
)
from app.perks.models import (
    Channel,
    Holding,
    HoldingState,
    PerkPlace,
    Redemption,
    Transition,
)
from app.perks.terms import (
    Hours,
    Options,
    RedemptionType,
    UsedOn,
    Validation,
    Validity,
    parse_hours,
)
from app.users.models import User, UserState
from core.db import unit_of_work
from core.errors import ConflictError, InvalidError
from core.events import Event
from core.types import MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members
from tests.factories.perks import codes_of, hold, load, make_place, perk_of

STAFF = "member:mem_1"
MINUTE = timedelta(minutes=1)
NONE = RedemptionType.NONE


def take(session: Session, holding: Holding, **changes: Any) -> Redemption:
    facts = {"channel": Channel.STAFF, "actor": STAFF, "at": NOW, **changes}
    return using.use(session, holding, **facts)


def undo(session: Session, row: Redemption, **changes: Any) -> Redemption:
    return using.undo(session, row, **{"actor": STAFF, "at": NOW, **changes})


def told(session: Session, kind: str) -> list[dict[str, Any]]:
    query = select(Event.data).where(Event.type == f"cohort.perk.{kind}").order_by(Event.id)
    return list(session.scalars(query))


class TestUse:
    def test_takes_the_use_writes_the_log_and_tells(self, session: Session) -> None:
        place = make_place(session)
        holding = hold(session, perk_of(session, NONE))
        row = take(session, holding, place=place.id, device="till-1")
        assert (holding.state, holding.uses_left) == (HoldingState.USED, 0)
        assert (row.transition, row.delta, row.channel, row.actor, row.device, row.place_id) == (
            *(Transition.USED, -1, Channel.STAFF, STAFF, "till-1", place.id),
        )
        assert told(session, "used") == [
            {
                "perkId": str(holding.perk_id),
                "holdingId": str(holding.id),
                "usesLeft": 0,
                "channel": "staff",
            }
        ]

    def test_again_says_when_and_where_the_first_was(self, session: Session) -> None:
        place = make_place(session)
        holding = hold(session, perk_of(session, NONE))
        take(session, holding, place=place.id)
        with pytest.raises(AlreadyUsedError, match="at Counter") as refused:
            take(session, holding, at=NOW + MINUTE)
        assert (refused.value.first_at, refused.value.code) == (NOW, "already_used")
        assert len(told(session, "used")) == 1

    def test_of_several_takes_as_many_as_are_asked_for(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE, uses_per_holding=5))
        take(session, holding, uses=3)
        assert (holding.state, holding.uses_left) == (HoldingState.AVAILABLE, 2)
        with pytest.raises(TooFewUsesError) as refused:
            take(session, holding, uses=3)
        assert (refused.value.wanted, refused.value.left) == (3, 2)
        take(session, holding, uses=2)
        assert holding.state is HoldingState.USED
        assert [it["usesLeft"] for it in told(session, "used")] == [2, 0]

    def test_without_a_limit_it_is_never_used_up(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE, uses_per_holding=None))
        for _ in range(3):
            take(session, holding)
        assert (holding.state, holding.uses_left) == (HoldingState.AVAILABLE, None)

    @pytest.mark.parametrize("uses", [0, -1, 1_001])
    def test_no_number_of_uses_is_refused(self, session: Session, uses: int) -> None:
        holding = hold(session, perk_of(session, NONE, uses_per_holding=None))
        with pytest.raises(InvalidError):
            take(session, holding, uses=uses)
        assert session.scalars(select(Redemption)).all() == []

    def test_the_database_refuses_less_than_nothing(self, session: Session) -> None:
        hold(session, perk_of(session, NONE))
        with pytest.raises(IntegrityError, match="ck_holdings_uses_left"), session.begin_nested():
            session.execute(update(Holding).values(uses_left=-1))


class TestHolder:
    def block(self, session: Session, holding: Holding) -> User:
        user = session.get_one(User, holding.user_id)
        user.state = UserState.BLOCKED
        session.flush()
        return user

    @pytest.mark.parametrize("channel", [Channel.STAFF, Channel.API, Channel.INTEGRATION])
    def test_a_code_of_who_is_blocked_is_worth_nothing(
        self, session: Session, channel: Channel
    ) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE, uses_per_holding=2)
        load(session, perk, "A\n", name="c.txt")
        holding = hold(session, perk)
        user = self.block(session, holding)
        with pytest.raises(HolderSuspendedError) as refused:
            take(session, holding, channel=channel)
        assert (refused.value.status, refused.value.code) == (409, "suspended")
        assert holding.uses_left == 2
        user.state = UserState.ACTIVE
        session.flush()
        take(session, holding, channel=channel)

    def test_of_who_was_merged_whoever_goes_on_counts(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE, uses_per_holding=2), "old@example.com")
        [survivor] = make_members(session, "new@example.com")
        old = session.get_one(User, holding.user_id)
        old.state, old.merged_into_id = UserState.MERGED, survivor
        session.flush()
        take(session, holding)
        session.get_one(User, survivor).state = UserState.BLOCKED
        session.flush()
        with pytest.raises(HolderSuspendedError):
            take(session, holding)


class TestTime:
    def test_is_over_from_its_last_moment_on(self, session: Session) -> None:
        until = NOW + MINUTE
        perk = perk_of(session, NONE, validity=Validity.UNTIL, valid_until=until)
        holding = hold(session, perk)
        with pytest.raises(HoldingExpiredError) as refused:
            take(session, holding, at=until)
        assert refused.value.code == "expired"
        take(session, holding, at=until - timedelta(microseconds=1))

    def test_days_are_counted_from_the_receipt(self, session: Session) -> None:
        perk = perk_of(session, NONE, validity=Validity.DAYS, valid_days=2)
        assert hold(session, perk).valid_until == NOW + timedelta(days=2)

    def test_a_window_has_a_beginning(self, session: Session) -> None:
        span = {"valid_from": NOW + MINUTE, "valid_until": NOW + 9 * MINUTE}
        holding = hold(session, perk_of(session, NONE, validity=Validity.WINDOW, **span))
        with pytest.raises(NotYetValidError):
            take(session, holding)
        take(session, holding, at=NOW + MINUTE)

    def test_hours_are_those_of_the_brands_clock(
        self, session: Session, merchant: Merchant
    ) -> None:
        row = session.get_one(Merchant, merchant.id)
        row.time_zone = "Pacific/Auckland"  # NOW is there Tuesday, 2 June, 0:00
        session.flush()
        hours = parse_hours(["", "00:00-01:00", "", "", "", "", ""])
        holding = hold(session, perk_of(session, NONE, usable_hours=hours.dump()))
        with pytest.raises(OutsideHoursError):
            take(session, holding, at=NOW - MINUTE)
        with pytest.raises(OutsideHoursError):
            take(session, holding, at=NOW + 60 * MINUTE)
        take(session, holding)


class TestHours:
    @pytest.mark.parametrize(
        ("typed", "ranges"),
        [
            (["9:00-12:00, 13:00–18:30"], ((0, 540, 720), (0, 780, 1110))),
            (["22:00-02:00"], ((0, 1320, 1440), (1, 0, 120))),
            ([*[""] * 6, "22:00-02:00"], ((0, 0, 120), (6, 1320, 1440))),
            (["00:00-24:00"], ((0, 0, 1440),)),
            (["", ""], ()),
        ],
    )
    def test_are_typed_day_by_day(
        self, typed: list[str], ranges: tuple[tuple[int, int, int], ...]
    ) -> None:
        found = parse_hours(typed)
        assert found.ranges == ranges
        assert parse_hours([found.of_day(day) for day in range(7)]) == found
        assert Hours.load(found.dump()) == found

    @pytest.mark.parametrize("typed", ["9-12", "25:00-26:00", "10:00-10:00", "10:60-11:00", "x"])
    def test_nothing_else_is_a_time_of_day(self, typed: str) -> None:
        with pytest.raises(ValueError, match="no time of day"):
            parse_hours([typed])


class TestPlace:
    def test_one_of_its_own_is_needed(self, session: Session) -> None:
        here, there = make_place(session, "Here"), make_place(session, "There")
        perk = perk_of(session, NONE)
        session.add(PerkPlace(perk_id=perk.id, place_id=here.id))
        holding = hold(session, perk)
        for place in (None, there.id):
            with pytest.raises(WrongPlaceError, match="used at: Here"):
                take(session, holding, place=place)
        take(session, holding, place=here.id)

    def test_a_members_own_telephone_knows_none(self, session: Session) -> None:
        terms = Options(validation=Validation.SELF)
        perk = perk_of(session, NONE, terms=terms)
        session.add(PerkPlace(perk_id=perk.id, place_id=make_place(session).id))
        take(session, hold(session, perk), channel=Channel.SELF)


class TestChannel:
    CASES = (
        (NONE, Options(), {"staff"}),
        (NONE, Options(validation=Validation.SELF), {"self"}),
        (RedemptionType.SHARED_CODE, Options(code="X"), {"self"}),
        (RedemptionType.SHARED_CODE, Options(code="X", can_tap=False), set()),
        (RedemptionType.UNIQUE_CODE, Options(), {"self", "staff"}),
        (RedemptionType.LINK, Options(url="https://a.example"), set()),
        (RedemptionType.LINK, Options(url="https://a.example", used_on=UsedOn.CLICK), {"self"}),
        (RedemptionType.SCAN, Options(), {"staff"}),
    )

    @pytest.mark.parametrize(("kind", "terms", "allowed"), CASES)
    @pytest.mark.parametrize("channel", list(Channel))
    def test_each_type_has_its_own(
        self,
        session: Session,
        kind: RedemptionType,
        terms: Options,
        allowed: set[str],
        channel: Channel,
    ) -> None:
        perk = perk_of(session, kind, terms=terms)
        if perk.has_pool:
            load(session, perk, "A\n")
        holding = hold(session, perk)
        if channel in allowed | {Channel.API, Channel.INTEGRATION}:
            assert take(session, holding, channel=channel).channel is channel
        else:
            with pytest.raises(WrongChannelError):
                take(session, holding, channel=channel)


class TestUndo:
    def test_gives_exactly_those_uses_back(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE, uses_per_holding=5))
        first, _ = take(session, holding, uses=2), take(session, holding, uses=3)
        row = undo(session, first)
        assert (holding.state, holding.uses_left) == (HoldingState.AVAILABLE, 2)
        assert (row.delta, row.undo_of) == (2, first.id)
        assert [it["usesLeft"] for it in told(session, "use-undone")] == [2]

    def test_once(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE, uses_per_holding=5))
        first = take(session, holding)
        back = undo(session, first)
        for row in (first, back):
            with pytest.raises(AlreadyUndoneError):
                undo(session, row)
        assert holding.uses_left == 5

    def test_after_it_the_holding_is_used_anew(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE))
        undo(session, take(session, holding))
        take(session, holding, at=NOW + MINUTE)
        with pytest.raises(AlreadyUsedError) as refused:
            take(session, holding, at=NOW + 2 * MINUTE)
        assert refused.value.first_at == NOW + MINUTE

    def test_within_the_perks_own_time(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE, undo_minutes=5, uses_per_holding=5))
        row = take(session, holding)
        with pytest.raises(UndoWindowOverError):
            undo(session, row, at=NOW + 5 * MINUTE + timedelta(seconds=1))
        undo(session, row, at=NOW + 5 * MINUTE)
        late = take(session, holding)
        undo(session, late, at=NOW + timedelta(days=400), actor="member:mem_2", is_admin=True)
        assert holding.uses_left == 5

    def test_by_the_same_device_or_the_same_person(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE, uses_per_holding=5))
        row = take(session, holding, device="till-1")
        for device in (None, "till-2"):
            with pytest.raises(UndoForbiddenError):
                undo(session, row, actor="member:mem_2", device=device)
        undo(session, row, actor="member:mem_2", device="till-1")
        undo(session, take(session, holding, device="till-1"), device="till-2")


class TestRevoke:
    def test_takes_the_holding_and_voids_its_code(self, session: Session) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        load(session, perk, "A\n")
        holding = hold(session, perk)
        given = perk.granted_count
        using.revoke(session, holding, reason=" refunded ", at=NOW)
        assert holding.state is HoldingState.REVOKED
        assert [it.state for it in codes_of(session, perk).values()] == [CodeState.VOID]
        [row] = session.scalars(select(Redemption))
        assert (row.transition, row.reason, row.delta) == (Transition.REVOKED, "refunded", 0)
        assert len(told(session, "revoked")) == 1 and perk.granted_count == given
        with pytest.raises(HoldingRevokedError) as refused:
            take(session, holding)
        assert refused.value.code == "revoked"

    @pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "a\x00b"])
    def test_needs_a_reason(self, session: Session, reason: str) -> None:
        holding = hold(session, perk_of(session, NONE))
        with pytest.raises(ReasonMissingError):
            using.revoke(session, holding, reason=reason, at=NOW)


class TestExtend:
    def test_needs_a_moment_to_come(self, session: Session) -> None:
        holding = hold(session, perk_of(session, NONE))
        holding.state = HoldingState.EXPIRED
        session.flush()
        with pytest.raises(InvalidError):
            using.extend(session, holding, until=NOW, at=NOW)
        using.extend(session, holding, until=NOW + MINUTE, at=NOW)
        assert (holding.state, holding.valid_until) == (HoldingState.AVAILABLE, NOW + MINUTE)
        assert told(session, "received") == []

    def test_ends_with_its_code(self, session: Session) -> None:
        ends = NOW + 5 * MINUTE
        perk = perk_of(
            session, RedemptionType.UNIQUE_CODE, validity=Validity.UNTIL, valid_until=NOW + MINUTE
        )
        load(session, perk, f"code,expiresAt\nA,{ends.isoformat()}\n")
        holding = hold(session, perk)
        using.expire(session, holding, at=NOW + MINUTE)
        with pytest.raises(
            InvalidError, match="Its code ends on 01 Jun 2026, 12:05 UTC"
        ) as refused:
            using.extend(session, holding, until=ends + MINUTE, at=NOW + MINUTE)
        assert "until" in refused.value.fields
        assert holding.state is HoldingState.EXPIRED
        using.extend(session, holding, until=ends, at=NOW + MINUTE)
        assert holding.valid_until == ends


Act = Callable[[Session, Holding], object]


def _undo_any(session: Session, holding: Holding) -> object:
    query = select(Redemption).where(Redemption.transition == Transition.USED)
    row = session.scalars(query.where(Redemption.holding_id == holding.id)).first()
    assert row is not None
    return undo(session, row)


ACTS: dict[str, Act] = {
    "use": lambda session, it: take(session, it),
    "undo": _undo_any,
    "expire": lambda session, it: using.expire(session, it, at=NOW + 9 * MINUTE),
    "extend": lambda session, it: using.extend(session, it, until=NOW + MINUTE, at=NOW),
    "revoke": lambda session, it: using.revoke(session, it, reason="because", at=NOW),
}
LISTED = {
    ("available", "use"): "available",
    ("available", "undo"): "available",
    ("available", "expire"): "expired",
    ("available", "revoke"): "revoked",
    ("used", "undo"): "available",
    ("used", "revoke"): "revoked",
    ("expired", "extend"): "available",
    ("expired", "revoke"): "revoked",
}


class TestTransitions:
    def in_state(self, session: Session, state: HoldingState) -> Holding:
        """Three uses of which one is taken, or all, and then whatever state it is to be in."""
        until = NOW + 5 * MINUTE
        perk = perk_of(
            session, NONE, uses_per_holding=3, validity=Validity.UNTIL, valid_until=until
        )
        holding = hold(session, perk)
        take(session, holding, uses=1)
        if state is HoldingState.USED:
            take(session, holding, uses=2)
        holding.state = state
        session.flush()
        return holding

    @pytest.mark.parametrize("act", list(ACTS))
    @pytest.mark.parametrize("state", list(HoldingState))
    def test_only_those_of_the_table_happen(
        self, session: Session, state: HoldingState, act: str
    ) -> None:
        holding = self.in_state(session, state)
        left, count = holding.uses_left, len(session.scalars(select(Redemption)).all())
        target = LISTED.get((state, act))
        if target is not None:
            ACTS[act](session, holding)
            assert holding.state == target
            assert len(session.scalars(select(Redemption)).all()) == count + 1
            return
        with pytest.raises(ConflictError) as refused:
            ACTS[act](session, holding)
        assert refused.value.status == 409
        assert (holding.state, holding.uses_left) == (state, left)
        assert len(session.scalars(select(Redemption)).all()) == count

    def test_what_no_till_knows_has_the_name_of_every_machine(self, session: Session) -> None:
        holding = self.in_state(session, HoldingState.USED)
        with pytest.raises(HoldingTransitionError) as refused:
            using.extend(session, holding, until=NOW + MINUTE, at=NOW)
        assert refused.value.code == "invalid_transition"

    def test_the_last_use_makes_it_used(self, session: Session) -> None:
        holding = self.in_state(session, HoldingState.AVAILABLE)
        take(session, holding, uses=2)
        assert holding.state is HoldingState.USED


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "use", "undo", "expire", "extend", "revoke"]),
        st.integers(1, 4),
    ),
    max_size=14,
)


class TestSums:
    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(steps=STEPS, limit=st.none() | st.integers(1, 8))
    def test_what_is_left_and_the_log_agree_whatever_happens(
        self, session: Session, steps: list[tuple[str, int]], limit: int | None
    ) -> None:
        world = session.begin_nested()
        span = {"validity": Validity.UNTIL, "valid_until": NOW + 5 * MINUTE}
        holding = hold(session, perk_of(session, NONE, uses_per_holding=limit, **span))
        for step, number in steps:
            before = (holding.state, holding.uses_left, len(self.log(session, holding)))
            try:
                self.take_step(session, holding, step, number)
            except ConflictError:
                after = (holding.state, holding.uses_left, len(self.log(session, holding)))
                assert after == before
            else:
                assert len(self.log(session, holding)) == before[2] + 1
            taken = sum(it.delta for it in self.log(session, holding))
            assert holding.uses_left == (None if limit is None else limit + taken)
            assert (holding.uses_left == 0) <= (holding.state is not HoldingState.AVAILABLE)
        world.rollback()
        session.expire_all()

    def log(self, session: Session, holding: Holding) -> Sequence[Redemption]:
        query = select(Redemption).where(Redemption.holding_id == holding.id)
        return session.scalars(query.order_by(Redemption.id)).all()

    def take_step(self, session: Session, holding: Holding, step: str, number: int) -> None:
        if step == "use":
            take(session, holding, uses=number)
        elif step == "undo":
            log = self.log(session, holding)
            if not log:
                raise AlreadyUndoneError
            undo(session, log[number % len(log)], is_admin=True)
        else:
            ACTS[step](session, holding)


class TestAtOnce:
    def scan(self, merchant: MerchantId, holding: Holding, till: int, together: Barrier) -> Any:
        moment = NOW + till * timedelta(milliseconds=50)
        try:
            with unit_of_work(merchant=merchant) as session:
                row = session.get_one(Holding, holding.id)
                together.wait(20)
                take(session, row, device=f"till-{till}", at=moment)
                return moment, None
        except AlreadyUsedError as error:
            return None, error.first_at

    @pytest.mark.parametrize("_round", range(5))
    def test_of_two_scans_one_wins_and_the_other_learns_when(
        self, committed: None, _round: int
    ) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            holding = hold(session, perk_of(session, NONE))
        together = Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda it: self.scan(merchant, holding, it, together), (0, 1)))
        [won] = [first for first, _ in found if first is not None]
        [learned] = [second for _, second in found if second is not None]
        assert won == learned

    def test_ten_tills_take_no_more_than_there_are(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            holding = hold(session, perk_of(session, NONE, uses_per_holding=4))
        together = Barrier(10)
        with ThreadPoolExecutor(10) as pool:
            found = list(pool.map(lambda it: self.scan(merchant, holding, it, together), range(10)))
        assert sum(first is not None for first, _ in found) == 4
        with unit_of_work(merchant=merchant) as session:
            row = session.get_one(Holding, holding.id)
            assert (row.state, row.uses_left) == (HoldingState.USED, 0)
            assert sum(it.delta for it in session.scalars(select(Redemption))) == -4

    def test_a_use_is_taken_back_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            holding = hold(session, perk_of(session, NONE, uses_per_holding=4))
            used = take(session, holding, uses=2).id
        together = Barrier(4)

        def back(_: int) -> int:
            try:
                with unit_of_work(merchant=merchant) as session:
                    row = session.get_one(Redemption, used)
                    together.wait(20)
                    undo(session, row)
                    return 1
            except AlreadyUndoneError:
                return 0

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(back, range(4))) == [0, 0, 0, 1]
        with unit_of_work(merchant=merchant) as session:
            assert session.get_one(Holding, holding.id).uses_left == 4
