"""A frozen plan keeps its bytes and its order, and nothing is planned twice."""

from hashlib import sha256

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from core.db import unit_of_work
from minting import plans
from minting.models import BatchState, PlanKind, PlanState
from minting.plans import FrozenBatch, Target
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, make_chain
from tests.factories.wallets import CONTRACT

TARGET = Target(CHAIN_ID, CONTRACT)


def freeze(session: Session, *batches: FrozenBatch) -> plans.Plan:
    return plans.freeze(session, PlanKind.DROP, TARGET, batches, subject_id=None, at=NOW)


class TestFreeze:
    def test_batches_keep_order_bytes_and_ranges(self, session: Session) -> None:
        make_chain(session)
        plan = freeze(
            session,
            FrozenBatch("a", b"one", 3),
            FrozenBatch("b", b"two"),
            FrozenBatch("c", b"3", 2),
        )
        session.expire_all()
        found = [(b.index, b.calldata, b.first_ordinal, b.last_ordinal) for b in plan.batches]
        assert found == [(0, b"one", 0, 2), (1, b"two", 3, 2), (2, b"3", 4, 5)]
        assert [batch.recipient_count for batch in plan.batches] == [3, 0, 2]

    def test_the_content_hash_is_of_the_bytes(self, session: Session) -> None:
        make_chain(session)
        [batch] = freeze(session, FrozenBatch("a", b"one", 1)).batches
        assert batch.content_hash == sha256(b"one").digest()

    def test_the_plan_hash_names_bytes_and_order(self, session: Session) -> None:
        make_chain(session)
        one = freeze(session, FrozenBatch("a", b"1", 1), FrozenBatch("b", b"2", 1))
        same = freeze(session, FrozenBatch("c", b"1", 1), FrozenBatch("d", b"2", 1))
        turned = freeze(session, FrozenBatch("e", b"2", 1), FrozenBatch("f", b"1", 1))
        assert one.plan_hash == same.plan_hash != turned.plan_hash

    def test_it_is_ready_to_be_sent(self, session: Session) -> None:
        make_chain(session)
        plan = freeze(session, FrozenBatch("a", b"one", 1))
        assert plan.state is PlanState.RUNNING
        assert plan.batches[0].state is BatchState.PLANNED

    def test_the_same_chain_key_is_refused(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_chain(session)
            freeze(session, FrozenBatch("drop:1", b"one", 1))
        with (
            pytest.raises(IntegrityError, match="uq_batches_chain_key"),
            unit_of_work(merchant=merchant.id) as session,
        ):
            freeze(session, FrozenBatch("drop:1", b"another", 1))

    def test_other_chain_keys_are_other_work(self, session: Session) -> None:
        make_chain(session)
        freeze(session, FrozenBatch("drop:1", b"one", 1))
        assert freeze(session, FrozenBatch("drop:2", b"one", 1)).batches
