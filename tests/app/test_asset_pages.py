"""Screens of digital assets: drafts revised and deleted, copies, the archive, owners as a file."""

from io import BytesIO

import pytest
from PIL import Image
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.campaigns.models import CampaignState
from app.rewards.lines import Choice, make_line
from app.rewards.models import GrantSource
from app.rewards.service import Source, grant_many, members
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import AssetId
from minting.models import ContractState, DigitalAsset
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import give, make_asset, make_campaign, make_members

ASSETS = "/admin/assets"


def add(merchant: Merchant, state: ContractState = ContractState.LIVE) -> AssetId:
    with unit_of_work(merchant=merchant.id) as session:
        return make_asset(session, state=state, reference_id="mug").id


def page_of(asset: AssetId) -> str:
    return f"{ASSETS}/{encode_id('das', asset)}"


def the(merchant: Merchant, asset: AssetId) -> DigitalAsset:
    with unit_of_work(merchant=merchant.id) as session:
        return session.get_one(DigitalAsset, asset)


class TestDraft:
    def test_is_revised_and_keeps_its_image(self, admin: TestClient, merchant: Merchant) -> None:
        asset = add(merchant, ContractState.DRAFT)
        form = admin.get(f"{page_of(asset)}/edit", headers=HTML).text
        assert 'value="Mug"' in form and 'value="mug"' in form
        answer = submit(
            admin,
            f"{page_of(asset)}/edit",
            **{"title": "Cup", "symbol": "CUP", "attributes": "Harvest: 2026"},
        )
        assert answer.status_code == 303
        row = the(merchant, asset)
        assert (row.title, row.symbol, row.reference_id) == ("Cup", "CUP", None)
        assert row.attributes == [{"trait_type": "Harvest", "value": "2026"}]
        assert len(row.renditions) == 1

    def test_has_another_image_if_one_is_sent(self, admin: TestClient, merchant: Merchant) -> None:
        asset = add(merchant, ContractState.DRAFT)
        before = the(merchant, asset).image_cid
        picture = BytesIO()
        Image.new("RGB", (400, 400), "teal").save(picture, "PNG")
        token = admin.get(ASSETS, headers=HTML).text.split('csrf-token" content="')[1].split('"')[0]
        answer = admin.post(
            f"{page_of(asset)}/edit",
            data={"csrf": token, "title": "Cup"},
            files={"image": ("cup.png", picture.getvalue(), "image/png")},
            headers={"origin": "http://testserver", **HTML},
        )
        assert answer.status_code == 303
        assert the(merchant, asset).image_cid != before

    @pytest.mark.parametrize(
        ("field", "text", "says"),
        [
            ("title", "", "Fill this in."),
            ("max_supply", "many", "A whole number"),
            ("transferability", "lent", "Choose what holders can do."),
            ("reference_id", "taken", "Another digital asset has it."),
        ],
    )
    def test_what_was_typed_wrong_comes_back(
        self, admin: TestClient, merchant: Merchant, field: str, text: str, says: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_asset(session, reference_id="taken")
        asset = add(merchant, ContractState.DRAFT)
        answer = submit(admin, f"{page_of(asset)}/edit", **{"title": "Cup", field: text})
        assert answer.status_code == 422 and says in answer.text
        assert the(merchant, asset).title == "Mug"

    def test_what_was_published_is_not_revised_or_deleted(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        asset = add(merchant)
        for action in ("edit", "delete"):
            answer = submit(admin, f"{page_of(asset)}/{action}", title="Cup")
            assert answer.status_code == 409, action
        assert the(merchant, asset).title == "Mug"

    def test_is_deleted(self, admin: TestClient, merchant: Merchant) -> None:
        asset = add(merchant, ContractState.DRAFT)
        assert submit(admin, f"{page_of(asset)}/delete").status_code == 303
        assert admin.get(page_of(asset), headers=HTML).status_code == 404


class TestDuplicate:
    def test_is_a_draft_of_its_own(self, admin: TestClient, merchant: Merchant) -> None:
        asset = add(merchant)
        answer = submit(admin, f"{page_of(asset)}/duplicate", internal_name="Second mug")
        assert answer.status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            other = session.scalars(select(DigitalAsset).where(DigitalAsset.id != asset)).one()
        assert (other.internal_name, other.title) == ("Second mug", "Mug")
        assert (other.state, other.address, other.reference_id) == (
            ContractState.DRAFT,
            None,
            None,
        )

    def test_needs_a_name(self, admin: TestClient, merchant: Merchant) -> None:
        assert submit(admin, f"{page_of(add(merchant))}/duplicate").status_code == 422


class TestArchive:
    def test_is_left_out_until_it_is_taken_back(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        asset = add(merchant)
        assert submit(admin, f"{page_of(asset)}/archive").status_code == 303
        assert "Mug" not in admin.get(ASSETS, headers=HTML).text
        assert "Mug" in admin.get(f"{ASSETS}?archived=true", headers=HTML).text
        assert "Mug" not in admin.get("/admin/grants/new", headers=HTML).text
        assert submit(admin, f"{page_of(asset)}/archive").status_code == 409
        assert submit(admin, f"{page_of(asset)}/restore").status_code == 303
        assert submit(admin, f"{page_of(asset)}/restore").status_code == 409
        assert "Mug" in admin.get(ASSETS, headers=HTML).text

    def test_what_a_campaign_gives_stays(self, admin: TestClient, merchant: Merchant) -> None:
        asset = add(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            campaign = make_campaign(session)
            give(session, campaign, asset)
            campaign.state = CampaignState.PUBLISHED
        answer = submit(admin, f"{page_of(asset)}/archive")
        assert answer.status_code == 409 and "still given by a campaign" in answer.text

    def test_an_analyst_changes_nothing(self, browse: Browse, merchant: Merchant) -> None:
        asset = add(merchant)
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        for action in ("archive", "restore", "duplicate", "delete", "edit"):
            assert submit(client, f"{page_of(asset)}/{action}").status_code == 403, action
        assert client.get(f"{page_of(asset)}/owners.csv").status_code == 403


class TestOwners:
    def test_are_a_file_no_spreadsheet_takes_for_formulas(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        asset = add(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            [user] = make_members(session, "ada@example.com")
            session.get_one(User, user).first_name = "=1+1"
            line = make_line(session, Choice(asset))
            chosen = members(select(User.id))
            source = Source(GrantSource.MANUAL, new_id())
            grant_many(session, line, chosen, source=source, at=NOW)
        lines = admin.get(f"{page_of(asset)}/owners.csv").text.splitlines()
        assert lines[0] == "email,name,pass,address,tokenId,state,since"
        assert lines[1].startswith("ada@example.com,'=1+1,") and ",queued," in lines[1]
