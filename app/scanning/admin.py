"""Screens of devices: add one, show its pairing code, revoke it; where scanning goes on offline."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin
from app.perks import places
from app.perks.models import Place
from app.scanning import devices, queries
from app.scanning.models import ScanDevice
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.errors import AppError, InvalidError, NotFoundError
from core.ids import decode_id, encode_id
from core.settings import core_settings
from core.types import DeviceId, PlaceId

router = APIRouter(prefix="/admin/settings/devices")
_LIST = "/admin/settings/devices"
_COUNTED = timedelta(days=1)


@router.get("")
def list_devices(request: Request, session: SessionDep, at: AtDep, _who: Admin) -> Response:
    """Devices, places, and what was accepted offline and could not be honoured."""
    return _page(request, session, at=at)


@router.post("")
def add_device(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    name: Annotated[str, Form()] = "",
    place: Annotated[str, Form()] = "",
) -> Response:
    """The device exists and shows its pairing code, or the form comes back."""
    try:
        device = devices.add(session, name, _place(session, place), at=at)
    except InvalidError as error:
        return _page(request, session, at=at, error=error, name=name, place=place)
    return _show_code(request, session, device, at=at)


@router.post("/{device_id}/pair")
def pair_device(
    request: Request, session: SessionDep, at: AtDep, _who: Admin, device_id: str
) -> Response:
    """A new pairing code; it is shown this once."""
    return _show_code(request, session, _get(session, device_id), at=at)


@router.post("/{device_id}/revoke")
def revoke_device(session: SessionDep, at: AtDep, _who: Admin, device_id: str) -> Response:
    """The device scans no more."""
    devices.revoke(session, _get(session, device_id), at=at)
    return RedirectResponse(_LIST, status_code=303)


@router.post("/places/{place_id}/offline")
def allow_offline(
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    place_id: str,
    allowed: Annotated[bool, Form()] = False,
) -> Response:
    """Devices at the place go on without connection, or not any more."""
    place = places.get(session, PlaceId(decode_id("plc", place_id)))
    devices.allow_offline(session, place.id, is_allowed=allowed, at=at)
    return RedirectResponse(_LIST, status_code=303)


def _get(session: Session, text: str) -> ScanDevice:
    return devices.get(session, DeviceId(decode_id("dev", text)))


def _place(session: Session, text: str) -> Place:
    try:
        return places.get(session, PlaceId(decode_id("plc", text)))
    except NotFoundError:
        sentence = "Choose the place where the device stands."
        raise InvalidError("The device cannot be added yet.", fields={"place": sentence}) from None


def _show_code(request: Request, session: Session, device: ScanDevice, *, at: datetime) -> Response:
    code = devices.invite(session, device, at=at)
    return render(
        request,
        "scanning/pairing.html",
        device=device,
        address=f"{core_settings().public_url}/scan/pair/{code}",
        until=at + devices.PAIRING,
    )


def _page(
    request: Request,
    session: Session,
    *,
    at: datetime,
    error: AppError | None = None,
    name: str = "",
    place: str = "",
) -> Response:
    open_places = places.list_open(session)
    return render(
        request,
        "scanning/devices.html",
        status_code=error.status if error else 200,
        devices=queries.list_devices(session),
        places=open_places,
        options=[(encode_id("plc", it.id), it.name) for it in open_places],
        offline=queries.offline_places(session),
        conflicts=queries.list_conflicts(session),
        scans=queries.count_scans(session, since=at - _COUNTED),
        error=error,
        typed={"name": name, "place": place},
        at=at,
        encode_id=encode_id,
    )
