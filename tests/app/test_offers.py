"""Pages offer what their reader may do: no form and no link leads to “your role may not”."""

import re

import pytest
from fastapi import FastAPI

from app.accounts.models import Merchant, TeamRole
from app.perks import using
from app.perks.models import Channel
from app.perks.terms import RedemptionType
from app.web.access import declared_classes
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW
from tests.factories.brand import make_asset
from tests.factories.claims import make_batch
from tests.factories.perks import hold, load, make_place, perk_of

_ACTION = re.compile(r'formaction="([^"?#]+)')
_LINK = re.compile(r'href="(/admin[^"?#]*)')
_RANK = list(TeamRole)


def offered(page: str) -> set[tuple[str, str]]:
    """Method and path of everything that the content of a page leads to."""
    main = page.split("<main", 1)[1]
    found = {("GET", path) for path in _LINK.findall(main)}
    found |= {("POST", path) for path in _ACTION.findall(main)}
    for form in re.findall(r"<form[^>]*>", main):
        method = re.search(r'method="(\w+)"', form)
        action = re.search(r'action="([^"?#]+)', form)
        if action is not None:
            found.add((method.group(1).upper() if method else "GET", action.group(1)))
    return found


def refused(app: FastAPI, page: str, role: TeamRole) -> set[str]:
    """What of it the role may not do."""
    classes = declared_classes(app)
    wrong = set()
    for method, path in offered(page):
        for name, (declared, *_) in classes.items():
            methods, pattern = name.split(" ", 1)
            shape = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern))
            if method in methods.split(",") and re.fullmatch(shape, path):
                needed = TeamRole(declared.removeprefix("team:"))
                if _RANK.index(role) > _RANK.index(needed):
                    wrong.add(f"{method} {path} needs {needed}")
                break
    return wrong


@pytest.fixture
def paths(merchant: Merchant) -> list[str]:
    """Pages of rewards, of claim codes and of a member, with something on most."""
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE, uses_per_holding=2)
        load(session, perk, "code\nA\nB\nC\nA\n")
        holding = hold(session, perk)
        using.use(session, holding, channel=Channel.STAFF, actor="system", at=NOW)
        make_place(session)
        batch = make_batch(session)
        base = f"/admin/perks/{encode_id('prk', perk.id)}"
        codes = f"/admin/claims/{encode_id('clb', batch.id)}"
        member = f"/admin/users/{encode_id('usr', holding.user_id)}"
        held = f"{base}/holdings/{encode_id('hld', holding.id)}"
        asset = f"/admin/assets/{encode_id('das', make_asset(session).id)}"
    pages = ["/admin/perks", base, f"{base}/holdings", held, f"{base}/codes", "/admin/places"]
    pages += ["/admin/claims", codes, f"{codes}/uses", f"{codes}/analytics"]
    pages += ["/admin/assets", asset, f"{asset}/unlocks", "/admin", "/admin/draws"]
    pages += ["/admin/points", "/admin/campaigns", "/admin/segments"]
    return [*pages, f"{member}/privacy", f"{member}/rewards"]


class TestOffers:
    @pytest.mark.parametrize("role", [TeamRole.EDITOR, TeamRole.ANALYST])
    def test_lead_nobody_to_a_refusal(
        self,
        whole_app: FastAPI,
        browse: Browse,
        merchant: Merchant,
        paths: list[str],
        role: TeamRole,
    ) -> None:
        client = browser_as(browse, merchant, role)
        for path in paths:
            answer = client.get(path, headers=HTML)
            assert answer.status_code == 200, path
            assert refused(whole_app, answer.text, role) == set(), path

    def test_an_admin_is_offered_what_an_editor_is_not(
        self,
        whole_app: FastAPI,
        admin: TestClient,
        browse: Browse,
        merchant: Merchant,
        paths: list[str],
    ) -> None:
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        held = paths[3]
        assert ("POST", f"{held}/revoke") in offered(admin.get(held, headers=HTML).text)
        page = editor.get(held, headers=HTML).text
        assert ("POST", f"{held}/revoke") not in offered(page)
        # The test of this file would see it.
        assert refused(whole_app, admin.get(held, headers=HTML).text, TeamRole.EDITOR) != set()

    def test_files_that_name_people_are_for_admins(
        self, browse: Browse, admin: TestClient, merchant: Merchant, paths: list[str]
    ) -> None:
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        with unit_of_work(merchant=merchant.id) as session:
            asset = f"/admin/assets/{encode_id('das', make_asset(session).id)}"
        for path in (f"{asset}/owners.csv", f"{paths[7]}/uses.csv"):
            assert editor.get(path, headers=HTML).status_code == 403
            assert admin.get(path, headers=HTML).status_code == 200
