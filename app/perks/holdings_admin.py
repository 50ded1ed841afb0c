"""Screens of who has a perk: everybody's, and what happened to one."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin, Analyst, Editor
from app.accounts.service import names_of
from app.perks import changing, queries, shipping, using
from app.perks.admin import address_of, get_perk, head_of
from app.perks.errors import AlreadyUndoneError
from app.perks.models import Holding, HoldingState, Perk, Redemption, Transition
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import HoldingId, RedemptionId

router = APIRouter(prefix="/admin/perks/{perk_id}/holdings")


@router.get("")
def list_holdings(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    perk_id: str,
    cursor: str | None = None,
    state: str = "",
) -> Response:
    """Who has it."""
    perk = get_perk(session, perk_id)
    return _list_page(request, session, perk, _state(state), cursor=cursor)


@router.post("")
def revoke_holdings(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    perk_id: str,
    state: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Everybody's, or those of a state, are being taken back."""
    perk = get_perk(session, perk_id)
    try:
        changing.revoke_many(session, perk, state=_state(state), reason=reason, at=at)
    except InvalidError as error:
        return _list_page(request, session, perk, _state(state), error=error)
    return RedirectResponse(f"{address_of(perk)}/holdings", status_code=303)


@router.get("/{holding_id}")
def show_holding(
    request: Request, session: SessionDep, _who: Analyst, perk_id: str, holding_id: str
) -> Response:
    """One holding and its log."""
    perk = get_perk(session, perk_id)
    return _page(request, session, perk, get_holding(session, perk, holding_id))


@router.post("/{holding_id}/revoke")
def revoke_holding(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    perk_id: str,
    holding_id: str,
    reason: Annotated[str, Form()] = "",
) -> Response:
    """The member has it no more."""
    perk = get_perk(session, perk_id)
    holding = get_holding(session, perk, holding_id)
    try:
        using.revoke(session, holding, reason=reason, at=at)
    except InvalidError as error:
        return _page(request, session, perk, holding, error)
    return _back(perk, holding)


@router.post("/{holding_id}/extend")
def extend_holding(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    perk_id: str,
    holding_id: str,
    until: Annotated[str, Form()] = "",
) -> Response:
    """The member can use it again, until then."""
    perk = get_perk(session, perk_id)
    holding = get_holding(session, perk, holding_id)
    try:
        using.extend(session, holding, until=_moment(until), at=at)
    except InvalidError as error:
        return _page(request, session, perk, holding, error)
    return _back(perk, holding)


@router.post("/{holding_id}/undo")
def undo_use(
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    perk_id: str,
    holding_id: str,
    use: Annotated[str, Form()] = "",
) -> Response:
    """The uses of that row are left again."""
    perk = get_perk(session, perk_id)
    holding = get_holding(session, perk, holding_id)
    row = session.get(Redemption, RedemptionId(decode_id("rdm", use)))
    if row is None or row.holding_id != holding.id:
        raise AlreadyUndoneError
    using.undo(session, row, actor=session.info["actor"], at=at, is_admin=True)
    return _back(perk, holding)


def get_holding(session: Session, perk: Perk, text: str) -> Holding:
    """The perk's holding with this public identifier.

    Raises:
        HoldingNotFoundError, UnknownIdentifierError: there is none.
    """
    return shipping.get_holding(session, perk, HoldingId(decode_id("hld", text)))


def _state(text: str) -> HoldingState | None:
    return HoldingState(text) if text in set(HoldingState) else None


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
    except ValueError:
        sentence = "A day and a time, for example 2027-01-31T18:00."
        raise InvalidError(sentence, fields={"until": sentence}) from None


def _back(perk: Perk, holding: Holding) -> Response:
    target = f"{address_of(perk)}/holdings/{encode_id('hld', holding.id)}"
    return RedirectResponse(target, status_code=303)


def _page(
    request: Request,
    session: Session,
    perk: Perk,
    holding: Holding,
    error: InvalidError | None = None,
) -> Response:
    log = queries.log_of(session, [holding.id])
    undone = {row.undo_of for row in log}
    context: dict[str, Any] = {
        "holding": holding,
        "user": queries.owners_of(session, [holding])[holding.user_id],
        "log": log,
        "undoable": {
            row.id for row in log if row.transition is Transition.USED and row.id not in undone
        },
        "names": names_of(session, [row.actor for row in log]),
        "place_names": queries.place_names(session, log),
        "error": error,
    }
    status = error.status if error else 200
    head = head_of(session, perk)
    return render(request, "perks/holding.html", status_code=status, **head, **context)


def _list_page(
    request: Request,
    session: Session,
    perk: Perk,
    state: HoldingState | None,
    *,
    cursor: str | None = None,
    error: InvalidError | None = None,
) -> Response:
    query = queries.holdings(perk.id, state=state)
    page = list_page(session, query, keys=[Holding.id], is_descending=True, cursor=cursor)
    return render(
        request,
        "perks/holdings.html",
        status_code=error.status if error else 200,
        **head_of(session, perk),
        page=page,
        owners=queries.owners_of(session, page.items),
        state=state or "",
        revocable=queries.count_revocable(session, perk.id, state=state),
        revocations=changing.open_revocations(session, perk),
        error=error,
    )
