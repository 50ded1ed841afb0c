"""A slice of the drifts between database and chain; `make faults-reconcile` runs the rest."""

import json
import subprocess
import sys

import pytest

from tests.e2e.site import ROOT

pytestmark = pytest.mark.faults


def test_drifts_are_found_and_nothing_else_is() -> None:
    """In a process of its own, on a database of its own."""
    command = [sys.executable, "-m", "tests.faults.reconcile", "--trials", "10", "--seed", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["found"], report["missed"], report["false_alarms"]) == (10, 0, 0), report
    assert report["clean_runs"] > 10
