"""Screens of claim codes: list, new batch, one batch, and what is done with it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.claims import guessing, kiosk, queries, service
from app.claims.models import ClaimBatch
from app.claims.paths import base_of, batch_of
from app.claims.schemas import MINUTE, BatchForm, moment_of, number_of
from app.rewards.lines import reward_of
from app.web.deps import AtDep, SessionDep
from app.web.i18n import gettext as _
from app.web.pagination import list_page
from app.web.rendering import render, render_part
from core.errors import AppError, InvalidError
from core.settings import core_settings

router = APIRouter(prefix="/admin/claims")


@router.get("")
def list_batches(
    request: Request, session: SessionDep, at: AtDep, _who: Analyst, cursor: str | None = None
) -> Response:
    """Batches, newest first."""
    page = list_page(
        session, queries.batches(), keys=[ClaimBatch.id], is_descending=True, cursor=cursor
    )
    return render(
        request,
        "claims/list.html",
        page=page,
        at=at,
        claimed=queries.claimed_counts(session, [row.reward_line_id for row in page.items]),
        rewards={row.id: reward_of(session, row.reward_line_id) for row in page.items},
        guesses=guessing.within_hour(session, at=at),
        alarm=guessing.ALARM,
        base_of=base_of,
    )


@router.get("/new")
def new_batch(request: Request, session: SessionDep, _who: Editor, reward: str = "") -> Response:
    """The form of a new batch."""
    return _form_page(request, session, BatchForm(reward=reward), None)


@router.post("/new")
def create_batch(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    form: Annotated[BatchForm, Form()],
) -> Response:
    """The codes are being made, or the form comes back with what to change."""
    try:
        with session.begin_nested():
            batch = service.create(session, form.as_draft(), at=at)
    except InvalidError as error:
        return _form_page(request, session, form, error)
    return _to(batch)


@router.get("/{batch_id}")
def show_batch(
    request: Request, session: SessionDep, at: AtDep, _who: Analyst, batch_id: str
) -> Response:
    """The batch, and how far its codes are made."""
    batch = batch_of(session, batch_id)
    is_moving = batch.made_count < batch.code_count
    context = _context(session, batch, at=at)
    return render_part(request, "claims/show.html", block="making", is_moving=is_moving, **context)


@router.post("/{batch_id}/extend")
def extend_batch(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    batch_id: str,
    valid_until: Annotated[str, Form()] = "",
) -> Response:
    """The codes work until another moment, or for ever."""
    batch = batch_of(session, batch_id)
    try:
        service.extend(session, batch, moment_of(valid_until, "valid_until"), at=at)
    except InvalidError as error:
        return _show(request, session, batch, error=error, at=at)
    return _to(batch)


@router.post("/{batch_id}/top-up")
def top_up_batch(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    batch_id: str,
    count: Annotated[str, Form()] = "",
) -> Response:
    """More codes are being made."""
    batch = batch_of(session, batch_id)
    try:
        service.top_up(session, batch, number_of(count, "count"), at=at)
    except InvalidError as error:
        return _show(request, session, batch, error=error, at=at)
    return _to(batch)


@router.post("/{batch_id}/close")
def close_batch(session: SessionDep, at: AtDep, _who: Editor, batch_id: str) -> Response:
    """No code works any more."""
    batch = batch_of(session, batch_id)
    service.close(session, batch, at=at)
    return _to(batch)


@router.post("/{batch_id}/reopen")
def reopen_batch(session: SessionDep, at: AtDep, _who: Editor, batch_id: str) -> Response:
    """The codes work again."""
    batch = batch_of(session, batch_id)
    service.reopen(session, batch, at=at)
    return _to(batch)


@router.post("/{batch_id}/seal")
def seal_batch(session: SessionDep, at: AtDep, _who: Editor, batch_id: str) -> Response:
    """Nobody can show or print the codes any more."""
    batch = batch_of(session, batch_id)
    service.seal_batch(session, batch, at=at)
    return _to(batch)


@router.post("/{batch_id}/kiosk")
def open_kiosk(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, batch_id: str
) -> Response:
    """A new link for a screen, shown this once."""
    batch = batch_of(session, batch_id)
    link = f"{core_settings().public_url}/kiosk/{kiosk.open_link(session, batch)}"
    return _show(request, session, batch, kiosk_link=link, at=at)


def _to(batch: ClaimBatch) -> Response:
    return RedirectResponse(base_of(batch), status_code=303)


def _context(session: Session, batch: ClaimBatch, *, at: datetime) -> dict[str, Any]:
    line = batch.reward_line_id
    return {
        "batch": batch,
        "base": base_of(batch),
        "state": batch.state(at),
        "reward": reward_of(session, line),
        "claimed": queries.claimed_counts(session, [line]).get(line, 0),
        "opened": queries.opened_count(session, batch.id),
        "cohort": queries.cohort_name(session, batch.audience_kind, batch.audience_id),
        "until": batch.valid_until.strftime(MINUTE) if batch.valid_until else "",
        "error": None,
        "kiosk_link": None,
    }


def _show(
    request: Request,
    session: Session,
    batch: ClaimBatch,
    *,
    at: datetime,
    error: AppError | None = None,
    kiosk_link: str | None = None,
) -> Response:
    context = {**_context(session, batch, at=at), "error": error, "kiosk_link": kiosk_link}
    status = error.status if error else 200
    return render(request, "claims/show.html", status_code=status, is_moving=False, **context)


def _form_page(
    request: Request, session: Session, form: BatchForm, error: InvalidError | None
) -> Response:
    return render(
        request,
        "claims/new.html",
        status_code=error.status if error else 200,
        form=form,
        error=error,
        rewards=queries.rewards_to_choose(session),
        cohorts=[
            (key, f"{_('List') if kind == 'list' else _('Segment')}: {name}")
            for key, kind, name in queries.cohorts_to_choose(session)
        ],
    )
