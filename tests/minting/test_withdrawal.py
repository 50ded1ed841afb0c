"""Withdrawn is what nobody signed for: supply and numbers come back, the rest is served."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.rewards.models import RewardLine
from chain.models import NonceLane, Outcome
from core.types import UserId
from minting import airdrops, settlement, withdrawal
from minting.airdrops import Wanted
from minting.models import BatchState, DigitalAsset, Plan, PlanState, Token
from tests.conftest import NOW
from tests.factories.chain import make_lane
from tests.factories.minting import (
    activate_passes,
    execute,
    grant,
    make_asset,
    make_line,
    make_members,
    make_pass_contract,
    rounds,
    wanted,
)

OTHER_CONTRACT = "0x" + "77" * 20


@pytest.fixture
def lane(session: Session) -> NonceLane:
    return make_lane(session)


@pytest.fixture
def members(session: Session, lane: NonceLane) -> list[UserId]:
    """Nine in three batches, and four whose passes were issued alone."""
    make_pass_contract(session)
    found = []
    for count in (4, 3, 2):
        found += make_members(session, count)
        activate_passes(session)
    for _ in range(4):
        found += make_members(session, 1)
        activate_passes(session)
    return found


@pytest.fixture
def asset(session: Session, members: list[UserId]) -> DigitalAsset:
    return make_asset(session)


@pytest.fixture
def line(session: Session, asset: DigitalAsset, members: list[UserId]) -> RewardLine:
    """One of each batch and everybody alone: two transactions, each with a data contract."""
    line = make_line(session, asset)
    grant(session, line, [members[0], members[5], members[8], *members[9:]])
    return line


def wanted_of(line: RewardLine) -> Wanted:
    return wanted(line, subject_id=line.campaign_id)


def planned(session: Session, line: RewardLine) -> Plan:
    found = airdrops.plan_drop(session, wanted_of(line), at=NOW)
    assert found is not None
    return found


def tokens(session: Session) -> int:
    return len(session.scalars(select(Token.id)).all())


def test_before_it_is_planned_everything_goes(
    session: Session, line: RewardLine, asset: DigitalAsset
) -> None:
    assert withdrawal.withdraw(session, wanted_of(line)) == 7
    assert (tokens(session), asset.minted_count) == (0, 0)
    assert rounds(session, line) == [None]


def test_what_is_planned_gives_its_numbers_back(
    session: Session, line: RewardLine, asset: DigitalAsset
) -> None:
    plan = planned(session, line)
    assert (asset.next_round, asset.next_data_nonce) == (1, 3)
    assert withdrawal.withdraw(session, wanted_of(line)) == 7
    assert rounds(session, line) == [None]
    assert {batch.state for batch in plan.batches} == {BatchState.CANCELLED}
    assert (plan.state, tokens(session)) == (PlanState.DONE, 0)
    assert (asset.next_round, asset.next_data_nonce, asset.minted_count) == (0, 1, 0)


def test_the_next_drop_has_the_numbers(
    session: Session, line: RewardLine, asset: DigitalAsset, members: list[UserId]
) -> None:
    planned(session, line)
    withdrawal.withdraw(session, wanted_of(line))
    other = make_line(session, asset)
    grant(session, other, [members[1], members[4], members[7], *members[9:]])
    plan = planned(session, other)
    assert (rounds(session, line), rounds(session, other)) == ([None], [0])
    assert [batch.data_nonce for batch in plan.batches] == [1, 2]


def test_what_is_signed_is_served(
    session: Session, line: RewardLine, asset: DigitalAsset, lane: NonceLane
) -> None:
    plan = planned(session, line)
    execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
    assert withdrawal.withdraw(session, wanted_of(line)) == 4
    assert rounds(session, line) == [0]
    assert [batch.state for batch in plan.batches] == [BatchState.ASSIGNED, BatchState.CANCELLED]
    assert (plan.state, asset.next_round, asset.next_data_nonce) == (PlanState.RUNNING, 1, 2)
    settlement.settle(session, at=NOW)
    assert (plan.state, tokens(session), asset.minted_count) == (PlanState.DONE, 3, 3)


def test_what_fails_later_goes_later(
    session: Session, line: RewardLine, asset: DigitalAsset, lane: NonceLane
) -> None:
    plan = planned(session, line)
    execute(session, lane.id, plan.batches[0], Outcome.REVERTED)
    withdrawal.withdraw(session, wanted_of(line))
    settlement.settle(session, at=NOW)
    assert plan.state is PlanState.HELD
    assert withdrawal.withdraw(session, wanted_of(line)) == 3
    assert rounds(session, line) == [None]
    assert (plan.state, asset.next_data_nonce, asset.minted_count) == (PlanState.DONE, 1, 0)


def test_it_is_nobodys_but_the_drops(
    session: Session, line: RewardLine, asset: DigitalAsset, members: list[UserId]
) -> None:
    other = make_line(session, asset)
    grant(session, other, members)
    planned(session, line)
    assert withdrawal.withdraw(session, wanted_of(line)) == 7
    assert tokens(session) == asset.minted_count == 13


def test_of_several_rounds_those_that_nobody_signed_for_come_back(
    session: Session, asset: DigitalAsset, members: list[UserId], lane: NonceLane
) -> None:
    line = make_line(session, asset)
    grant(session, line, members[:9], quantity=3)
    plan = planned(session, line)
    assert (rounds(session, line), len(plan.batches)) == ([0, 1, 2], 3)
    execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
    assert withdrawal.withdraw(session, wanted_of(line)) == 18
    assert (rounds(session, line), asset.next_round) == ([0, None, None], 1)
    settlement.settle(session, at=NOW)
    assert (plan.state, tokens(session), asset.minted_count) == (PlanState.DONE, 9, 9)


def test_another_collectible_of_the_same_run_keeps_its_numbers(
    session: Session, line: RewardLine, asset: DigitalAsset, members: list[UserId]
) -> None:
    other = make_line(session, make_asset(session, title="Cup", address=OTHER_CONTRACT))
    grant(session, other, members)
    run = line.campaign_id
    mine = airdrops.plan_drop(session, wanted(line, subject_id=run), at=NOW)
    theirs = airdrops.plan_drop(session, wanted(other, subject_id=run), at=NOW)
    assert mine is not None and theirs is not None
    assert withdrawal.withdraw(session, wanted(line, subject_id=run)) == 7
    assert {batch.state for batch in mine.batches} == {BatchState.CANCELLED}
    assert {batch.state for batch in theirs.batches} == {BatchState.PLANNED}
    assert (rounds(session, line), rounds(session, other)) == ([None], [0])
