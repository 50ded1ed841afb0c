"""Screens of draws: committed to, handed out from, watched, and whoever drops out replaced."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin, Analyst
from app.draws import documents, odds, queries, recipients, seeds, service, winners
from app.draws.algorithm import MOST_LINES, Mode, Params
from app.draws.models import BoxOpening, Draw, DrawPlace
from app.draws.schemas import DrawForm, HandOutForm
from app.perks import service as perks
from app.rewards.queries import list_live_assets
from app.users import lists
from app.users.queries import list_segments
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import AppError, ConflictError, InvalidError
from core.ids import decode_id, encode_id
from core.types import DrawId, TicketId

router = APIRouter(prefix="/admin/draws")
_READS = 20


@router.get("")
def list_draws(
    request: Request, session: SessionDep, _who: Analyst, cursor: str | None = None
) -> Response:
    """Draws, newest first."""
    page = list_page(session, queries.draws(), keys=[Draw.id], is_descending=True, cursor=cursor)
    return render(request, "draws/list.html", page=page, encode_id=encode_id)


@router.get("/new")
def new_draw(request: Request, session: SessionDep, _who: Admin) -> Response:
    """The form of a new draw."""
    return _form_page(request, session, DrawForm(), None)


@router.post("/new")
def commit_draw(
    request: Request, session: SessionDep, at: AtDep, _who: Admin, form: FormDep
) -> Response:
    """The draw is committed to, or the form comes back with what to change."""
    typed = _typed(form)
    try:
        draw = service.commit(session, typed.as_draft(), at=at)
    except (InvalidError, ConflictError) as error:
        return _form_page(request, session, typed, error)
    return _to(draw)


@router.get("/{draw_id}")
def show_draw(
    request: Request, session: SessionDep, _who: Analyst, draw_id: str, cursor: str | None = None
) -> Response:
    """What was promised, how far it is, and what came of it."""
    draw = _get(session, draw_id)
    show = _show_raffle if draw.is_raffle else _show_boxes
    return render(
        request,
        "draws/show.html",
        draw=draw,
        base=f"/admin/draws/{draw_id}",
        verify=f"/verify/draw/{draw_id}",
        prizes=queries.prizes(session, draw),
        summary=documents.summary(session, draw),
        reads=seeds.reads_of(session, draw, limit=_READS),
        encode_id=encode_id,
        **show(session, draw, cursor),
    )


def _show_boxes(session: Session, draw: Draw, cursor: str | None) -> dict[str, Any]:
    rows = queries.openings(draw.id)
    page = list_page(session, rows, keys=[BoxOpening.number], is_descending=True, cursor=cursor)
    left = [prize.left for prize in queries.prizes(session, draw)]
    return {
        "page": page,
        "owners": queries.owners_of_boxes(session, page.items),
        "chances": odds.chances(left, (draw.boxes or 0) - draw.opened_count),
    }


def _show_raffle(session: Session, draw: Draw, cursor: str | None) -> dict[str, Any]:
    page = list_page(session, queries.places(draw.id), keys=[DrawPlace.number], cursor=cursor)
    return {"page": page, "results": queries.results(session, draw, page.items)}


@router.get("/{draw_id}/simulation")
def show_simulation(request: Request, session: SessionDep, _who: Analyst, draw_id: str) -> Response:
    """How the draw could go, under a seed that is thrown away."""
    draw = _get(session, draw_id)
    return render(
        request,
        "draws/simulation.html",
        draw=draw,
        base=f"/admin/draws/{draw_id}",
        prizes=queries.prizes(session, draw),
        simulation=None if draw.is_raffle else odds.simulate(Params.read(draw.params)),
    )


@router.get("/{draw_id}/hand-out")
def choose_recipients(request: Request, session: SessionDep, _who: Admin, draw_id: str) -> Response:
    """The form that says who receives one."""
    return _hand_out_page(request, session, _get(session, draw_id), HandOutForm.new())


@router.post("/{draw_id}/hand-out")
def hand_out(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    draw_id: str,
    form: Annotated[HandOutForm, Form()],
) -> Response:
    """First how many receive one; once that is confirmed, they have it."""
    draw = _get(session, draw_id)
    source = decode_id("bxs", form.key)
    try:
        users = recipients.chosen(session, form)
        if form.confirmed:
            service.hand_out(session, draw, users, source_id=source, at=at)
            return _to(draw)
    except (InvalidError, ConflictError) as error:
        return _hand_out_page(request, session, draw, form, error=error)
    return _hand_out_page(request, session, draw, form, count=recipients.count(session, users))


@router.post("/{draw_id}/end")
def end_draw(session: SessionDep, at: AtDep, _who: Admin, draw_id: str) -> Response:
    """Nothing is handed out any more."""
    draw = _get(session, draw_id)
    service.end(session, draw, at=at)
    return _to(draw)


@router.post("/{draw_id}/replace")
def replace_winner(
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    draw_id: str,
    ticket: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """The next reserve has the prize instead."""
    draw = _get(session, draw_id)
    ticket_id = TicketId(decode_id("tkt", ticket))
    winners.replace_winner(session, draw, ticket_id, reason=reason, at=at)
    return _to(draw)


def _typed(form: FormData) -> DrawForm:
    texts = {name: str(form.get(name, "")) for name in form if name not in ("reward", "quantity")}
    rewards, quantities = form.getlist("reward"), form.getlist("quantity")
    return DrawForm.of(texts, [str(it) for it in rewards], [str(it) for it in quantities])


def _get(session: Session, text: str) -> Draw:
    return service.get(session, DrawId(decode_id("drw", text)))


def _to(draw: Draw) -> Response:
    return RedirectResponse(f"/admin/draws/{encode_id('drw', draw.id)}", status_code=303)


def _form_page(
    request: Request, session: Session, form: DrawForm, error: AppError | None
) -> Response:
    rewards: list[tuple[str, Any]] = [("", "–")]
    rewards += [(encode_id("prk", it.id), it.title) for it in perks.list_live(session)]
    rewards += [(encode_id("das", it.id), it.title) for it in list_live_assets(session)]
    lines = form.lines + [("", "")] * (MOST_LINES - len(form.lines))
    return render(
        request,
        "draws/new.html",
        status_code=error.status if error else 200,
        form=form,
        lines=lines,
        error=error,
        rewards=rewards,
        modes=list(Mode),
        chains=[(it.id, it.name) for it in service.list_chains(session)],
    )


def _hand_out_page(
    request: Request,
    session: Session,
    draw: Draw,
    form: HandOutForm,
    *,
    count: int | None = None,
    error: AppError | None = None,
) -> Response:
    return render(
        request,
        "draws/hand_out.html",
        status_code=error.status if error else 200,
        draw=draw,
        base=f"/admin/draws/{encode_id('drw', draw.id)}",
        form=form,
        count=count,
        error=error,
        lists=[(encode_id("lst", it.id), it.name) for it in lists.list_active(session)],
        segments=[(encode_id("seg", it), name) for it, name in list_segments(session)],
    )
