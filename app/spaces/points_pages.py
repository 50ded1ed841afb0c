"""The member's own points: what there is, what ends soon, how it came and went."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.points import queries
from app.segments.badge_views import text_in
from app.spaces.deps import MemberDep
from app.users.queries import identities
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render

router = APIRouter(prefix="/space/points")


@router.get("")
def show_own(request: Request, session: SessionDep, at: AtDep, who: MemberDep) -> Response:
    """Balances and history; why the team adjusted something is the team's."""
    ids = identities(session, who.user.id)
    return render(
        request,
        "spaces/points.html",
        balances=queries.balances(session, ids, at=at),
        lines=list(queries.history(session, ids, most=queries.MOST_SHOWN)),
        merchant=who.merchant,
        spoken=who.user.lang or who.merchant.language,
        text_in=text_in,
    )
