"""Signed and committed batches a second: what the pipeline itself costs, with nobody to wait for.

`N=2000 python -m bench.pipeline`. Frozen batches are claimed as the product claims them, as many
in one SQL transaction as a lane takes: nonces are taken, transactions signed, and the bytes stored
and committed with full durability. The floor in the
same run signs as many payloads with the same key and commits one row each.
"""

import json
import os
import time
from collections.abc import Sequence

import psycopg
from eth_account import Account
from eth_utils.address import to_checksum_address
from sqlalchemy import func, select, update

from app import engine
from app.bootstrap import prepare_installation
from bench import installation
from chain import pipeline
from chain.fees import Fees
from chain.models import Attempt, Transaction, TransactionKind, TransactionState
from chain.pipeline import Intent
from chain.settings import chain_settings
from core.db import unit_of_work
from core.types import BatchId, Gas, LaneId, MerchantId, Wei, utc_now
from minting import plans
from minting.models import Batch, BatchState, PlanKind
from minting.plans import FrozenBatch, Target

FEES = Fees(Wei(3_000_000_000), Wei(1_000_000_000))
CONTRACT = to_checksum_address("0x5fbdb2315678afecb367f032d93f642f64180aa3")


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 2_000)
    with installation.parts():
        chain_settings.cache_clear()
        merchant = prepare_installation(at=utc_now())
        lane_id, batches = _freeze(merchant, count)
        cpu = seconds = 0.0
        for start in range(0, count, chain_settings().in_flight):
            part = batches[start : start + chain_settings().in_flight]
            began = time.process_time(), time.monotonic()
            _enqueue(merchant, lane_id, part)
            cpu += time.process_time() - began[0]
            seconds += time.monotonic() - began[1]
            _mine(merchant)
        with unit_of_work(merchant=merchant) as session:
            stored = session.scalar(select(func.count()).select_from(Attempt))
        floor = _floor(count)
    if stored != count:
        raise RuntimeError(f"{stored} attempts are stored instead of {count}.")
    report = {
        "bench": "pipeline",
        "batches": count,
        "per_second": round(count / seconds),
        "per_cpu_second": round(count / cpu),
        "floor_per_second": round(count / floor),
        "ratio": round(floor / seconds, 2),
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>12}")
    print(json.dumps(report))


def _enqueue(merchant: MerchantId, lane_id: LaneId, batches: Sequence[BatchId]) -> None:
    """What is measured: batches are claimed, have nonces, and their signed bytes are committed."""
    with unit_of_work(merchant=merchant) as session:
        for batch_id in batches:
            batch = session.get_one(Batch, batch_id, with_for_update=True)
            intent = Intent(TransactionKind.BATCH, CONTRACT, batch.calldata, Gas(60_000), batch_id)
            pipeline.enqueue(session, lane_id, intent, fees=FEES, at=utc_now())
            batch.state = BatchState.ASSIGNED


def _mine(merchant: MerchantId) -> None:
    """What was signed is in a block, so that the relayer has room."""
    with unit_of_work(merchant=merchant) as session:
        values = {"state": TransactionState.MINED, "block_number": 1, "block_hash": bytes(32)}
        session.execute(update(Transaction).values(values))


def _freeze(merchant: MerchantId, count: int) -> tuple[LaneId, list[BatchId]]:
    with unit_of_work(merchant=merchant) as session:
        [place] = engine.workplaces()
        batches = [
            FrozenBatch(f"bench:{number}", b"bench" + number.to_bytes(4, "big"), recipient_count=1)
            for number in range(count)
        ]
        target = Target(place.chain.id, CONTRACT)
        plan = plans.freeze(session, PlanKind.DROP, target, batches, subject_id=None, at=utc_now())
        return engine.lane_of(session, place.chain).id, [batch.id for batch in plan.batches]


def _floor(count: int) -> float:
    account = Account.create()
    with psycopg.connect(installation.plain_url()) as connection:
        connection.execute("CREATE TABLE floor (hash bytea PRIMARY KEY, raw bytea)")
        connection.commit()
        started = time.monotonic()
        for nonce in range(count):
            signed = account.sign_transaction(
                {
                    **{"type": 2, "chainId": 31337, "nonce": nonce, "to": CONTRACT, "value": 0},
                    **{"data": b"bench" + nonce.to_bytes(4, "big"), "gas": 60_000},
                    **{"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9},
                }
            )
            row = (bytes(signed.hash), bytes(signed.raw_transaction))
            connection.execute("INSERT INTO floor VALUES (%s, %s)", row)
            connection.commit()
        return time.monotonic() - started


if __name__ == "__main__":
    main()
