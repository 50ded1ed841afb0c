"""When points end: whole days of the brand's time zone. Pure."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.points.models import Expiry


def expires_at(expiry: Expiry, count: int, *, at: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment at which points of now are no more, or None where they stay.

    Args:
        count: days after today, or months or years after this one; its last day is whole.
    """
    today = at.astimezone(zone).date()
    if expiry is Expiry.NEVER:
        return None
    if expiry is Expiry.DAYS:
        end = today + timedelta(days=count + 1)
    elif expiry is Expiry.MONTH:
        months = today.year * 12 + today.month + count
        end = date(months // 12, months % 12 + 1, 1)
    else:
        end = date(today.year + count + 1, 1, 1)
    return datetime.combine(end, time(), zone).astimezone(UTC)
