"""Screens of members: list and record."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.deps import Analyst
from app.users import queries, service
from app.users.imports.queries import list_imports
from app.users.models import User
from app.web.deps import SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.ids import decode_id, encode_id
from core.types import UserId

router = APIRouter(prefix="/admin/users")


@router.get("")
def list_users(
    request: Request, session: SessionDep, _who: Analyst, q: str = "", cursor: str | None = None
) -> Response:
    """Members, newest first, searched by the beginning of what is known of them."""
    page = list_page(session, queries.users(q), keys=[User.id], is_descending=True, cursor=cursor)
    return render(
        request,
        "users/list.html",
        page=page,
        q=q,
        passes=queries.passes_of(session, [user.id for user in page.items]),
        total=queries.count_users(session) if not q else None,
        imports=list_imports(session, limit=5),
        encode_id=encode_id,
    )


@router.get("/{user_id}")
def show_user(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """A member's record: profile, pass, wallet, collectibles."""
    user = service.get_user(session, UserId(decode_id("usr", user_id)))
    return render(
        request,
        "users/show.html",
        user=user,
        user_id=user_id,
        membership=queries.find_pass(session, user.id),
        contract=queries.find_pass_contract(session),
        tokens=queries.tokens_of(session, user.id),
        events=queries.events_of(session, user.id),
        encode_id=encode_id,
    )
