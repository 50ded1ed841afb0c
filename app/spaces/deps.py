"""Who is asking: the brand's member, declared on every route of the space that is not public."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import Request

from app.accounts import sessions
from app.accounts.errors import SignInRequiredError
from app.accounts.models import Merchant, Mode
from app.spaces.service import greeting_name
from app.spaces.theme import brand_address
from app.users.models import User, UserState
from app.web.access import Access
from app.web.cookies import Surface, renew_session_cookie, session_token
from app.web.deps import AtDep, SessionDep
from app.web.rendering import Shell, set_shell
from core.db import choose_actor, choose_merchant
from core.ids import encode_id

TABS = ("/space/home", "/space/pass", "/space/perks", "/space/profile")


@dataclass(frozen=True)
class SignedInUser:
    """The member behind a request and the brand they belong to."""

    user: User
    merchant: Merchant


class MemberAccess(Access):
    """A signed-in member of the brand."""

    def __init__(self) -> None:
        super().__init__("member")

    def __call__(self, request: Request, session: SessionDep, at: AtDep) -> SignedInUser:
        """The caller; the request belongs to their merchant from here on.

        Raises:
            SignInRequiredError: nobody is signed in, or the brand blocked the member.
        """
        found = find_signed_in(request, session, at=at)
        if found is None:
            raise SignInRequiredError
        return found


def find_signed_in(request: Request, session: Session, *, at: datetime) -> SignedInUser | None:
    """The member behind the request, which belongs to their merchant from here on, or None."""
    token = session_token(request, Surface.SPACE)
    visit = sessions.find_visit(session, token, at=at) if token else None
    if token is None or visit is None:
        return None
    choose_merchant(session, visit.merchant_id)
    user = session.get(User, visit.user_id)
    if user is None or user.state is not UserState.ACTIVE:
        return None
    choose_actor(session, f"user:{encode_id('usr', visit.user_id)}")
    if visit.is_extended:
        lifetime = int(sessions.SPACE_LIFETIME.total_seconds())
        renew_session_cookie(request, Surface.SPACE, token, max_age=lifetime)
    merchant = session.get_one(Merchant, visit.merchant_id)
    set_shell(request, shell_of(merchant, person=greeting_name(user)))
    return SignedInUser(user, merchant)


MemberDep = Annotated[SignedInUser, Depends(MemberAccess())]


def shell_of(merchant: Merchant, *, person: str | None = None) -> Shell:
    """The brand around a page of the space or a public page."""
    return Shell(
        name=merchant.name,
        is_test=merchant.mode is Mode.TEST,
        person=person,
        zone=merchant.time_zone,
        tabs=TABS,
        brand_css=brand_address(merchant),
    )
