"""Members in the brand's own space: the first code makes the member, a block keeps them out."""

import re

import pytest
from sqlalchemy import func, select

from app.accounts import sessions
from app.accounts.errors import LinkExpiredError
from app.accounts.models import Merchant
from app.accounts.signin import CodeAnswer
from app.spaces import service
from app.spaces.errors import MemberBlockedError
from app.spaces.theme import brand_address, brand_css, foreground
from app.users.models import User, UserState
from core.db import unit_of_work
from core.events import Event
from core.mail import Mail, outbox
from minting.models import MembershipPass
from tests.conftest import NOW
from tests.factories.brand import make_members

ADA = "ada@example.com"


def ask(merchant: Merchant, email: str = ADA) -> Mail:
    """The mail that asking brings."""
    with unit_of_work() as session:
        service.request_sign_in(session, merchant, email, browser="b", ip="10.0.0.1", at=NOW)
    return outbox()[0]


def code_in(mail: Mail) -> str:
    return mail.subject.split()[0]


def enter(merchant: Merchant, code: str, email: str = ADA) -> str | CodeAnswer:
    with unit_of_work() as session:
        return service.sign_in_with_code(
            session, merchant, email, code, browser="b", ip="10.0.0.1", at=NOW
        )


class TestMail:
    def test_goes_to_known_and_unknown_addresses_alike(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, ADA)
        mails = [ask(merchant, email) for email in (ADA, "new@example.com")]
        assert [mail.to for mail in mails] == [ADA, "new@example.com"]
        shapes = {re.sub(r"\d{6}|/login/[\w-]+", "-", mail.text) for mail in mails}
        assert len(shapes) == 1

    def test_asking_makes_nobody_a_member(self, merchant: Merchant) -> None:
        ask(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(User)) == 0


class TestEnter:
    def test_the_first_right_code_makes_a_member_with_a_pass(self, merchant: Merchant) -> None:
        cookie = enter(merchant, code_in(ask(merchant)))
        assert isinstance(cookie, str)
        with unit_of_work(merchant=merchant.id) as session:
            user = session.scalars(select(User)).one()
            assert (user.source, user.email_verified_at) == ("space", NOW)
            assert session.scalars(select(MembershipPass)).one().user_id == user.id
            visit = sessions.find_visit(session, cookie, at=NOW)
            assert visit == sessions.Visit(merchant.id, user.id, is_extended=False)
            types = set(session.scalars(select(Event.type).where(Event.user_id == user.id)))
        assert types == {"cohort.user.created", "cohort.user.signed-in"}

    def test_a_wrong_code_makes_nobody(self, merchant: Merchant) -> None:
        code = code_in(ask(merchant))
        assert enter(merchant, f"{(int(code) + 1) % 10**6:06d}") is CodeAnswer.WRONG
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(User)).all() == []

    def test_a_blocked_member_stays_outside(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            [user] = make_members(session, ADA)
            session.get_one(User, user).state = UserState.BLOCKED
        code = code_in(ask(merchant))
        with pytest.raises(MemberBlockedError):
            enter(merchant, code)

    def test_the_link_enters_once_and_in_its_browser_only(self, merchant: Merchant) -> None:
        found = re.search(r"/space/login/([\w-]+)", ask(merchant).text)
        assert found is not None

        def follow(browser: str) -> str:
            with unit_of_work() as session:
                return service.sign_in_with_link(
                    session, merchant, found[1], browser=browser, at=NOW
                )

        with pytest.raises(LinkExpiredError):
            follow("another")
        assert follow("b")
        with pytest.raises(LinkExpiredError):
            follow("b")


class TestTheme:
    @pytest.mark.parametrize(
        ("background", "text"),
        [("#000000", "#ffffff"), ("#ffffff", "#16161d"), ("#12424a", "#ffffff"),
         ("#ffe600", "#16161d")],
    )  # fmt: skip
    def test_text_on_a_colour_is_what_can_be_read(self, background: str, text: str) -> None:
        assert foreground(background) == text

    def test_another_colour_has_another_address(self, merchant: Merchant) -> None:
        before = brand_address(merchant)
        assert merchant.brand_colour in brand_css(merchant)
        merchant.brand_colour = "#ffe600"
        assert brand_address(merchant) != before
