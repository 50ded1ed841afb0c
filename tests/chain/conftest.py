"""A lane with committed rows, and a fake chain that looks at the database before every send."""

import pytest
from sqlalchemy import Engine, select

from chain.models import Attempt
from tests.chain.fakes import FakeChain
from tests.conftest import make_merchant
from tests.factories.chain import Desk, make_desk


@pytest.fixture
def desk(committed: None) -> Desk:
    """A merchant's lane on the test chain."""
    return make_desk(make_merchant().id)


@pytest.fixture
def fake(engine: Engine, owner: Engine) -> FakeChain:
    """A chain that takes only bytes another connection already sees in the database."""

    def check(raw: bytes) -> None:
        assert engine.pool.checkedout() == 0, "a transaction is open while the network is asked"
        with owner.connect() as connection:
            found = connection.scalar(select(Attempt.tx_hash).where(Attempt.raw == raw))
        assert found is not None, "bytes are sent that are not committed"

    return FakeChain(check)


@pytest.fixture
def crowded(owner: Engine) -> FakeChain:
    """The same for several senders at once, who may have transactions of their own open."""

    def check(raw: bytes) -> None:
        with owner.connect() as connection:
            found = connection.scalar(select(Attempt.tx_hash).where(Attempt.raw == raw))
        assert found is not None, "bytes are sent that are not committed"

    return FakeChain(check)
