"""The operator commands, as a person calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import update

from app.campaigns.service import publish
from app.postgres import EmbeddedPostgres
from chain.client import ChainClient
from chain.models import LaneState, NonceLane
from core.db import unit_of_work
from core.ids import new_id
from tests.conftest import NOW, make_merchant
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_preview,
)
from tests.factories.chain import make_desk, make_lane
from tests.factories.engine import make_installation
from wallets import data_keys
from wallets.inspection import check_wallets
from wallets.models import WalletKind
from wallets.service import create_wallets

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the command wrote, and its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def make(count: int) -> None:
    with unit_of_work(merchant=make_merchant().id) as session:
        owners = [new_id() for _ in range(count)]
        create_wallets(session, WalletKind.MEMBER, owners=owners, at=NOW)


def report_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class TestAirdrops:
    def test_nothing_on_its_way_is_said(self, committed: None, postgres: EmbeddedPostgres) -> None:
        done = call("airdrops")
        assert (done.returncode, done.stderr.strip()) == (0, "No airdrop is on its way.")

    def test_each_has_its_numbers(self, committed: None, postgres: EmbeddedPostgres) -> None:
        with unit_of_work(merchant=make_merchant().id) as session:
            make_pass_contract(session)
            make_members(session, "ada@example.com", "bob@example.com")
            campaign = make_campaign(session)
            give(session, campaign, make_asset(session).id)
            publish(session, campaign, make_preview(session, campaign), at=NOW)
        done = call("airdrops", "--once", COLUMNS="200")
        assert done.returncode == 0, done.stderr
        assert "Thanks, internally" in done.stderr and "0/2" in done.stderr
        assert "preparing · 0 gas" in done.stderr


class TestWallets:
    def test_the_embedded_database_is_found(
        self, committed: None, postgres: EmbeddedPostgres
    ) -> None:
        make(10)
        report = report_of(call("wallets", "check", "--share", "50"))
        assert (report["wallets"], report["checked"], report["sound"]) == (10, 5, 5)

    def test_keys_are_rotated(self, committed: None, postgres: EmbeddedPostgres) -> None:
        make(10)
        assert report_of(call("wallets", "rotate-kek", "--all"))["wrapped_anew"] == 1
        rotated = report_of(call("wallets", "rotate-data-keys"))
        assert (rotated["wallets"], rotated["destroyed"]) == (10, 1)
        data_keys.forget()
        assert check_wallets(share_percent=100).sound == 10

    def test_what_does_not_open_is_an_exit_code(
        self, committed: None, postgres: EmbeddedPostgres, tmp_path: Path
    ) -> None:
        make(3)
        done = call("wallets", "check", WALLETS_KEK=f"file:{tmp_path / 'other'}")
        assert done.returncode == 1
        assert "0 wallets and 1 data keys do not open" in done.stderr

    def test_a_key_that_is_down_is_a_sentence(
        self, committed: None, postgres: EmbeddedPostgres
    ) -> None:
        variables = {
            "WALLETS_KEK": "vault:transit/cohort",
            "WALLETS_VAULT_URL": "http://127.0.0.1:1",
            "WALLETS_VAULT_TOKEN": "token-canary",
        }
        done = call("wallets", "rotate-kek", **variables)
        assert done.returncode == 1
        assert "cannot be used now: ConnectError" in done.stderr
        assert "token-canary" not in done.stderr + done.stdout

    def test_without_a_database_it_says_what_to_start(self, tmp_path: Path) -> None:
        done = call("wallets", "check", COHORT_DATA_DIR=str(tmp_path))
        assert done.returncode == 1
        assert "Start `cohort up`" in done.stderr


class TestRecover:
    def test_every_lane_recovers_before_it_signs(
        self, committed: None, postgres: EmbeddedPostgres
    ) -> None:
        desk = make_desk(make_merchant().id)
        assert report_of(call("recover")) == {"lanes": 1}
        assert desk.lane().state is LaneState.RESTORED

    def test_without_a_database_it_says_what_to_start(self, tmp_path: Path) -> None:
        done = call("recover", COHORT_DATA_DIR=str(tmp_path))
        assert done.returncode == 1
        assert "Start `cohort up`" in done.stderr


class TestReconcile:
    def test_says_what_agrees_and_what_does_not(
        self, committed: None, postgres: EmbeddedPostgres, node: ChainClient
    ) -> None:
        merchant = make_installation(node).merchant
        done = call("reconcile", "--full")
        assert done.returncode == 0, done.stderr
        assert "No differences." in done.stdout
        with unit_of_work(merchant=merchant) as session:
            session.execute(update(NonceLane).values(base_nonce=-1))
        done = call("reconcile", "--full")
        assert done.returncode == 1
        assert "nonces, nonce -1" in done.stdout and "it is used and final" in done.stdout

    def test_a_chain_that_does_not_answer_is_a_sentence(
        self, committed: None, postgres: EmbeddedPostgres
    ) -> None:
        with unit_of_work(merchant=make_merchant().id) as session:
            make_lane(session)
        done = call("reconcile")
        assert done.returncode == 1
        assert "does not answer" in done.stderr
