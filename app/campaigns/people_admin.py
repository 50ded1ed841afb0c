"""What a member received in campaigns: a tab of the member's record."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.deps import Analyst
from app.campaigns import queries
from app.users.queries import identities
from app.users.record_admin import get_user, head_of
from app.web.deps import SessionDep
from app.web.rendering import render

router = APIRouter(prefix="/admin/users/{user_id}/campaigns")


@router.get("")
def show_campaigns(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """Every campaign that gave the member something, newest first."""
    user = get_user(session, user_id)
    received = queries.received_by(session, identities(session, user.id))
    head = head_of(session, user)
    return render(request, "campaigns/received.html", received=received, **head)
