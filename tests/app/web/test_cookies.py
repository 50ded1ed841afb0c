"""A renewed cookie rides on whatever is answered, and never against the handler's own."""

import pytest
from fastapi import APIRouter, FastAPI, Request, Response

from app.web.access import PUBLIC
from app.web.cookies import (
    Surface,
    clear_session_cookie,
    renew_session_cookie,
    set_session_cookie,
)
from core.errors import NotFoundError
from core.settings import CoreSettings
from tests.app.web.client import TestClient


@pytest.fixture(autouse=True)
def routes(app: FastAPI) -> None:
    """One route for each thing a handler may do after the renewal."""
    router = APIRouter(dependencies=[PUBLIC])

    @router.get("/renewed/{then}")
    def renewed(request: Request, then: str) -> Response:
        renew_session_cookie(request, Surface.SPACE, "opaque", max_age=60)
        response = Response("ok")
        if then == "clears":
            clear_session_cookie(response, Surface.SPACE)
        elif then == "sets":
            set_session_cookie(response, Surface.SPACE, "another", max_age=5)
        elif then == "sets-the-other":
            set_session_cookie(response, Surface.ADMIN, "team", max_age=5)
        elif then == "refuses":
            raise NotFoundError("There is no such thing.")
        return response

    app.include_router(router)


def cookies(client: TestClient, then: str) -> list[str]:
    return client.get(f"/renewed/{then}").headers.get_list("set-cookie")


class TestRenewedCookies:
    @pytest.mark.parametrize("then", ["answers", "refuses"])
    def test_ride_on_every_answer(self, client: TestClient, then: str) -> None:
        [cookie] = cookies(client, then)
        assert cookie.startswith("cohort_space=opaque; HttpOnly; Max-Age=60;")

    @pytest.mark.parametrize(("then", "value"), [("clears", '""'), ("sets", "another")])
    def test_give_way_to_the_handler(self, client: TestClient, then: str, value: str) -> None:
        [cookie] = cookies(client, then)
        assert cookie.startswith(f"cohort_space={value};")

    def test_stand_beside_the_cookie_of_the_other_surface(self, client: TestClient) -> None:
        names = [cookie.split("=")[0] for cookie in cookies(client, "sets-the-other")]
        assert names == ["cohort_admin", "cohort_space"]

    def test_are_secure_over_https(self, client: TestClient, settings: CoreSettings) -> None:
        settings.public_url = "https://brand.example"
        [cookie] = cookies(client, "answers")
        assert cookie.startswith("__Host-cohort_space=opaque;") and "Secure" in cookie

    def test_are_not_there_unasked(self, client: TestClient) -> None:
        assert "set-cookie" not in client.get("/page").headers
