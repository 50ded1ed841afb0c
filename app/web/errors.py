"""Errors as answers: problem document for machines, a page for people, a toast for htmx.

All three say the same sentence and the same reference; what broke inside is said in the log only.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.cookies import Surface, surface_of
from app.web.formats import iso_milliseconds
from app.web.i18n import gettext as _
from app.web.rendering import is_htmx, render
from core.errors import AppError, ConflictError, InvalidError, UnavailableError

log = structlog.get_logger(__name__)

TOASTS = "#toasts"


class StalePageError(ConflictError):
    """Somebody else changed the object between reading and writing it."""

    def __init__(self) -> None:
        super().__init__(
            "Somebody changed this while you had it open, so nothing was saved. "
            "Reload the page and make your change again."
        )


class UnstorableTextError(InvalidError):
    """A value the database cannot hold, such as a text with a NUL character."""

    def __init__(self) -> None:
        super().__init__(
            "Something in what was sent cannot be stored, for example an invisible character. "
            "Type it again instead of pasting it."
        )


class BusyError(UnavailableError):
    """More requests at once than there are connections to the database."""

    def __init__(self) -> None:
        super().__init__("Too many people want something at this moment. Try again in a moment.")


@dataclass(frozen=True)
class Problem:
    """What every answer about an error says, whatever its form."""

    status: int
    code: str
    sentence: str
    retryable: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    """What programs may want to know beside the sentence, by its name in JSON."""


def problem_of(error: AppError) -> Problem:
    """The public face of an error; one without a class of its own says nothing of the inside."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and type(error).status == AppError.status:
        return _INTERNAL
    retry_after, first_at = (getattr(error, name, None) for name in ("retry_after", "first_at"))
    return Problem(
        status=error.status,
        code=error.code,
        sentence=str(error),
        retryable=error.retryable,
        fields=error.fields if isinstance(error, InvalidError) else {},
        headers={"Retry-After": str(retry_after)} if retry_after is not None else {},
        facts={"firstAt": iso_milliseconds(first_at)} if first_at is not None else {},
    )


def answer(request: Request, problem: Problem) -> Response:
    """The problem in the form this caller reads."""
    if wants_json(request):
        response = _document(request, problem)
    elif is_htmx(request):
        response = _page(request, problem, block="fragment")
        response.headers.update({"HX-Retarget": TOASTS, "HX-Reswap": "beforeend"})
    else:
        response = _page(request, problem)
    response.headers.update(problem.headers)
    return response


def wants_json(request: Request) -> bool:
    """True for the API and for callers that accept JSON and no HTML."""
    accept = request.headers.get("accept", "")
    is_api = request.url.path == "/v1" or request.url.path.startswith("/v1/")
    return is_api or ("json" in accept and "text/html" not in accept)


def _document(request: Request, problem: Problem) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.sentence,
        "instance": request.url.path,
        "code": problem.code,
        "requestId": request.state.request_id,
        "retryable": problem.retryable,
        **problem.facts,
    }
    if problem.fields:
        body["errors"] = [
            {"pointer": f"/{name}", "code": "invalid", "detail": sentence}
            for name, sentence in problem.fields.items()
        ]
    return JSONResponse(body, status_code=problem.status, media_type="application/problem+json")


def _page(request: Request, problem: Problem, *, block: str | None = None) -> Response:
    return render(
        request,
        "error.html",
        block=block,
        status_code=problem.status,
        status=problem.status,
        title=_TITLES.get(problem.status, _TITLES[500])(),
        sentence=problem.sentence,
        fields=problem.fields,
        retryable=problem.retryable and request.method == "GET",
        home=_HOMES[surface_of(request)],
        reference=request.state.request_id,
    )


_HOMES = {Surface.ADMIN: "/admin", Surface.SPACE: "/space/home", Surface.SCAN: "/scan"}
_TITLES: dict[int, Callable[[], str]] = {
    400: lambda: _("We could not read this request"),
    403: lambda: _("This is not open to you"),
    404: lambda: _("There is nothing here"),
    405: lambda: _("This address works differently"),
    409: lambda: _("This is not possible right now"),
    413: lambda: _("This is too large"),
    422: lambda: _("Something needs another look"),
    429: lambda: _("A moment, please"),
    500: lambda: _("Something went wrong on our side"),
    503: lambda: _("This is not available right now"),
}

_INTERNAL = Problem(
    500, "internal", "Something broke on our side, and we have been told. Try again later."
)
_HTTP = {
    400: Problem(400, "malformed_request", "The request could not be read. Go back and try again."),
    404: Problem(404, "not_found", "There is nothing at this address. Check the link, or go back."),
    405: Problem(405, "method_not_allowed", "This address does not take this kind of request."),
    413: Problem(413, "too_large", "What you sent is too large. Send a smaller file."),
}


def _http_problem(error: HTTPException) -> Problem:
    known = _HTTP.get(error.status_code)
    if known is None:
        phrase = HTTPStatus(error.status_code).phrase
        known = Problem(error.status_code, phrase.lower().replace(" ", "_"), f"{phrase}.")
    return Problem(known.status, known.code, known.sentence, headers=error.headers or {})


def _validation_problem(error: RequestValidationError) -> Problem:
    fields = {
        ".".join(str(part) for part in entry["loc"][1:]) or "body": str(entry["msg"])
        for entry in error.errors()
    }
    sentence = "Some of the values are missing or cannot be used."
    return Problem(422, "validation_failed", sentence, fields=fields)


async def _on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    problem = problem_of(error)
    if problem.status == _INTERNAL.status:
        log.error("request_failed", code=error.code, exc_info=error)
    else:
        log.info("request_refused", code=error.code, status=problem.status)
    return answer(request, problem)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer(request, _http_problem(error))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(request, _validation_problem(error))


async def _on_unstorable(request: Request, _error: Exception) -> Response:
    return answer(request, problem_of(UnstorableTextError()))


async def _on_stale_data(request: Request, _error: Exception) -> Response:
    return answer(request, problem_of(StalePageError()))


async def _on_busy(request: Request, _error: Exception) -> Response:
    log.warning("request_refused", code="busy", status=UnavailableError.status)
    return answer(request, problem_of(BusyError()))


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    AppError: _on_app_error,
    HTTPException: _on_http_exception,
    RequestValidationError: _on_validation_error,
    StaleDataError: _on_stale_data,
    DataError: _on_unstorable,
    PoolTimeoutError: _on_busy,
}


def answer_errors(app: FastAPI) -> None:
    """Every error that a handler of `app` raises becomes one of the three answers."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


class LastResort:
    """What no handler knows is our bug: logged with its traceback, answered without it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if has_started or scope["type"] != "http":
                raise
            log.exception("request_failed", code="internal", error=type(error).__name__)
            response = answer(Request(scope, receive), _INTERNAL)
            await response(scope, receive, send)
