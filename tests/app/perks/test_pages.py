"""Screens of perks, and what members see."""

from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.campaigns import runs, service
from app.perks.models import Holding, Perk, PerkState
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id, new_id
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import give, make_campaign, make_members, make_perk, make_preview

PERKS = "/admin/perks"


def send(client: TestClient, path: str, **fields: str) -> tuple[int, str]:
    """Status, and the target or the page that came back."""
    token = token_in(client.get(PERKS, headers=HTML).text)
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(path, headers=headers, data=fields)
    return answer.status_code, answer.headers.get("location") or answer.text


def the_perk(merchant: Merchant) -> Perk:
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalars(select(Perk)).one()


class TestAdmin:
    def test_one_is_created_edited_published_and_archived(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        status, page = send(admin, f"{PERKS}/new", title="Coffee", total_quantity="1,000")
        assert status == 303
        assert (the_perk(merchant).internal_name, the_perk(merchant).total_quantity) == (
            *("Coffee", 1_000),
        )
        assert send(admin, f"{page}/edit", title="Tea", internal_name="Tea") == (303, page)
        assert send(admin, f"{page}/publish") == (303, page)
        assert "Tea" in admin.get(PERKS, headers=HTML).text
        assert send(admin, f"{page}/archive") == (303, page)
        assert the_perk(merchant).state is PerkState.ARCHIVED
        assert "Tea" not in admin.get(PERKS, headers=HTML).text
        assert "Tea" in admin.get(f"{PERKS}?state=archived", headers=HTML).text

    def test_what_was_typed_wrong_comes_back(self, admin: TestClient) -> None:
        status, text = send(admin, f"{PERKS}/new", title="", total_quantity="many")
        assert status == 422 and 'value="many"' in text and "whole number" in text

    def test_the_form_of_one_holds_what_it_is(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session, total_quantity=7)
        page = f"{PERKS}/{encode_id('prk', perk.id)}"
        assert 'value="7"' in admin.get(f"{page}/edit", headers=HTML).text
        status, text = send(admin, f"{page}/edit", title="x", max_per_user="0")
        assert status == 422 and "Between 1 and 1,000" in text

    def test_an_analyst_changes_nothing(self, browse: Browse, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        page = f"{PERKS}/{encode_id('prk', perk.id)}"
        assert client.get(page, headers=HTML).status_code == 200
        assert send(client, f"{page}/archive")[0] == 403
        assert the_perk(merchant).state is PerkState.LIVE

    def test_unknown_ones_do_not_exist(self, admin: TestClient) -> None:
        assert admin.get(f"{PERKS}/{encode_id('prk', new_id())}", headers=HTML).status_code == 404


class TestGiven:
    def test_while_a_campaign_gives_it_it_is_not_archived(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, "ada@example.com")
            campaign, perk = make_campaign(session), make_perk(session)
            give(session, campaign, perk)
            service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        status, text = send(admin, f"{PERKS}/{encode_id('prk', perk.id)}/archive")
        assert status == 409 and "still given by a campaign" in text

    def test_it_is_in_the_space_and_its_owners_on_its_page(
        self, admin: TestClient, member: TestClient, merchant: Merchant
    ) -> None:
        assert "Your perks" not in member.get("/space/home", headers=HTML).text
        with unit_of_work(merchant=merchant.id) as session:
            campaign = make_campaign(session)
            perk = make_perk(session, subtitle="On us", description="One a day.")
            give(session, campaign, perk)
            service.publish(session, campaign, make_preview(session, campaign), at=NOW)
            runs.advance(session, at=NOW)
            holding = session.scalars(select(Holding)).one()
            name = session.get_one(User, holding.user_id).display_name
        text = member.get("/space/home", headers=HTML).text
        assert all(
            it in text for it in ("Your perks", "Coffee", "On us", "One a day.", "Available")
        )
        assert "Nothing here yet" not in text
        page = f"{PERKS}/{encode_id('prk', perk.id)}/holdings"
        assert name in admin.get(page, headers=HTML).text
