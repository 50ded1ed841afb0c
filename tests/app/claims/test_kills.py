"""A batch whose worker is killed again and again has every code once."""

import multiprocessing
from typing import Any

from sqlalchemy import Engine, func, select

from app.claims import service
from app.claims.codes import code_at, code_fingerprint
from app.claims.models import ClaimBatch, ClaimCode
from app.claims.seeds import open_seed
from app.claims.service import BatchDraft
from app.rewards.lines import Choice
from core.db import unit_of_work
from core.events import Event
from core.settings import core_settings
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_perk
from tests.factories.code_worker import make
from tests.factories.killing import kill_again_and_again

CODES = 20_000
KILLS = 4
PARTS = 40


class TestKilled:
    def test_nothing_is_lost_and_nothing_is_twice(self, committed: None, engine: Engine) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant, actor="test") as session:
            choice = Choice(perk_id=make_perk(session).id)
            draft = BatchDraft(name="Flyers", choice=choice, code_count=CODES, uses_per_code=3)
            batch_id = service.create(session, draft, at=NOW).id
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.factories.code_worker"])
        url = engine.url.render_as_string(hide_password=False)
        folder = str(core_settings().data_dir)

        def start() -> Any:
            arguments = (folder, url, str(merchant), str(batch_id), CODES // PARTS)
            worker = context.Process(target=make, args=arguments)
            worker.start()
            return worker

        def place() -> int:
            with unit_of_work(merchant=merchant) as session:
                there = select(func.count(ClaimCode.position)).scalar_subquery()
                made, count = session.execute(select(ClaimBatch.made_count, there)).one()
                # What is committed is committed as a whole, whoever is killed.
                assert count == made
                return int(made)

        kill_again_and_again(start, place, times=KILLS)
        assert 0 < place() < CODES
        start().join()
        with unit_of_work(merchant=merchant) as session:
            batch = session.get_one(ClaimBatch, batch_id)
            seed = open_seed(batch)
            rows = session.execute(
                select(ClaimCode.position, ClaimCode.fingerprint, ClaimCode.uses_left)
            ).all()
            told = session.scalars(select(Event).where(Event.type == "cohort.claim.generated"))
            assert [it.data["codes"] for it in told] == [CODES]
        assert batch.made_count == CODES
        wanted = [(it, code_fingerprint(code_at(seed, it)), 3) for it in range(1, CODES + 1)]
        assert sorted(tuple(row) for row in rows) == wanted
