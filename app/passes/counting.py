"""How often codes are scanned: by hour and place, and by nothing else."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.passes.models import ScanCount
from core.db import merchant_of
from core.ids import new_id


def count_scan(session: Session, *, place: UUID | None = None, at: datetime) -> None:
    """The scan is counted.

    Args:
        place: where a scanner stands; None for everybody else.
    """
    row = insert(ScanCount).values(
        id=new_id(),
        merchant_id=merchant_of(session),
        hour=at.replace(minute=0, second=0, microsecond=0),
        place_id=place,
        scan_count=1,
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=["merchant_id", "hour", "place_id"],
            set_={"scan_count": ScanCount.scan_count + 1},
        )
    )
