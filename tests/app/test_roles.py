"""Roles and routes: every route of the admin lets in whom it declares, and declares no more than
the table of rights allows.
"""

import re
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import sessions
from app.accounts.models import Merchant, TeamMember, TeamRole
from app.accounts.service import add_member
from app.scanning.deps import _limiter
from app.web.access import declared_classes
from core.db import unit_of_work
from core.types import utc_now
from tests.app.conftest import Browse
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW

_PARAMETER = re.compile(r"\{\w+\}")
RANK = list(TeamRole)


@dataclass(frozen=True)
class Route:
    """A route of the admin, and the narrowest role that may call it."""

    method: str
    path: str
    least: TeamRole

    def lets_in(self, role: TeamRole) -> bool:
        return RANK.index(role) <= RANK.index(self.least)


@pytest.fixture(scope="module")
def admin_routes(whole_app: FastAPI) -> list[Route]:
    """Whatever below /admin is not the sign-in."""
    found = []
    for name, classes in declared_classes(whole_app).items():
        methods, path = name.split(" ")
        if path.startswith("/admin") and classes != ["public"]:
            [declared] = classes
            assert declared.startswith("team:"), name
            least = TeamRole(declared.removeprefix("team:"))
            found += [Route(method, path, least) for method in methods.split(",")]
    assert len(found) > 200
    return found


def sign_in(session: Session, merchant: Merchant, role: TeamRole) -> str:
    """The cookie of a member of the team with this role; of the owner, the first there is."""
    if role is TeamRole.OWNER:
        person = session.scalars(select(TeamMember)).one()
    else:
        organisation = session.get_one(Merchant, merchant.id).organisation
        person = add_member(session, organisation, f"{role}@example.com", role=role, at=NOW)
    return sessions.open_team_session(session, person, at=utc_now())


OWNER, ADMIN, EDITOR, ANALYST, STAFF = RANK
RIGHTS = (
    ("erase, merge, copies of a member", r"/admin/users/\{user_id\}/privacy/.+", ADMIN, ADMIN),
    ("exports with identity", r".*/(owners|uses|recipients)\.csv", ADMIN, ADMIN),
    ("exports with identity", r"/admin/users/exports.*|.*/(shipments|codes)/export", ADMIN, ADMIN),
    ("revoke, undo, void", r"/admin/(perks|draws)/.+/(revoke|undo|replace)", ADMIN, ADMIN),
    ("revoke, undo, void", r"/admin/perks/\{perk_id\}/codes/void.*", ADMIN, ADMIN),
    ("revoke of many", r"/admin/perks/\{perk_id\}/holdings", ANALYST, ADMIN),
    ("settings", r"/admin/settings/.+", ANALYST, ADMIN),
    ("operations", r"/admin/operations.*", EDITOR, ADMIN),
    ("the columns one sees", r"/admin/users/columns", ANALYST, ANALYST),
    ("everything else", r"/admin.*", ANALYST, EDITOR),
)
"""What the team does, where, and the narrowest role that may look and that may change something;
the first row that fits counts."""


class TestDeclared:
    def test_no_route_is_open_to_more_than_the_table_allows(
        self, admin_routes: list[Route]
    ) -> None:
        for route in admin_routes:
            what, look, change = next(
                (what, look, change)
                for what, path, look, change in RIGHTS
                if re.fullmatch(path, route.path)
            )
            allowed = look if route.method == "GET" else change
            assert RANK.index(route.least) <= RANK.index(allowed), (what, route)

    def test_every_row_of_the_table_is_of_use(self, admin_routes: list[Route]) -> None:
        for what, path, *_ in RIGHTS:
            assert any(re.fullmatch(path, route.path) for route in admin_routes), what

    def test_every_class_is_one_of_these(self, whole_app: FastAPI) -> None:
        classes = {name for names in declared_classes(whole_app).values() for name in names}
        team = {f"team:{role}" for role in (ADMIN, EDITOR, ANALYST)}
        assert classes == {"public", "member", "scanner", "device", *team}


def call(
    client: TestClient,
    method: str,
    path: str,
    token: str = "",
    *,
    form: dict[str, str] | None = None,
    document: dict[str, str] | None = None,
    **headers: str,
) -> tuple[int, str]:
    """Status and code of the answer; parameters of the path are identifiers nobody has."""
    answer = client.request(
        method,
        _PARAMETER.sub("1", path),
        data=form,
        json=document,
        headers={"accept": "application/json", "origin": ORIGIN, "x-csrf-token": token, **headers},
    )
    is_problem = answer.headers.get("content-type", "") == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else ""


def token_of(client: TestClient, page: str = "/admin/sign-in") -> str:
    """What its forms carry."""
    return token_in(client.get(page, headers=HTML).text)


def is_let_in(told: tuple[int, str]) -> bool:
    """Whether who asked may ask, whatever came of it."""
    assert told[0] < 500, told
    return told[0] not in (401, 403)


class TestEveryRole:
    """Each route is called as it is, by everybody there is."""

    @pytest.mark.parametrize("role", TeamRole)
    def test_of_the_team_is_let_in_as_declared(
        self, browse: Browse, merchant: Merchant, admin_routes: list[Route], role: TeamRole
    ) -> None:
        client = browse()
        with unit_of_work() as session:
            client.cookies.set("cohort_admin", sign_in(session, merchant, role))
        token = token_of(client)
        for route in admin_routes:
            told = call(client, route.method, route.path, token)
            assert is_let_in(told) == route.lets_in(role), (route, told)
            assert route.lets_in(role) or told == (403, "role_missing"), (route, told)

    def test_else_is_a_stranger(
        self, member: TestClient, stranger: TestClient, admin_routes: list[Route]
    ) -> None:
        for client in (member, stranger):
            token = token_of(client)
            for route in admin_routes:
                told = call(client, route.method, route.path, token)
                assert told == (401, "sign_in_required"), (route, told)


class TestOtherSides:
    """Members' pages, the scanner and the API of tills, called by everybody there is."""

    def of_class(self, app: FastAPI, wanted: str) -> list[tuple[str, str]]:
        found = [
            (method, name.split(" ")[1])
            for name, classes in declared_classes(app).items()
            for method in name.split(" ")[0].split(",")
            if classes == [wanted]
        ]
        assert found, wanted
        return found

    @pytest.mark.parametrize("role", TeamRole)
    def test_the_scanner_is_for_who_works_at_a_counter(
        self, whole_app: FastAPI, browse: Browse, merchant: Merchant, role: TeamRole
    ) -> None:
        _limiter.cache_clear()
        client = browse()
        with unit_of_work() as session:
            client.cookies.set("cohort_scan", sign_in(session, merchant, role))
        token = token_of(client, "/scan/sign-in")
        for method, path in self.of_class(whole_app, "scanner"):
            told = call(client, method, path, token)
            assert is_let_in(told) == (role is not ANALYST), (path, told)
            assert role is not ANALYST or told == (403, "scanner_role"), (path, told)

    @pytest.mark.parametrize(
        ("wanted", "page"), [("member", "/space/login"), ("scanner", "/scan/sign-in")]
    )
    def test_the_team_and_strangers_are_told_to_sign_in(
        self, whole_app: FastAPI, admin: TestClient, stranger: TestClient, wanted: str, page: str
    ) -> None:
        for client in (admin, stranger):
            token = token_of(client, page)
            for method, path in self.of_class(whole_app, wanted):
                told = call(client, method, path, token)
                assert told == (401, "sign_in_required"), (path, told)

    def test_a_member_has_no_scanner(self, whole_app: FastAPI, member: TestClient) -> None:
        token = token_of(member, "/scan/sign-in")
        for method, path in self.of_class(whole_app, "scanner"):
            assert call(member, method, path, token) == (401, "sign_in_required"), path

    def test_tills_need_a_key_of_their_own(
        self, whole_app: FastAPI, admin: TestClient, member: TestClient, stranger: TestClient
    ) -> None:
        for client in (admin, member, stranger):
            key = next(iter(client.cookies.jar), None)
            client.cookies.clear()  # a session is no key
            bearer = f"Bearer {'x' if key is None else key.value}"
            for method, path in self.of_class(whole_app, "device"):
                told = call(client, method, path, authorization=bearer)
                assert told == (401, "device_key_refused"), (path, told)
