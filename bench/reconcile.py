"""How long database and chain take to compare after an airdrop, and how much memory that needs.

`N=10000 python -m bench.reconcile`. The members' passes were issued by a second minter that no row
of the product knows, so the pass contract shows what a stranger's mints look like: as many findings
as calls. The edition was dropped by the product and has to be clean. The floor reads the same
events from the node and decodes nothing.
"""

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any
from uuid import UUID

from app import engine
from bench import airdrop, installation
from bench.airdrop import TRANSFER
from bench.node import Node
from chain import discrepancies
from core.db import unit_of_work
from core.types import MerchantId
from minting.passes import find_contract


def compare(merchant_id: str) -> dict[str, Any]:
    """Two full passes and a short one, after an airdrop."""
    merchant = MerchantId(UUID(merchant_id))
    drop = airdrop.product(merchant_id)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [place] = engine.workplaces()
    report: dict[str, Any] = {}
    for name, is_full in (("first_seconds", True), ("full_seconds", True), ("idle_seconds", False)):
        started = time.monotonic()
        if engine.reconcile(place, is_full=is_full) is None:
            raise RuntimeError("Another pass is running.")
        report[name] = time.monotonic() - started
    with unit_of_work(merchant=merchant) as session:
        registry = find_contract(session)
        found = discrepancies.list_open(session)
    assert registry is not None
    strange = [row for row in found if row.about == registry.address]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return report | {
        "strange": len(strange),
        "differences": len(found) - len(strange),
        "grown_mb": (peak - before) / 1024,
        "floor_seconds": _floor(str(drop["address"])),
    }


def _floor(address: str) -> float:
    chain = Node(os.environ["CHAIN_RPC_URLS"])
    started = time.monotonic()
    for number in range(int(chain.call("eth_blockNumber"), 16) + 1):
        block = {"fromBlock": hex(number), "toBlock": hex(number)}
        chain.call("eth_getLogs", {"address": address, "topics": [TRANSFER], **block})
    return time.monotonic() - started


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 10_000)
    with installation.parts():
        merchant = _stage("set_up", str(count))["merchant"]
        found = _stage("compare", merchant)
    report = {
        "bench": "reconcile",
        "recipients": count,
        **{name: round(found[name], 2) for name in found if name.endswith("_seconds")},
        "grown_mb": round(found["grown_mb"]),
        "strange_calls": found["strange"],
        "differences": found["differences"],
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>16}")
    print(json.dumps(report))


def _stage(name: str, argument: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.reconcile", name, argument]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    if len(sys.argv) > 1:
        stage = {"set_up": airdrop.set_up, "compare": compare}[sys.argv[1]]
        print(json.dumps(stage(sys.argv[2])))
    else:
        main()
