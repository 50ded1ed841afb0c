"""What a member agrees to, behind a signed link: no sign-in, nothing else is shown or changed."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.models import Merchant
from app.spaces.deps import shell_of
from app.spaces.errors import PreferenceLinkError
from app.spaces.service import member_behind
from app.users import consents
from app.users.models import User, UserState
from app.users.preferences import read_link
from app.web.access import PUBLIC
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, set_shell
from core.db import choose_actor, choose_merchant
from core.ids import encode_id

router = APIRouter(prefix="/preferences", dependencies=[PUBLIC])


@router.get("/{token}")
def show_preferences(request: Request, session: SessionDep, token: str) -> Response:
    """What the member agreed to, each to be changed."""
    user = _open(request, session, token)
    now = {it.purpose for it in consents.current(session, [user.id]) if it.is_given}
    purposes = consents.purposes(session)
    address = f"/preferences/{token}"
    return render(request, "spaces/preferences.html", address=address, purposes=purposes, given=now)


@router.post("/{token}")
def change_preference(
    request: Request,
    session: SessionDep,
    at: AtDep,
    token: str,
    purpose: Annotated[str, Form()] = "",
    given: Annotated[bool, Form()] = False,
) -> Response:
    """The member agrees, or not any more."""
    user = _open(request, session, token)
    if purpose in consents.purposes(session):
        consents.record(
            session, user, purpose, is_given=given, channel="link", lang=user.lang, at=at
        )
    return RedirectResponse(f"/preferences/{token}", status_code=303)


def _open(request: Request, session: Session, token: str) -> User:
    """The member behind the link; the request belongs to their merchant from here on.

    Raises:
        PreferenceLinkError: not a link of ours, or nobody is left behind it.
    """
    merchant_id, user_id = read_link(token) or (None, None)
    merchant = session.get(Merchant, merchant_id or UUID(int=0))
    if merchant is None:
        raise PreferenceLinkError
    choose_merchant(session, merchant.id)
    found = session.get(User, user_id)
    user = member_behind(session, found) if found is not None else None
    if user is None or user.state not in (UserState.ACTIVE, UserState.BLOCKED):
        raise PreferenceLinkError
    choose_actor(session, f"user:{encode_id('usr', user.id)}")
    set_shell(request, shell_of(merchant))
    return user
