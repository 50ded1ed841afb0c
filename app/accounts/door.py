"""A way in: the steps of signing in by mail, the same for the team and for members.

What differs is a value of `Door`: who is let in, where the pages are and what they look like. The
routes themselves, and what a right code makes of its sender, stay with their features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import sessions, signin
from app.accounts.deps import address_of, browser_of, own_path, remember_browser
from app.accounts.errors import LinkExpiredError
from app.accounts.models import Audience
from app.accounts.signin import CodeAnswer
from app.web.cookies import Surface, clear_session_cookie, session_token, set_session_cookie
from app.web.rendering import Shell, render, set_shell
from core.errors import AppError, InvalidError, TooManyError

_SENTENCES = {
    CodeAnswer.WRONG: "That is not the code in the newest mail. Try again.",
    CodeAnswer.EXPIRED: "This code no longer works. Ask for a new mail.",
    CodeAnswer.LOCKED: "Too many wrong codes. Wait 15 minutes, then ask for a new mail.",
}


@dataclass(frozen=True)
class Door:
    """One way in.

    Args:
        address: the page that asks for the address.
        home: where one arrives without another destination.
        inside: every destination lies below one of these paths.
        template: shows the steps `ask`, `sent` and `confirm`.
        lifetime: how long the browser keeps the session's cookie.
        around: what surrounds the page.
    """

    audience: Audience
    surface: Surface
    address: str
    home: str
    inside: tuple[str, ...]
    template: str
    lifetime: timedelta
    around: Callable[[Session], Shell]

    def page(
        self,
        request: Request,
        session: Session,
        step: str,
        *,
        typed: Mapping[str, str] | None = None,
        error: AppError | None = None,
    ) -> Response:
        """One step, with what was typed so far: `email`, `destination`, `token`."""
        set_shell(request, self.around(session))
        is_shown_at_fields = error is None or isinstance(error, InvalidError)
        return render(
            request,
            self.template,
            status_code=error.status if error else 200,
            step=step,
            error=error if is_shown_at_fields else InvalidError(str(error)),
            **{"email": "", "destination": self.home, "token": "", **(typed or {})},
        )

    def send(
        self, request: Request, session: Session, mail: Callable[[str, str], None], **typed: str
    ) -> Response:
        """`mail(browser, ip)` asks for the mail; the next page is the same whoever asks."""
        draft = Response()
        browser = remember_browser(request, draft)
        try:
            mail(browser, address_of(request))
        except (InvalidError, TooManyError) as error:
            return self.page(request, session, "ask", error=error, typed=typed)
        page = self.page(request, session, "sent", typed=typed)
        page.headers.raw.extend(h for h in draft.headers.raw if h[0] == b"set-cookie")
        return page

    def refuse(
        self, request: Request, session: Session, answer: CodeAnswer, **typed: str
    ) -> Response:
        """The code opened nothing; its field says why."""
        # The right code of somebody who is nobody here is as good as a wrong one.
        sentence = _SENTENCES.get(answer, _SENTENCES[CodeAnswer.WRONG])
        error = InvalidError("You are not signed in yet.", fields={"code": sentence})
        return self.page(request, session, "sent", error=error, typed=typed)

    def open_link(
        self, request: Request, session: Session, token: str, destination: str, *, at: datetime
    ) -> Response:
        """A page with a button: mail scanners follow links, so opening one consumes nothing.

        Opened in another browser it asks for the address again, and leads to the same place.
        """
        typed = {"token": token, "destination": self._own(destination)}
        try:
            signin.find_link(session, token, browser_of(request), audience=self.audience, at=at)
        except LinkExpiredError as error:
            return self.page(request, session, "ask", error=error, typed=typed)
        return self.page(request, session, "confirm", typed=typed)

    def enter(self, cookie: str, destination: str = "") -> Response:
        """The browser has its session and goes where its person wanted to go."""
        response = RedirectResponse(self._own(destination), status_code=303)
        lifetime = int(self.lifetime.total_seconds())
        set_session_cookie(response, self.surface, cookie, max_age=lifetime)
        return response

    def onward(self, destination: str) -> str:
        """What the link in the mail has to say of where it leads: nothing if that is home."""
        target = self._own(destination)
        return "" if target == self.home else target

    def _own(self, destination: str) -> str:
        is_ours = any(own_path(destination, below=path) == destination for path in self.inside)
        return destination if is_ours else self.home

    def sign_out(self, request: Request, session: Session, *, at: datetime) -> Response:
        """The browser's session has ended on the server, too."""
        token = session_token(request, self.surface)
        if token is not None:
            sessions.end(session, token, at=at)
        response = RedirectResponse(self.address, status_code=303)
        clear_session_cookie(response, self.surface)
        return response
