"""How long an airdrop takes from publish to settled rows, against a bare script that does the same.

`N=100000 python -m bench.airdrop`. The product publishes a campaign for N members and runs its
engine until the run is completed. The floor writes the same rows and events with set-based SQL and
signs and sends the same calldata for a second asset: no states on the way, no checks, nothing that
survives a crash. Lost and doubled are counted from the chain's logs by code that shares nothing
with the pipeline. Each side is a process of its own, so that its memory can be told.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from eth_account import Account
from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from sqlalchemy import func, select

from app.campaigns import previews
from app.campaigns import service as campaigns
from app.campaigns.models import AirdropRun, AudienceKind, RunState
from app.rewards.lines import Choice
from bench import installation
from bench.node import GAS_CAP, Node
from chain.bindings import roles
from chain.models import Transaction
from core.db import unit_of_work
from core.ids import new_id
from core.types import MerchantId, utc_now
from minting.models import Batch, DigitalAsset, Plan, PlanKind

TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
KEY = keccak(text="the floor signs with a key of its own")


def product(merchant_id: str) -> dict[str, Any]:
    """Publishes an airdrop of the first asset to everybody and goes on until it is settled."""
    merchant = MerchantId(UUID(merchant_id))
    with unit_of_work(merchant=merchant) as session:
        asset = session.scalars(select(DigitalAsset).order_by(DigitalAsset.id)).first()
        assert asset is not None
        campaign = campaigns.create_airdrop(session, "Everybody", at=utc_now())
        campaigns.describe(session, campaign, title="Everybody", description="")
        campaigns.choose_audience(session, campaign, AudienceKind.ALL)
        campaigns.choose_rewards(session, campaign, [Choice(asset.id)])
        campaigns.choose_delivery(session, campaign, campaigns.Delivery(late_joiners=False))
        preview = previews.make(session, campaign, at=utc_now())
        campaign_id, preview_id, address = campaign.id, preview.id, asset.address
    started = time.monotonic()
    with unit_of_work(merchant=merchant) as session:
        campaign = campaigns.get(session, campaign_id)
        found = previews.find(session, campaign, preview_id)
        assert found is not None
        campaigns.publish(session, campaign, found, at=utc_now())
    published = time.monotonic()
    installation.step_until(merchant, _is_completed)
    seconds = time.monotonic() - started
    with unit_of_work(merchant=merchant) as session:
        gas = session.scalar(
            select(func.sum(Transaction.gas_used))
            .join(Batch, Batch.id == Transaction.batch_id)
            .join(Plan)
            .where(Plan.kind == PlanKind.DROP)
        )
    return {
        "seconds": seconds,
        "publish_seconds": published - started,
        "gas": int(gas or 0),
        "address": address,
        "peak_mb": _peak_mb(),
    }


def _is_completed(session: Any) -> bool:
    return session.scalars(select(AirdropRun)).one().state is RunState.COMPLETED


def _peak_mb() -> float:
    """Of this process, and of the database's that lives as long."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return max([own, *map(_peak_of, Path("/proc").glob("[0-9]*/status"))])


def _peak_of(status: Path) -> float:
    try:
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    except OSError:
        return 0.0
    if lines["Name"].strip() != "postgres" or "VmHWM" not in lines:
        return 0.0
    return int(lines["VmHWM"].split()[0]) / 1024


def floor(merchant_id: str) -> dict[str, Any]:
    """The same rows, events and calldata for the second asset, as bare as can be."""
    merchant = MerchantId(UUID(merchant_id))
    chain = Node(os.environ["CHAIN_RPC_URLS"])
    account = Account.from_key(KEY)
    with psycopg.connect(installation.plain_url()) as connection:
        [(asset, address)] = connection.execute(
            "SELECT id, '0x' || encode(address, 'hex') FROM digital_assets ORDER BY id OFFSET 1"
        ).fetchall()
        calls = connection.execute(
            "SELECT calldata FROM batches JOIN plans ON plans.id = plan_id WHERE kind = 'drop'"
            " ORDER BY batches.index"
        ).fetchall()
        contract = to_checksum_address(address)
        _let_mint(chain, contract, account.address)
        started = time.monotonic()
        _write_floor(connection, merchant, asset, address)
        connection.commit()
        for nonce, (calldata,) in enumerate(calls):
            signed = account.sign_transaction(
                {
                    **{"type": 2, "chainId": 31337, "nonce": nonce, "to": contract, "value": 0},
                    **{"data": bytes(calldata), "gas": GAS_CAP},
                    **{"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9},
                }
            )
            chain.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
    return {"seconds": time.monotonic() - started}


def _let_mint(chain: Node, contract: ChecksumAddress, account: ChecksumAddress) -> None:
    owner = to_checksum_address("0x" + installation.owner_of(chain, contract))
    chain.call("anvil_impersonateAccount", owner)
    chain.send(roles.encode_set_minter(account, allowed=True), contract, sender=owner)


def _write_floor(
    connection: psycopg.Connection[Any], merchant: MerchantId, asset: UUID, address: str
) -> None:
    [(campaign,)] = connection.execute("SELECT id FROM campaigns").fetchall()
    line, source = new_id(), new_id()
    connection.execute(
        "INSERT INTO reward_lines (id, merchant_id, campaign_id, position, asset_id, per_recipient,"
        " is_reserved, granted_count, delivered_count, skipped_count)"
        " VALUES (%s, %s, %s, 1, %s, 1, false, 0, 0, 0)",
        (line, merchant, campaign, asset),
    )
    connection.execute(
        "INSERT INTO grants (id, merchant_id, source_type, source_id, reward_line_id,"
        " recipient_key, ordinal, user_id, state, created_at, delivered_at)"
        " SELECT gen_random_uuid(), %s, 'airdrop', %s, %s, id::text, 0, id, 'delivered', now(),"
        " now() FROM users WHERE state = 'active'",
        (merchant, source, line),
    )
    connection.execute(
        "INSERT INTO tokens (id, merchant_id, asset_id, grant_id, user_id, drop_id, round,"
        " pass_number, state, batch_id, created_at, owned_at)"
        " SELECT gen_random_uuid(), %s, %s, grants.id, grants.user_id, reward_line_id, 0,"
        " (batch_number << 16 | index)::bigint, 'owned', (SELECT id FROM batches LIMIT 1), now(),"
        " now() FROM grants JOIN passes USING (user_id) WHERE source_id = %s",
        (merchant, asset, source),
    )
    connection.execute(
        "INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)"
        " SELECT gen_random_uuid(), %s, now(), 'cohort.digital-asset.received', user_id, 'system',"
        " jsonb_build_object('tokenId', pass_number::text, 'contract', %s::text, 'chainId', 31337)"
        " FROM tokens WHERE asset_id = %s",
        (merchant, address, asset),
    )


def count_on_chain(chain: Node, address: str) -> tuple[int, int]:
    """How many members have no token of the contract, and how many tokens are too many."""
    with psycopg.connect(installation.plain_url()) as connection:
        wanted = {bytes(row[0]) for row in connection.execute("SELECT address FROM passes")}
    found: dict[bytes, int] = {}
    tokens: set[str] = set()
    repeated = 0
    for number in range(int(chain.call("eth_blockNumber"), 16) + 1):
        block = {"fromBlock": hex(number), "toBlock": hex(number)}
        logs = chain.call("eth_getLogs", {"address": address, "topics": [TRANSFER], **block})
        for log in logs:
            token = log["topics"][3]
            repeated += token in tokens
            tokens.add(token)
            receiver = bytes.fromhex(log["topics"][2][-40:])
            found[receiver] = found.get(receiver, 0) + 1
    lost = sum(member not in found for member in wanted)
    return lost, repeated + sum(count - 1 for count in found.values())


def set_up(count: str) -> dict[str, Any]:
    """Makes the installation."""
    return {"merchant": str(installation.set_up(members=int(count), editions=2))}


def _stage(name: str, argument: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.airdrop", name, argument]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 100_000)
    with installation.parts() as parts:
        chain = parts.chain
        print(f"setting up {count:,} members with passes ...", flush=True)
        merchant = _stage("set_up", str(count))["merchant"]
        chain.call("anvil_setBalance", Account.from_key(KEY).address, hex(10**24))
        ours = _stage("product", merchant)
        bare = _stage("floor", merchant)
        lost, doubled = count_on_chain(chain, ours["address"])
    seconds, least = ours["seconds"], bare["seconds"]
    report = {
        "bench": "airdrop",
        "recipients": count,
        "seconds": round(seconds, 1),
        "per_second": round(count / seconds),
        "floor_seconds": round(least, 1),
        "ratio": round(seconds / least, 2),
        "peak_mb": round(ours["peak_mb"]),
        "lost": lost,
        "doubled": doubled,
        "gas_per_recipient": round(ours["gas"] / count),
        "publish_seconds": round(ours["publish_seconds"], 1),
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>16}")
    print(json.dumps(report))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        stage = {"set_up": set_up, "product": product, "floor": floor}[sys.argv[1]]
        print(json.dumps(stage(sys.argv[2])))
    else:
        main()
