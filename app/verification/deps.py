"""Limits of the public look-ups: sixty a minute from one place."""

from functools import cache

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from app.verification.errors import TooManyLookupsError

_LIMIT = RateLimitItemPerMinute(60)
_RETRY_SECONDS = 60


@cache
def _limiter() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


def limited(request: Request) -> None:
    """The request counts against its network address.

    Raises:
        TooManyLookupsError: the sixty-first within a minute.
    """
    host = request.client.host if request.client else "unknown"
    if not _limiter().hit(_LIMIT, "verify", host):
        raise TooManyLookupsError(_RETRY_SECONDS)
