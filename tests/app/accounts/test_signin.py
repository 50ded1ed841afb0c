"""Sign-in by mail: codes, links, their limits, and what a stranger can learn from them."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import service, sessions, signin
from app.accounts.emails import EmailInvalidError
from app.accounts.errors import LinkExpiredError, TooManyMailsError
from app.accounts.models import Audience, LoginSession, LoginToken, Merchant
from app.accounts.signin import Challenge, CodeAnswer, Request
from core.db import unit_of_work
from core.mail import outbox
from core.mail_delivery import deliver_due
from tests.conftest import NOW, make_merchant
from tests.smtp_server import MailServer, serving

REALM = UUID(int=7)
ADA = Request(Audience.TEAM, REALM, "ada@example.com", "browser", "10.0.0.1")
MINUTE = timedelta(minutes=1)


def begin(session: Session, request: Request = ADA, *, after: timedelta = 0 * MINUTE) -> Challenge:
    return signin.start(session, request, at=NOW + after)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


def lock_out(session: Session) -> None:
    code = begin(session).code
    answers = [signin.try_code(session, ADA, wrong(code), at=NOW) for _ in range(5)]
    assert answers == [CodeAnswer.WRONG] * 4 + [CodeAnswer.LOCKED]


class TestCode:
    def test_the_right_one_is_taken_with_space_around_it(self, session: Session) -> None:
        code = begin(session).code
        assert signin.try_code(session, ADA, f" {code} ", at=NOW) is CodeAnswer.RIGHT

    def test_a_wrong_one_is_refused_and_the_right_one_still_works(self, session: Session) -> None:
        code = begin(session).code
        assert signin.try_code(session, ADA, wrong(code), at=NOW) is CodeAnswer.WRONG
        assert signin.try_code(session, ADA, code, at=NOW) is CodeAnswer.RIGHT

    def test_is_used_once(self, session: Session) -> None:
        code = begin(session).code
        signin.try_code(session, ADA, code, at=NOW)
        assert signin.try_code(session, ADA, code, at=NOW) is CodeAnswer.EXPIRED

    @pytest.mark.parametrize(("audience", "minutes"), [(Audience.TEAM, 5), (Audience.SPACE, 10)])
    def test_ends_with_its_minutes(
        self, session: Session, audience: Audience, minutes: int
    ) -> None:
        asked = Request(audience, REALM, "ada@example.com", "browser", "10.0.0.1")
        code = begin(session, asked).code
        late = NOW + minutes * MINUTE
        assert signin.try_code(session, asked, code, at=late) is CodeAnswer.EXPIRED
        early = late - timedelta(seconds=1)
        assert signin.try_code(session, asked, code, at=early) is CodeAnswer.RIGHT

    def test_only_the_newest_mail_counts(self, session: Session) -> None:
        first = begin(session).code
        second = begin(session, after=MINUTE).code
        if first != second:
            assert signin.try_code(session, ADA, first, at=NOW + MINUTE) is CodeAnswer.WRONG
        assert signin.try_code(session, ADA, second, at=NOW + MINUTE) is CodeAnswer.RIGHT

    def test_belongs_to_its_audience_and_realm(self, session: Session) -> None:
        code = begin(session).code
        for audience, realm in ((Audience.SPACE, REALM), (Audience.TEAM, UUID(int=8))):
            other = Request(audience, realm, ADA.email, ADA.browser, ADA.ip)
            assert signin.try_code(session, other, code, at=NOW) is CodeAnswer.EXPIRED

    def test_nobody_asked_is_the_same_as_expired(self, session: Session) -> None:
        assert signin.try_code(session, ADA, "000000", at=NOW) is CodeAnswer.EXPIRED


class TestLock:
    def test_five_wrong_codes_lock_even_the_right_one(self, session: Session) -> None:
        code = begin(session).code
        for _ in range(5):
            signin.try_code(session, ADA, wrong(code), at=NOW)
        assert signin.try_code(session, ADA, code, at=NOW) is CodeAnswer.LOCKED

    def test_a_new_mail_gives_no_new_tries(self, session: Session) -> None:
        lock_out(session)
        code = begin(session, after=MINUTE).code
        assert signin.try_code(session, ADA, code, at=NOW + MINUTE) is CodeAnswer.LOCKED

    def test_ends_after_a_quarter_of_an_hour(self, session: Session) -> None:
        lock_out(session)
        code = begin(session, after=14 * MINUTE).code
        early, late = NOW + 15 * MINUTE - timedelta(seconds=1), NOW + 15 * MINUTE
        assert signin.try_code(session, ADA, code, at=early) is CodeAnswer.LOCKED
        assert signin.try_code(session, ADA, code, at=late) is CodeAnswer.RIGHT

    def test_does_not_touch_another_address(self, session: Session) -> None:
        lock_out(session)
        bob = Request(Audience.TEAM, REALM, "bob@example.com", "browser", "10.0.0.1")
        code = begin(session, bob).code
        assert signin.try_code(session, bob, code, at=NOW) is CodeAnswer.RIGHT


class TestLink:
    def test_is_found_as_often_as_it_is_opened(self, session: Session) -> None:
        link = begin(session).link_token
        for _ in range(3):
            assert (
                signin.find_link(
                    session, link, "browser", audience=Audience.TEAM, at=NOW
                ).consumed_at
                is None
            )

    def test_is_used_once(self, session: Session) -> None:
        link = begin(session).link_token
        assert (
            signin.use_link(session, link, "browser", audience=Audience.TEAM, at=NOW).email_key
            == ADA.email
        )
        with pytest.raises(LinkExpiredError):
            signin.use_link(session, link, "browser", audience=Audience.TEAM, at=NOW)

    @pytest.mark.parametrize("browser", ["", "another"])
    def test_works_in_the_browser_that_asked_only(self, session: Session, browser: str) -> None:
        link = begin(session).link_token
        with pytest.raises(LinkExpiredError):
            signin.use_link(session, link, browser, audience=Audience.TEAM, at=NOW)
        signin.use_link(session, link, "browser", audience=Audience.TEAM, at=NOW)

    @pytest.mark.parametrize(
        ("made_for", "opened_at"),
        [(Audience.TEAM, Audience.SPACE), (Audience.SPACE, Audience.TEAM)],
    )
    def test_opens_the_door_it_was_made_for_only(
        self, session: Session, made_for: Audience, opened_at: Audience
    ) -> None:
        asked = Request(made_for, REALM, "ada@example.com", "browser", "10.0.0.1")
        link = begin(session, asked).link_token
        for work in (signin.find_link, signin.use_link):
            with pytest.raises(LinkExpiredError):
                work(session, link, "browser", audience=opened_at, at=NOW)
        used = signin.use_link(session, link, "browser", audience=made_for, at=NOW)
        assert used.consumed_at == NOW

    def test_ends_after_five_minutes(self, session: Session) -> None:
        link = begin(session).link_token
        with pytest.raises(LinkExpiredError):
            signin.find_link(session, link, "browser", audience=Audience.TEAM, at=NOW + 5 * MINUTE)

    @pytest.mark.parametrize(("audience", "minutes"), [(Audience.TEAM, 5), (Audience.SPACE, 10)])
    def test_says_how_long_links_live(
        self, session: Session, audience: Audience, minutes: int
    ) -> None:
        with pytest.raises(LinkExpiredError, match=f"live {minutes} minutes"):
            signin.find_link(session, "x" * 43, "browser", audience=audience, at=NOW)

    def test_a_made_up_one_is_refused_in_the_same_words(self, session: Session) -> None:
        link = begin(session).link_token
        signin.use_link(session, link, "browser", audience=Audience.TEAM, at=NOW)
        sentences = set()
        for text in (link, "x" * 43):
            with pytest.raises(LinkExpiredError) as refused:
                signin.use_link(session, text, "browser", audience=Audience.TEAM, at=NOW)
            sentences.add(str(refused.value))
        assert len(sentences) == 1

    def test_used_up_by_its_code(self, session: Session) -> None:
        challenge = begin(session)
        signin.try_code(session, ADA, challenge.code, at=NOW)
        with pytest.raises(LinkExpiredError):
            signin.use_link(
                session, challenge.link_token, "browser", audience=Audience.TEAM, at=NOW
            )


class TestLimits:
    def test_again_within_thirty_seconds_is_refused(self, session: Session) -> None:
        begin(session)
        with pytest.raises(TooManyMailsError) as refused:
            begin(session, after=timedelta(seconds=29))
        assert refused.value.retry_after <= 2
        begin(session, after=timedelta(seconds=30))

    def test_the_sixth_mail_of_an_hour_is_refused(self, session: Session) -> None:
        for minute in range(5):
            begin(session, after=minute * MINUTE)
        with pytest.raises(TooManyMailsError):
            begin(session, after=5 * MINUTE)
        begin(session, after=60 * MINUTE)

    def test_other_spellings_of_the_address_count_too(self, session: Session) -> None:
        begin(session)
        with pytest.raises(TooManyMailsError):
            begin(session, Request(Audience.TEAM, REALM, " ADA@example.com", "b", "10.0.0.2"))

    def test_the_twenty_first_mail_from_one_place_is_refused(self, session: Session) -> None:
        def from_here(number: int, ip: str = "10.0.0.1") -> Request:
            return Request(Audience.SPACE, REALM, f"m{number}@example.com", "browser", ip)

        for number in range(20):
            begin(session, from_here(number))
        with pytest.raises(TooManyMailsError):
            begin(session, from_here(20))
        begin(session, from_here(20, ip="10.0.0.2"))

    def test_no_address_is_refused_before_anything_is_stored(self, session: Session) -> None:
        with pytest.raises(EmailInvalidError):
            begin(session, Request(Audience.TEAM, REALM, "ada@", "browser", "10.0.0.1"))
        assert session.scalars(select(LoginToken)).all() == []


class TestStored:
    def test_nothing_of_the_mail_is_kept_in_clear(self, session: Session) -> None:
        challenge = begin(session)
        row = session.scalars(select(LoginToken)).one()
        stored = b"|".join((row.token_hash, row.code_hash, row.browser_hash, row.ip_hash))
        for secret in (challenge.link_token, challenge.code, ADA.browser, ADA.ip):
            assert secret.encode() not in stored


def ask(email: str, *, ip: str = "10.0.0.1") -> int:
    """How many mails asking as this address adds to the outbox."""
    before = len(outbox())
    with unit_of_work() as session:
        service.request_team_sign_in(
            session,
            email,
            browser="browser",
            ip=ip,
            at=NOW,
            address="/admin/sign-in",
            destination="",
        )
    return len(outbox()) - before


class TestUnknownAddress:
    def test_a_member_of_the_team_gets_one_mail(self, merchant: Merchant) -> None:
        assert ask("OWNER@example.com") == 1
        assert outbox()[0].to == "owner@example.com"

    def test_a_stranger_gets_none_but_counts_the_same(self, merchant: Merchant) -> None:
        assert ask("stranger@example.com") == 0
        with unit_of_work() as session:
            rows = session.scalars(select(LoginToken)).all()
        assert [row.email_key for row in rows] == ["stranger@example.com"]

    def test_with_a_mail_server_both_are_queued_and_one_is_sent(
        self, merchant: Merchant, set_environment: Callable[..., None]
    ) -> None:
        with serving(MailServer()) as post:
            set_environment(COHORT_SMTP_URL=post.url(), COHORT_MAIL_FROM="hello@example.com")
            for email in ("stranger@example.com", "owner@example.com"):
                ask(email)
            deliver_due(lambda: NOW)
        [message] = post.messages
        assert message["To"] == "owner@example.com"
        assert re.search(r"code there: \d{6}", message.get_content())

    def test_both_meet_the_same_limit_in_the_same_words(self, merchant: Merchant) -> None:
        sentences = set()
        for email in ("owner@example.com", "stranger@example.com"):
            ask(email)
            with pytest.raises(TooManyMailsError) as refused:
                ask(email)
            sentences.add(str(refused.value))
        assert len(sentences) == 1

    def test_the_right_code_of_a_stranger_signs_nobody_in(self, merchant: Merchant) -> None:
        with unit_of_work() as session:
            assert service.find_active_member(session, "stranger@example.com") is None
            assert service.find_active_member(session, "Owner@example.com") is not None


class TestRace:
    def test_of_two_uses_of_one_link_one_signs_in(self, committed: None) -> None:
        organisation = make_merchant().organisation_id
        asked = Request(Audience.TEAM, organisation, "owner@example.com", "browser", "10.0.0.1")
        with unit_of_work() as session:
            link = signin.start(session, asked, at=NOW).link_token

        def enter(_: int) -> bool:
            try:
                with unit_of_work() as session:
                    used = signin.use_link(session, link, "browser", audience=Audience.TEAM, at=NOW)
                    member = service.member_of_token(session, used)
                    assert member is not None
                    sessions.open_team_session(session, member, at=NOW)
                return True
            except LinkExpiredError:
                return False

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(enter, range(8))) == [False] * 7 + [True]
        with unit_of_work() as session:
            assert len(session.scalars(select(LoginSession)).all()) == 1

    def test_of_six_wrong_codes_at_once_none_is_forgotten(self, committed: None) -> None:
        with unit_of_work() as session:
            code = begin(session).code

        def guess(_: int) -> CodeAnswer:
            with unit_of_work() as session:
                return signin.try_code(session, ADA, wrong(code), at=NOW)

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(guess, range(6)))
        assert sorted(answers) == [CodeAnswer.LOCKED] * 2 + [CodeAnswer.WRONG] * 4
