"""A rotation in a process of its own, which a test kills: says a line a unit.

Run with `python -m tests.wallets.rotating kek` or `... data-keys`.
"""

import sys
from datetime import timedelta

import app.models  # noqa: F401 - the mappers need every table
from core.types import utc_now
from wallets import rotation


def say(done: int, total: int) -> None:
    """One line, at once."""
    sys.stdout.write(f"{done} {total}\n")
    sys.stdout.flush()


def main() -> None:
    """Rotates what was there a minute ago, three wallets a batch."""
    if sys.argv[1] == "kek":
        rotation.rotate_kek(progress=say)
        return
    rotation.ROWS_A_BATCH = 3
    now = utc_now()
    rotation.rotate_data_keys(created_before=now - timedelta(minutes=1), at=now, progress=say)


if __name__ == "__main__":
    main()
