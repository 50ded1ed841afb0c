"""A worker that does one import, in a process that may be killed at any moment.

It stands alone: what it imports must not make a test run of its own.
"""

import os
from uuid import UUID

from sqlalchemy import create_engine

import app.models  # noqa: F401 - the mappers need every table
from app.users.imports import running
from core.db import unit_of_work, use_bind
from core.settings import core_settings
from core.types import ImportId, MerchantId, utc_now


def work(folder: str, url: str, merchant: str, import_id: str, part_bytes: int) -> None:
    """The import has ended, unless this process did before."""
    os.environ["COHORT_DATA_DIR"] = folder
    core_settings.cache_clear()
    running.PART_BYTES = (part_bytes, part_bytes)
    engine = create_engine(url)
    with use_bind(engine):
        more = True
        while more:
            with unit_of_work(merchant=MerchantId(UUID(merchant))) as session:
                more = running.run_part(session, ImportId(UUID(import_id)), at=utc_now())
    engine.dispose()
