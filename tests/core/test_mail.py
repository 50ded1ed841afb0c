"""Mail leaves once what it tells of is committed, once, and by a server that can be trusted."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from core import mail_queue
from core.db import Role, unit_of_work
from core.errors import SettingsError
from core.mail import Mail, MailState, OutgoingMail, discard_after_commit, send_after_commit
from core.mail_delivery import deliver_due, forget_old
from core.mail_queue import IN_HAND, KEPT, PAUSES, Letter
from core.settings import core_settings
from core.smtp import Line, server
from tests.conftest import NOW, make_merchant
from tests.smtp_server import MailServer, make_certificate, serving

SENDER = "Alder & Tide <hello@example.com>"
SECRET = "pa:ss word"
Use = Callable[..., MailServer]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Say where mail leaves: `configure(url)`."""

    def change(url: str | None, sender: str = SENDER) -> None:
        monkeypatch.setenv("COHORT_MAIL_FROM", sender)
        if url is None:
            monkeypatch.delenv("COHORT_SMTP_URL", raising=False)
        else:
            monkeypatch.setenv("COHORT_SMTP_URL", url)
        core_settings.cache_clear()

    yield change
    monkeypatch.undo()
    core_settings.cache_clear()


@pytest.fixture
def post(configure: Callable[..., None]) -> Iterator[MailServer]:
    """A server that takes everything, without TLS."""
    with serving(MailServer()) as mine:
        configure(mine.url())
        yield mine


def write(merchant: Merchant, to: str = "ada@example.com", **changes: object) -> None:
    """A message is decided on."""
    fields = {"subject": "314159 is your code", "text": "Grüße: https://x.example/t\n.\nend\n"}
    with unit_of_work(merchant=merchant.id) as session:
        send_after_commit(session, Mail(to=to, sent_at=NOW, **{**fields, **changes}))  # type: ignore[arg-type]


def rows() -> list[OutgoingMail]:
    with unit_of_work(role=Role.ENGINE) as session:
        return list(session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)))


def deliver(at: datetime = NOW) -> None:
    deliver_due(lambda: at)


class TestAccepted:
    def test_the_message_arrives_whole_and_its_row_is_gone(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant, kind="sign_in", reply_to="shop@example.com")
        [row] = rows()
        deliver()
        [message] = post.messages
        assert message["To"] == "ada@example.com"
        assert message["Subject"] == "314159 is your code"
        assert message.get_content().splitlines() == ["Grüße: https://x.example/t", ".", "end"]
        assert message["From"].addresses[0].display_name == "Alder & Tide"
        assert message["Reply-To"] == "shop@example.com"
        assert message["Message-ID"] == f"<{row.id.hex}@example.com>"
        assert message["Auto-Submitted"] == "auto-generated"
        assert "MAIL FROM:<hello@example.com>" in {it.split(" size=")[0] for it in post.said}
        assert rows() == []

    def test_every_byte_on_the_line_is_ascii(self, merchant: Merchant, post: MailServer) -> None:
        write(merchant, to="Ada@bücher.example", subject="Für dich", text="ü" * 2_000)
        deliver()
        assert post.taken[0].isascii()
        assert max(map(len, post.taken[0].splitlines())) < 998
        assert "RCPT TO:<Ada@xn--bcher-kva.example>" in post.said
        assert post.messages[0]["To"] == "Ada@xn--bcher-kva.example"

    def test_many_go_over_one_connection(self, merchant: Merchant, post: MailServer) -> None:
        for number in range(5):
            write(merchant, f"m{number}@example.com")
        deliver()
        assert len(post.taken) == 5
        assert post.connections == 1

    def test_what_ends_soonest_goes_first(self, merchant: Merchant, post: MailServer) -> None:
        write(merchant, "news@example.com")
        write(merchant, "code@example.com", valid_until=NOW + timedelta(minutes=5))
        deliver()
        assert [it["To"] for it in post.messages] == ["code@example.com", "news@example.com"]

    def test_nothing_that_opens_a_door_is_in_the_database(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant)
        [row] = rows()
        assert row.content is not None
        assert b"314159" not in row.content and b"https" not in row.content

    def test_what_was_rolled_back_is_never_sent(self, merchant: Merchant, post: MailServer) -> None:
        with pytest.raises(RuntimeError), unit_of_work(merchant=merchant.id) as session:
            send_after_commit(session, Mail("a@example.com", "s", "t", NOW))
            raise RuntimeError
        deliver()
        assert (post.taken, rows()) == ([], [])

    def test_a_discarded_one_is_never_sent_and_is_swept_away(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            discard_after_commit(session, Mail("a@example.com", "s", "t", NOW))
        deliver()
        assert post.taken == []
        forget_old(lambda: NOW)
        assert rows() == []

    def test_many_messages_nudge_the_worker_once(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            for _ in range(3):
                send_after_commit(session, Mail("a@example.com", "s", "t", NOW))
            assert len(session.info["after_commit"]) == 1

    def test_another_brand_sees_none_of_it(self, merchant: Merchant, post: MailServer) -> None:
        write(merchant)
        with unit_of_work() as session:
            assert session.scalars(select(OutgoingMail)).all() == []


class TestRefused:
    @pytest.mark.parametrize("command", ["RCPT", "DATA", "."])
    def test_for_good_is_shown_and_the_content_forgotten(
        self, merchant: Merchant, post: MailServer, command: str
    ) -> None:
        post.answers[command] = "550 5.1.1 no such mailbox"
        write(merchant)
        deliver()
        [row] = rows()
        assert (row.state, row.content) == (MailState.FAILED, None)
        assert row.error == "550 5.1.1 no such mailbox"
        deliver(NOW + timedelta(days=1))
        assert len(post.taken) == (command == ".")

    def test_one_refusal_does_not_stop_the_others(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        post.answers["RCPT"] = "550 no"
        for number in range(3):
            write(merchant, f"m{number}@example.com")
        deliver()
        assert {it.state for it in rows()} == {MailState.FAILED}
        assert post.connections == 1

    @pytest.mark.parametrize("command", ["RCPT", "DATA", "."])
    def test_for_now_is_tried_again_after_a_pause(
        self, merchant: Merchant, post: MailServer, command: str
    ) -> None:
        post.answers[command] = "451 4.7.1 greylisted"
        write(merchant)
        deliver()
        [row] = rows()
        assert (row.state, row.tries) == (MailState.QUEUED, 1)
        assert row.next_try_at == NOW + PAUSES[0]
        assert row.error == "451 4.7.1 greylisted"
        del post.answers[command]
        deliver(NOW + PAUSES[0] - timedelta(seconds=1))
        assert len(rows()) == 1
        deliver(NOW + PAUSES[0])
        assert rows() == []

    def test_a_sender_who_is_refused_is_mended_by_settings(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        post.answers["MAIL"] = "550 not your domain"
        write(merchant)
        deliver()
        assert [it.state for it in rows()] == [MailState.QUEUED]

    def test_after_the_last_try_it_is_given_up(self, merchant: Merchant, post: MailServer) -> None:
        post.answers["RCPT"] = "451 later"
        write(merchant)
        at = NOW
        for pause in (*PAUSES, timedelta()):
            assert rows()[0].state is MailState.QUEUED
            deliver(at)
            at += pause
        [row] = rows()
        assert (row.state, row.error) == (MailState.FAILED, "451 later")
        assert sum(it.startswith("RCPT") for it in post.said) == len(PAUSES) + 1

    def test_what_is_of_no_use_any_more_is_not_sent(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant, valid_until=NOW + timedelta(minutes=5))
        deliver(NOW + timedelta(minutes=5))
        assert post.taken == []
        assert [it.state for it in rows()] == [MailState.FAILED]

    def test_a_header_of_two_lines_is_never_written(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant, subject="Hello\nBcc: everybody@example.com")
        write(merchant, "bo@example.com")
        deliver()
        assert [it["To"] for it in post.messages] == ["bo@example.com"]
        assert [it.state for it in rows()] == [MailState.FAILED]

    def test_letters_beyond_ascii_need_a_server_that_takes_them(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant, "jörg@example.com")
        deliver()
        assert [it.state for it in rows()] == [MailState.FAILED]
        post.extensions = ("SMTPUTF8", "8BITMIME")
        write(merchant, "jörg@example.com")
        deliver()
        assert [it["To"] for it in post.messages] == ["jörg@example.com"]

    def test_what_failed_is_shown_for_a_month(self, merchant: Merchant, post: MailServer) -> None:
        post.answers["RCPT"] = "550 no"
        write(merchant)
        deliver()
        forget_old(lambda: NOW + KEPT)
        assert len(rows()) == 1
        forget_old(lambda: NOW + KEPT + timedelta(seconds=1))
        assert rows() == []


class TestServerAway:
    def test_one_message_finds_out_and_the_others_wait(
        self, merchant: Merchant, configure: Callable[..., None]
    ) -> None:
        with serving(MailServer()) as gone:
            pass
        configure(gone.url())
        for number in range(3):
            write(merchant, f"m{number}@example.com")
        deliver()
        found = rows()
        assert sorted(it.tries for it in found) == [0, 0, 1]
        assert "does not answer" in str(next(it.error for it in found if it.tries))

    @pytest.mark.parametrize(
        "answers", [{"connect": "554 closed"}, {"RCPT": "421 too many"}, {"MAIL": "421 busy"}]
    )
    def test_a_server_that_closes_is_away(
        self, merchant: Merchant, post: MailServer, answers: dict[str, str]
    ) -> None:
        post.answers.update(answers)
        write(merchant)
        write(merchant)
        deliver()
        assert sorted(it.tries for it in rows()) == [0, 1]
        post.answers.clear()
        deliver(NOW + PAUSES[0])
        assert rows() == []

    def test_without_settings_it_waits_and_says_what_to_set(
        self, merchant: Merchant, post: MailServer, configure: Callable[..., None]
    ) -> None:
        write(merchant)
        configure("smtp://user:hunter2@127.0.0.1:port")
        deliver()
        [row] = rows()
        assert "COHORT_SMTP_URL" in str(row.error) and "hunter2" not in str(row.error)


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A certificate that this process trusts."""
        path = make_certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        return path

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    def test_message_and_password_travel_inside(
        self, merchant: Merchant, configure: Callable[..., None], certificate: Path, scheme: str
    ) -> None:
        mine = MailServer(certificate=certificate, is_implicit=scheme == "smtps")
        mine.login = ("ada", SECRET)
        with serving(mine):
            configure(mine.url("ada:pa%3Ass%20word@", scheme=scheme, plain=False))
            write(merchant)
            deliver()
        assert len(mine.taken) == 1
        assert mine.said.index("AUTH") > (mine.said.index("STARTTLS") if scheme == "smtp" else 0)

    def test_is_demanded_of_a_server_that_does_not_offer_it(
        self, merchant: Merchant, configure: Callable[..., None]
    ) -> None:
        with serving(MailServer(login=("ada", SECRET))) as mine:
            configure(mine.url("ada:pa%3Ass%20word@", plain=False))
            write(merchant)
            deliver()
        assert "STARTTLS" in str(rows()[0].error)
        assert mine.taken == [] and not {"AUTH", "MAIL", "DATA"} & {it[:4] for it in mine.said}

    def test_a_certificate_nobody_trusts_is_refused(
        self, merchant: Merchant, configure: Callable[..., None], tmp_path: Path
    ) -> None:
        with serving(MailServer(certificate=make_certificate(tmp_path))) as mine:
            configure(mine.url(plain=False))
            write(merchant)
            deliver()
        assert "certificate" in str(rows()[0].error).lower()
        assert mine.taken == []

    def test_a_wrong_password_is_told_and_repeated_nowhere(
        self,
        merchant: Merchant,
        configure: Callable[..., None],
        certificate: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with serving(MailServer(certificate=certificate, login=("ada", "right"))) as mine:
            configure(mine.url("ada:hunter2@", plain=False))
            write(merchant)
            deliver()
        [row] = rows()
        assert row.state is MailState.QUEUED and "user and password" in str(row.error)
        assert "hunter2" not in str(row.error) + caplog.text


class TestKilled:
    def test_between_the_text_and_the_mark_it_goes_again_as_the_same_message(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant)
        letter = take(NOW)
        line = Line()
        line.send(letter.message, letter.mail.to, begun=1e12)
        line.close()
        # Here the worker was killed: nothing marks the row.
        deliver(NOW + IN_HAND - timedelta(seconds=1))
        assert len(post.taken) == 1
        deliver(NOW + IN_HAND)
        first, second = post.messages
        assert first["Message-ID"] == second["Message-ID"]
        assert rows() == []

    def test_before_the_text_it_goes_once(self, merchant: Merchant, post: MailServer) -> None:
        write(merchant)
        take(NOW)
        deliver(NOW + IN_HAND)
        assert len(post.taken) == 1

    def test_an_answer_that_is_lost_repeats_the_same_message(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        post.cuts_at = "."
        write(merchant)
        deliver()
        post.cuts_at = ""
        deliver(NOW + PAUSES[0])
        assert len({it["Message-ID"] for it in post.messages}) == 1
        assert (len(post.taken), rows()) == (2, [])

    def test_a_message_that_kills_whoever_sends_it_is_given_up(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant)
        at = NOW
        for _ in range(len(PAUSES) + 1):
            take(at)
            at += IN_HAND
        deliver(at)
        assert (post.taken, rows()[0].state) == ([], MailState.FAILED)

    def test_who_stood_still_too_long_does_not_send_what_others_do(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant)
        letter = take(NOW)
        with pytest.raises(Exception, match="too long"):
            Line().send(letter.message, letter.mail.to, begun=-1e12)
        assert post.taken == []

    def test_who_comes_back_late_does_not_undo_a_later_try(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant)
        late = take(NOW)
        take(NOW + IN_HAND)
        with unit_of_work(role=Role.ENGINE) as session:
            mail_queue.refuse(session, late, "550 no")
            mail_queue.put_off(session, late, "451 later", at=NOW)
        [row] = rows()
        assert (row.state, row.next_try_at) == (MailState.QUEUED, NOW + 2 * IN_HAND)

    def test_what_another_secret_sealed_is_given_up(
        self, merchant: Merchant, post: MailServer
    ) -> None:
        write(merchant)
        write(merchant, "bo@example.com")
        with unit_of_work(role=Role.ENGINE) as session:
            first = session.scalars(select(OutgoingMail).order_by(OutgoingMail.id)).first()
            assert first is not None and first.content is not None
            first.content = first.content[:-1] + bytes([first.content[-1] ^ 1])
        deliver()
        assert [it["To"] for it in post.messages] == ["bo@example.com"]
        assert "COHORT_SECRET_KEY" in str(rows()[0].error)


def take(at: datetime) -> Letter:
    with unit_of_work(role=Role.ENGINE) as session:
        letter = mail_queue.take_up(session, at=at)
    assert letter is not None
    return letter


class TestTwoWorkers:
    def test_take_up_different_messages(self, committed: None, post: MailServer) -> None:
        merchant = make_merchant()
        write(merchant, "ada@example.com")
        write(merchant, "bo@example.com")
        with (
            unit_of_work(role=Role.ENGINE) as one,
            unit_of_work(role=Role.ENGINE) as other,
        ):
            letters = [mail_queue.take_up(it, at=NOW) for it in (one, other)]
            assert mail_queue.take_up(other, at=NOW) is None
        assert {it.mail.to for it in letters if it} == {"ada@example.com", "bo@example.com"}


class TestServer:
    def test_is_read_from_the_settings(self, configure: Callable[..., None]) -> None:
        configure("smtps://ada%40example.com:p%40ss@mail.example.com")
        found = server()
        assert (found.host, found.port, found.tls) == ("mail.example.com", 465, "implicit")
        assert (found.user, found.password) == ("ada@example.com", "p@ss")
        assert "p@ss" not in repr(found)
        configure("smtp://mail.example.com")
        assert (server().port, server().tls) == (587, "starttls")
        configure("smtp://ada:secret@127.0.0.1:25?tls=none")
        assert server().tls == "none"

    @pytest.mark.parametrize(
        "url",
        [
            "mail.example.com",
            "http://u:hunter2@mail.example.com",
            "smtp://u:hunter2@",
            "smtp://u:hunter2@host:70000",
            "smtp://u:hunter2@host/path",
            "smtp://u:hunter2@host?tls=maybe",
            "smtp://u:hunter2@host?ssl=off",
            "smtps://u:hunter2@host?tls=none",
            "smtp://u:hunter2@mail.example.com?tls=none",
        ],
    )
    def test_what_cannot_work_is_refused_without_repeating_it(
        self, configure: Callable[..., None], url: str
    ) -> None:
        configure(url)
        with pytest.raises(SettingsError, match="COHORT_SMTP_URL") as refused:
            server()
        assert "hunter2" not in str(refused.value)

    @pytest.mark.parametrize("sender", ["", "nobody", "Alder <>", "a@b.example, c@d.example"])
    def test_somebody_has_to_send_it(self, configure: Callable[..., None], sender: str) -> None:
        configure("smtp://mail.example.com", sender)
        with pytest.raises(SettingsError, match="COHORT_MAIL_FROM"):
            server()


class TestSession:
    def test_is_the_tenants(self, session: Session, post: MailServer) -> None:
        send_after_commit(session, Mail("a@example.com", "s", "t", NOW))
        assert session.scalars(select(OutgoingMail)).one().recipient == "a@example.com"
