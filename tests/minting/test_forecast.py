"""A forecast plans what publishing would freeze, and guesses only about passes not issued yet."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.users.models import User
from chain.errors import ChainUnavailableError
from chain.models import NonceLane
from core.types import UserId
from minting import costs
from minting.forecast import Audience, Forecast, Share, forecast_drops
from minting.models import DigitalAsset
from minting.passes import MAX_BATCH
from minting.planner import plan_calls
from tests.chain.fakes import FakeChain
from tests.factories.chain import make_lane
from tests.factories.minting import (
    activate_passes,
    make_asset,
    make_members,
    make_pass_contract,
)

EVERYBODY = select(User.id)


@pytest.fixture
def asset(session: Session) -> DigitalAsset:
    """A live asset of a merchant with a registry."""
    make_lane(session)
    make_pass_contract(session)
    return make_asset(session)


def the_lane(session: Session) -> NonceLane:
    """The merchant's only one."""
    return session.scalars(select(NonceLane)).one()


def forecast(session: Session, asset: DigitalAsset, users: list[UserId] | None = None) -> Forecast:
    audience = EVERYBODY if users is None else EVERYBODY.where(User.id.in_(users))
    lane = the_lane(session)
    return forecast_for(session, FakeChain(), lane, asset, Audience(audience))


def forecast_for(
    session: Session,
    node: FakeChain,
    lane: NonceLane,
    asset: DigitalAsset,
    audience: Audience,
    *,
    copies: int = 1,
) -> Forecast:
    """One share for everybody who receives anything."""
    return forecast_drops(session, node, lane, audience, [Share(asset, audience, copies)])


class TestMembersWithPasses:
    def test_the_figures_are_those_of_the_planned_calls(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        make_members(session, 40)
        activate_passes(session)
        found = forecast(session, asset)
        part = costs.PassPlaces(0, 40, tuple(range(40)))
        [call] = plan_calls([part], costs.Ground(is_first=True))
        assert (found.drop_gas, found.drop_transactions) == (call.gas, 1)
        assert (found.passes_to_issue, found.pass_gas, found.is_exact) == (0, 0, True)

    def test_a_pass_issued_alone_costs_a_mint(self, session: Session, asset: DigitalAsset) -> None:
        make_members(session, 3)
        activate_passes(session)
        batch_only = forecast(session, asset)
        make_members(session, 1)
        activate_passes(session)
        found = forecast(session, asset)
        assert found.drop_transactions == batch_only.drop_transactions + 1
        assert found.drop_gas > batch_only.drop_gas + 60_000
        assert found.is_exact

    def test_others_than_the_audience_cost_nothing(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        chosen = make_members(session, 5)
        make_members(session, 200)
        activate_passes(session)
        assert forecast(session, asset, chosen).drop_gas < forecast(session, asset).drop_gas / 2


class TestMembersWhoWait:
    def test_their_passes_are_counted_and_the_figures_are_a_guess(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        make_members(session, 30)
        found = forecast(session, asset)
        assert (found.passes_to_issue, found.pass_transactions) == (30, 1)
        assert found.pass_gas > 30 * 6_000
        assert found.drop_gas > 30 * 1_875
        assert not found.is_exact

    def test_a_single_one_is_issued_and_minted_to_alone(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        make_members(session, 1)
        found = forecast(session, asset)
        assert (found.pass_transactions, found.drop_transactions) == (1, 1)
        assert found.pass_gas < 75_000

    def test_the_guess_is_near_what_is_planned_later(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        make_members(session, 100)
        guess = forecast(session, asset)
        activate_passes(session)
        exact = forecast(session, asset)
        assert abs(guess.drop_gas - exact.drop_gas) <= 0.03 * exact.drop_gas


class TestMoney:
    def test_a_relayer_with_enough_lacks_nothing(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        make_members(session, 2)
        activate_passes(session)
        found = forecast(session, asset)
        assert found.cost == found.gas * found.gas_price
        assert found.shortfall == 0

    def test_a_silent_node_is_said(self, session: Session, asset: DigitalAsset) -> None:
        fake = FakeChain()
        fake.is_down = True
        with pytest.raises(ChainUnavailableError):
            forecast_for(session, fake, the_lane(session), asset, Audience(EVERYBODY))


class TestBeyondMembers:
    def test_newcomers_cost_what_members_cost_who_wait(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        lane, node = the_lane(session), FakeChain()
        foretold = forecast_for(session, node, lane, asset, Audience(EVERYBODY, newcomers=40))
        make_members(session, 40)
        found = forecast_for(session, node, lane, asset, Audience(EVERYBODY))
        assert (foretold.passes_to_issue, foretold.is_exact) == (40, False)
        assert foretold == found

    def test_addresses_are_minted_to_in_full_batches(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        lane, node = the_lane(session), FakeChain()
        found = forecast_for(
            session, node, lane, asset, Audience(EVERYBODY, addresses=MAX_BATCH + 1)
        )
        assert (found.passes_to_issue, found.drop_transactions, found.is_exact) == (0, 2, True)
        one = forecast_for(session, node, lane, asset, Audience(EVERYBODY, addresses=1))
        full = forecast_for(session, node, lane, asset, Audience(EVERYBODY, addresses=MAX_BATCH))
        assert found.drop_gas == full.drop_gas + one.drop_gas


class TestSeveral:
    def test_each_copy_is_a_round_and_only_the_first_is_the_contracts_first(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        make_members(session, 40)
        activate_passes(session)
        lane, node = the_lane(session), FakeChain()
        part = costs.PassPlaces(0, 40, tuple(range(40)))
        [first] = plan_calls([part], costs.Ground(is_first=True))
        [later] = plan_calls([part], costs.Ground())
        found = forecast_for(session, node, lane, asset, Audience(EVERYBODY), copies=3)
        assert found.drop_transactions == 3
        assert found.drop_gas == first.gas + 2 * later.gas

    def test_passes_are_issued_once_for_all_shares(
        self, session: Session, asset: DigitalAsset
    ) -> None:
        make_members(session, 30)
        one, audience = forecast(session, asset), Audience(EVERYBODY)
        shares = [Share(asset, audience), Share(make_asset(session, title="Cup"), audience)]
        both = forecast_drops(session, FakeChain(), the_lane(session), audience, shares)
        assert (both.passes_to_issue, both.pass_gas) == (one.passes_to_issue, one.pass_gas)
        assert both.drop_gas == 2 * one.drop_gas
