"""A worker that fills one pool or makes the codes of one batch, in a process that may be killed.

It stands alone: what it imports must not make a test run of its own.
"""

import os
from uuid import UUID

from sqlalchemy import create_engine

import app.models  # noqa: F401 - the mappers need every table
from app.claims import making
from app.perks import code_loading
from core.db import Role, unit_of_work, use_bind
from core.settings import core_settings
from core.types import ClaimBatchId, CodeFileId, MerchantId, utc_now


def load(folder: str, url: str, merchant: str, file_id: str, part: int) -> None:
    """The file is in its pool, unless this process ended before; `part` is in bytes or codes."""
    os.environ["COHORT_DATA_DIR"] = folder
    core_settings.cache_clear()
    code_loading.PART_BYTES = code_loading.MADE_AT_ONCE = part
    engine = create_engine(url)
    with use_bind(engine):
        more = True
        while more:
            with unit_of_work(merchant=MerchantId(UUID(merchant))) as session:
                more = code_loading.run_part(session, CodeFileId(UUID(file_id)), at=utc_now())
    engine.dispose()


def make(folder: str, url: str, merchant: str, batch_id: str, part: int) -> None:
    """The batch has all its codes, unless this process ended before; `part` is in codes."""
    os.environ["COHORT_DATA_DIR"] = folder
    core_settings.cache_clear()
    making.CODES_A_PART = part
    engine = create_engine(url)
    with use_bind(engine):
        more = True
        while more:
            with unit_of_work(merchant=MerchantId(UUID(merchant)), role=Role.ENGINE) as session:
                more = making.run_part(session, ClaimBatchId(UUID(batch_id)), at=utc_now())
    engine.dispose()
