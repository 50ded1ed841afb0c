"""Pipelines that are wrong, and whether anybody notices: each is a patch of a copy of the tree.

`make fault-mutants`, or `python -m tests.faults.mutants --only NAME`. The tests of the pipeline run
first, then fault campaigns with other seeds; one of them has to fail. The naive pipelines are sent
to the campaigns only, to see with the oracle's eyes what they would do: their report says how many
recipients were served twice. The copy without a patch passes before anything else.
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

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("chain", "minting", "wallets", "core", "app", "tests", "pyproject.toml")
LINKED = ("node_modules", "examples", "contracts", "README.md", "docs")
TESTS = (
    "tests/chain",
    "tests/minting/test_sending.py",
    "tests/minting/test_settlement.py",
    "tests/minting/test_reconciliation.py",
)
SEEDS = (1, 2)

_REPLAN = """session.execute(
                __import__("sqlalchemy").text(
                    "UPDATE batches SET state = 'planned' WHERE id = :batch"
                ),
                {"batch": row.batch_id},
            )
            row.batch_id = None"""


@dataclass(frozen=True)
class Mutant:
    """One patch.

    Args:
        before: text that stands once in the file; `after` takes its place.
        is_naive: what others do; the campaigns alone have to notice.
    """

    name: str
    file: str
    before: str
    after: str
    is_naive: bool = False


MUTANTS = (
    Mutant(
        "a lost answer gives the batch to another nonce",
        "chain/pipeline.py",
        "        elif result.answer is SendAnswer.REJECTED:",
        "        elif result.answer is SendAnswer.UNKNOWN and row.batch_id:\n"
        f"            {_REPLAN}\n"
        "        elif result.answer is SendAnswer.REJECTED:",
        is_naive=True,
    ),
    Mutant(
        "no receipt gives the batch to another nonce",
        "chain/pipeline.py",
        "        if row.state is TransactionState.MINED and row.block_hash == seen.block_hash:\n",
        "        if row.state is TransactionState.MINED and row.batch_id:\n"
        f"            {_REPLAN}\n"
        "        if row.state is TransactionState.MINED and row.block_hash == seen.block_hash:\n",
        is_naive=True,
    ),
    Mutant(
        "any block will do",
        "chain/pipeline.py",
        "        if receipt is not None and client.block_hash(receipt.block_number) == "
        "receipt.block_hash:",
        "        if receipt is not None:",
    ),
    Mutant(
        "the head is final",
        "chain/networks.py",
        "line = max(0, client.head().number - chain.confirmations)",
        "line = client.head().number",
    ),
    Mutant(
        "one node is witness enough",
        "chain/client.py",
        "WITNESSES = 2\n",
        "WITNESSES = 1\n",
    ),
    Mutant(
        "fees rise by a twentieth",
        "chain/fees.py",
        "price * 1125 // 1000 + 1",
        "price * 105 // 100 + 1",
    ),
    Mutant(
        "only the fee cap rises",
        "chain/fees.py",
        "_eighth_more(fees.max_priority_fee_per_gas))",
        "fees.max_priority_fee_per_gas)",
    ),
    Mutant(
        "higher fees are sent before they are stored",
        "chain/pipeline.py",
        "        replacements.raise_fees(session, row, suggested=suggested, at=at)\n"
        "        return _copy(row)",
        "        replacements.raise_fees(session, row, suggested=suggested, at=at)\n"
        "        copied = _copy(row)\n        session.rollback()\n        return copied",
    ),
    Mutant(
        "only the newest bytes are watched",
        "chain/pipeline.py",
        "    for attempt in transaction.attempts:\n        receipt",
        "    for attempt in transaction.attempts[-1:]:\n        receipt",
    ),
    Mutant(
        "every nonce of a lane is bumped",
        "chain/pipeline.py",
        "            waiting.add(transaction.lane_id)\n",
        "",
    ),
    Mutant(
        "the lane is not locked",
        "chain/nonces.py",
        "        .with_for_update()\n",
        "",
    ),
    Mutant(
        "nonce too low is failure",
        "chain/pipeline.py",
        "        elif result.answer is SendAnswer.REJECTED:",
        "        elif result.answer in (SendAnswer.REJECTED, SendAnswer.NONCE_TOO_LOW):",
    ),
    Mutant(
        "already known is failure",
        "chain/pipeline.py",
        "        if result.answer in (SendAnswer.ACCEPTED, SendAnswer.KNOWN):",
        "        if result.answer is SendAnswer.KNOWN:\n"
        '            replacements.give_up(session, row, "known", at=at)\n'
        "        if result.answer is SendAnswer.ACCEPTED:",
    ),
    Mutant(
        "an underpriced replacement forgets what was sent before",
        "chain/pipeline.py",
        "        if row.state is TransactionState.SIGNED:\n            row.state",
        "        if result.answer is SendAnswer.REPLACEMENT_UNDERPRICED:\n"
        "            for other in row.attempts[:-1]:\n                session.delete(other)\n"
        "        if row.state is TransactionState.SIGNED:\n            row.state",
    ),
    Mutant(
        "a revert is believed at once",
        "chain/pipeline.py",
        "            is_final = receipt.block_number <= final_line and client.confirms(receipt)",
        "            is_final = not receipt.succeeded or receipt.block_number <= final_line",
    ),
    Mutant(
        "web3 sends again by itself",
        "chain/nodes.py",
        ", exception_retry_configuration=None",
        "",
    ),
    Mutant(
        "a batch is claimed without looking at its state",
        "minting/sending.py",
        "            Batch.id == ready.batch_id,\n            Batch.state == BatchState.PLANNED,\n",
        "            Batch.id == ready.batch_id,\n",
    ),
    Mutant(
        "what is cancelled counts as delivered",
        "chain/pipeline.py",
        "    if mined.kind is AttemptKind.CANCEL:\n        return Outcome.CANCELLED\n",
        "",
    ),
    Mutant(
        "the mark of a bad range is in the transaction that fails",
        "chain/ranges.py",
        "                left += _halves(part, error)\n",
        "                    left += _halves(part, error)\n",
    ),
)


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


def failing_test(folder: Path) -> str | None:
    """The first test of the pipeline that fails, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR "))]
    return failed[0].split("::", 1)[-1][:70] if failed else f"pytest ended with {done.returncode}"


def campaign(folder: Path, seed: int) -> dict[str, Any]:
    """The report of a slice of a campaign; empty when it broke."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--level", "slice"]
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
        if not mutant.is_naive and (failed := failing_test(folder)):
            return True, failed
        for seed in SEEDS:
            report = campaign(folder, seed)
            if not report["is_clean"]:
                counted = ("lost", "doubled", "held", "untold", "finished")
                said = " ".join(f"{name}={report.get(name)}" for name in counted)
                return True, f"campaign {seed}: {said}"
    return False, ""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every mutant was noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants")
    given = parser.parse_args(arguments)
    chosen = [it for it in MUTANTS if not given.only or it.name in given.only]
    with copied(None) as folder:
        said = failing_test(folder)
        if said or not campaign(folder, SEEDS[0])["is_clean"]:
            _say(f"Without any patch something fails: {said or 'the campaign'}.")
            return 1
    survived = []
    for mutant in chosen:
        started = time.monotonic()
        is_caught, by = judge(mutant)
        verdict = "caught" if is_caught else "SURVIVED"
        _say(f"{mutant.name:<58}{time.monotonic() - started:5.0f} s  {verdict}  {by}")
        if not is_caught:
            survived.append(mutant.name)
    caught = len(chosen) - len(survived)
    _say(json.dumps({"mutants": len(chosen), "mutants_caught": caught, "survived": survived}))
    return 0 if not survived else 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
