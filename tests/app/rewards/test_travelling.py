"""What is promised outside campaigns is planned: after others had time to join, and once."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.rewards import travelling
from app.rewards.granting import grant
from app.rewards.lines import Choice, make_line
from app.rewards.models import GrantSource, RewardLine
from app.rewards.service import Source
from app.rewards.travelling import GATHERING
from core.ids import new_id
from core.types import UserId
from minting.models import MembershipPass, PassState, Plan, PlanKind, Token, TokenState
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_members, make_pass_contract
from tests.factories.minting import activate_passes

LATER = NOW + GATHERING


@pytest.fixture
def users(session: Session) -> list[UserId]:
    """Three members with active passes."""
    make_pass_contract(session)
    users = make_members(session, *(f"m{n}@example.com" for n in range(3)))
    activate_passes(session)
    return users


@pytest.fixture
def line(session: Session) -> RewardLine:
    """A line of an asset, outside campaigns."""
    return make_line(session, Choice(make_asset(session).id))


def promise(session: Session, line: RewardLine, *users: UserId) -> None:
    for user in users:
        grant(session, line, user, source=Source(GrantSource.CLAIM, new_id()), at=NOW)


def plans(session: Session) -> list[Plan]:
    return list(session.scalars(select(Plan).where(Plan.kind == PlanKind.DROP)))


class TestPlanDue:
    def test_gathers_who_comes_within_moments(
        self, session: Session, line: RewardLine, users: list[UserId]
    ) -> None:
        promise(session, line, *users)
        assert travelling.plan_due(session, at=LATER - timedelta(seconds=1)) == 0
        assert travelling.plan_due(session, at=LATER) == 1
        [plan] = plans(session)
        assert plan.subject_id == line.id
        assert set(session.scalars(select(Token.state))) == {TokenState.MINTING}
        assert travelling.plan_due(session, at=LATER) == 0
        assert line.waiting_since is None

    def test_who_comes_later_waits_for_the_plan_before(
        self, session: Session, line: RewardLine, users: list[UserId]
    ) -> None:
        promise(session, line, users[0])
        travelling.plan_due(session, at=LATER)
        promise(session, line, users[1])
        assert travelling.plan_due(session, at=LATER + GATHERING) == 0
        session.refresh(line)
        assert len(plans(session)) == 1 and line.waiting_since is not None

    def test_who_has_no_pass_yet_waits_for_it(
        self, session: Session, line: RewardLine, users: list[UserId]
    ) -> None:
        session.execute(update(MembershipPass).values(state=PassState.MINTING))
        promise(session, line, users[0])
        assert travelling.plan_due(session, at=LATER) == 0
        session.execute(update(MembershipPass).values(state=PassState.ACTIVE))
        assert travelling.plan_due(session, at=LATER) == 1
