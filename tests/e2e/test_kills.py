"""Whatever is killed in the middle of the job, nobody gets nothing and nobody gets two."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import OperationalError

import app.models  # noqa: F401
from app.accounts.service import first_merchant
from app.campaigns.models import AirdropRun, RunState
from app.postgres import EmbeddedPostgres
from app.rewards.models import Grant, GrantState
from app.users.models import User
from core import db
from core.db import unit_of_work
from minting.models import DigitalAsset, MembershipPass, PassContract, PassState, Token, TokenState
from tests.e2e.site import ROOT, Site, launch, running_site, stop, wait_for_site

pytestmark = pytest.mark.faults

MEMBERS = 100
KILLS = 20
VICTIMS = {
    "worker": "app.worker worker",
    "beat": "app.worker beat",
    "chain": "anvil",
    "signer": "wallets.signer",
    "web": "uvicorn",
    "postgres": "bin/postgres -D",
}
_TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_PATIENCE_SECONDS = 180


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """The example brand with a hundred members."""
    source = ROOT / "examples"
    brand = json.loads((source / "brand.json").read_text(encoding="utf-8"))
    image = brand["asset"]["image"]
    (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / image, tmp_path / image)
    (tmp_path / "brand.json").write_text(json.dumps(brand), encoding="utf-8")
    rows = (f"member{n}@example.com,Member,N{n},en,K{n},FR" for n in range(MEMBERS))
    header = "email,first_name,last_name,lang,reference_id,country"
    (tmp_path / "members.csv").write_text("\n".join((header, *rows)), encoding="utf-8")
    return tmp_path


@pytest.fixture
def site(examples: Path) -> Iterator[Site]:
    """An installation that has just been started on the example, and is not waited for."""
    with running_site(examples=examples, wait=False) as started:
        yield started


def children(pid: int) -> dict[int, str]:
    """Process id -> command line of the direct children of a process."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found[int(status.parent.name)] = command
    return found


def kill(site: Site, victim: str) -> bool:
    """Kill the part with SIGKILL, if it runs."""
    for pid, command in children(site.process.pid).items():
        if VICTIMS[victim] in command:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def kill_supervisor(site: Site) -> None:
    """Kill the supervisor with SIGKILL and start it again at once, over what it left behind."""
    site.process.kill()
    site.process.wait()
    site.process = launch(site.folder, site.environment, examples=site.examples)


def wait_for_part(site: Site, victim: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not any(VICTIMS[victim] in command for command in children(site.process.pid).values()):
        assert site.process.poll() is None, site.log.read_text(errors="replace")[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)  # polls another process, asserts no timing


def run_completed(engine: Engine) -> bool:
    try:
        with db.use_bind(engine), unit_of_work(role=db.Role.ENGINE) as session:
            return session.scalar(select(AirdropRun.state)) is RunState.COMPLETED
    except Exception:  # the database may be starting or its schema may not be there yet
        return False


def transfers(url: str, contract: str) -> list[dict[str, Any]]:
    """Every Transfer the contract ever logged, asked from the node directly."""
    query = {"address": contract, "fromBlock": "0x0", "toBlock": "latest", "topics": [_TRANSFER]}
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [query]}
    answer: list[dict[str, Any]] = httpx.post(url, json=body, timeout=30).json()["result"]
    return answer


class TestKills:
    def test_twenty_kills_in_the_middle_lose_and_double_nothing(self, site: Site) -> None:
        dice = random.Random(20_261_123)
        counts: Counter[str] = Counter()
        wait_for_part(site, "worker")
        for number in range(KILLS):
            if number == KILLS // 2:
                kill_supervisor(site)
                wait_for_part(site, "worker")
            victim = dice.choice(list(VICTIMS))
            wait_for_part(site, victim)
            time.sleep(dice.uniform(0.1, 1.5))  # the random moment
            counts[victim] += kill(site, victim)
        assert sum(counts.values()) == KILLS

        engine = create_engine(EmbeddedPostgres(site.folder / "data" / "postgres").login_url)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not run_completed(engine):
            assert time.monotonic() < deadline, site.log.read_text(errors="replace")[-3000:]
            time.sleep(0.2)  # polls another process, asserts no timing
        compare(engine, f"http://127.0.0.1:{site.environment['CHAIN_LOCAL_PORT']}")
        engine.dispose()
        wait_for_site(site)
        stop(site)
        assert site.process.returncode == 0


def compare(engine: Engine, url: str) -> None:
    """The tables and the chain tell the same story, and it is the right one."""
    with db.use_bind(engine):
        with unit_of_work() as session:
            merchant = first_merchant(session).id
        with unit_of_work(merchant=merchant) as session:
            assert session.scalar(select(func.count()).select_from(User)) == MEMBERS
            registry = session.scalars(select(PassContract)).one()
            asset = session.scalars(select(DigitalAsset)).one()
            passes = {
                row.token_id: row.address
                for row in session.scalars(
                    select(MembershipPass).where(MembershipPass.state == PassState.ACTIVE)
                )
            }
            tokens = {
                row.token_id: passes[row.pass_number]
                for row in session.scalars(select(Token).where(Token.state == TokenState.OWNED))
            }
            delivered = select(func.count()).where(Grant.state == GrantState.DELIVERED)
            assert session.scalar(delivered) == MEMBERS
    assert len(passes) == len(tokens) == MEMBERS
    assert minted(url, str(registry.address)) == {k: v.lower() for k, v in passes.items()}
    assert minted(url, str(asset.address)) == {k: v.lower() for k, v in tokens.items()}


def minted(url: str, contract: str) -> dict[int | None, str]:
    """Token id -> first owner by the chain's own log; a token minted twice fails."""
    logs = transfers(url, contract)
    found = {int(log["topics"][3], 16): "0x" + log["topics"][2][-40:] for log in logs}
    assert len(found) == len(logs)
    return dict(found)


def test_an_unreachable_database_is_no_completed_run() -> None:
    nowhere = create_engine("postgresql+psycopg://nobody@/nothing?host=/nonexistent")
    with pytest.raises(OperationalError), nowhere.connect():
        pass
    assert not run_completed(nowhere)
