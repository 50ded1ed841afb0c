"""A slice of the crashes at named points; `make faults-crashes` comes by all of them."""

import json
import subprocess
import sys

import pytest

from tests.e2e.site import ROOT
from tests.faults.points import POINTS, find

pytestmark = pytest.mark.faults
OFTEN = ("nonce", "claimed", "send", "request of a send", "first_sent_at", "mined", "final")


def test_crashes_around_a_send_lose_and_double_nobody() -> None:
    """In processes of its own, because they are killed."""
    command = [sys.executable, "-m", "tests.faults.crashes", "--times", "1", "--seed", "7"]
    done = subprocess.run(
        [*command, "--only", *OFTEN], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, report
    assert (report["lost"], report["doubled"], report["held"]) == (0, 0, 0)
    assert min(report["reached"].values()) >= 1


def test_every_point_has_a_name_of_its_own_and_a_function() -> None:
    assert len({point.name for point in POINTS}) == len(POINTS)
    for point in POINTS:
        find(point.call)


def test_a_function_that_is_gone_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"chain\.pipeline\.forgotten"):
        find("chain.pipeline.forgotten")
