"""Static analysis of the contracts by natrix; run by `make check`.

Every finding is mended or has an answer here. A finding without an answer fails, and so does an
answer without a finding. `docs/contracts.md` says which other analysers were tried.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OTHER_NAMES = "NTX11"  # arguments must begin with an underscore: a convention that is not ours


@dataclass(frozen=True)
class Answer:
    """Why a rule does not apply to these functions or variables of a source."""

    rule: str
    file: str
    names: frozenset[str]
    reason: str


ANSWERS = (
    Answer(
        "NTX1",
        "MembershipPass.vy",
        frozenset({"issue", "addresses"}),
        "large frames: a batch of 24 kB is in memory, which is written only as far as it is used",
    ),
    Answer(
        "NTX1",
        "DigitalAsset.vy",
        frozenset({"drop", "drop_lists", "mint"}),
        "large frames: as above",
    ),
    Answer(
        "NTX10",
        "MembershipPass.vy",
        frozenset(
            {"approve", "setApprovalForAll", "isApprovedForAll", "transferFrom", "safeTransferFrom"}
        ),
        "unused arguments: ERC-721 gives them, and a pass refuses whatever they are",
    ),
    Answer(
        "NTX10",
        "DigitalAsset.vy",
        frozenset({"royaltyInfo"}),
        "unused argument: ERC-2981 gives it, and every token has the same royalty",
    ),
    Answer(
        "NTX8",
        "DigitalAsset.vy",
        frozenset({"data"}),
        "unused variable: it takes the result of raw_create, which must not be left lying",
    ),
    Answer("NTX8", "modules/drops.vy", frozenset({"data"}), "unused variable: as above"),
    Answer(
        "NTX4",
        "modules/drops.vy",
        frozenset({"store"}),
        "not marked as view: it creates a contract",
    ),
)


def find() -> list[dict[str, Any]]:
    """What natrix says of `contracts/`.

    Raises:
        RuntimeError: it could not read them.
    """
    binaries = Path(sys.executable).parent  # it looks for the compiler on the path
    done = subprocess.run(
        [binaries / "natrix", "lint", "contracts", "-p", "contracts", "--json", "-d", OTHER_NAMES],
        cwd=ROOT,
        env={"PATH": str(binaries)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout.startswith("["):
        raise RuntimeError(f"natrix could not read the contracts.\n{done.stderr[-4000:]}")
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    return findings


def main() -> int:
    """0 when every finding has an answer and every answer a finding."""
    unused = {(it.rule, it.file, name): it.reason for it in ANSWERS for name in it.names}
    known = set(unused)
    problems = []
    for finding in find():
        file = str(Path(finding["file"]).relative_to("contracts"))
        named = re.search(r"'(\w+)'", finding["message"])
        key = (finding["code"], file, named[1] if named else "")
        unused.pop(key, None)
        if key not in known:
            where = f"contracts/{file}:{finding['position']}"
            problems.append(f"{where} {finding['code']} {finding['message']}")
    problems += [
        f"Nothing is found any more of {' '.join(key)}: {why}" for key, why in unused.items()
    ]
    if problems:
        answered = "Mend each, or answer it in tests/check_contracts.py."
        print("\n".join([*problems, answered]), file=sys.stderr)  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
