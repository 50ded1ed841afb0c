"""The team's way to the admin."""

from sqlalchemy.orm import Session

from app.accounts import service, sessions
from app.accounts.door import Door
from app.accounts.models import Audience
from app.accounts.team_door import team_routes
from app.web.cookies import Surface
from app.web.rendering import Shell


def _shell(session: Session) -> Shell:
    return Shell(name=service.first_merchant(session).organisation.name)


router = team_routes(
    Door(
        audience=Audience.TEAM,
        surface=Surface.ADMIN,
        address="/admin/sign-in",
        home="/admin",
        inside=("/admin",),
        template="accounts/sign_in.html",
        lifetime=sessions.TEAM_LIFETIME,
        around=_shell,
    )
)
