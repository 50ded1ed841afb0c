"""From forty members to forty owners on a real chain, and nothing more when it is repeated."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.campaigns.models import Campaign, CampaignState, RunState
from app.campaigns.previews import newest
from app.campaigns.progress import progress
from app.campaigns.queries import find_run
from app.engine import reconcile, step
from app.perks.models import Holding
from app.rewards.lines import Choice
from app.rewards.models import Grant, GrantState
from chain import discrepancies, local
from chain.client import ChainClient
from chain.models import (
    Attempt,
    Discrepancy,
    LaneReconciliation,
    Reconciliation,
    Rule,
    Transaction,
)
from core.db import unit_of_work
from core.types import CampaignId, utc_now
from minting import passes
from minting.content import ContentStore
from minting.models import (
    Batch,
    DigitalAsset,
    MembershipPass,
    PassContract,
    PassState,
    Plan,
    PlanState,
    Token,
    TokenState,
)
from tests.factories.brand import make_perk
from tests.factories.engine import Installation, make_installation
from tests.factories.minting import make_members

MEMBERS = 40
YESTERDAY = timedelta(days=1)


@pytest.fixture
def installation(committed: None, node: ChainClient) -> Installation:
    """A merchant on the development chain."""
    return make_installation(node)


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    """An empty content store."""
    return ContentStore(tmp_path)


def add_members(installation: Installation, count: int) -> None:
    with unit_of_work(merchant=installation.merchant) as session:
        make_members(session, count, at=utc_now() - YESTERDAY)


def issue_passes(installation: Installation, count: int) -> None:
    """All passes are active; the queue is older than its window from the start."""
    add_members(installation, count)
    installation.step_until(lambda session: passes.waiting_count(session) == 0)


def deliver(installation: Installation, campaign: CampaignId) -> None:
    def completed(session: object) -> bool:
        run = find_run(session, campaign)
        return run is not None and run.state is RunState.COMPLETED

    installation.step_until(completed)


def assert_forecast_held(installation: Installation, campaign: CampaignId) -> None:
    """The preview said what the drop's transactions then cost, within three percent."""
    with unit_of_work(merchant=installation.merchant) as session:
        preview = newest(session, session.get_one(Campaign, campaign))
        run = find_run(session, campaign)
        assert preview is not None and run is not None
        used = progress(session, run, at=utc_now()).gas
        assert preview.report["gas_is_exact"]
        assert abs(preview.report["drop_gas"] - used) <= 0.03 * used


def rows_of(installation: Installation) -> list[int]:
    """How many rows there are of everything that must not happen twice."""
    kinds = (Plan, Batch, Transaction, Attempt, Grant, Token, MembershipPass)
    with unit_of_work(merchant=installation.merchant) as session:
        return [session.scalar(select(func.count()).select_from(kind)) or 0 for kind in kinds]


class TestMainJob:
    def test_every_member_owns_a_pass_and_a_collectible(
        self, installation: Installation, store: ContentStore
    ) -> None:
        issue_passes(installation, MEMBERS)
        campaign = installation.airdrop(installation.publish_asset(store))
        deliver(installation, campaign)

        with unit_of_work(merchant=installation.merchant) as session:
            registry = session.scalars(select(PassContract)).one()
            asset = session.scalars(select(DigitalAsset)).one()
            rows = session.execute(
                select(MembershipPass, Token).join(Token, Token.user_id == MembershipPass.user_id)
            ).all()
            assert {grant.state for grant in session.scalars(select(Grant))} == {
                GrantState.DELIVERED
            }
            assert {plan.state for plan in session.scalars(select(Plan))} == {PlanState.DONE}
            assert session.get_one(Campaign, campaign).state is CampaignState.ENDED
        assert_forecast_held(installation, campaign)
        assert len(rows) == MEMBERS
        for member_pass, token in rows:
            holder = member_pass.address
            assert installation.owner_of(registry.address, member_pass.token_id) == holder
            assert installation.owner_of(asset.address, token.token_id) == holder

        before = rows_of(installation)
        first = installation.publish(campaign).id
        for _ in range(5):
            step(installation.place)
        assert installation.publish(campaign).id == first
        assert rows_of(installation) == before

    def test_members_who_come_before_the_airdrop_have_their_pass_first(
        self, installation: Installation, store: ContentStore
    ) -> None:
        issue_passes(installation, 3)
        asset_id = installation.publish_asset(store)
        add_members(installation, 2)
        campaign = installation.airdrop(asset_id)
        deliver(installation, campaign)
        with unit_of_work(merchant=installation.merchant) as session:
            asset = session.get_one(DigitalAsset, asset_id)
            tokens = session.execute(
                select(Token, MembershipPass.address).join(
                    MembershipPass, MembershipPass.user_id == Token.user_id
                )
            ).all()
        assert len(tokens) == 5
        for token, holder in tokens:
            assert installation.owner_of(asset.address, token.token_id) == holder

    def test_a_member_who_came_alone_has_a_pass_and_a_collectible_too(
        self, installation: Installation, store: ContentStore
    ) -> None:
        issue_passes(installation, 3)
        issue_passes(installation, 1)
        campaign = installation.airdrop(installation.publish_asset(store))
        deliver(installation, campaign)
        with unit_of_work(merchant=installation.merchant) as session:
            registry = session.scalars(select(PassContract)).one()
            asset = session.scalars(select(DigitalAsset)).one()
            rows = session.execute(
                select(MembershipPass, Token).join(Token, Token.user_id == MembershipPass.user_id)
            ).all()
        assert_forecast_held(installation, campaign)
        assert sorted(str(member_pass.number) for member_pass, _ in rows)[-1] == "S-0000"
        for member_pass, token in rows:
            holder = member_pass.address
            assert installation.owner_of(registry.address, member_pass.token_id) == holder
            assert installation.owner_of(asset.address, token.token_id) == holder


class TestSeveralRewards:
    def test_every_member_owns_all_of_them_and_the_next_airdrop_goes_on(
        self, installation: Installation, store: ContentStore
    ) -> None:
        issue_passes(installation, 6)
        issue_passes(installation, 1)
        first = installation.publish_asset(store)
        second = installation.publish_asset(store, title="Second Tide")
        with unit_of_work(merchant=installation.merchant) as session:
            perk = make_perk(session)
        chosen = (Choice(first, per_recipient=3), second, perk)
        campaign = installation.airdrop(*chosen)
        deliver(installation, campaign)
        assert_forecast_held(installation, campaign)
        deliver(installation, installation.airdrop(first))
        with unit_of_work(merchant=installation.merchant) as session:
            rows = session.execute(
                select(DigitalAsset.address, Token, MembershipPass.address)
                .join(Token, Token.asset_id == DigitalAsset.id)
                .join(MembershipPass, MembershipPass.user_id == Token.user_id)
            ).all()
            assert len(session.scalars(select(Holding)).all()) == 7
            run = find_run(session, campaign)
            assert run is not None
            numbers = progress(session, run, at=utc_now())
        assert (numbers.recipients, numbers.delivered, numbers.on_chain) == (7, 35, 28)
        assert len(rows) == 35
        assert len({(contract, token.token_id) for contract, token, _ in rows}) == 35
        for contract, token, holder in rows:
            assert installation.owner_of(contract, token.token_id) == holder


class TestBeforeThePassIsLive:
    def test_an_overdue_queue_does_not_stop_the_deployment(
        self, installation: Installation
    ) -> None:
        add_members(installation, 2)
        issue_passes(installation, 1)
        with unit_of_work(merchant=installation.merchant) as session:
            states = session.scalars(select(MembershipPass.state)).all()
        assert states == [PassState.ACTIVE] * 3


class TestReconciliation:
    def differences(self, installation: Installation) -> list[Discrepancy]:
        """What a full pass finds, once the chain has whole blocks to compare."""
        place = installation.place
        report = reconcile(place, is_full=True)
        assert report is not None and report.unread == []
        with unit_of_work(merchant=place.merchant) as session:
            return discrepancies.list_open(session)

    def test_an_airdrop_is_clean_and_a_changed_row_is_found(
        self, installation: Installation, store: ContentStore
    ) -> None:
        issue_passes(installation, 5)
        issue_passes(installation, 1)
        campaign = installation.airdrop(installation.publish_asset(store))
        deliver(installation, campaign)
        assert self.differences(installation) == []
        with unit_of_work(merchant=installation.merchant) as session:
            cursors = session.scalars(select(Reconciliation)).all()
            assert [(cursor.supply, cursor.recipients) for cursor in cursors] == [(6, 6), (6, 6)]
            accounts = session.scalars(select(LaneReconciliation)).all()
            assert [it.received for it in accounts] == [local.RELAYER_FUNDS] * 2
            for account in accounts:
                assert account.used_nonces == account.final_nonces
            token = session.scalars(select(Token).order_by(Token.id).limit(1)).one()
            token.state = TokenState.MINTING
        [found] = self.differences(installation)
        assert (found.rule, found.expected) == (
            Rule.BACKWARD,
            f"token {token.token_id} on the way",
        )
        with unit_of_work(merchant=installation.merchant) as session:
            session.get_one(Token, token.id).state = TokenState.OWNED
        assert self.differences(installation) == []
