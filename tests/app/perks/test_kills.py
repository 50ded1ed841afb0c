"""A pool whose worker is killed again and again ends as one that nobody disturbed."""

import io
import multiprocessing
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.perks import code_files, codes
from app.perks.code_models import CodeFile, CodeFileState, CodeRefusal, CodeState, PerkCode
from app.perks.models import Perk
from app.perks.patterns import Pattern
from app.perks.terms import RedemptionType
from core.db import unit_of_work
from core.events import Event
from core.ids import new_id
from core.settings import core_settings
from core.types import CodeFileId, MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.code_worker import load as load_in_process
from tests.factories.killing import kill_again_and_again
from tests.factories.perks import perk_of

ROWS = 12_000
KILLS = 4
PARTS = 30


def content() -> str:
    """Codes of every kind: kept for somebody, ending, named twice, and such as are none."""
    rows = ["code,expiresAt,email"]
    for number in range(ROWS):
        code = "" if number % 100 == 77 else f"CODE-{number if number % 50 else number // 2:06}"
        ends = "soon" if number % 100 == 33 else "2027-01-31" if number % 3 else ""
        rows.append(f"{code},{ends},{f'm{number}@example.com' if number % 7 == 0 else ''}")
    return "\n".join(rows)


class Work:
    """A file on its way into the pool of a perk of its own."""

    def __init__(self, merchant: MerchantId, url: str, *, pattern: Pattern | None = None) -> None:
        self.merchant, self.url = merchant, url
        with unit_of_work(merchant=merchant, actor="test") as session:
            perk = perk_of(session, RedemptionType.UNIQUE_CODE, title=new_id().hex)
            if pattern is None:
                file = io.BytesIO(content().encode())
                row = code_files.upload(session, perk, "codes.csv", file, at=NOW)
            else:
                row = code_files.generate(session, perk, pattern, ROWS, at=NOW)
            self.file_id: CodeFileId = row.id
            self.part = row.byte_count // PARTS if pattern is None else ROWS // PARTS
            self.perk_id = perk.id

    def start(self) -> Any:
        """A process that goes on with it."""
        context = multiprocessing.get_context("forkserver")
        folder = str(core_settings().data_dir)
        arguments = (folder, self.url, str(self.merchant), str(self.file_id), self.part)
        worker = context.Process(target=load_in_process, args=arguments)
        worker.start()
        return worker

    def place(self) -> tuple[int, int, int]:
        """How much of it is committed."""
        with unit_of_work(merchant=self.merchant) as session:
            row = session.get_one(CodeFile, self.file_id)
            return row.next_byte, row.added_count, row.refused_count

    def finish(self, *, kills: int) -> None:
        """It is done, after so many workers were killed."""
        kill_again_and_again(self.start, self.place, times=kills)
        with unit_of_work(merchant=self.merchant) as session:
            assert session.get_one(CodeFile, self.file_id).state is CodeFileState.RUNNING
        self.start().join()

    def codes(self, session: Session) -> list[tuple[str, Any, Any, CodeState]]:
        """Every code of the pool, in the open."""
        rows = session.scalars(select(PerkCode).where(PerkCode.perk_id == self.perk_id))
        return sorted((codes.opened(it), it.expires_at, it.reserved_for, it.state) for it in rows)

    def result(self, session: Session) -> dict[str, Any]:
        """Everything it wrote, but for identifiers and times."""
        row, perk = session.get_one(CodeFile, self.file_id), session.get_one(Perk, self.perk_id)
        refused = select(CodeRefusal.line, CodeRefusal.reason)
        told = select(Event.data).where(Event.type == "cohort.perk.codes-added")
        return {
            "codes": self.codes(session),
            "refused": sorted(
                tuple(it) for it in session.execute(refused.where(CodeRefusal.file_id == row.id))
            ),
            "file": (row.state, row.added_count, row.refused_count, row.next_byte),
            "perk": (perk.code_count, perk.has_reserved_codes),
            "told": [
                {name: value for name, value in it.items() if name != "perkId"}
                for it in session.scalars(told)
                if it["perkId"] == str(perk.id)
            ],
        }


class TestKilled:
    @pytest.fixture
    def url(self, committed: None, engine: Engine) -> str:
        """Where the workers find the database."""
        multiprocessing.get_context("forkserver").set_forkserver_preload(
            ["tests.factories.code_worker"]
        )
        return engine.url.render_as_string(hide_password=False)

    def test_a_file_ends_like_one_that_nobody_disturbed(self, url: str) -> None:
        merchant = make_merchant().id
        clean, killed = Work(merchant, url), Work(merchant, url)
        clean.start().join()
        killed.finish(kills=KILLS)
        with unit_of_work(merchant=merchant) as session:
            wanted, found = clean.result(session), killed.result(session)
        assert len(wanted["codes"]) > ROWS // 2 and len(wanted["refused"]) > ROWS // 100
        assert {name for name in wanted if wanted[name] != found[name]} == set()
        assert not code_files.table_path(killed.file_id).exists()

    def test_as_many_are_made_as_were_asked_for(self, url: str) -> None:
        merchant = make_merchant().id
        work = Work(merchant, url, pattern=Pattern(prefix="SUN-", length=10))
        work.finish(kills=KILLS)
        with unit_of_work(merchant=merchant) as session:
            made = [code for code, *_ in work.codes(session)]
            found = work.result(session)
        assert (len(made), len(set(made))) == (ROWS, ROWS)
        assert found["file"][:3] == (CodeFileState.COMPLETED, ROWS, 0)
        assert found["perk"] == (ROWS, False)
        assert found["told"] == [{"added": ROWS, "refused": 0}]
