"""The operator commands of custody, as a person calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.postgres import EmbeddedPostgres
from chain.models import LaneState
from core.db import unit_of_work
from core.ids import new_id
from tests.conftest import NOW, make_merchant
from tests.factories.chain import make_desk
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
