"""A slice of the fault campaigns, as long as a test may be; `make faults` runs the rest."""

import json
import subprocess
import sys

import pytest

from tests.e2e.site import ROOT

pytestmark = pytest.mark.faults


def test_killed_workers_and_a_lying_chain_lose_and_double_nobody() -> None:
    """In processes of its own, because the campaign forks and is killed."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--level", "slice", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, report
    assert (report["lost"], report["doubled"]) == (0, 0)
    assert report["kills"] >= 20
