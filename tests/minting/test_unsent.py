"""No bytes reach a node before they are committed."""

import pytest
from sqlalchemy import Engine, select

from chain.models import Attempt
from core.db import unit_of_work
from minting import sending
from minting.models import PlanKind
from tests.chain.fakes import FakeChain
from tests.conftest import NOW, make_merchant
from tests.factories.chain import CHAIN_ID, Desk, make_desk
from tests.factories.minting import PASS_ADDRESS, make_plan


@pytest.fixture
def desk(committed: None) -> Desk:
    """A merchant's lane on the test chain."""
    return make_desk(make_merchant().id)


def test_what_is_being_assigned_is_not_sent(desk: Desk, owner: Engine) -> None:
    def check(raw: bytes) -> None:
        with owner.connect() as connection:
            found = connection.scalar(select(Attempt.tx_hash).where(Attempt.raw == raw))
        assert found is not None, "bytes are sent that are not committed"

    with unit_of_work(merchant=desk.merchant) as session:
        make_plan(session, b"\x01", kind=PlanKind.PASSES, contract=PASS_ADDRESS)
    fake = FakeChain(check)
    assert sending.assign_ready(desk.merchant, fake, chain_id=CHAIN_ID, at=NOW) == 1
    assert fake.sent == []
