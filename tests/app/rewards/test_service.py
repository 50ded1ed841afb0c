"""Grants: once for each source, never more than there is, whoever comes at the same time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.campaigns.models import Campaign
from app.rewards import service
from app.rewards.closing import close_delivered
from app.rewards.errors import StockExhaustedError
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from app.users.models import User
from core.db import unit_of_work
from core.events import Event
from core.types import RewardLineId, UserId
from minting.errors import SupplyExhaustedError
from minting.models import BatchState, DigitalAsset, Token, TokenState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import (
    make_asset,
    make_campaign,
    make_line,
    make_members,
)
from tests.factories.minting import make_plan

SOURCE = UUID(int=1)


@pytest.fixture
def users(session: Session) -> list[UserId]:
    """Three members."""
    return make_members(session, "a@example.com", "b@example.com", "c@example.com")


@pytest.fixture
def campaign(session: Session) -> Campaign:
    """A draft."""
    return make_campaign(session)


@pytest.fixture
def asset(session: Session) -> DigitalAsset:
    """A live asset without limit."""
    return make_asset(session)


@pytest.fixture
def line(session: Session, campaign: Campaign, asset: DigitalAsset) -> RewardLine:
    """What the campaign gives, without limit."""
    return make_line(session, campaign.id, asset.id)


def grant(
    session: Session, line: RewardLine, users: list[UserId], *, source_id: UUID = SOURCE
) -> int:
    chosen = service.members(select(User.id).where(User.id.in_(users)))
    source = service.Source(GrantSource.AIRDROP, source_id)
    return service.grant_many(session, line, chosen, source=source, at=NOW)


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


class TestGrantMany:
    def test_gives_each_member_a_pending_grant_and_a_queued_token(
        self, session: Session, line: RewardLine, users: list[UserId], asset: DigitalAsset
    ) -> None:
        assert grant(session, line, users) == 3
        rows = session.scalars(select(Grant)).all()
        assert {row.user_id for row in rows} == set(users)
        assert {row.state for row in rows} == {GrantState.PENDING}
        tokens = session.scalars(select(Token)).all()
        assert {token.grant_id for token in tokens} == {row.id for row in rows}
        assert {token.state for token in tokens} == {TokenState.QUEUED}
        assert (line.granted_count, asset.minted_count) == (3, 3)

    def test_again_from_the_same_source_gives_nothing(
        self, session: Session, line: RewardLine, users: list[UserId], asset: DigitalAsset
    ) -> None:
        grant(session, line, users[:2])
        assert grant(session, line, users) == 1
        assert grant(session, line, users) == 0
        assert count(session, Grant) == count(session, Token) == 3
        assert (line.granted_count, asset.minted_count) == (3, 3)

    def test_a_member_named_twice_gets_it_once(
        self, session: Session, line: RewardLine, users: list[UserId]
    ) -> None:
        assert grant(session, line, [users[0], users[0]]) == 1

    def test_another_source_gives_again_in_the_ledger(
        self, session: Session, line: RewardLine, users: list[UserId]
    ) -> None:
        assert grant(session, line, users) == grant(session, line, users, source_id=UUID(int=2))

    def test_to_nobody_is_nothing(self, session: Session, line: RewardLine) -> None:
        assert grant(session, line, []) == 0
        assert line.granted_count == 0


class TestStock:
    def test_the_last_one_is_given_and_one_more_is_refused(
        self, session: Session, campaign: Campaign, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        line = make_line(session, campaign.id, asset.id, quantity=2)
        assert grant(session, line, users[:2]) == 2
        with pytest.raises(StockExhaustedError) as refused, session.begin_nested():
            grant(session, line, users)
        assert (refused.value.wanted, refused.value.left) == (1, 0)
        assert count(session, Grant) == count(session, Token) == 2

    def test_too_few_for_all_gives_none(
        self, session: Session, campaign: Campaign, asset: DigitalAsset, users: list[UserId]
    ) -> None:
        line = make_line(session, campaign.id, asset.id, quantity=2)
        with pytest.raises(StockExhaustedError), session.begin_nested():
            grant(session, line, users)
        assert count(session, Grant) == count(session, Token) == 0

    def test_an_edition_gives_no_more_than_its_size(
        self, session: Session, campaign: Campaign, users: list[UserId]
    ) -> None:
        small = make_asset(session, max_supply=2)
        line = make_line(session, campaign.id, small.id)
        with pytest.raises(SupplyExhaustedError), session.begin_nested():
            grant(session, line, users)
        assert grant(session, line, users[:2]) == 2

    def test_of_two_grants_of_the_last_one_at_once_one_wins(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            users = make_members(session, *(f"m{n}@example.com" for n in range(4)))
            asset = make_asset(session)
            line_id = make_line(session, make_campaign(session).id, asset.id, quantity=1).id
        together = Barrier(4)

        def take(number: int) -> bool:
            return _take(merchant, line_id, users[number], together)

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(take, range(4))) == [False, False, False, True]
        with unit_of_work(merchant=merchant) as session:
            assert session.get_one(RewardLine, line_id).granted_count == 1
            assert session.get_one(DigitalAsset, asset.id).minted_count == 1
            assert count(session, Grant) == count(session, Token) == 1

    def test_the_same_grant_by_many_at_once_is_one(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            [user] = make_members(session, "m@example.com")
            line_id = make_line(session, make_campaign(session).id, make_asset(session).id).id
        together = Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda _: _take(merchant, line_id, user, together), range(4)))
        with unit_of_work(merchant=merchant) as session:
            assert session.get_one(RewardLine, line_id).granted_count == 1
            assert count(session, Grant) == count(session, Token) == 1


def _take(merchant: object, line_id: RewardLineId, user: UserId, together: Barrier) -> bool:
    try:
        with unit_of_work(merchant=merchant) as session:  # type: ignore[arg-type]
            line = session.get_one(RewardLine, line_id)
            together.wait(20)
            grant(session, line, [user])
        return True
    except StockExhaustedError:
        return False


class TestCloseDelivered:
    def test_a_token_on_the_chain_closes_its_grant_once(
        self, session: Session, line: RewardLine, users: list[UserId], asset: DigitalAsset
    ) -> None:
        grant(session, line, users)
        [batch] = make_plan(session, b"\x01", contract=asset.address).batches
        token = session.scalars(select(Token).where(Token.user_id == users[0])).one()
        token.state, token.pass_number, token.batch_id = TokenState.OWNED, 7, batch.id
        session.flush()
        assert close_delivered(session, at=NOW) == 0
        batch.state, batch.settled_at = BatchState.FINAL, NOW
        session.flush()
        assert close_delivered(session, at=NOW) == 1
        assert close_delivered(session, at=NOW) == 0
        states = dict(session.execute(select(Grant.user_id, Grant.state)).all())
        assert states[users[0]] is GrantState.DELIVERED
        assert states[users[1]] is states[users[2]] is GrantState.PENDING
        event = session.scalars(
            select(Event).where(Event.type == "cohort.digital-asset.received")
        ).one()
        assert event.user_id == users[0]
        assert event.data["contract"] == asset.address
