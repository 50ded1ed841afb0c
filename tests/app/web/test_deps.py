"""The unit of work of a request commits before the answer leaves."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from app.web.access import PUBLIC
from app.web.application import new_application
from app.web.deps import AtDep, SessionDep
from core.db import after_commit
from tests.app.web.client import client_of

DEFERRED = (
    "CREATE TEMPORARY TABLE deferred (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED) "
    "ON COMMIT DROP"
)


def application(ran: list[str]) -> FastAPI:
    router = APIRouter(dependencies=[PUBLIC])

    @router.get("/twice")
    def twice(session: SessionDep) -> str:
        session.execute(text("RESET ROLE"))
        session.execute(text(DEFERRED))
        session.execute(text("INSERT INTO deferred VALUES (1), (1)"))
        after_commit(session, lambda: ran.append("after"))
        return "stored"

    @router.get("/once")
    def once(session: SessionDep) -> str:
        after_commit(session, lambda: ran.append("after"))
        return "stored"

    @router.get("/time")
    def time(at: AtDep) -> dict[str, Any]:
        return {"offset": at.utcoffset().total_seconds() if at.utcoffset() is not None else None}

    app = new_application()
    app.include_router(router)
    return app


class TestSessionDep:
    def test_an_answer_of_success_means_committed(self, committed: None) -> None:
        ran: list[str] = []
        answer = client_of(application(ran)).get("/once")
        assert answer.status_code == 200
        assert ran == ["after"]

    def test_a_failing_commit_is_an_error_the_client_sees(self, committed: None) -> None:
        ran: list[str] = []
        answer = client_of(application(ran)).get("/twice")
        assert answer.status_code == 500
        assert "stored" not in answer.text
        assert ran == []


class TestAtDep:
    def test_the_time_is_aware_and_utc(self) -> None:
        assert client_of(application([])).get("/time").json() == {"offset": pytest.approx(0)}
