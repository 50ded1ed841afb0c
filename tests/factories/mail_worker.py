"""A worker that sends mail in a process that may be killed.

It stands alone: what it imports must not make a test run of its own.
"""

import os
import time
from datetime import timedelta

from sqlalchemy import create_engine

import app.models  # noqa: F401 - the mappers need every table
from core import mail_queue
from core.db import use_bind
from core.mail_delivery import deliver_due
from core.settings import core_settings


def send(folder: str, url: str, smtp_url: str, in_hand_seconds: float) -> None:
    """Sends whatever is due, until it is killed."""
    os.environ["COHORT_DATA_DIR"] = folder
    os.environ["COHORT_SMTP_URL"] = smtp_url
    os.environ["COHORT_MAIL_FROM"] = "hello@example.com"
    core_settings.cache_clear()
    mail_queue.IN_HAND = timedelta(seconds=in_hand_seconds)
    with use_bind(create_engine(url)):
        while True:
            deliver_due()
            time.sleep(0.01)  # another process ends this one
