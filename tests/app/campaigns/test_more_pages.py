"""More recipients for a live airdrop: a further file is read, looked at, and added once."""

from uuid import UUID

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant
from app.campaigns import files, service
from app.campaigns.models import AirdropRun, AudienceFile, Campaign, FileState, RunState
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_preview,
)
from tests.factories.campaigns import choose, read

FIRST = "email\nada@example.com\n"
MORE = "email\nada@example.com\nbob@example.com\nnew@example.com\n=1+1\n"


def publish(merchant: Merchant, content: str | None) -> UUID:
    """A published airdrop to whom a file names, or to everybody; its campaign."""
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        make_pass_contract(session)
        make_members(session, "ada@example.com", "bob@example.com")
        campaign = make_campaign(session)
        give(session, campaign, make_asset(session).id)
        if content is not None:
            read(session, choose(session, campaign, content))
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        return campaign.id


@pytest.fixture
def base(merchant: Merchant) -> str:
    """The address of an airdrop whose file names one member."""
    return f"/admin/campaigns/{encode_id('cmp', publish(merchant, FIRST))}"


def post(
    client: TestClient, page: str, content: str | None = None, **fields: str
) -> tuple[int, str]:
    """Status, and the target or the text."""
    token = token_in(client.get("/admin/campaigns", headers=HTML).text)
    upload = {"file": ("more.csv", content.encode())} if content is not None else None
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(page, headers=headers, data=fields, files=upload)
    return answer.status_code, answer.headers.get("location") or answer.text


def read_all(merchant: Merchant) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        for file_id in session.scalars(select(AudienceFile.id)).all():
            while files.run_part(session, file_id, at=NOW):
                pass


def newest(merchant: Merchant) -> AudienceFile:
    with unit_of_work(merchant=merchant.id) as session:
        query = select(AudienceFile).order_by(AudienceFile.id.desc()).limit(1)
        return session.scalars(query).one()


def recipients(merchant: Merchant) -> int:
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalars(select(AirdropRun.recipient_count)).one()


class TestMore:
    def test_a_file_is_read_looked_at_and_added(
        self, admin: TestClient, merchant: Merchant, base: str
    ) -> None:
        assert "Add recipients" in admin.get(base, headers=HTML).text
        assert post(admin, f"{base}/more", MORE) == (303, f"{base}/more")
        assert "Reading “more.csv”" in admin.get(f"{base}/more", headers=HTML).text
        read_all(merchant)
        page = admin.get(f"{base}/more", headers=HTML).text
        assert "not an email address" in page and "Add whoever is new" in page
        rejected = admin.get(f"{base}/more/rejected.csv", headers=HTML).text
        assert rejected.splitlines()[1].startswith("5,email_invalid")
        name = encode_id("aud", newest(merchant).id)
        assert post(admin, f"{base}/more/add", file=name) == (303, base)
        assert recipients(merchant) == 3
        read_all(merchant)  # what was added is deleted
        assert newest(merchant).file_name != "more.csv"
        assert "Add whoever is new" not in admin.get(f"{base}/more", headers=HTML).text

    def test_adding_twice_is_refused(
        self, admin: TestClient, merchant: Merchant, base: str
    ) -> None:
        post(admin, f"{base}/more", MORE)
        read_all(merchant)
        name = encode_id("aud", newest(merchant).id)
        post(admin, f"{base}/more/add", file=name)
        assert post(admin, f"{base}/more/add", file=name)[0] == 409
        assert recipients(merchant) == 3

    def test_what_is_still_read_cannot_be_added(
        self, admin: TestClient, merchant: Merchant, base: str
    ) -> None:
        post(admin, f"{base}/more", MORE)
        name = encode_id("aud", newest(merchant).id)
        assert post(admin, f"{base}/more/add", file=name)[0] == 409
        assert recipients(merchant) == 1

    def test_a_file_that_was_replaced_cannot_be_added(
        self, admin: TestClient, merchant: Merchant, base: str
    ) -> None:
        post(admin, f"{base}/more", MORE)
        read_all(merchant)
        name = encode_id("aud", newest(merchant).id)
        post(admin, f"{base}/more", FIRST)
        read_all(merchant)
        assert post(admin, f"{base}/more/add", file=name)[0] == 409
        with unit_of_work(merchant=merchant.id) as session:
            states = session.scalars(select(AudienceFile.state)).all()
        assert states == [FileState.READY, FileState.READY]

    def test_without_a_file_says_so(self, admin: TestClient, base: str) -> None:
        status, text = post(admin, f"{base}/more")
        assert status == 422 and "Choose the file that names the recipients." in text

    def test_an_airdrop_that_is_over_takes_none(
        self, admin: TestClient, merchant: Merchant, base: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            session.scalars(select(AirdropRun)).one().state = RunState.COMPLETED
        assert "Add recipients" not in admin.get(base, headers=HTML).text
        assert admin.get(f"{base}/more", headers=HTML).status_code == 409
        assert post(admin, f"{base}/more", MORE)[0] == 409

    def test_one_for_every_member_has_no_file(self, admin: TestClient, merchant: Merchant) -> None:
        base = f"/admin/campaigns/{encode_id('cmp', publish(merchant, None))}"
        assert "Add recipients" not in admin.get(base, headers=HTML).text
        assert admin.get(f"{base}/more", headers=HTML).status_code == 404

    def test_a_draft_has_nothing_to_add_to(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            draft: Campaign = make_campaign(session)
        page = f"/admin/campaigns/{encode_id('cmp', draft.id)}/more"
        assert admin.get(page, headers=HTML).status_code == 409
