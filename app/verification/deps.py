"""Limits of the public look-ups: so many a minute from one place."""

from functools import cache

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from app.verification.errors import TooManyLookupsError

_LOOKUPS = RateLimitItemPerMinute(60)
_SCANS = RateLimitItemPerMinute(120)
_RETRY_SECONDS = 60


@cache
def _limiter() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


def limited(request: Request) -> None:
    """The look-up of a token counts against its network address.

    Raises:
        TooManyLookupsError: the sixty-first within a minute.
    """
    _count(request, _LOOKUPS, "verify")


def limited_scans(request: Request) -> None:
    """The scan of a code counts against its network address.

    Raises:
        TooManyLookupsError: the hundred and twenty-first within a minute.
    """
    _count(request, _SCANS, "scan")


def _count(request: Request, limit: RateLimitItemPerMinute, what: str) -> None:
    host = request.client.host if request.client else "unknown"
    if not _limiter().hit(limit, what, host):
        raise TooManyLookupsError(_RETRY_SECONDS)
