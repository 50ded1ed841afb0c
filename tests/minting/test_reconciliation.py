"""Database and chain are compared: what differs is found, and resolved when it is gone."""

from collections.abc import Iterator
from random import Random

import pytest
from sqlalchemy import Engine

from core import db
from tests.conftest import empty_tables, make_merchant
from tests.factories.reconciled import World, make_world
from tests.faults.drifts import DRIFTS


@pytest.fixture(scope="module")
def world(engine: Engine, owner: Engine) -> Iterator[World]:
    """A world that was compared once, and agrees; every test leaves it so."""
    with db.use_bind(engine):
        world = make_world(make_merchant().id)
        assert world.reconcile(is_full=True) == []
        yield world
    empty_tables(owner)


@pytest.mark.parametrize("name", DRIFTS)
def test_a_drift_is_found_and_resolved(world: World, name: str) -> None:
    drift = DRIFTS[name]
    restore = drift.apply(world, Random(name))
    found = world.reconcile(is_full=True)
    assert drift.rules <= {difference.rule for difference in found}
    sentences = [f"{difference.expected} | {difference.found}" for difference in found]
    assert any(drift.words in sentence for sentence in sentences), sentences
    restore()
    assert world.reconcile(is_full=True) == []
