"""Codes are made in parts, each once, whoever is killed or works at the same time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.claims import making, service
from app.claims.codes import code_fingerprint
from app.claims.errors import BatchSealedError, BatchUnfinishedError
from app.claims.models import ClaimBatch, ClaimCode
from app.claims.seeds import code_of, open_seed
from app.claims.service import BatchDraft
from app.rewards.lines import Choice
from core.db import Role, unit_of_work
from core.events import Event
from core.types import ClaimBatchId, MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_perk
from tests.factories.claims import make_batch, make_codes


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few codes a transaction."""
    monkeypatch.setattr(making, "CODES_A_PART", 100)
    monkeypatch.setattr(making, "_LINES_A_BLOCK", 30)


def fingerprints(session: Session, batch: ClaimBatch) -> list[bytes]:
    rows = select(ClaimCode.fingerprint).where(ClaimCode.batch_id == batch.id)
    return list(session.scalars(rows.order_by(ClaimCode.position)))


class TestMaking:
    def test_every_position_has_its_code(self, session: Session) -> None:
        batch = make_batch(session, codes=250, uses_per_code=3)
        assert batch.made_count == 250
        expected = [code_fingerprint(code_of(batch, it)) for it in range(1, 251)]
        assert fingerprints(session, batch) == expected
        assert set(session.scalars(select(ClaimCode.uses_left))) == {3}
        event = session.scalars(select(Event).where(Event.type == "cohort.claim.generated")).one()
        assert event.data["codes"] == 250

    def test_no_code_is_stored_as_it_is(self, session: Session) -> None:
        batch = make_batch(session)
        assert batch.seed is not None and open_seed(batch) not in batch.seed

    def test_what_is_topped_up_follows(self, session: Session) -> None:
        batch = make_batch(session, codes=3)
        before = fingerprints(session, batch)
        service.top_up(session, batch, 120, at=NOW)
        make_codes(session, batch)
        assert fingerprints(session, batch)[:3] == before
        assert len(set(fingerprints(session, batch))) == 123

    def test_a_sealed_batch_shows_and_makes_none(self, session: Session) -> None:
        batch = make_batch(session, codes=3)
        service.seal_batch(session, batch, at=NOW)
        assert (batch.seed, batch.sealed_at) == (None, NOW)
        with pytest.raises(BatchSealedError):
            code_of(batch, 1)
        with pytest.raises(BatchSealedError):
            service.top_up(session, batch, 1, at=NOW)

    def test_an_unfinished_batch_is_not_sealed(self, session: Session) -> None:
        batch = make_batch(session, codes=3)
        service.top_up(session, batch, 1, at=NOW)
        with pytest.raises(BatchUnfinishedError):
            service.seal_batch(session, batch, at=NOW)


class TestTogether:
    @pytest.fixture
    def place(self, committed: None) -> tuple[MerchantId, ClaimBatchId]:
        """A batch of which no code is made yet."""
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            choice = Choice(perk_id=make_perk(session).id)
            draft = BatchDraft(name="Flyers", choice=choice, code_count=950)
            return merchant, service.create(session, draft, at=NOW).id

    def test_many_makers_make_each_once(self, place: tuple[MerchantId, ClaimBatchId]) -> None:
        merchant, batch_id = place

        def work(_: int) -> None:
            while count(merchant) < 950:
                with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
                    making.run_part(session, batch_id, at=NOW)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert count(merchant) == 950

    def test_who_is_killed_leaves_nothing_half_done(
        self, place: tuple[MerchantId, ClaimBatchId]
    ) -> None:
        merchant, batch_id = place
        with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
            assert making.run_part(session, batch_id, at=NOW)
        with (
            pytest.raises(KeyboardInterrupt),
            unit_of_work(merchant=merchant, role=Role.ENGINE) as session,
        ):
            making.run_part(session, batch_id, at=NOW)
            raise KeyboardInterrupt
        assert count(merchant) == 100
        more = True
        while more:
            with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
                more = making.run_part(session, batch_id, at=NOW)
        assert count(merchant) == 950


def count(merchant: MerchantId) -> int:
    with unit_of_work(merchant=merchant) as session:
        return session.scalar(select(func.count()).select_from(ClaimCode)) or 0
