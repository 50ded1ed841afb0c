"""A slice of the fault campaigns, as long as a test may be; `make faults` runs the rest."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.site import ROOT

pytestmark = pytest.mark.faults


def run(part: str) -> dict[str, Any]:
    """The report; in processes of its own, because a campaign forks and is killed."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--level", part, "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, report
    assert (report["lost"], report["doubled"], report["stale_writes"]) == (0, 0, 0)
    return report


def test_killed_workers_and_a_lying_model_lose_and_double_nobody() -> None:
    assert run("slice-model")["kills"] >= 20


def test_nor_do_they_on_a_real_evm() -> None:
    assert run("slice-evm")["kills"] >= 10


def test_a_worker_that_stood_still_undoes_nothing() -> None:
    assert run("slice-frozen")["freezes"] >= 2
