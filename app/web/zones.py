"""The time zone in which the current request shows days: the brand's, where one is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from zoneinfo import ZoneInfo

_zone: ContextVar[str] = ContextVar("zone", default="UTC")


@contextmanager
def use_zone(name: str) -> Iterator[None]:
    """Inside the block every day is one of this zone."""
    token = _zone.set(name)
    try:
        yield
    finally:
        _zone.reset(token)


def current_zone() -> ZoneInfo:
    """Where days begin and end."""
    return ZoneInfo(_zone.get())
