"""Who scans: a paired device, or somebody of the team who works at a counter.

Who it is is found in a unit of work of its own, so that a scan may ask the chain without holding
a connection to the database.
"""

from datetime import datetime
from functools import cache
from typing import Annotated

from fastapi import Depends
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from app.accounts import sessions
from app.accounts.errors import SignInRequiredError
from app.accounts.models import Merchant, TeamRole
from app.perks import places
from app.perks.errors import PlaceNotFoundError
from app.perks.models import Place
from app.scanning import devices
from app.scanning.errors import DeviceKeyRefusedError, ScannerRoleError, TooManyScansError
from app.scanning.scanner import Scanner
from app.spaces.deps import shell_of
from app.web.access import Access
from app.web.cookies import Surface, cookie_name, session_token
from app.web.deps import AtDep
from app.web.rendering import set_shell
from core.db import choose_merchant, unit_of_work
from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.settings import core_settings
from core.types import PlaceId

_ROLES = frozenset({TeamRole.OWNER, TeamRole.ADMIN, TeamRole.EDITOR, TeamRole.STAFF})
_ADMINS = frozenset({TeamRole.OWNER, TeamRole.ADMIN})
_LIMIT = RateLimitItemPerMinute(600)
_RETRY_SECONDS = 60
_PLACE_SECONDS = 90 * 86_400


@cache
def _limiter() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


class ScannerAccess(Access):
    """A paired device, or a member of the team who may scan; by the scanner's own cookie."""

    def __init__(self) -> None:
        super().__init__("scanner")

    def __call__(self, request: Request, at: AtDep) -> Scanner:
        """The caller.

        Raises:
            SignInRequiredError: neither paired nor signed in.
            ScannerRoleError: signed in with a role that does not scan.
            TooManyScansError: more than six hundred requests in a minute.
        """
        key = session_token(request, Surface.SCAN) or ""
        with unit_of_work() as session:
            place = request.cookies.get(place_cookie(), "")
            found = _device(session, key, at=at) or _member(session, key, place, at=at)
        if found is None:
            raise SignInRequiredError
        _count(found)
        set_shell(request, shell_of(found.merchant))
        return found


class DeviceAccess(Access):
    """A paired device that sends its key as a bearer token: a till."""

    def __init__(self) -> None:
        super().__init__("device")

    def __call__(self, request: Request, at: AtDep) -> Scanner:
        """The caller.

        Raises:
            DeviceKeyRefusedError: no key, or one that opens nothing any more.
            TooManyScansError: more than six hundred requests in a minute.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        with unit_of_work() as session:
            found = _device(session, key, at=at) if scheme.lower() == "bearer" else None
        if found is None:
            raise DeviceKeyRefusedError
        _count(found)
        return found


ScannerDep = Annotated[Scanner, Depends(ScannerAccess())]
DeviceDep = Annotated[Scanner, Depends(DeviceAccess())]


def _count(scanner: Scanner) -> None:
    """Nobody tries out codes of pools: the request counts against whoever scans."""
    if not _limiter().hit(_LIMIT, "scan", scanner.actor):
        raise TooManyScansError(_RETRY_SECONDS)


def _device(session: Session, key: str, *, at: datetime) -> Scanner | None:
    device = devices.find(session, key, at=at)
    if device is None:
        return None
    merchant = session.get_one(Merchant, device.merchant_id)
    return Scanner(merchant, f"device:{encode_id('dev', device.id)}", device)


def place_cookie() -> str:
    """The name of what remembers where a person stands; the value is a place's identifier."""
    return f"{cookie_name(Surface.SCAN)}_place"


def remember_place(response: Response, place: str) -> None:
    """This browser stands there, whoever signs in to it."""
    response.set_cookie(
        place_cookie(),
        place,
        max_age=_PLACE_SECONDS,
        path="/",
        secure=core_settings().is_secure,
        httponly=True,
        samesite="lax",
    )


def _member(session: Session, key: str, place: str, *, at: datetime) -> Scanner | None:
    found = sessions.find_member(session, key, at=at)
    if found is None:
        return None
    role = found.member.role
    if role not in _ROLES:
        raise ScannerRoleError(role)
    actor = f"member:{encode_id('mem', found.member.id)}"
    choose_merchant(session, found.merchant.id)
    chosen = _chosen(session, place)
    return Scanner(found.merchant, actor, is_admin=role in _ADMINS, chosen=chosen)


def _chosen(session: Session, place: str) -> Place | None:
    """The place of the cookie, while it is one of the brand's in use."""
    try:
        return places.get(session, PlaceId(decode_id("plc", place)))
    except (UnknownIdentifierError, PlaceNotFoundError):
        return None
