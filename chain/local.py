"""The embedded development chain: how its process starts, and which of its blocks are durable.

anvil rewrites its state file once an interval, in place, so a kill can lose the newest blocks or
cut the file. A block therefore counts as durable only when it is in a copy of the file that was
read back whole and put in place atomically; a start falls back to that copy.
"""

import json
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from eth_typing import ChecksumAddress

from chain.client import ChainClient
from chain.settings import chain_settings
from core.errors import SettingsError
from core.types import Wei

RELAYER_FUNDS = Wei(10_000 * 10**18)
_STATES_KEPT = 256
_FINALITY_LAG = 2  # blocks: what the development chain calls finalized is so far behind its head
_BYTES_AN_INTERVAL_SECOND = 10_000_000
_ROOT = Path(__file__).resolve().parent.parent


class AnvilMissingError(SettingsError):
    """The development chain's program is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The development chain (anvil) is not installed. Run `make setup`, put anvil on PATH, "
            "set CHAIN_ANVIL_PATH, or point CHAIN_RPC_URLS at a chain of yours."
        )


def anvil_path() -> Path:
    """The anvil program: configured, from the npm package, or on PATH.

    Raises:
        AnvilMissingError: it is nowhere.
    """
    configured = chain_settings().anvil_path
    if configured is not None:
        return configured
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{machine}"
    bundled = _ROOT / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    if bundled.exists():
        return bundled
    found = shutil.which("anvil")
    if found is None:
        raise AnvilMissingError
    return Path(found)


@dataclass(frozen=True)
class LocalChain:
    """The embedded chain's files.

    Args:
        folder: below the data directory; made when missing.
    """

    folder: Path

    @property
    def state(self) -> Path:
        """The file anvil writes."""
        return self.folder / "state.json"

    @property
    def safe(self) -> Path:
        """The newest copy that was read back whole."""
        return self.folder / "state.safe.json"

    def command(self, port: int) -> list[str]:
        """The command line of the chain's process, after repairing a cut state file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.repair()
        size = self.state.stat().st_size if self.state.exists() else 0
        return [
            str(anvil_path()),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--chain-id", str(chain_settings().id)),
            *("--accounts", "0", "--hardfork", "osaka", "--enable-tx-gas-limit"),
            *("--slots-in-an-epoch", "1"),
            # older states would be written to the home directory and fill the disk
            *("--prune-history", str(_STATES_KEPT)),
            *("--state", str(self.state)),
            *("--state-interval", str(1 + size // _BYTES_AN_INTERVAL_SECOND)),
            "--silent",
        ]

    def repair(self) -> None:
        """The state file is whole and not behind the safe copy."""
        safe = _head_in(self.safe)
        if safe is None:
            return
        current = _head_in(self.state)
        if current is None or current < safe:
            shutil.copyfile(self.safe, self.state)

    def durable_block(self) -> int:
        """The newest block that survives a kill at any moment, after saving what can be saved."""
        written = self.state.stat().st_mtime_ns if self.state.exists() else 0
        saved = self.safe.stat().st_mtime_ns if self.safe.exists() else 0
        if written > saved:
            self._save()
        return _head_in(self.safe) or 0

    def _save(self) -> None:
        # A draft of its own: two processes that shared one could put a half-written file in place.
        handle, name = tempfile.mkstemp(prefix="state.safe.", suffix=".part", dir=self.folder)
        os.close(handle)
        draft = Path(name)
        shutil.copyfile(self.state, draft)
        if _head_in(draft) is not None:
            draft.replace(self.safe)
        draft.unlink(missing_ok=True)


def _head_in(path: Path) -> int | None:
    """The head a state file holds; None when there is no file or it is cut."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return _read_head(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read_head(path: Path, _written: int, _size: int) -> int | None:
    """Large files are read once a version, not once a question."""
    try:
        state: dict[str, Any] = json.loads(path.read_bytes())
        head = state["best_block_number"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return int(head, 16) if isinstance(head, str) else int(head)


def fund(client: ChainClient, address: ChecksumAddress) -> None:
    """The account can pay for gas; a balance above half of the funds is left alone."""
    if client.balance(address) < RELAYER_FUNDS // 2:
        client.admin("anvil_setBalance", address, hex(RELAYER_FUNDS))


def show_final(client: ChainClient, line: int) -> None:
    """What accounts were after the newest final block can be asked for, soon if not now.

    A chain that was started again knows this of the block it was loaded at and of later ones. It
    makes blocks only when there is work, so without this it would not know for ever.
    """
    is_idle = client.head().number - line <= _FINALITY_LAG
    if is_idle and not client.has_state(line):
        for _ in range(_FINALITY_LAG + 1):
            mine_block(client)


def mine_block(client: ChainClient) -> None:
    """One more block, so that what was mined can become final."""
    client.admin("evm_mine")
