"""Signed-in browsers: how long they stay, and how they end."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import sessions
from app.accounts.models import LoginSession, MemberState, Merchant, TeamMember
from app.accounts.sessions import Visit
from core.types import UserId
from tests.conftest import NOW
from tests.factories.brand import make_members

MINUTE = timedelta(minutes=1)


@pytest.fixture
def member(session: Session) -> TeamMember:
    """The owner."""
    return session.scalars(select(TeamMember)).one()


@pytest.fixture
def token(session: Session, member: TeamMember) -> str:
    """The cookie of the signed-in owner."""
    return sessions.open_team_session(session, member, at=NOW)


@pytest.fixture
def user(session: Session) -> UserId:
    """A member of the brand."""
    return make_members(session, "ada@example.com")[0]


class TestTeam:
    def test_the_cookie_finds_the_member_and_the_merchant(
        self, session: Session, member: TeamMember, token: str, merchant: Merchant
    ) -> None:
        found = sessions.find_member(session, token, at=NOW)
        assert found is not None
        assert (found.member.id, found.merchant.id) == (member.id, merchant.id)

    def test_the_cookie_is_stored_as_a_hash_only(self, session: Session, token: str) -> None:
        row = session.scalars(select(LoginSession)).one()
        assert token.encode() not in row.token_hash

    def test_a_made_up_cookie_finds_nobody(self, session: Session, token: str) -> None:
        assert sessions.find_member(session, token[::-1], at=NOW) is None

    def test_half_an_hour_of_silence_ends_it(self, session: Session, token: str) -> None:
        late = NOW + 30 * MINUTE
        assert sessions.find_member(session, token, at=late) is not None
        assert sessions.find_member(session, token, at=late + 31 * MINUTE) is None

    def test_twelve_hours_end_it_however_busy(self, session: Session, token: str) -> None:
        for minutes in range(25, 12 * 60, 25):
            assert sessions.find_member(session, token, at=NOW + minutes * MINUTE) is not None
        assert sessions.find_member(session, token, at=NOW + 12 * 60 * MINUTE) is None

    def test_a_visit_is_written_once_a_minute(self, session: Session, token: str) -> None:
        row = session.scalars(select(LoginSession)).one()
        sessions.find_member(session, token, at=NOW + timedelta(seconds=59))
        assert row.seen_at == NOW
        sessions.find_member(session, token, at=NOW + MINUTE)
        assert row.seen_at == NOW + MINUTE

    def test_signed_out_is_over(self, session: Session, token: str) -> None:
        sessions.end(session, token, at=NOW)
        assert sessions.find_member(session, token, at=NOW) is None

    def test_signing_out_ends_one_browser_and_everywhere_ends_all(
        self, session: Session, member: TeamMember, token: str
    ) -> None:
        others = [sessions.open_team_session(session, member, at=NOW) for _ in range(2)]
        sessions.end(session, token, at=NOW)
        assert sessions.find_member(session, others[0], at=NOW) is not None
        sessions.end_all_of_member(session, member.id, at=NOW)
        session.expire_all()
        assert [sessions.find_member(session, other, at=NOW) for other in others] == [None, None]

    @pytest.mark.parametrize("state", [MemberState.SUSPENDED, MemberState.REMOVED])
    def test_a_member_who_lost_access_is_refused_at_once(
        self, session: Session, member: TeamMember, token: str, state: MemberState
    ) -> None:
        member.state = state
        session.flush()
        assert sessions.find_member(session, token, at=NOW) is None


class TestSpace:
    def test_lasts_thirty_days_counted_anew_with_every_visit(
        self, session: Session, merchant: Merchant, user: UserId
    ) -> None:
        token = sessions.open_space_session(session, merchant.id, user, at=NOW)
        visit = NOW + timedelta(days=29)
        assert sessions.find_visit(session, token, at=visit) == Visit(merchant.id, user, True)
        again = visit + timedelta(days=29)
        assert sessions.find_visit(session, token, at=again) == Visit(merchant.id, user, True)
        assert sessions.find_visit(session, token, at=again + timedelta(days=30)) is None

    def test_says_when_it_was_not_extended(
        self, session: Session, merchant: Merchant, user: UserId
    ) -> None:
        token = sessions.open_space_session(session, merchant.id, user, at=NOW)
        soon = NOW + timedelta(seconds=59)
        assert sessions.find_visit(session, token, at=soon) == Visit(merchant.id, user, False)

    def test_signed_out_is_over(self, session: Session, merchant: Merchant, user: UserId) -> None:
        token = sessions.open_space_session(session, merchant.id, user, at=NOW)
        sessions.end(session, token, at=NOW)
        assert sessions.find_visit(session, token, at=NOW) is None

    def test_no_cookie_opens_the_other_door(
        self, session: Session, merchant: Merchant, user: UserId, token: str
    ) -> None:
        space = sessions.open_space_session(session, merchant.id, user, at=NOW)
        assert sessions.find_member(session, space, at=NOW) is None
        assert sessions.find_visit(session, token, at=NOW) is None
