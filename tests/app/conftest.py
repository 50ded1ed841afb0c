"""The whole application in process, and the browsers that look at it."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.accounts import sessions
from app.accounts.models import Merchant, TeamMember, TeamRole
from app.accounts.service import add_member
from app.main import create_app
from core.db import unit_of_work
from core.settings import core_settings
from core.types import utc_now
from tests.app.web.client import TestClient
from tests.conftest import NOW
from tests.factories.brand import make_members

LOOPBACK = "127.0.0.1"
Browse = Callable[..., TestClient]


@pytest.fixture(scope="session")
def whole_app() -> FastAPI:
    """The application as it is served."""
    return create_app()


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Change settings for one test: `set_environment(COHORT_ENVIRONMENT="production")`."""

    def change(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        core_settings.cache_clear()

    yield change
    monkeypatch.undo()
    core_settings.cache_clear()


@pytest.fixture
def browse(whole_app: FastAPI, merchant: Merchant) -> Iterator[Browse]:
    """Make browsers: `browse()` has no session, `browse(host=...)` comes from elsewhere."""
    opened: list[TestClient] = []

    def new(*, host: str = LOOPBACK) -> TestClient:
        client = TestClient(
            whole_app,
            follow_redirects=False,
            raise_server_exceptions=False,
            client=(host, 50_000),
        )
        opened.append(client)
        return client

    yield new
    for client in opened:
        client.close()


@pytest.fixture
def stranger(browse: Browse) -> TestClient:
    """A browser nobody signed in."""
    return browse()


@pytest.fixture
def admin(browse: Browse) -> TestClient:
    """The owner's browser."""
    with unit_of_work() as session:
        owner = session.scalars(select(TeamMember)).one()
        token = sessions.open_team_session(session, owner, at=utc_now())
    client = browse()
    client.cookies.set("cohort_admin", token)
    return client


@pytest.fixture
def member(browse: Browse, merchant: Merchant) -> TestClient:
    """The browser of a member of the brand."""
    with unit_of_work(merchant=merchant.id) as session:
        [user] = make_members(session, "ada@example.com")
        token = sessions.open_space_session(session, merchant.id, user, at=utc_now())
    client = browse()
    client.cookies.set("cohort_space", token)
    return client


def browser_as(browse: Browse, merchant: Merchant, role: TeamRole) -> TestClient:
    """A browser of a new team member with this role, signed in."""
    with unit_of_work() as session:
        found = session.get_one(Merchant, merchant.id)
        email = f"{role}@example.com"
        member = add_member(session, found.organisation, email, role=role, at=NOW)
        token = sessions.open_team_session(session, member, at=utc_now())
    client = browse()
    client.cookies.set("cohort_admin", token)
    return client
