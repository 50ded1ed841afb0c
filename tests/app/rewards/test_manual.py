"""Rewards by hand: from the form to the member's hands, once, and why somebody has nothing."""

import re

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant, TeamRole
from app.perks.models import Holding
from app.rewards import manual, refusals
from app.rewards.errors import (
    LinesInvalidError,
    PerUserLimitError,
    RecipientsInvalidError,
    StockExhaustedError,
)
from app.rewards.lines import Choice, make_line
from app.rewards.models import Grant, GrantRefusal, GrantSource, GrantState, ManualGrant, RewardLine
from app.rewards.refusals import KEPT
from app.rewards.service import Source
from app.users.models import User, UserState
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import ManualGrantId, UserId
from minting.models import Token
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_members, make_perk


@pytest.fixture
def users(session: Session) -> list[UserId]:
    """Two members."""
    return make_members(session, "ada@example.com", "bo@example.com")


def give(session: Session, choice: Choice, users: list[UserId]) -> ManualGrant:
    key = ManualGrantId(new_id())
    return manual.give(session, key, choice, users, reason="Sorry for the wait", at=NOW)


class TestGive:
    def test_a_perk_is_in_their_hands_at_once(self, session: Session, users: list[UserId]) -> None:
        perk = make_perk(session)
        row = give(session, Choice(perk_id=perk.id, per_recipient=2), users)
        line = session.get_one(RewardLine, row.reward_line_id)
        assert manual.counts_of(session, line) == manual.Counts(4, 0, 0)
        assert len(session.scalars(select(Holding)).all()) == 4
        assert perk.granted_count == 4

    def test_a_digital_asset_travels(self, session: Session, users: list[UserId]) -> None:
        row = give(session, Choice(make_asset(session).id), users)
        line = session.get_one(RewardLine, row.reward_line_id)
        assert (line.waiting_since, line.campaign_id) == (NOW, None)
        assert manual.counts_of(session, line) == manual.Counts(0, 2, 0)
        assert len(session.scalars(select(Token)).all()) == 2

    def test_sent_twice_it_is_given_once(self, session: Session, users: list[UserId]) -> None:
        choice = Choice(perk_id=make_perk(session).id)
        row = give(session, choice, users)
        again = manual.give(session, row.id, choice, users, reason="Once more", at=NOW)
        assert again is row
        assert len(session.scalars(select(Grant)).all()) == 2

    def test_who_has_as_many_as_anybody_may_is_skipped(
        self, session: Session, users: list[UserId]
    ) -> None:
        perk = make_perk(session, max_per_user=1)
        give(session, Choice(perk_id=perk.id), users[:1])
        row = give(session, Choice(perk_id=perk.id), users)
        line = session.get_one(RewardLine, row.reward_line_id)
        assert manual.counts_of(session, line) == manual.Counts(1, 0, 1)
        [refused] = refusals.of_members(session, users[:1])
        assert (refused.reward, refused.source, refused.code) == (
            *(perk.title, GrantSource.MANUAL, "per_user_limit"),
        )

    def test_no_reason_is_no_grant(self, session: Session, users: list[UserId]) -> None:
        choice = Choice(perk_id=make_perk(session).id)
        for reason in ("", "x" * 201):
            with pytest.raises(RecipientsInvalidError):
                manual.give(session, ManualGrantId(new_id()), choice, users, reason=reason, at=NOW)
        with pytest.raises(LinesInvalidError):
            give(session, Choice(perk_id=choice.perk_id, per_recipient=101), users)


class TestRecipients:
    def test_any_spelling_of_an_address_is_found_once(
        self, session: Session, users: list[UserId]
    ) -> None:
        text = "Ada@Example.com, bo@example.com;ada@example.com\n"
        assert manual.find_recipients(session, text) == users

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "between 1 and 1,000"),
            (" ".join(f"x{n}@example.com" for n in range(1_001)), "between 1 and 1,000"),
            ("ada@example.com who@example.com nobody", "who@example.com, nobody"),
            (" ".join(f"x{n}@example.com" for n in range(8)), "and 3 more"),
        ],
    )
    def test_others_are_named(
        self, session: Session, users: list[UserId], text: str, says: str
    ) -> None:
        with pytest.raises(RecipientsInvalidError) as caught:
            manual.find_recipients(session, text)
        assert says in caught.value.fields["emails"]

    def test_who_is_blocked_receives_nothing(self, session: Session, users: list[UserId]) -> None:
        session.get_one(User, users[0]).state = UserState.BLOCKED
        session.flush()
        with pytest.raises(RecipientsInvalidError):
            manual.find_recipients(session, "ada@example.com")


class TestRefusals:
    def test_an_answer_is_kept_for_400_days(self, session: Session, users: list[UserId]) -> None:
        perk = make_perk(session)
        line = make_line(session, Choice(perk_id=perk.id))
        source = Source(GrantSource.CLAIM, new_id())
        for error, at in (
            (StockExhaustedError(1, 0), NOW - KEPT * 1.01),
            (PerUserLimitError(perk.title, 1), NOW),
        ):
            refusals.note(session, line, users[0], error, source=source, at=at)
        codes = [it.code for it in refusals.of_members(session, users)]
        assert codes == ["per_user_limit", "stock_exhausted"]
        assert refusals.forget_old(session, at=NOW) == 1
        assert session.scalars(select(GrantRefusal.code)).all() == ["per_user_limit"]


class TestPages:
    def _form(self, admin: TestClient, merchant: Merchant, **changes: str) -> dict[str, str]:
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, "ada@example.com")
            perk = make_perk(session, total_quantity=1)
        page = admin.get("/admin/grants/new", headers=HTML).text
        found = re.search(r'name="key" value="(mgr_[0-9a-z]{26})"', page)
        assert found is not None
        return {
            "key": found[1],
            "reward": encode_id("prk", perk.id),
            "emails": "ada@example.com",
            "each": "1",
            "reason": "Late parcel",
            **changes,
        }

    def test_a_reward_is_given_and_seen_with_the_member(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        form = self._form(admin, merchant)
        for _ in range(2):  # sent twice, given once
            answer = submit(admin, "/admin/grants/new", **form)
            assert answer.status_code == 303
        page = admin.get(answer.headers["location"], headers=HTML).text
        assert "Late parcel" in page and "ada@example.com" in page
        with unit_of_work(merchant=merchant.id) as session:
            user = session.scalars(select(User)).one()
            [grant] = session.scalars(select(Grant))
            assert (grant.state, grant.source_type) == (GrantState.DELIVERED, GrantSource.MANUAL)
        record = f"/admin/users/{encode_id('usr', user.id)}/rewards"
        assert "Coffee" in admin.get(record, headers=HTML).text

    def test_more_than_there_are_comes_back_as_typed(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        form = self._form(admin, merchant, each="2")
        answer = submit(admin, "/admin/grants/new", **form)
        assert answer.status_code == 409
        assert "Late parcel" in answer.text and "1 left" in answer.text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(ManualGrant)).all() == []

    @pytest.mark.parametrize(
        ("field", "text", "says"),
        [
            ("each", "many", "A whole number."),
            ("reward", "", "Choose what to give."),
            ("emails", "nobody@example.com", "nobody@example.com"),
            ("reason", "", "Say why"),
        ],
    )
    def test_what_was_typed_wrong_comes_back(
        self, admin: TestClient, merchant: Merchant, field: str, text: str, says: str
    ) -> None:
        form = self._form(admin, merchant, **{field: text})
        answer = submit(admin, "/admin/grants/new", **form)
        assert answer.status_code == 422 and says in answer.text

    def test_an_analyst_gives_nothing(
        self, admin: TestClient, browse: Browse, merchant: Merchant
    ) -> None:
        form = self._form(admin, merchant)
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        assert submit(client, "/admin/grants/new", **form).status_code == 403

    def test_unknown_ones_do_not_exist(self, admin: TestClient) -> None:
        unknown = f"/admin/grants/{encode_id('mgr', new_id())}"
        assert admin.get(unknown, headers=HTML).status_code == 404
