"""Workers that send mail are killed again and again: every message arrives, as one and the same."""

import multiprocessing
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from core.db import Role, unit_of_work
from core.mail import Mail, OutgoingMail, send_after_commit
from core.settings import core_settings
from core.types import utc_now
from tests.conftest import make_merchant, wait_until
from tests.factories.killing import kill_again_and_again
from tests.factories.mail_worker import send
from tests.smtp_server import MailServer, serving

MESSAGES = 400
KILLS = 6
IN_HAND_SECONDS = 1.0


def waiting() -> int:
    with unit_of_work(role=Role.ENGINE) as session:
        return session.scalar(select(func.count()).select_from(OutgoingMail)) or 0


@pytest.mark.faults
def test_every_message_arrives_and_a_repeat_is_recognised(
    committed: None, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = engine.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("forkserver")
    with serving(MailServer()) as post:
        monkeypatch.setenv("COHORT_SMTP_URL", post.url())
        core_settings.cache_clear()

        def start() -> Any:
            arguments = (str(core_settings().data_dir), url, post.url(), IN_HAND_SECONDS)
            worker = context.Process(target=send, args=arguments)
            worker.start()
            return worker

        with unit_of_work(merchant=make_merchant().id) as session:
            for number in range(MESSAGES):
                mail = Mail(f"m{number}@example.com", "s", "t", utc_now() - timedelta(seconds=1))
                send_after_commit(session, mail)
        kill_again_and_again(start, waiting, times=KILLS)
        assert waiting() > 0, "the kills came too late"
        last: list[Any] = [start() for _ in range(3)]
        wait_until(lambda: waiting() == 0)
        for worker in last:
            worker.kill()
            worker.join()
    core_settings.cache_clear()
    arrived = Counter(it["To"] for it in post.messages)
    identifiers = {it["Message-ID"] for it in post.messages}
    assert len(arrived) == len(identifiers) == MESSAGES
    assert len(post.messages) - MESSAGES <= KILLS
