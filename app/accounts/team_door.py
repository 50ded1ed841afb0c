"""The routes by which the team signs in, the same at every door that is the team's."""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from app.accounts import service, sessions, signin
from app.accounts.deps import address_of, browser_of
from app.accounts.door import Door
from app.accounts.models import Audience
from app.accounts.signin import CodeAnswer
from app.web.access import PUBLIC
from app.web.deps import AtDep, SessionDep


def team_routes(door: Door) -> APIRouter:
    """Ask for a mail, open its link or type its code, sign out: below the home of the door."""
    router = APIRouter(prefix=door.home, dependencies=[PUBLIC])

    @router.get("/sign-in")
    def ask(request: Request, session: SessionDep, destination: str = door.home) -> Response:
        """The form that asks for the address."""
        return door.page(request, session, "ask", typed={"destination": destination})

    @router.post("/sign-in")
    def send(
        request: Request,
        session: SessionDep,
        at: AtDep,
        email: Annotated[str, Form()] = "",
        destination: Annotated[str, Form()] = door.home,
    ) -> Response:
        """The same screen for known and unknown addresses; the mail goes to known ones only."""

        def mail(browser: str, ip: str) -> None:
            service.request_team_sign_in(
                session,
                email,
                browser=browser,
                ip=ip,
                at=at,
                address=door.address,
                destination=door.onward(destination),
            )

        return door.send(request, session, mail, email=email, destination=destination)

    @router.post("/sign-in/code")
    def type_code(
        request: Request,
        session: SessionDep,
        at: AtDep,
        email: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
        destination: Annotated[str, Form()] = door.home,
    ) -> Response:
        """The code from the mail signs in; wrong ones are counted."""
        realm = service.first_merchant(session).organisation_id
        place = browser_of(request), address_of(request)
        asked = signin.Request(Audience.TEAM, realm, email, *place)
        answer = signin.try_code(session, asked, code, at=at)
        member = service.find_active_member(session, email) if answer is CodeAnswer.RIGHT else None
        if member is None:
            return door.refuse(request, session, answer, email=email, destination=destination)
        return door.enter(sessions.open_team_session(session, member, at=at), destination)

    @router.get("/sign-in/{token}")
    def open_link(
        request: Request,
        session: SessionDep,
        at: AtDep,
        token: str,
        destination: str = door.home,
    ) -> Response:
        """A page with a button; opening the link consumes nothing."""
        return door.open_link(request, session, token, destination, at=at)

    @router.post("/sign-in/{token}")
    def use_link(
        request: Request,
        session: SessionDep,
        at: AtDep,
        token: str,
        destination: Annotated[str, Form()] = door.home,
    ) -> Response:
        """The button behind the link signs in, once."""
        used = signin.use_link(session, token, browser_of(request), audience=Audience.TEAM, at=at)
        member = service.member_of_token(session, used)
        if member is None:
            raise signin.link_expired(Audience.TEAM)
        return door.enter(sessions.open_team_session(session, member, at=at), destination)

    @router.post("/sign-out")
    def sign_out(request: Request, session: SessionDep, at: AtDep) -> Response:
        """The browser's session ends on the server, too."""
        return door.sign_out(request, session, at=at)

    return router
