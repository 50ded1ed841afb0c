"""The member's own profile: changed by themselves, agreed to, copied."""

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant
from app.privacy import copies
from app.users import consents, properties
from app.users.models import PropertyChange, User
from app.users.properties import Flags
from app.users.slots import Kind
from core.db import unit_of_work
from core.ids import encode_id
from core.types import utc_now
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW

PROFILE = "/space/profile"


@pytest.fixture
def keys(merchant: Merchant) -> dict[str, str]:
    """Properties that members edit, see, and do not see."""
    flags = {
        "Size": Flags(is_user_visible=True, is_user_editable=True),
        "Status": Flags(is_user_visible=True),
        "Score": Flags(),
    }
    with unit_of_work(merchant=merchant.id) as session:
        made = {
            name: properties.create(session, name, Kind.TEXT, flags=it, at=NOW)
            for name, it in flags.items()
        }
        return {name: encode_id("prp", row.id) for name, row in made.items()}


def test_shows_what_members_may_see(member: TestClient, keys: dict[str, str]) -> None:
    page = member.get(PROFILE, headers=HTML).text
    assert f'name="{keys["Size"]}"' in page
    assert "Status" in page and f'name="{keys["Status"]}"' not in page
    assert "Score" not in page


def test_changes_what_members_may_change(
    member: TestClient, merchant: Merchant, keys: dict[str, str]
) -> None:
    fields = {keys["Size"]: "42", keys["Status"]: "gold", "first_name": "Ada", "state": "x"}
    assert submit(member, PROFILE, page="/space/home", **fields).status_code == 303
    with unit_of_work(merchant=merchant.id) as session:
        history = session.scalars(select(PropertyChange)).all()
        assert {it.field for it in history} == {keys["Size"], "first_name"}
        assert all(it.actor.startswith("user:") for it in history)
    wrong = submit(member, PROFILE, page="/space/home", phone="12")
    assert wrong.status_code == 422 and "Enter a number with its country" in wrong.text


def test_gives_and_withdraws_consent(member: TestClient, merchant: Merchant) -> None:
    for given in ("true", "false"):
        fields = {"purpose": "marketing_email", "given": given}
        answer = submit(member, f"{PROFILE}/consents", page="/space/home", **fields)
        assert answer.status_code == 303
    submit(member, f"{PROFILE}/consents", page="/space/home", purpose="made_up", given="true")
    with unit_of_work(merchant=merchant.id) as session:
        user = session.scalars(select(User)).one()
        said = [(it.purpose, it.is_given, it.channel) for it in consents.history(session, user.id)]
    assert said == [("marketing_email", False, "space"), ("marketing_email", True, "space")]


def test_asks_for_a_copy_and_gets_only_ones_own(
    member: TestClient, merchant: Merchant, keys: dict[str, str]
) -> None:
    assert submit(member, f"{PROFILE}/copy", page="/space/home").status_code == 303
    assert "Being made" in member.get(PROFILE, headers=HTML).text
    with unit_of_work(merchant=merchant.id) as session:
        user = session.scalars(select(User)).one()
        [copy] = copies.of_member(session, user.id)
        copies.make(session, copy.id, at=utc_now())
        name = encode_id("cpy", copy.id)
    answer = member.get(f"{PROFILE}/copies/{name}", headers=HTML)
    assert answer.status_code == 200 and answer.content[:2] == b"PK"
    other = name[:-1] + ("0" if name[-1] != "0" else "1")
    assert member.get(f"{PROFILE}/copies/{other}", headers=HTML).status_code == 404
