"""A worker that does what a draw does by itself, in a process that may be killed at any moment.

It stands alone: what it imports must not make a test run of its own.
"""

import os
from datetime import datetime
from uuid import UUID

from sqlalchemy import create_engine

import app.models  # noqa: F401 - the mappers need every table
from app.draws import boxes, steps
from core.db import use_bind
from core.settings import core_settings
from core.types import DrawId, MerchantId


def advance(folder: str, url: str, merchant: str, draw_id: str, at: str, part: int) -> None:
    """The draw is as far as it can be, unless this process ended before; `part` is in boxes."""
    os.environ["COHORT_DATA_DIR"] = folder
    core_settings.cache_clear()
    boxes._AT_ONCE = part
    engine = create_engine(url)
    with use_bind(engine):
        steps.advance(
            MerchantId(UUID(merchant)), DrawId(UUID(draw_id)), at=datetime.fromisoformat(at)
        )
    engine.dispose()
