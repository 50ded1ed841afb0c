"""Sends what waits: the worker's part of mail.

Once the server has taken a message its row is gone. If the worker is killed between the two, the
message goes again, with the Message-ID it had; whoever receives it can recognise it.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from threading import BoundedSemaphore
from time import monotonic

import structlog

from core import mail_queue
from core.db import Role, unit_of_work
from core.errors import SettingsError
from core.ids import encode_id
from core.mail import has_server
from core.mail_queue import Letter
from core.smtp import Line, MailPutOffError, MailRefusedError, ServerAwayError
from core.types import utc_now

log = structlog.get_logger(__name__)

MOST = 500
"""Of one run; the next comes soon, and a worker that shall end does not wait for long."""
_places = BoundedSemaphore(2)


def deliver_due(now: Callable[[], datetime] = utc_now) -> None:
    """Every message that is due was tried once, the most urgent first.

    When the server is away, the run ends with the message that found out. Two runs at once are
    enough of a process, whose other threads have other work.
    """
    if not has_server() or not _places.acquire(blocking=False):
        return
    try:
        with closing(Line()) as line:
            for _ in range(MOST):
                if not _deliver_next(line, now):
                    break
    finally:
        _places.release()


def _deliver_next(line: Line, now: Callable[[], datetime]) -> bool:
    """Whether there may be another message that can be tried."""
    begun = monotonic()
    with unit_of_work(role=Role.ENGINE) as session:
        letter = mail_queue.take_up(session, at=now())
    if letter is None:
        return False
    try:
        line.send(letter.message, letter.mail.to, begun=begun)
    except MailRefusedError as error:
        _note("mail_refused", letter, error)
        with unit_of_work(role=Role.ENGINE) as session:
            mail_queue.refuse(session, letter, str(error))
    except (MailPutOffError, ServerAwayError, SettingsError) as error:
        _note("mail_put_off", letter, error)
        with unit_of_work(role=Role.ENGINE) as session:
            mail_queue.put_off(session, letter, str(error), at=now())
        return isinstance(error, MailPutOffError)
    else:
        with unit_of_work(role=Role.ENGINE) as session:
            mail_queue.sent(session, letter)
    return True


def _note(event: str, letter: Letter, error: Exception) -> None:
    """Answers of servers repeat addresses, so the log says which message and no more."""
    identifier = encode_id("mail", letter.id)
    log.warning(event, mail=identifier, number=letter.number, reason=type(error).__name__)


def forget_old(now: Callable[[], datetime] = utc_now) -> None:
    """What did not leave is shown for a month and no longer."""
    with unit_of_work(role=Role.ENGINE) as session:
        mail_queue.forget_old(session, at=now())
