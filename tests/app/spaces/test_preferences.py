"""The preference page: opened by its link alone, for one member, for consents alone."""

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant
from app.users import consents
from app.users.models import User, UserState
from app.users.preferences import link_of, read_link
from core.db import unit_of_work
from core.ids import encode_id
from core.types import UserId
from tests.app.web.client import HTML, TestClient, submit
from tests.factories.brand import make_members, make_other_merchant


@pytest.fixture
def ada(merchant: Merchant) -> UserId:
    """A member."""
    with unit_of_work(merchant=merchant.id) as session:
        return make_members(session, "ada@example.com")[0]


def path_of(merchant: Merchant, user: UserId) -> str:
    return "/preferences/" + link_of(merchant.id, user).rsplit("/", 1)[1]


def test_a_stranger_with_the_link_changes_consents(
    stranger: TestClient, merchant: Merchant, ada: UserId
) -> None:
    path = path_of(merchant, ada)
    assert "News by email" in stranger.get(path, headers=HTML).text
    for given in ("true", "false"):
        answer = submit(stranger, path, page=path, purpose="marketing_email", given=given)
        assert answer.status_code == 303
    submit(stranger, path, page=path, purpose="made_up", given="true")
    with unit_of_work(merchant=merchant.id) as session:
        said = [(it.purpose, it.is_given) for it in consents.history(session, ada)]
        assert said == [("marketing_email", False), ("marketing_email", True)]
        actor = f"user:{encode_id('usr', ada)}"
        assert {it.actor for it in consents.history(session, ada)} == {actor}


def test_shows_nothing_else(stranger: TestClient, merchant: Merchant, ada: UserId) -> None:
    page = stranger.get(path_of(merchant, ada), headers=HTML).text
    assert "ada@example.com" not in page and "/space/profile" not in page


def test_any_other_link_opens_nothing(
    stranger: TestClient, merchant: Merchant, ada: UserId
) -> None:
    path = path_of(merchant, ada)
    names, signature = path.rsplit(".", 1)
    other = make_other_merchant(merchant)
    for wrong in (
        path[:-1] + ("0" if path[-1] != "0" else "1"),
        f"{names}.",
        f"{names[:-1]}{'0' if names[-1] != '0' else '1'}.{signature}",
        "/preferences/nonsense",
        "/preferences/" + link_of(other, ada).rsplit("/", 1)[1],
    ):
        assert stranger.get(wrong, headers=HTML).status_code == 404, wrong
    assert read_link("é.é") is None


def test_who_was_erased_has_none(stranger: TestClient, merchant: Merchant, ada: UserId) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        session.scalars(select(User)).one().state = UserState.ERASED
    assert stranger.get(path_of(merchant, ada), headers=HTML).status_code == 404
