"""The member's own profile: what the brand knows, what they agreed to, a copy of everything."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.privacy import copies
from app.privacy.admin import as_download
from app.segments import badge_views
from app.spaces.deps import MemberDep, SignedInUser
from app.users import consents, fields, properties, record
from app.users.errors import RecordInvalidError
from app.users.fields import Field
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import SubjectExportId

router = APIRouter(prefix="/space/profile")
_PROFILE = "/space/profile"
_OWN = ("first_name", "last_name", "phone")
"""The core fields that members change themselves."""


@router.get("")
def show_profile(request: Request, session: SessionDep, who: MemberDep) -> Response:
    """Profile, badges, consents, copies."""
    return _page(request, session, who)


@router.post("")
def change_profile(
    request: Request, session: SessionDep, at: AtDep, who: MemberDep, form: FormDep
) -> Response:
    """The member has what the form says, or it comes back with what to change."""
    own = {it.key for it in _own_fields(session)}
    texts = {key: str(text) for key, text in form.items() if key in own}
    zone = ZoneInfo(who.merchant.time_zone)
    try:
        record.change(session, who.user, texts, version=who.user.version, zone=zone, at=at)
    except RecordInvalidError as error:
        return _page(request, session, who, typed=texts, error=error)
    return RedirectResponse(_PROFILE, status_code=303)


@router.post("/consents")
def change_consent(
    session: SessionDep,
    at: AtDep,
    who: MemberDep,
    purpose: Annotated[str, Form()] = "",
    given: Annotated[bool, Form()] = False,
) -> Response:
    """The member agrees, or not any more."""
    user = who.user
    if purpose in consents.purposes(session):
        consents.record(
            session, user, purpose, is_given=given, channel="space", lang=user.lang, at=at
        )
    return RedirectResponse(_PROFILE, status_code=303)


@router.post("/copy")
def request_copy(session: SessionDep, at: AtDep, who: MemberDep) -> Response:
    """A copy of everything is being made."""
    copies.request(session, who.user, at=at)
    return RedirectResponse(_PROFILE, status_code=303)


@router.get("/copies/{export_id}")
def download_copy(session: SessionDep, at: AtDep, who: MemberDep, export_id: str) -> Response:
    """The archive, to whom it is about."""
    found = SubjectExportId(decode_id("cpy", export_id))
    return as_download(copies.read(session, who.user.id, found, at=at), export_id)


def _own_fields(session: Session) -> list[Field]:
    known = fields.catalogue(session)
    return [
        *(known[key] for key in _OWN),
        *(fields.of_property(it) for it in properties.list_all(session) if it.is_user_editable),
    ]


def _seen_fields(session: Session) -> list[Field]:
    """What members see and the brand alone changes."""
    rows = properties.list_all(session)
    shown = [it for it in rows if it.is_user_visible and not it.is_user_editable]
    return [fields.of_property(it) for it in shown]


def _page(
    request: Request,
    session: Session,
    who: SignedInUser,
    *,
    typed: dict[str, str] | None = None,
    error: InvalidError | None = None,
) -> Response:
    user, own, seen = who.user, _own_fields(session), _seen_fields(session)
    now = record.read(session, user, {it.key: it for it in (*own, *seen)})
    texts = {it.key: record.as_text(it, now[it.key]) for it in (*own, *seen)}
    context: dict[str, Any] = {
        "user": user,
        "own": own,
        "seen": seen,
        "texts": {**texts, **(typed or {})},
        "badges": badge_views.shown_to(session, user),
        "purposes": consents.purposes(session),
        "given": {it.purpose for it in consents.current(session, [user.id]) if it.is_given},
        "copies": copies.of_member(session, user.id),
        "kept_days": copies.KEPT.days,
        "error": error,
        "encode_id": encode_id,
    }
    status = error.status if error else 200
    return render(request, "spaces/profile.html", status_code=status, **context)
