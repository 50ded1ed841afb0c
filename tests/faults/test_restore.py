"""A slice of the restore campaign; `make faults-restore` runs as many trials as one likes."""

import json
import subprocess
import sys

import pytest

from tests.e2e.site import ROOT

pytestmark = pytest.mark.faults


def test_restored_backups_lose_and_double_nobody_and_the_controls_do() -> None:
    """In a process of its own, because the campaign has a database and settings of its own."""
    command = [sys.executable, "-m", "tests.faults.restore", "--trials", "10", "--seed", "11"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, report
    assert (report["lost"], report["doubled"], report["hanging"]) == (0, 0, 0)
