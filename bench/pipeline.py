"""Signed and committed batches a second: what the pipeline itself costs, with nobody to wait for.

`N=2000 python -m bench.pipeline`. Frozen batches of sixteen plans are claimed by the product's own
call, with a node that answers at once: limits are looked at, nonces taken, the signer's process
asks policy and ledger and signs, and the bytes are stored and committed with full durability. CPU
seconds are this process's and the signer's. The floor in the same run signs as many payloads with
one key in memory and commits one row each.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import psycopg
from eth_account import Account
from eth_utils.address import to_checksum_address
from sqlalchemy import func, select, update

from app import engine
from app.bootstrap import prepare_installation
from bench import installation
from chain.client import ChainClient
from chain.models import Attempt, Transaction, TransactionState
from chain.nodes import Block
from chain.settings import chain_settings
from core.db import unit_of_work
from core.types import Gas, MerchantId, Wei, utc_now
from minting import plans, sending
from minting.models import PlanKind
from minting.plans import FrozenBatch, Target

CONTRACT = to_checksum_address("0x5fbdb2315678afecb367f032d93f642f64180aa3")

HEAD = Block(1, bytes(32), bytes(32), 0, Wei(1_000_000_000), Gas(60_000_000))


class Chain(ChainClient):
    """A node that answers at once and agrees to everything."""

    def __init__(self) -> None:
        super().__init__("bench", ["http://127.0.0.1:1"])

    def head(self) -> Block:
        return HEAD

    def transaction_count(self, *_: Any, **__: Any) -> int:
        return 0

    def simulate(self, *_: Any, **__: Any) -> None:
        """Whatever is called would work."""

    def estimate_gas(self, *_: Any, **__: Any) -> Gas:
        return Gas(1_000_000)  # of the installation's own deployment

    def balance(self, *_: Any, **__: Any) -> Wei:
        return Wei(10**30)


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 2_000)
    with installation.parts() as parts:
        chain_settings.cache_clear()
        merchant = prepare_installation(at=utc_now())
        [place] = engine.workplaces()
        chain = Chain()
        _freeze(merchant, place.chain.id, count)
        cpu = seconds = 0.0
        signed = 0
        while signed < count:
            began = _cpu_seconds(parts.signer), time.monotonic()
            done = sending.assign_ready(merchant, chain, chain_id=place.chain.id, at=utc_now())
            cpu += _cpu_seconds(parts.signer) - began[0]
            seconds += time.monotonic() - began[1]
            if not done:
                raise RuntimeError(f"Only {signed} of {count} batches were signed.")
            signed += done
            _mine(merchant)
        with unit_of_work(merchant=merchant) as session:
            stored = session.scalar(select(func.count()).select_from(Attempt))
        floor = _floor(count)
    if stored != signed:
        raise RuntimeError(f"{stored} attempts are stored instead of {signed}.")
    report = {
        "bench": "pipeline",
        "batches": signed,
        "per_second": round(signed / seconds),
        "per_cpu_second": round(signed / cpu),
        "floor_per_second": round(count / floor),
        "ratio": round(floor / seconds, 2),
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>12}")
    print(json.dumps(report))


def _cpu_seconds(signer: int) -> float:
    """What this process and the signer have used."""
    fields = Path(f"/proc/{signer}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _mine(merchant: MerchantId) -> None:
    """What was signed is in a block, so that the relayer has room."""
    with unit_of_work(merchant=merchant) as session:
        values = {"state": TransactionState.MINED, "block_number": 1, "block_hash": bytes(32)}
        found = update(Transaction).where(Transaction.state == TransactionState.SIGNED)
        session.execute(found.values(values))


def _freeze(merchant: MerchantId, chain_id: int, count: int) -> None:
    """As many plans as a lane takes transactions, so that it is always full."""
    plans_count = chain_settings().in_flight
    with unit_of_work(merchant=merchant) as session:
        for number in range(plans_count):
            batches = [
                FrozenBatch(
                    f"bench:{number}:{index}",
                    b"bench" + number.to_bytes(4) + index.to_bytes(4),
                    recipient_count=1,
                    gas=Gas(60_000),
                )
                for index in range(number, count, plans_count)
            ]
            contract = to_checksum_address((number + 1).to_bytes(20))
            target = Target(chain_id, contract)
            plans.freeze(session, PlanKind.DROP, target, batches, subject_id=None, at=utc_now())


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
