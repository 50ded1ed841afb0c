"""Screens of grants: given by hand, and what one member has or did not get."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.accounts.service import names_of
from app.perks import queries as perk_queries
from app.perks import service as perks
from app.rewards import manual, queries, refusals
from app.rewards.errors import EXHAUSTED
from app.rewards.lines import reward_of
from app.rewards.models import Grant
from app.rewards.schemas import ManualGrantForm
from app.users import queries as people
from app.users.record_admin import get_user, head_of
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import AppError, InvalidError
from core.ids import decode_id, encode_id
from core.types import ManualGrantId

router = APIRouter(prefix="/admin/grants")
record = APIRouter(prefix="/admin/users/{user_id}/rewards")


@router.get("/new")
def new_grant(
    request: Request, session: SessionDep, _who: Editor, reward: str = "", member: str = ""
) -> Response:
    """The form of a grant by hand."""
    emails = get_user(session, member).email if member else None
    form = ManualGrantForm.new(reward=reward, emails=emails or "")
    return _form_page(request, session, form, None)


@router.post("/new")
def give_by_hand(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    form: Annotated[ManualGrantForm, Form()],
) -> Response:
    """The members have it, or the form comes back with what to change."""
    try:
        with session.begin_nested():
            users = manual.find_recipients(session, form.emails)
            reason = form.reason.strip()
            manual.give(session, form.grant_id, form.as_choice(), users, reason=reason, at=at)
    except (InvalidError, *EXHAUSTED) as error:
        return _form_page(request, session, form, error)
    return RedirectResponse(f"/admin/grants/{form.key}", status_code=303)


@router.get("/{grant_id}")
def show_grant(
    request: Request, session: SessionDep, _who: Analyst, grant_id: str, cursor: str | None = None
) -> Response:
    """Who received what, and how far it is."""
    row = manual.get(session, ManualGrantId(decode_id("mgr", grant_id)))
    reward = reward_of(session, row.reward_line_id)
    page = list_page(session, queries.grants_of(reward.line.id), keys=[Grant.id], cursor=cursor)
    return render(
        request,
        "rewards/show.html",
        row=row,
        reward=reward,
        page=page,
        counts=manual.counts_of(session, reward.line),
        users=queries.members_of(session, page.items),
        by=names_of(session, [row.actor]),
        encode_id=encode_id,
    )


@record.get("")
def show_rewards(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """What the member has, and what was refused, and why."""
    user = get_user(session, user_id)
    identities = people.identities(session, user.id)
    return render(
        request,
        "rewards/member.html",
        tokens=people.tokens_of(session, identities),
        held=perk_queries.list_held(session, identities),
        refused=refusals.of_members(session, identities),
        **head_of(session, user),
    )


def _form_page(
    request: Request, session: Session, form: ManualGrantForm, error: AppError | None
) -> Response:
    choices: list[tuple[str, Any]] = [("", "")]
    choices += [(encode_id("prk", it.id), it.title) for it in perks.list_live(session)]
    choices += [(encode_id("das", it.id), it.title) for it in queries.list_live_assets(session)]
    return render(
        request,
        "rewards/new.html",
        status_code=error.status if error else 200,
        form=form,
        error=error,
        rewards=choices,
    )
