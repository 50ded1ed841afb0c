"""A lane whose database was restored: what the network has of it, and steps that recover it."""

from typing import Any

import pytest
from sqlalchemy import func, select

from chain import lanes, pipeline, recovery
from chain.models import LaneState, Recovery, Sighting
from core.db import unit_of_work
from core.types import Wei
from minting import settlement
from minting.recovery import recognise_found
from tests.chain.fakes import FakeChain
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, Desk
from tests.factories.wallets import forge, make_payload


def signed(desk: Desk, nonce: int, **changes: Any) -> bytes:
    """Bytes that the lane's relayer signed and that no row knows of; changed fields by name."""
    with unit_of_work(merchant=desk.merchant) as session:
        payload = make_payload(nonce=nonce, **changes)
        return forge(session, desk.lane().address, payload).raw


def no_op(desk: Desk, nonce: int, price: int = 5_000_000_000) -> bytes:
    """A forgotten cancel."""
    fees = {"max_fee_per_gas": Wei(price), "max_priority_fee_per_gas": Wei(price // 2)}
    return signed(desk, nonce, to=desk.lane().address, data=b"", **fees)


def restore(desk: Desk) -> None:
    """What `cohort recover` does."""
    with unit_of_work(merchant=desk.merchant) as session:
        lanes.restore(session, desk.lane_id)


def watch(desk: Desk, fake: FakeChain) -> int:
    """One pass of the pipeline."""
    line = fake.finalized_number
    return pipeline.watch(desk.merchant, fake, chain_id=CHAIN_ID, line=line, at=NOW)


def advance(desk: Desk, fake: FakeChain) -> bool:
    """One step of the recovery alone."""
    line = fake.finalized_number
    return recovery.advance(desk.merchant, fake, chain_id=CHAIN_ID, line=line, at=NOW)


def step(desk: Desk, fake: FakeChain) -> bool:
    """What the engine does for a lane that may have to recover; whether it still has to."""
    watch(desk, fake)
    is_recovering = advance(desk, fake)
    if is_recovering:
        recognise_found(desk.merchant, chain_id=CHAIN_ID, at=NOW)
    with unit_of_work(merchant=desk.merchant) as session:
        settlement.settle(session, at=NOW)
    fake.mine()
    return is_recovering


def recover(desk: Desk, fake: FakeChain) -> None:
    """Steps until the lane has recovered."""
    for _ in range(40):
        if not step(desk, fake):
            return
    pytest.fail("it does not recover")


def is_tidy(desk: Desk) -> bool:
    """Whether a recovery left nothing of its own behind, and every nonce has its row."""
    nonces = [row.nonce for row in desk.transactions()]
    with unit_of_work(merchant=desk.merchant) as session:
        left = [
            session.scalar(select(func.count()).select_from(table))
            for table in (Recovery, Sighting)
        ]
    is_over = desk.lane().state is not LaneState.RESTORED
    return is_over and left == [0, 0] and nonces == list(range(desk.lane().next_nonce))
