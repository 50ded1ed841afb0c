"""Messages are nudges: what a lost one left is found, and what a repeated one asks for is done."""

import pytest
from sqlalchemy import func, select

from app import worker
from app.users.imports import service as imports
from app.users.imports.models import ImportState, UserImport
from app.users.models import User
from core import jobs
from core.db import unit_of_work
from core.types import ImportId, MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.imports import upload

TWO_MEMBERS = b"email\nada@example.com\nbo@example.com\n"


@pytest.fixture
def merchant_id(committed: None) -> MerchantId:
    """A merchant whose rows are committed."""
    return make_merchant().id


@pytest.fixture
def started(merchant_id: MerchantId, monkeypatch: pytest.MonkeyPatch) -> ImportId:
    """An import that was started and whose message never arrived."""
    monkeypatch.setattr(jobs, "send", lambda *_: None)
    with unit_of_work(merchant=merchant_id) as session:
        row = upload(session, TWO_MEMBERS)
        imports.start(session, row, at=NOW)
        return row.id


def state_of(merchant: MerchantId, import_id: ImportId) -> tuple[ImportState, int]:
    with unit_of_work(merchant=merchant) as session:
        members = session.scalar(select(func.count()).select_from(User)) or 0
        return session.get_one(UserImport, import_id).state, members


class TestLostMessages:
    def test_the_sweep_takes_up_what_nobody_was_told_of(
        self, merchant_id: MerchantId, started: ImportId
    ) -> None:
        assert state_of(merchant_id, started) == (ImportState.RUNNING, 0)
        worker.sweep_imports()
        assert state_of(merchant_id, started) == (ImportState.COMPLETED, 2)

    def test_the_sweep_is_on_the_schedule(self) -> None:
        scheduled = {entry["task"] for entry in worker.celery.conf.beat_schedule.values()}
        assert {"engine.imports", "engine.provision", "engine.exports", "engine.step"} <= scheduled

    def test_a_message_that_arrives_five_times_does_the_work_once(
        self, merchant_id: MerchantId, started: ImportId
    ) -> None:
        for _ in range(5):
            worker.run_import(str(merchant_id), str(started))
        assert state_of(merchant_id, started) == (ImportState.COMPLETED, 2)
