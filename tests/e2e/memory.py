"""Looks for keys in the memory of an installation's processes (proc(5))."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, undefer

from app.postgres import EmbeddedPostgres
from tests.e2e.site import Site
from wallets import sealed
from wallets.kek import DekContext
from wallets.kek_file import FileKek
from wallets.models import DataKey, Wallet
from wallets.sealed import Shard

_PART = 64 * 1024 * 1024
_OVERLAP = 128


def secrets(site: Site) -> dict[str, bytes]:
    """What opens something, and every private key, as a thief with both parts has them."""
    kek = site.folder / "data" / "secrets" / "kek"
    found = {"key-encryption key": kek.read_bytes()}
    provider = FileKek(kek, make=False)
    engine = create_engine(EmbeddedPostgres(site.folder / "data" / "postgres").owner_url)
    with Session(engine) as session:
        for data_key in session.scalars(select(DataKey).options(undefer(DataKey.wrapped))):
            context = DekContext(data_key.merchant_id, data_key.id)
            opened = provider.unwrap(data_key.wrapped, context)
            shard = Shard(data_key.merchant_id, data_key.id, opened)
            found[f"data key {data_key.id}"] = shard.data_key
            query = select(Wallet).where(Wallet.data_key_id == data_key.id)
            columns = (undefer(Wallet.salt), undefer(Wallet.ciphertext))
            for wallet in session.scalars(query.options(*columns)):
                found[f"{wallet.kind} {wallet.address}"] = sealed.open_key(shard, wallet)
    engine.dispose()
    return found


def descendants(pid: int) -> dict[int, str]:
    """Process id -> command line of the process and everything it started."""
    parents, commands = {}, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        parents[int(status.parent.name)], commands[int(status.parent.name)] = parent, command
    found, new = {pid}, {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return {it: commands[it] for it in found if it in commands}


def holds(pid: int, wanted: Mapping[str, bytes]) -> set[str]:
    """Names of those that are in the process's writable memory, as bytes or spelled out."""
    spellings = {
        name: (secret, secret.hex().encode(), secret.hex().upper().encode())
        for name, secret in wanted.items()
    }
    found = set()
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or hides
        for part in _memory(pid):
            found |= {
                name for name, spelled in spellings.items() if any(one in part for one in spelled)
            }
    return found


def _memory(pid: int) -> Iterator[bytes]:
    with (
        Path(f"/proc/{pid}/maps").open() as maps,
        Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory,
    ):
        for line in maps.readlines():
            span, rights, *_ = line.split()
            start, end = (int(edge, 16) for edge in span.split("-"))
            if not rights.startswith("rw"):
                continue
            for first in range(start, end, _PART):
                memory.seek(first)
                try:
                    yield memory.read(min(_PART + _OVERLAP, end - first))
                except OSError:  # what the kernel keeps to itself
                    break
