"""Every route of the application: who may call it, from where, and what a stranger learns."""

import io
import re
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns.service import publish
from app.segments import badges
from app.segments import rules as segment_rules
from app.segments import service as segments
from app.segments.models import Segment
from app.users import lists
from app.users.imports import running
from app.users.imports import service as imports
from app.web.access import declared_classes, undeclared_routes
from core.db import unit_of_work
from core.ids import encode_id, new_id
from tests.app.conftest import Browse
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_other_merchant,
    make_pass_contract,
    make_perk,
    make_preview,
)
from tests.factories.claims import make_batch
from tests.factories.draws import make_draw
from tests.factories.perks import make_place

JSON = {"accept": "application/json"}
_PARAMETER = re.compile(r"\{\w+\}")
_INLINE = re.compile(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)
TABS = (
    *("campaigns", "rewards", "badges", "lists", "events", "wallet", "consents", "privacy"),
    "audit",
)
_OPEN = {"GET /admin/sign-in", "GET /admin/sign-in/{token}"}


def routes(app: FastAPI, *methods: str) -> list[str]:
    """Paths, with parameters filled in, of every route that takes one of the methods."""
    return [
        _PARAMETER.sub("1", route.path)
        for route in iter_route_contexts(app.routes)
        if isinstance(route.route, APIRoute) and set(methods) & set(route.methods or ())
    ]


def behind_sign_in(app: FastAPI) -> list[str]:
    """Paths of pages that need a session."""
    return [
        _PARAMETER.sub("1", name.removeprefix("GET "))
        for name, classes in declared_classes(app).items()
        if name.startswith("GET ") and classes != ["public"]
    ]


class TestAccess:
    def test_every_route_declares_who_may_call_it(self, whole_app: FastAPI) -> None:
        assert undeclared_routes(whole_app) == []

    def test_below_admin_only_the_sign_in_is_public(self, whole_app: FastAPI) -> None:
        public = {
            name
            for name, classes in declared_classes(whole_app).items()
            if name.startswith("GET /admin") and classes == ["public"]
        }
        assert public == _OPEN

    def test_pages_lead_a_stranger_to_the_sign_in_and_back(
        self, whole_app: FastAPI, stranger: TestClient
    ) -> None:
        paths = behind_sign_in(whole_app)
        assert {"/admin", "/admin/users", "/space/home"} <= set(paths)
        for path in paths:
            answer = stranger.get(path, headers=HTML)
            side = path.split("/")[1]
            door = {"admin": "/admin/sign-in", "scan": "/scan/sign-in"}.get(side, "/space/login")
            assert answer.status_code == 303, path
            assert answer.headers["location"] == f"{door}?destination={path}"

    def test_programs_are_told_401(self, whole_app: FastAPI, stranger: TestClient) -> None:
        for path in behind_sign_in(whole_app):
            answer = stranger.get(path, headers=JSON)
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "sign_in_required"

    def test_a_member_of_the_brand_is_a_stranger_to_the_admin(
        self, whole_app: FastAPI, member: TestClient
    ) -> None:
        assert member.get("/space/home", headers=HTML).status_code == 200
        for path in behind_sign_in(whole_app):
            if path.startswith("/admin"):
                assert member.get(path, headers=JSON).status_code == 401, path

    def test_the_team_is_a_stranger_to_the_space(self, admin: TestClient) -> None:
        assert admin.get("/admin", headers=HTML).status_code == 200
        assert admin.get("/space/home", headers=JSON).status_code == 401


class TestForgery:
    def test_nothing_is_changed_without_the_token_of_a_page(
        self, whole_app: FastAPI, admin: TestClient
    ) -> None:
        paths = routes(whole_app, "POST", "PUT", "PATCH", "DELETE")
        assert len(paths) >= 15
        for path in paths:
            answer = admin.post(path, headers={"origin": ORIGIN, **JSON})
            assert (answer.status_code, answer.json()["code"]) == (403, "forged_request"), path

    def test_nor_from_another_origin_with_it(self, whole_app: FastAPI, admin: TestClient) -> None:
        token = token_in(admin.get("/admin", headers=HTML).text)
        for path in routes(whole_app, "POST"):
            headers = {"origin": "https://evil.example", "x-csrf-token": token}
            assert admin.post(path, headers=headers).status_code == 403, path

    def test_nor_with_the_token_of_a_stranger(self, admin: TestClient, browse: Browse) -> None:
        token = token_in(browse().get("/admin/sign-in", headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token}
        assert admin.post("/admin/sign-out", headers=headers).status_code == 403
        assert admin.get("/admin", headers=HTML).status_code == 200

    def test_with_it_the_session_ends(self, admin: TestClient) -> None:
        token = token_in(admin.get("/admin", headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token}
        cookie = admin.cookies["cohort_admin"]
        assert admin.post("/admin/sign-out", headers=headers).status_code == 303
        admin.cookies.set("cohort_admin", cookie)
        assert admin.get("/admin", headers=JSON).status_code == 401


def make_segment(session: Session, name: str = "S") -> Segment:
    """Whoever has an address."""
    asked = {"kind": "property", "field": "email", "op": "is_set"}
    rule = segment_rules.load({"groups": [{"conditions": [asked]}]})
    return segments.create(session, rule, name=name, at=NOW)


class TestForeignObjects:
    @pytest.fixture
    def theirs(self, merchant: Merchant) -> Iterator[dict[str, UUID]]:
        """An object of each kind that belongs to another merchant."""
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            [user] = make_members(session, "eve@example.com")
            row = imports.upload(session, "m.csv", io.BytesIO(b"email\na@example.com\n"), at=NOW)
            found = {
                "users/usr": user,
                "assets/das": make_asset(session).id,
                "campaigns/cmp": make_campaign(session).id,
                "users/lists/lst": lists.create(session, "L", at=NOW).id,
                "users/badges/bdg": badges.create(session, "B", at=NOW).id,
                "segments/seg": make_segment(session).id,
                "users/imports/imp": row.id,
                "perks/prk": make_perk(session).id,
                "draws/drw": make_draw(session).id,
                "places/plc": make_place(session).id,
                "claims/clb": make_batch(session).id,
            }
        yield found
        imports.forget_files(row.id)

    @pytest.mark.parametrize(
        "kind",
        [
            *("users/usr", "assets/das", "campaigns/cmp", "users/imports/imp", "perks/prk"),
            *("users/lists/lst", "users/badges/bdg", "segments/seg", "places/plc"),
            *("claims/clb", "draws/drw"),
        ],
    )
    def test_do_not_exist(self, admin: TestClient, theirs: dict[str, UUID], kind: str) -> None:
        folder, prefix = kind.rsplit("/", 1)
        answers = []
        for identifier in (theirs[kind], new_id()):
            path = f"/admin/{folder}/{encode_id(prefix, identifier)}"
            answer = admin.get(path, headers=JSON)
            body = answer.json()
            assert body.pop("instance") == path
            body.pop("requestId")
            answers.append((answer.status_code, body))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404

    @pytest.mark.parametrize(
        "path",
        ["/admin/users/usr_0", "/admin/users/das_00000000000000000000000000", "/admin/assets/1"],
    )
    def test_neither_does_what_is_no_identifier(self, admin: TestClient, path: str) -> None:
        assert admin.get(path, headers=HTML).status_code == 404

    def test_the_collectible_of_another_member_neither(self, member: TestClient) -> None:
        path = f"/space/rewards/{encode_id('tok', new_id())}"
        assert member.get(path, headers=HTML).status_code == 404


class TestOutbox:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
    def test_opens_on_this_machine(self, browse: Browse, host: str) -> None:
        assert browse(host=host).get("/outbox", headers=HTML).status_code == 200

    @pytest.mark.parametrize("host", ["10.0.0.1", "192.0.2.7", "2001:db8::1", "localhost", ""])
    def test_does_not_exist_elsewhere(self, browse: Browse, host: str) -> None:
        assert browse(host=host).get("/outbox", headers=HTML).status_code == 404

    @pytest.mark.parametrize(
        "name", ["testserver", "127.0.0.1:8000", "localhost", "LOCALHOST:81", "[::1]:8000"]
    )
    def test_opens_under_its_own_names(self, stranger: TestClient, name: str) -> None:
        assert stranger.get("/outbox", headers={**HTML, "host": name}).status_code == 200

    @pytest.mark.parametrize(
        "name",
        ["evil.example", "testserver.evil.example", "127.0.0.1.evil.example:8000", "10.0.0.1"],
    )
    def test_does_not_exist_under_a_name_of_somebody_else(
        self, stranger: TestClient, name: str
    ) -> None:
        """Their name may lead to this machine, and their page would then read our mails."""
        assert stranger.get("/outbox", headers={**HTML, "host": name}).status_code == 404

    def test_does_not_exist_in_production(
        self, browse: Browse, set_environment: Callable[..., None]
    ) -> None:
        set_environment(COHORT_ENVIRONMENT="production")
        assert browse().get("/outbox", headers=HTML).status_code == 404


class TestPages:
    PLAIN = (
        *("/admin/sign-in", "/space/login", "/scan/sign-in", "/claim", "/outbox", "/v/code"),
        *("/nowhere", "/admin/nowhere", "/scan/nowhere"),
    )
    TEAM = (
        *("/admin", "/admin/users", "/admin/users?q=ada", "/admin/users/import", "/admin/assets"),
        *("/admin/assets/new", "/admin/campaigns", "/admin/campaigns/new", "/admin/operations"),
        *("/admin/draws", "/admin/draws/new"),
        *("/admin/perks", "/admin/perks/new", "/admin/perks?state=archived"),
        *("/admin/perks", "/admin/perks/new", "/admin/perks?state=archived", "/admin/places"),
        *("/admin/users/lists", "/admin/users/lists/new", "/admin/users/badges"),
        *("/admin/settings/properties", "/admin/settings/properties/new"),
        *("/admin/settings/devices", "/admin/settings/pass"),
        *("/admin/segments", "/admin/segments/new", "/admin/segments?archived=true"),
        *("/admin/claims", "/admin/claims/new"),
    )

    def check(self, client: TestClient, path: str, *, status: int = 200) -> None:
        answer = client.get(path, headers=HTML)
        assert answer.status_code == status, path
        assert answer.headers["content-type"].startswith("text/html")
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
        assert _INLINE.search(answer.text) is None, path
        assert 'lang="en"' in answer.text

    def test_hold_no_script_and_no_style_of_their_own(
        self, stranger: TestClient, admin: TestClient, member: TestClient
    ) -> None:
        for path in self.PLAIN:
            self.check(stranger, path, status=404 if "nowhere" in path else 200)
        for path in self.TEAM:
            self.check(admin, path)
        self.check(member, "/space/home")
        self.check(member, "/space/pass")
        self.check(member, "/space/profile")

    def test_of_objects_neither(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_pass_contract(session)
            [user] = make_members(session, "bob@example.com")
            row = imports.upload(session, "m.csv", io.BytesIO(b"email\na@example.com\n"), at=NOW)
            paths = [
                f"users/{encode_id('usr', user)}",
                f"users/imports/{encode_id('imp', row.id)}",
                f"assets/{encode_id('das', make_asset(session).id)}",
                f"perks/{encode_id('prk', make_perk(session).id)}",
            ]
            paths += [f"{paths[0]}/{tab}" for tab in TABS]
            draw = f"draws/{encode_id('drw', make_draw(session).id)}"
            paths += [draw, f"{draw}/simulation", f"{draw}/hand-out"]
            paths.append(f"users/lists/{encode_id('lst', lists.create(session, 'L', at=NOW).id)}")
            segment = f"segments/{encode_id('seg', make_segment(session).id)}"
            paths += [segment, f"{segment}/edit", f"{segment}/members/{encode_id('usr', user)}"]
            badge = badges.create(session, "B", at=NOW)
            paths.append(f"users/badges/{encode_id('bdg', badge.id)}")
            campaign = encode_id("cmp", make_campaign(session).id)
            paths += [f"campaigns/{campaign}/{step}" for step in ("texts", "audience", "rewards")]
            paths.append(f"campaigns/{campaign}/review")
            codes = f"claims/{encode_id('clb', make_batch(session).id)}"
            paths += [codes, *(f"{codes}/{it}" for it in ("codes", "codes/1", "uses"))]
            paths += [f"{codes}/analytics", f"{codes}/output"]
        for path in paths:
            self.check(admin, f"/admin/{path}")

    def test_a_part_that_refreshes_itself_is_the_part_alone(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            content = io.BytesIO(b"email\na@example.com\nnobody\n")
            row = imports.upload(session, "m.csv", content, at=NOW)
            running.run_part(session, row.id, at=NOW)
            imports.start(session, row, at=NOW)
            while running.run_part(session, row.id, at=NOW):
                pass
            make_pass_contract(session)
            campaign = make_campaign(session)
            asset = make_asset(session)
            give(session, campaign, asset.id)
            publish(session, campaign, make_preview(session, campaign), at=NOW)
        for path, part in (
            (f"users/imports/{encode_id('imp', row.id)}", 'id="import"'),
            (f"assets/{encode_id('das', asset.id)}", 'id="standing"'),
            (f"campaigns/{encode_id('cmp', campaign.id)}", 'id="run"'),
        ):
            answer = admin.get(f"/admin/{path}", headers={**HTML, "hx-request": "true"})
            assert answer.status_code == 200, path
            assert part in answer.text.split(">")[0] and "<html" not in answer.text
            whole = admin.get(f"/admin/{path}", headers=HTML)
            assert part in whole.text
            # What no longer moves asks for the whole page once, so that its heading is right.
            is_moving = "hx-get=" in answer.text
            assert answer.headers.get("hx-refresh") == (None if is_moving else "true")
            assert "hx-refresh" not in whole.headers

    def test_text_the_database_cannot_hold_is_refused_in_a_sentence(
        self, admin: TestClient
    ) -> None:
        answer = admin.get("/admin/users?q=%00", headers=JSON)
        assert answer.status_code == 422
        assert answer.json()["code"] == "unstorable_text"

    def test_what_people_typed_is_only_ever_text(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
        with unit_of_work(merchant=merchant.id) as session:
            campaign = make_campaign(session, evil)
        page = admin.get("/admin/campaigns", headers=HTML).text
        assert evil not in page and "&lt;script&gt;" in page
        texts = admin.get(f"/admin/campaigns/{encode_id('cmp', campaign.id)}/texts", headers=HTML)
        assert evil not in texts.text
        search = admin.get("/admin/users", params={"q": f'"{evil}'}, headers=HTML).text
        assert evil not in search
