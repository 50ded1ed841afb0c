"""Whether anybody notices a wrong pipeline: each mutant is tried in a copy of the tree.

`make fault-mutants`, or `python -m tests.faults.judge --only NAME`. The tests that a mutant names
run first, then fault campaigns with other seeds; one of them has to fail. The copy without a patch
passes before anything else.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest import ExitCode

from tests.faults.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("chain", "minting", "wallets", "core", "app", "tests", "pyproject.toml")
LINKED = ("node_modules", "examples", "contracts", "README.md", "docs")
WHOLE_PIPELINE = (
    "tests/chain",
    "tests/minting/test_sending.py",
    "tests/minting/test_settlement.py",
)
SEEDS = (1, 2)
CAMPAIGN = "slice-model"
NAIVE_CAMPAIGN = "naive-model"
NAIVE_ON_EVM = "naive-evm"


@dataclass(frozen=True)
class Verdicts:
    """How many mutants there were, and what became of them.

    Args:
        naive_doubled: recipients that the naive pipeline served twice on the real EVM.
    """

    count: int = 0
    caught: int = 0
    naive_doubled: int = 0
    survived: tuple[str, ...] = ()


@contextmanager
def copied(mutant: Mutant | None) -> Iterator[Path]:
    """A copy of the tree with the patch.

    Raises:
        ValueError: its place is not there exactly once.
    """
    with tempfile.TemporaryDirectory(prefix="cohort-mutants-") as name:
        folder = Path(name)
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis", ".pytest_cache")
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=ignored)
            else:
                shutil.copyfile(source, folder / part)
        for part in LINKED:
            (folder / part).symlink_to(ROOT / part)
        if mutant is not None:
            path = folder / mutant.file
            text = path.read_text(encoding="utf-8")
            if (count := text.count(mutant.before)) != 1:
                raise ValueError(f"“{mutant.name}”: its place is there {count} times.")
            path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
        yield folder


def failing_test(folder: Path, tests: Sequence[str]) -> str | None:
    """The first of the tests that fails, or None.

    Raises:
        ValueError: there was nothing to run, which proves nothing.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    if done.returncode in (ExitCode.USAGE_ERROR, ExitCode.NO_TESTS_COLLECTED):
        raise ValueError(f"Nothing was run of {', '.join(tests)}.")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR "))]
    return failed[0].split("::", 1)[-1][:70] if failed else f"pytest ended with {done.returncode}"


def campaign(folder: Path, seed: int, name: str = CAMPAIGN) -> dict[str, Any]:
    """The report of one part of a campaign; hardly anything when it broke."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--level", name]
    done = subprocess.run(
        [*command, "--seed", str(seed)], cwd=folder, capture_output=True, text=True, check=False
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"is_clean": False}
    return report | {"is_clean": done.returncode == 0}


def judge(mutant: Mutant) -> tuple[bool, str]:
    """Whether somebody noticed, and who."""
    with copied(mutant) as folder:
        tests = mutant.tests or WHOLE_PIPELINE
        if not mutant.is_naive and (failed := failing_test(folder, tests)):
            return True, failed
        for seed in SEEDS:
            report = campaign(folder, seed, NAIVE_CAMPAIGN if mutant.is_naive else CAMPAIGN)
            if not report["is_clean"]:
                return True, f"campaign {seed}: {_counted(report)}"
    return False, ""


def _counted(report: dict[str, Any]) -> str:
    names = ("lost", "doubled", "held", "untold", "stale_writes")
    finished = all(part.get("finished") for part in report.get("parts", ()))
    return " ".join(f"{name}={report.get(name)}" for name in names) + f" finished={finished}"


def judge_all(chosen: Sequence[Mutant] = MUTANTS) -> Verdicts:
    """What became of each mutant, told line by line on the way."""
    survived = []
    for mutant in chosen:
        started = time.monotonic()
        is_caught, by = judge(mutant)
        verdict = "caught" if is_caught else "SURVIVED"
        seconds = time.monotonic() - started
        _say(f"{mutant.number:>2}  {mutant.name:<58}{seconds:5.0f} s  {verdict}  {by}")
        if not is_caught:
            survived.append(mutant.name)
    return Verdicts(len(chosen), len(chosen) - len(survived), naive_on_evm(chosen), tuple(survived))


def naive_on_evm(chosen: Sequence[Mutant] = MUTANTS) -> int:
    """How many recipients naive pipelines serve twice on the real EVM: the most of any."""
    doubled = [0]
    for mutant in chosen:
        if mutant.is_naive:
            with copied(mutant) as folder:
                report = campaign(folder, SEEDS[0], NAIVE_ON_EVM)
            _say(f"{mutant.number:>2}  {mutant.name}, on the EVM: {_counted(report)}")
            doubled.append(report.get("doubled", 0))
    return max(doubled)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every mutant was noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants")
    given = parser.parse_args(arguments)
    chosen = [it for it in MUTANTS if not given.only or it.name in given.only]
    with copied(None) as folder:
        named = sorted({test for mutant in chosen for test in mutant.tests} or WHOLE_PIPELINE)
        said = failing_test(folder, named)
        if said or not campaign(folder, SEEDS[0])["is_clean"]:
            _say(f"Without any patch something fails: {said or 'the campaign'}.")
            return 1
    judged = judge_all(chosen)
    told = {"mutants": judged.count, "mutants_caught": judged.caught}
    told |= {"survived": judged.survived, "naive_doubled": judged.naive_doubled}
    _say(json.dumps(told))
    return 0 if judged.caught == judged.count else 1


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
