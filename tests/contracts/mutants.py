"""Faults that the contract tests must notice: each is sown into a copy, and a test has to fail.

`make mutants`, or `python -m tests.contracts.mutants --only NAME` for some of them. The copy
without a fault passes first. A fault whose place is not found exactly once, that does not compile,
or that no test notices, fails the run. Of the tests those most likely to notice run first, then the
rest, and the state machines (`test_invariants.py`), which take minutes, last; `--quick` without.

`test_sources.py` compares sources with the committed artifacts, so it would notice every change and
say nothing; ceilings of gas (`test_gas.py`, `test_costs.py`) say nothing either. They are left out.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue

from .faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path("tests", "contracts")
LINKED = ("app", "bench", "chain", "core", "minting", "wallets", "node_modules", "ape-config.yaml")
LEFT_OUT = ("test_sources.py", "test_gas.py", "test_costs.py")
SLOW = "test_invariants"
EVERYTHING = ""
SECONDS = 3600
_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) \S*?::(\S+)", re.MULTILINE)


class Verdict(StrEnum):
    """What became of a fault."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    MISSING = "PLACE NOT FOUND ONCE"
    BROKEN = "DOES NOT COMPILE"


@dataclass(frozen=True)
class Result:
    """What became of a fault, the test that noticed it, and how long that took."""

    fault: Fault
    verdict: Verdict
    by: str = ""
    seconds: float = 0.0


class Copy:
    """The contracts and their tests in a directory of their own; the rest is linked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = ""  # what the tests said last
        for name in LINKED:
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)
        generated = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / TESTS, folder / TESTS, ignore=generated)
        shutil.copytree(ROOT / "contracts", folder / "contracts")

    @contextmanager
    def sown(self, fault: Fault) -> Iterator[None]:
        """The copy has the fault meanwhile."""
        path = self.folder / "contracts" / fault.file
        sound = path.read_text(encoding="utf-8")
        path.write_text(sound.replace(fault.before, fault.after), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(sound, encoding="utf-8")

    def compiles(self) -> bool:
        """Whether every contract does."""
        sources = sorted((self.folder / "contracts").glob("*.vy"))
        command = [
            str(Path(sys.executable).parent / "vyper"),
            "-p",
            "contracts",
            *map(str, sources),
        ]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, check=False)
        return done.returncode == 0

    def failure(self, selection: str) -> str | None:
        """The first of the selected tests that fails; None if all pass or none is selected.

        Args:
            selection: an expression as pytest's `-k` takes it, or `EVERYTHING`.

        Raises:
            RuntimeError: the tests could not be run.
        """
        settings = ["-c", str(TESTS / "pytest.ini"), "-p", "no:randomly", "-p", "no:cacheprovider"]
        ignored = [f"--ignore={TESTS / name}" for name in LEFT_OUT]
        chosen = ["-k", selection] if selection else []
        report = ["-x", "--tb=line", "-rfE", "--color=no", "--hypothesis-seed=0"]
        code = self._run([*settings, *ignored, *chosen, *report, str(TESTS)])
        if code in (0, 5):  # all passed, or none was selected
            return None
        found = _FIRST_FAILURE.findall(self.output)
        if code != 1 or not found or "The chain did not start" in self.output:
            raise RuntimeError(f"The tests could not be run.\n{self.output[-4000:]}")
        return str(found[0])

    def _run(self, arguments: list[str]) -> int:
        """pytest's exit code; it and its chain are gone afterwards."""
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                self.output, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # so that it ends its chain
                raise
        return process.returncode


def judge(copy: Copy, fault: Fault, *, quick: bool) -> Result:
    """Sows one fault and lets the tests look for it."""
    if (ROOT / "contracts" / fault.file).read_text(encoding="utf-8").count(fault.before) != 1:
        return Result(fault, Verdict.MISSING)
    started = time.monotonic()
    with copy.sown(fault):
        stages = [f"({fault.first}) and not {SLOW}", f"not ({fault.first}) and not {SLOW}"]
        stages += [] if quick else [SLOW]
        caught_by = next((failed for stage in stages if (failed := copy.failure(stage))), None)
        compiles = caught_by is None or copy.compiles()
    verdict = Verdict.SURVIVED if caught_by is None else Verdict.CAUGHT
    seconds = time.monotonic() - started
    return Result(fault, verdict if compiles else Verdict.BROKEN, caught_by or "", seconds)


def judge_all(
    faults: Sequence[Fault], say: Callable[[Result], None], *, jobs: int, quick: bool
) -> list[Result]:
    """Judges the faults, as many at a time as there are jobs, each in a copy of its own."""
    free: SimpleQueue[Copy] = SimpleQueue()

    def one(fault: Fault) -> Result:
        copy = free.get()
        try:
            return judge(copy, fault, quick=quick)
        finally:
            free.put(copy)

    with tempfile.TemporaryDirectory(prefix="cohort-mutants-") as folder:
        for number in range(jobs):
            place = Path(folder, str(number))
            place.mkdir()
            free.put(Copy(place))
        results = []
        with ThreadPoolExecutor(jobs) as pool:
            for result in pool.map(one, faults):
                say(result)
                results.append(result)
        return results


def failure_without_fault(*, quick: bool) -> str | None:
    """What the tests say if one fails without any fault; None if all pass."""
    with tempfile.TemporaryDirectory(prefix="cohort-mutants-") as folder:
        copy = Copy(Path(folder))
        failed = copy.failure(f"not {SLOW}" if quick else EVERYTHING)
        return copy.output[-4000:] if failed else None


def main(arguments: list[str] | None = None) -> int:
    """0 when every fault was caught."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these faults")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--quick", action="store_true", help="without the state machines")
    given = parser.parse_args(arguments)
    faults = [fault for fault in FAULTS if not given.only or fault.name in given.only]
    if unknown := set(given.only or ()) - {fault.name for fault in faults}:
        parser.error(f"No fault is named {', '.join(sorted(unknown))}.")
    if said := failure_without_fault(quick=given.quick):
        sys.stderr.write(f"{said}\nA test fails without any fault: nothing can be said.\n")
        return 1
    return _report(judge_all(faults, _say, jobs=given.jobs, quick=given.quick))


def _say(result: Result) -> None:
    fault = result.fault
    where = f"{fault.name:<28} {fault.file:<24}"
    sys.stdout.write(
        f"{where} {result.seconds:4.0f} s  {result.verdict}  {result.by or fault.why}\n"
    )
    sys.stdout.flush()


def _report(results: Sequence[Result]) -> int:
    names = {v: [r.fault.name for r in results if r.verdict is v] for v in Verdict}
    caught = len(names.pop(Verdict.CAUGHT))
    report = {"mutants": len(results), "caught": caught}
    failures = {verdict.name.lower(): found for verdict, found in names.items()}
    sys.stdout.write(json.dumps(report | failures) + "\n")
    return 0 if caught == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
