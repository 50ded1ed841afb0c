"""One reward for one member: once for each source, within every limit, whoever asks at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.perks.code_models import PerkCode
from app.perks.errors import CodePoolEmptyError, PerkExhaustedError
from app.perks.models import Holding, Perk, PerkQuota, PerkState
from app.perks.terms import RedemptionType
from app.rewards.errors import (
    PerUserLimitError,
    RewardNotLiveError,
    StockExhaustedError,
    UserNotActiveError,
)
from app.rewards.granting import Given, grant
from app.rewards.lines import Choice, give_back, make_line
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from app.rewards.service import Source
from app.users.models import User, UserState
from core.db import unit_of_work
from core.errors import AppError
from core.events import Event
from core.types import MerchantId, RewardLineId, UserId
from minting.errors import SupplyExhaustedError
from minting.models import ContractState, DigitalAsset, Token, TokenState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_asset, make_members, make_perk
from tests.factories.perks import code_of, load, perk_of

SOURCE = Source(GrantSource.CLAIM, UUID(int=1))


@pytest.fixture
def user(session: Session) -> UserId:
    """A member."""
    return make_members(session, "ada@example.com")[0]


def give(
    session: Session, line: RewardLine, user: UserId, *, source: int = 1, ordinal: int = 0
) -> Given:
    origin = Source(GrantSource.CLAIM, UUID(int=source))
    return grant(session, line, user, source=origin, ordinal=ordinal, at=NOW)


class TestPerk:
    def test_is_in_the_members_hands_at_once(self, session: Session, user: UserId) -> None:
        perk = make_perk(session, total_quantity=2, max_per_user=1)
        line = make_line(session, Choice(perk_id=perk.id, quantity=1))
        given = give(session, line, user)
        row, holding = session.execute(
            select(Grant, Holding).join(Holding, Holding.grant_id == Grant.id)
        ).one()
        assert given == Given(row.id, holding.id, is_new=True)
        assert (row.state, row.delivered_at, row.user_id) == (GrantState.DELIVERED, NOW, user)
        session.refresh(line)
        session.refresh(perk)
        assert (line.granted_count, line.delivered_count, perk.granted_count) == (1, 1, 1)
        event = session.scalars(select(Event).where(Event.type == "cohort.perk.received")).one()
        assert event.user_id == user
        assert event.data == {
            "perkId": str(perk.id),
            "holdingId": str(holding.id),
            "campaignId": None,
        }

    def test_again_is_the_same(self, session: Session, user: UserId) -> None:
        perk = make_perk(session)
        line = make_line(session, Choice(perk_id=perk.id))
        first = give(session, line, user)
        again = give(session, line, user)
        assert again == Given(first.grant_id, first.holding_id, is_new=False)
        session.refresh(line)
        session.refresh(perk)
        assert (line.granted_count, perk.granted_count) == (1, 1)

    def test_of_a_pool_comes_with_a_code(self, session: Session, user: UserId) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE, state=PerkState.LIVE)
        load(session, perk, "code\nONE\nTWO\n")
        line = make_line(session, Choice(perk_id=perk.id))
        first, second = give(session, line, user), give(session, line, user, ordinal=1)
        held = [session.get_one(Holding, it.holding_id) for it in (first, second)]
        assert {code_of(session, holding) for holding in held} == {"ONE", "TWO"}

    def test_another_source_or_ordinal_is_another(self, session: Session, user: UserId) -> None:
        line = make_line(session, Choice(perk_id=make_perk(session).id))
        give(session, line, user)
        assert give(session, line, user, source=2).is_new
        assert give(session, line, user, ordinal=1).is_new


class TestRefusal:
    """Each says why, and leaves everything as it was."""

    @pytest.fixture
    def refused(self, session: Session, user: UserId) -> Callable[..., AppError]:
        """What a grant raises; nothing is left of it."""

        def ask(line: RewardLine, kind: type[AppError]) -> AppError:
            before = _counts(session)
            with pytest.raises(kind) as caught:
                give(session, line, user, source=9)
            assert _counts(session) == before
            return caught.value

        return ask

    def test_the_line_is_exhausted(
        self, session: Session, user: UserId, refused: Callable[..., AppError]
    ) -> None:
        line = make_line(session, Choice(perk_id=make_perk(session).id, quantity=1))
        give(session, line, user)
        assert refused(line, StockExhaustedError).code == "stock_exhausted"

    def test_the_perk_is_exhausted(
        self, session: Session, user: UserId, refused: Callable[..., AppError]
    ) -> None:
        line = make_line(session, Choice(perk_id=make_perk(session, total_quantity=1).id))
        give(session, line, user)
        refused(line, PerkExhaustedError)

    @pytest.mark.parametrize(
        ("codes", "is_anybodys"),
        [("code\nONE", True), ("code,email\nONE,bo@example.com", False)],
    )
    def test_the_pool_has_no_code_for_the_member(
        self,
        session: Session,
        user: UserId,
        refused: Callable[..., AppError],
        codes: str,
        is_anybodys: bool,
    ) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE, state=PerkState.LIVE)
        load(session, perk, codes)
        line = make_line(session, Choice(perk_id=perk.id))
        if is_anybodys:
            give(session, line, user)
        assert refused(line, CodePoolEmptyError).code == "code_pool_empty"

    def test_the_member_has_as_many_as_anybody_may(
        self, session: Session, user: UserId, refused: Callable[..., AppError]
    ) -> None:
        line = make_line(session, Choice(perk_id=make_perk(session, max_per_user=1).id))
        give(session, line, user)
        assert "once at most" in str(refused(line, PerUserLimitError))

    @pytest.mark.parametrize("state", [PerkState.DRAFT, PerkState.ARCHIVED])
    def test_the_perk_is_not_live(
        self, session: Session, refused: Callable[..., AppError], state: PerkState
    ) -> None:
        perk = make_perk(session)
        line = make_line(session, Choice(perk_id=perk.id))
        perk.state = state
        session.flush()
        refused(line, RewardNotLiveError)

    def test_the_asset_is_not_live(
        self, session: Session, refused: Callable[..., AppError]
    ) -> None:
        asset = make_asset(session)
        line = make_line(session, Choice(asset.id))
        asset.state = ContractState.ARCHIVED
        session.flush()
        refused(line, RewardNotLiveError)

    def test_the_edition_is_exhausted(
        self, session: Session, user: UserId, refused: Callable[..., AppError]
    ) -> None:
        line = make_line(session, Choice(make_asset(session, max_supply=1).id))
        give(session, line, user)
        refused(line, SupplyExhaustedError)

    @pytest.mark.parametrize("state", [UserState.BLOCKED, UserState.MERGED, UserState.ERASED])
    def test_the_member_takes_no_part(
        self,
        session: Session,
        user: UserId,
        refused: Callable[..., AppError],
        state: UserState,
    ) -> None:
        session.get_one(User, user).state = state
        session.flush()
        for choice in (Choice(perk_id=make_perk(session).id), Choice(make_asset(session).id)):
            refused(make_line(session, choice), UserNotActiveError)


def _counts(session: Session) -> list[object]:
    session.expire_all()
    tables = (Grant, Holding, Token, Event)
    return [
        *(session.scalar(select(func.count()).select_from(table)) for table in tables),
        session.scalar(select(func.sum(RewardLine.granted_count))),
        session.scalar(select(func.sum(Perk.granted_count))),
        session.scalar(select(func.sum(PerkQuota.granted_count))),
        session.scalar(select(func.sum(DigitalAsset.minted_count))),
    ]


class TestAsset:
    def test_is_promised_and_queued(self, session: Session, user: UserId) -> None:
        asset = make_asset(session)
        line = make_line(session, Choice(asset.id))
        given = give(session, line, user)
        token = session.scalars(select(Token)).one()
        assert (token.grant_id, token.state, token.user_id) == (
            given.grant_id,
            TokenState.QUEUED,
            user,
        )
        session.refresh(line)
        assert (line.granted_count, line.waiting_since, asset.minted_count) == (1, NOW, 1)

    def test_several_of_a_member_are_in_drops_of_their_own(
        self, session: Session, user: UserId
    ) -> None:
        line = make_line(session, Choice(make_asset(session).id))
        give(session, line, user, ordinal=0)
        give(session, line, user, ordinal=1)
        assert len(set(session.scalars(select(Token.drop_id)))) == 2


class TestReserved:
    def test_counts_as_given_from_the_start(self, session: Session, user: UserId) -> None:
        perk = make_perk(session, total_quantity=3, max_per_user=1)
        line = make_line(session, Choice(perk_id=perk.id, quantity=2), is_reserved=True)
        assert perk.granted_count == 2
        give(session, line, user)
        give(session, line, user, ordinal=1)  # it was promised, whatever the member has
        session.refresh(perk)
        assert perk.granted_count == 2
        assert session.scalars(select(PerkQuota.granted_count)).one() == 2

    def test_more_than_there_are_is_refused(self, session: Session) -> None:
        perk = make_perk(session, total_quantity=1)
        with pytest.raises(PerkExhaustedError):
            make_line(session, Choice(perk_id=perk.id, quantity=2), is_reserved=True)
        asset = make_asset(session, max_supply=1)
        with pytest.raises(SupplyExhaustedError):
            make_line(session, Choice(asset.id, quantity=2), is_reserved=True)

    def test_what_is_left_is_given_back(self, session: Session, user: UserId) -> None:
        perk, asset = make_perk(session), make_asset(session)
        for choice in (Choice(perk_id=perk.id, quantity=5), Choice(asset.id, quantity=5)):
            line = make_line(session, choice, is_reserved=True)
            give(session, line, user)
            assert give_back(session, line) == 4
            assert give_back(session, line) == 0
            with pytest.raises(StockExhaustedError):
                give(session, line, user, source=2)
        session.refresh(perk)
        assert (perk.granted_count, asset.minted_count) == (1, 1)


class TestTerms:
    """A perk is read once; whatever is decided is decided by what it is now."""

    def test_an_edit_counts_from_the_next_grant_on(self, committed: None) -> None:
        merchant, line_id, users = _stage(2)
        assert _uses_of_a_grant(merchant, line_id, users[0]) == 1
        with unit_of_work(merchant=merchant) as session:
            session.scalars(select(Perk)).one().uses_per_holding = 5
        assert _uses_of_a_grant(merchant, line_id, users[1]) == 5

    def test_what_is_archived_is_refused(self, committed: None) -> None:
        merchant, line_id, users = _stage(2)
        _uses_of_a_grant(merchant, line_id, users[0])
        with unit_of_work(merchant=merchant) as session:
            session.scalars(select(Perk)).one().state = PerkState.ARCHIVED
        with pytest.raises(RewardNotLiveError):
            _uses_of_a_grant(merchant, line_id, users[1])

    def test_an_edit_that_was_taken_back_never_counts(self, committed: None) -> None:
        merchant, line_id, users = _stage(1)
        with pytest.raises(ZeroDivisionError), unit_of_work(merchant=merchant) as session:
            session.scalars(select(Perk)).one().uses_per_holding = 5
            session.flush()
            give(session, session.get_one(RewardLine, line_id), users[0])
            raise ZeroDivisionError
        with unit_of_work(merchant=merchant) as session:
            session.scalars(select(Perk)).one().uses_per_holding = 2
        assert _uses_of_a_grant(merchant, line_id, users[0]) == 2


def _uses_of_a_grant(merchant: MerchantId, line_id: RewardLineId, user: UserId) -> int | None:
    with unit_of_work(merchant=merchant) as session:
        given = give(session, session.get_one(RewardLine, line_id), user)
        return session.get_one(Holding, given.holding_id).uses_left


class TestTogether:
    """Many sessions at once."""

    def test_the_last_one_is_given_once(self, committed: None) -> None:
        merchant, line, users = _stage(64, total_quantity=1)
        outcomes = _all_at_once(merchant, line, users, sources=range(64))
        assert sorted(outcomes) == ["given", *["stock_exhausted"] * 63]
        assert _held(merchant) == 1

    def test_every_code_is_given_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            users = make_members(session, *(f"m{n}@example.com" for n in range(48)))
            perk = perk_of(session, RedemptionType.UNIQUE_CODE, state=PerkState.LIVE)
            load(session, perk, "code\n" + "\n".join(f"C{n}" for n in range(24)))
            line = make_line(session, Choice(perk_id=perk.id)).id
        outcomes = _all_at_once(merchant, line, users, sources=range(48))
        assert sorted(outcomes) == sorted([*["given"] * 24, *["code_pool_empty"] * 24])
        with unit_of_work(merchant=merchant) as session:
            given = session.scalars(select(PerkCode.holding_id)).all()
            assert None not in given and len(set(given)) == 24

    def test_equal_requests_are_one_grant(self, committed: None) -> None:
        merchant, line, [user] = _stage(1)
        outcomes = _all_at_once(merchant, line, [user] * 64, sources=[1] * 64)
        assert sorted(outcomes) == ["given", *["known"] * 63]
        assert _held(merchant) == 1

    def test_a_member_never_has_more_than_the_limit(self, committed: None) -> None:
        merchant, line, [user] = _stage(1, max_per_user=3)
        outcomes = _all_at_once(merchant, line, [user] * 32, sources=range(32))
        assert sorted(outcomes) == [*["given"] * 3, *["per_user_limit"] * 29]
        assert _held(merchant) == 3


def _stage(members: int, **limits: int) -> tuple[MerchantId, RewardLineId, list[UserId]]:
    merchant = make_merchant().id
    with unit_of_work(merchant=merchant) as session:
        users = make_members(session, *(f"m{n}@example.com" for n in range(members)))
        perk = make_perk(session, **limits)
        return merchant, make_line(session, Choice(perk_id=perk.id)).id, users


def _all_at_once(
    merchant: MerchantId, line_id: RewardLineId, users: list[UserId], *, sources: object
) -> list[str]:
    barrier = Barrier(16)

    def ask(asked: tuple[UserId, int]) -> str:
        user, source = asked
        with unit_of_work(merchant=merchant) as session:
            line = session.get_one(RewardLine, line_id)
            barrier.wait(timeout=30)
            try:
                return "given" if give(session, line, user, source=source).is_new else "known"
            except AppError as error:
                return error.code

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, zip(users, sources, strict=True)))  # type: ignore[call-overload]


def _held(merchant: MerchantId) -> int | None:
    with unit_of_work(merchant=merchant) as session:
        assert session.scalar(select(func.count()).select_from(Grant)) == session.scalar(
            select(func.sum(RewardLine.granted_count))
        )
        return session.scalar(select(func.count()).select_from(Holding))
