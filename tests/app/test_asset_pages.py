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
from chain.models import Outcome
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import AssetId
from minting.content import content_store
from minting.models import ContractState, DigitalAsset, Token, TokenState, Transferability
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import give, make_asset, make_campaign, make_members
from tests.factories.chain import make_lane
from tests.factories.minting import execute, make_plan

ASSETS = "/admin/assets"
RECEIVER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


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

    def test_what_is_being_published_is_neither_revised_nor_deleted(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        asset = add(merchant, ContractState.PUBLISHING)
        for action in ("edit", "delete"):
            answer = submit(admin, f"{page_of(asset)}/{action}", title="Cup")
            assert answer.status_code == 409, action
        assert the(merchant, asset).title == "Mug"

    def test_is_deleted(self, admin: TestClient, merchant: Merchant) -> None:
        asset = add(merchant, ContractState.DRAFT)
        assert submit(admin, f"{page_of(asset)}/delete").status_code == 303
        assert admin.get(page_of(asset), headers=HTML).status_code == 404


class TestPublished:
    """What holders were promised stays; the rest is changed, and the contract told."""

    def test_is_changed_and_says_what_is_on_its_way(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        asset = add(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            session.get_one(DigitalAsset, asset).image_cid = content_store().put(b"image")
        form = admin.get(f"{page_of(asset)}/edit", headers=HTML).text
        assert "Save and publish" in form and 'name="symbol"' not in form
        fields = {"title": "Cup", "royalty": "2,5", "royalty_receiver": RECEIVER, "max_supply": "9"}
        answer = submit(admin, f"{page_of(asset)}/edit", **fields)
        assert answer.status_code == 303
        row = the(merchant, asset)
        assert (row.title, row.symbol, row.max_supply) == ("Cup", "MUG", 9)
        assert (row.royalty_points, row.royalty_receiver) == (250, RECEIVER)
        page = admin.get(page_of(asset), headers=HTML).text
        for words in ("Its documents: on the way", "A lower maximum", "Its royalty", "2.5 %"):
            assert words in page
        moving = admin.get(page_of(asset), headers={**HTML, "hx-request": "true"})
        assert "hx-refresh" not in moving.headers

    @pytest.mark.parametrize(
        ("field", "text", "says"),
        [
            ("royalty", "a lot", "A percentage with at most two decimals"),
            ("royalty", "10.01", "Between 0 and 10 percent"),
            ("royalty", "5", "Enter the address that gets the royalty."),
            ("max_supply", "0", "At least 1"),
        ],
    )
    def test_what_was_typed_wrong_comes_back(
        self, admin: TestClient, merchant: Merchant, field: str, text: str, says: str
    ) -> None:
        asset = add(merchant)
        answer = submit(admin, f"{page_of(asset)}/edit", **{"title": "Cup", field: text})
        assert answer.status_code == 422 and says in answer.text and 'value="Cup"' in answer.text
        assert the(merchant, asset).title == "Mug"

    def test_is_deleted_and_its_owners_keep_it(self, admin: TestClient, merchant: Merchant) -> None:
        asset = add(merchant)
        assert submit(admin, f"{page_of(asset)}/delete").status_code == 303
        assert admin.get(page_of(asset), headers=HTML).status_code == 404
        assert "Mug" not in admin.get(ASSETS, headers=HTML).text
        row = the(merchant, asset)
        assert (row.state, row.reference_id) == (ContractState.DELETED, None)

    def test_is_not_deleted_while_a_campaign_gives_it(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        asset = add(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            campaign = make_campaign(session)
            give(session, campaign, asset)
            campaign.state = CampaignState.PUBLISHED
        answer = submit(admin, f"{page_of(asset)}/delete")
        assert answer.status_code == 409 and "still given by a campaign" in answer.text
        assert the(merchant, asset).state is ContractState.LIVE


class TestTakingBack:
    @pytest.fixture
    def asset(self, merchant: Merchant) -> AssetId:
        """One member has one, in a block."""
        with unit_of_work(merchant=merchant.id) as session:
            terms = {"transferability": Transferability.SOULBOUND, "revocable": True}
            asset = make_asset(session, **terms).id
            make_members(session, "ada@example.com")
            line, source = make_line(session, Choice(asset)), Source(GrantSource.MANUAL, new_id())
            grant_many(session, line, members(select(User.id)), source=source, at=NOW)
            batch = make_plan(session, b"\x01").batches[0]
            execute(session, make_lane(session).id, batch, Outcome.SUCCESS)
            token = session.scalars(select(Token)).one()
            token.batch_id, token.state = batch.id, TokenState.OWNED
            token.round, token.pass_number = 0, 7
        return asset

    def token(self, merchant: Merchant) -> str:
        with unit_of_work(merchant=merchant.id) as session:
            return encode_id("tok", session.scalars(select(Token.id)).one())

    def test_is_decided_with_a_reason(
        self, admin: TestClient, merchant: Merchant, asset: AssetId
    ) -> None:
        page = admin.get(page_of(asset), headers=HTML).text
        assert "Take tokens back" in page
        wanted = {"token": self.token(merchant), "reason": "Fraud"}
        assert submit(admin, f"{page_of(asset)}/revoke", **wanted).status_code == 303
        page = admin.get(page_of(asset), headers=HTML).text
        assert "Being taken back: Fraud" in page and "Take tokens back" not in page
        answer = submit(admin, f"{page_of(asset)}/revoke", **wanted)
        assert answer.status_code == 409 and "being taken back already" in answer.text

    def test_what_was_chosen_is_kept_when_the_reason_is_missing(
        self, admin: TestClient, merchant: Merchant, asset: AssetId
    ) -> None:
        answer = submit(admin, f"{page_of(asset)}/revoke", token=self.token(merchant))
        assert answer.status_code == 422 and "Say why" in answer.text
        assert f'value="{self.token(merchant)}"' in answer.text and " checked" in answer.text

    def test_is_for_administrators(
        self, browse: Browse, merchant: Merchant, asset: AssetId
    ) -> None:
        client = browser_as(browse, merchant, TeamRole.EDITOR)
        wanted = {"token": self.token(merchant), "reason": "Fraud"}
        assert submit(client, f"{page_of(asset)}/revoke", **wanted).status_code == 403

    def test_is_not_offered_where_nobody_promised_it(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        asset = add(merchant)
        assert "Take tokens back" not in admin.get(page_of(asset), headers=HTML).text
        answer = submit(admin, f"{page_of(asset)}/revoke", reason="Fraud")
        assert answer.status_code == 409 and "without the right" in answer.text

    @pytest.mark.parametrize(("block", "is_there"), [("0", False), ("1", True)])
    def test_owners_after_a_block(
        self, admin: TestClient, asset: AssetId, block: str, is_there: bool
    ) -> None:
        page = admin.get(f"{page_of(asset)}?block={block}", headers=HTML).text
        assert ("Nobody owned it then" not in page) is is_there
        file = admin.get(f"{page_of(asset)}/owners.csv?block={block}").text
        assert ("ada@example.com" in file) is is_there

    @pytest.mark.parametrize("block", ["x", "-1", "1.5", "9" * 19])
    @pytest.mark.parametrize("path", ["", "/owners.csv"])
    def test_what_is_no_block_is_said(
        self, admin: TestClient, asset: AssetId, path: str, block: str
    ) -> None:
        answer = admin.get(f"{page_of(asset)}{path}?block={block}", headers=HTML)
        assert answer.status_code == 422 and "A block is a whole number" in answer.text


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
