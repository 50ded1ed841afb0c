"""A small application with one route for every situation the web layer knows."""

from collections.abc import Callable, Iterator
from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI, Form, Request, Response
from pydantic import SecretStr
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.web.access import PUBLIC
from app.web.application import new_application
from app.web.rendering import render
from core.errors import (
    AppError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyError,
    UnavailableError,
)
from core.settings import CoreSettings, core_settings
from tests.app.web.client import TestClient, client_of

SECRET = "what broke inside, with a password"
ERRORS: dict[str, Callable[[], Exception]] = {
    "app": lambda: AppError(SECRET),
    "not_found": lambda: NotFoundError("There is no such campaign."),
    "forbidden": lambda: ForbiddenError("Ask an owner of the team."),
    "conflict": lambda: ConflictError("The campaign has ended."),
    "invalid": lambda: InvalidError("One field is wrong.", fields={"name": "Give it a name."}),
    "too_many": lambda: TooManyError("Wait a moment.", retry_after=30),
    "unavailable": lambda: UnavailableError("The chain does not answer.", retry_after=7),
    "bug": lambda: RuntimeError(SECRET),
}


@pytest.fixture(autouse=True)
def settings() -> Iterator[CoreSettings]:
    """The settings of the process, with a secret; a test may change them."""
    core_settings.cache_clear()
    settings = core_settings()
    settings.secret_key = SecretStr("a long enough random text of the tests")
    settings.public_url = "http://testserver"
    yield settings
    core_settings.cache_clear()


@pytest.fixture
def app() -> FastAPI:
    """The empty application and the routes below."""
    app = new_application(larger_bodies={"/upload/*": 3_000_000})
    app.include_router(_routes())
    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A browser without cookies."""
    with client_of(app) as client:
        yield client


def _routes() -> APIRouter:
    router = APIRouter(dependencies=[PUBLIC])

    @router.get("/raise/{name}")
    @router.get("/v1/raise/{name}")
    def fail(name: str) -> Response:
        raise PoolTimeoutError(SECRET) if name == "busy" else ERRORS[name]()

    @router.get("/page")
    @router.get("/admin/page")
    def page(request: Request) -> Response:
        return render(request, "error.html", status=200, title="t", sentence="s", fields={},
                      retryable=False, home="/", reference="r")  # fmt: skip

    @router.post("/act")
    @router.post("/admin/act")
    def act() -> Response:
        return Response("done")

    @router.post("/upload/file")
    @router.post("/small")
    async def upload(request: Request) -> Response:
        return Response(str(len(await request.body())))

    @router.post("/form")
    def form(name: Annotated[str, Form()], age: Annotated[int, Form()]) -> Response:
        return Response(f"{name} {age}")

    return router
