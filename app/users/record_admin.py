"""A member's record: profile and properties, holdings, wallets, lists, events, consents, audit.

Tabs of features above this one are their own pages around the same head (`head_of`).
"""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.accounts.service import names_of
from app.users import consents, fields, lists, queries, record, service, standing
from app.users.errors import RecordInvalidError
from app.users.list_admin import show_value
from app.users.models import PropertyChange, User
from app.users.preferences import link_of
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.db import merchant_of
from core.errors import InvalidError
from core.events import Event
from core.ids import decode_id, encode_id
from core.types import ListId, UserId

router = APIRouter(prefix="/admin/users/{user_id}")


def get_user(session: Session, text: str) -> User:
    """The member behind a public id.

    Raises:
        UserNotFoundError: this merchant has none with the id.
    """
    return service.get_user(session, UserId(decode_id("usr", text)))


def head_of(session: Session, user: User) -> dict[str, Any]:
    """What every tab of the record needs."""
    survivor = session.get(User, user.merged_into_id) if user.merged_into_id else None
    return {
        "user": user,
        "address": address_of(user.id),
        "survivor": survivor,
        "survivor_address": address_of(survivor.id) if survivor else None,
        "encode_id": encode_id,
    }


def address_of(user_id: UserId) -> str:
    """Where the record is."""
    return f"/admin/users/{encode_id('usr', user_id)}"


def _back(user: User, tab: str = "") -> Response:
    return RedirectResponse(f"{address_of(user.id)}{tab}", status_code=303)


@router.get("")
def show_user(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """Profile and properties."""
    return _profile_page(request, session, get_user(session, user_id))


@router.post("")
def change_user(
    request: Request, session: SessionDep, at: AtDep, who: Editor, user_id: str, form: FormDep
) -> Response:
    """The member has what the form says, or it comes back with what to change."""
    user = get_user(session, user_id)
    texts = {key: str(text) for key, text in form.items() if key not in ("csrf", "version")}
    version = str(form.get("version", ""))
    try:
        record.change(
            session,
            user,
            texts,
            version=int(version) if version.isascii() and version.isdecimal() else -1,
            zone=ZoneInfo(who.merchant.time_zone),
            at=at,
        )
    except RecordInvalidError as error:
        return _profile_page(request, session, user, typed=texts, error=error)
    return _back(user)


def _profile_page(
    request: Request,
    session: Session,
    user: User,
    *,
    typed: dict[str, str] | None = None,
    error: InvalidError | None = None,
) -> Response:
    known = fields.catalogue(session)
    now = record.read(session, user, known)
    texts = {key: record.as_text(field, now[key]) for key, field in known.items()}
    return render(
        request,
        "users/show.html",
        status_code=error.status if error else 200,
        core=[known[key] for key in record.EDITABLE],
        properties=[it for it in known.values() if it.property_id is not None],
        others=[it for key, it in fields.CORE.items() if key not in record.EDITABLE],
        now=now,
        texts={**texts, **(typed or {})},
        show=show_value,
        error=error,
        **head_of(session, user),
    )


@router.get("/wallet")
def show_wallet(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """Wallets and passes."""
    user = get_user(session, user_id)
    return render(
        request,
        "users/wallet.html",
        held=queries.passes_and_wallets(session, queries.identities(session, user.id)),
        contract=queries.find_pass_contract(session),
        **head_of(session, user),
    )


@router.get("/lists")
def show_lists(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """The lists and segments the member is in."""
    user = get_user(session, user_id)
    return render(
        request,
        "users/user_lists.html",
        on=lists.lists_of(session, user.id),
        lists=lists.list_active(session),
        segments=queries.segments_of(session, user.id),
        **head_of(session, user),
    )


@router.post("/lists")
def change_lists(
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    user_id: str,
    list_id: Annotated[str, Form(alias="list")] = "",
    act: Annotated[str, Form()] = "add",
) -> Response:
    """The member comes on a list, or leaves it."""
    user = get_user(session, user_id)
    row = lists.get(session, ListId(decode_id("lst", list_id)))
    change = lists.remove if act == "remove" else lists.add
    change(session, row, queries.only(user.id), reason="manual", at=at)
    return _back(user, "/lists")


@router.get("/events")
def show_events(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    user_id: str,
    kind: str = "",
    cursor: str | None = None,
) -> Response:
    """What happened, newest first, all or of one type."""
    user = get_user(session, user_id)
    ids = queries.identities(session, user.id)
    keys = [Event.occurred_at, Event.id]
    query = queries.events_of(ids, kind=kind)
    page = list_page(session, query, keys=keys, is_descending=True, cursor=cursor)
    return render(
        request,
        "users/events.html",
        page=page,
        kind=kind,
        kinds=queries.event_types_of(session, ids),
        names=names_of(session, [it.actor for it in page.items]),
        **head_of(session, user),
    )


@router.get("/consents")
def show_consents(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """What the member agreed to, now and ever."""
    return _consents_page(request, session, get_user(session, user_id), None)


@router.post("/consents")
def change_consent(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    user_id: str,
    purpose: Annotated[str, Form()] = "",
    given: Annotated[bool, Form()] = False,
) -> Response:
    """The member said so to somebody of the team."""
    user = get_user(session, user_id)
    try:
        consents.record(session, user, purpose.strip(), is_given=given, channel="admin", at=at)
    except RecordInvalidError as error:
        return _consents_page(request, session, user, error)
    return _back(user, "/consents")


def _consents_page(
    request: Request, session: Session, user: User, error: InvalidError | None
) -> Response:
    history = consents.history(session, user.id)
    now = {it.purpose: it for it in consents.current(session, [user.id])}
    return render(
        request,
        "users/consents.html",
        link=link_of(merchant_of(session), user.id),
        status_code=error.status if error else 200,
        purposes=consents.purposes(session),
        now=now,
        history=history,
        names=names_of(session, [it.actor for it in history]),
        error=error,
        **head_of(session, user),
    )


@router.get("/audit")
def show_audit(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    user_id: str,
    cursor: str | None = None,
) -> Response:
    """Who changed what, newest first."""
    user = get_user(session, user_id)
    query = queries.changes_of(queries.identities(session, user.id))
    keys = [PropertyChange.at, PropertyChange.field]
    page = list_page(session, query, keys=keys, is_descending=True, cursor=cursor)
    return render(
        request,
        "users/audit.html",
        page=page,
        fields=fields.catalogue(session),
        names=names_of(session, [it.actor for it in page.items]),
        **head_of(session, user),
    )


@router.post("/block")
def block_user(
    session: SessionDep, at: AtDep, _who: Editor, user_id: str, reason: Annotated[str, Form()] = ""
) -> Response:
    """The member cannot sign in and is in no audience."""
    user = get_user(session, user_id)
    standing.block(session, queries.only(user.id), reason=reason, at=at)
    return _back(user)


@router.post("/unblock")
def unblock_user(session: SessionDep, at: AtDep, _who: Editor, user_id: str) -> Response:
    """The member takes part again."""
    user = get_user(session, user_id)
    standing.unblock(session, queries.only(user.id), at=at)
    return _back(user)
