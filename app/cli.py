"""Operator commands: `up`, `smoke`, `migrate`, `recover`, `reconcile`, `airdrops`, and of custody.

Errors the product knows end with their sentence and exit code 1; nothing half-done is left.
"""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import wraps
from pathlib import Path
from threading import Event
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from sqlalchemy.exc import OperationalError

import app.models  # noqa: F401 - the mappers need every table
from app import database, engine, example, local
from app.campaigns import terminal
from app.draws import offline, verifier
from app.operations.integrity import Integrity, integrity
from chain import recovery
from core import memory
from core.db import Role, unit_of_work
from core.errors import AppError, SettingsError
from core.log import configure_logging
from core.mail import has_server
from core.settings import core_settings
from core.types import utc_now
from wallets import inspection, rotation
from wallets.keyring import key_provider

_console = Console(stderr=True)
_serving = Event()
_STOPPING = (signal.SIGTERM, signal.SIGINT)


@click.group()
def main() -> None:
    """Cohort: members, passes, campaigns and provable ownership on one machine."""
    configure_logging("cohort")
    _stop_on_signals()


def _sentences(command: Callable[..., None]) -> Callable[..., None]:
    """Known errors become one sentence and exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except AppError as error:
            _console.print(f"[red]Error:[/] {error}", soft_wrap=True)
            sys.exit(1)
        except OperationalError:
            _console.print("[red]Error:[/] The database went away. Start again; nothing is lost.")
            sys.exit(1)

    return run


@main.command()
@click.option("--example/--no-example", "with_example", default=True, help="Fill if empty.")
@click.option(
    "--examples",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=example.FOLDER,
    help="The brand, its media and its members.csv.",
)
@click.option(
    "--restored", is_flag=True, help="The data is a restored backup: recover before anything."
)
@_sentences
def up(with_example: bool, examples: Path, restored: bool) -> None:
    """Start everything, run the example if the database is empty, then serve until stopped."""
    with local.running(_console, is_restored=restored) as processes:
        if with_example and not core_settings().is_production and example.is_due():
            example.run_through(_console, examples)
        _console.print(_welcome())
        _serving.set()
        processes.wait()


@main.command()
@_sentences
def smoke() -> None:
    """Run the whole main job in a throw-away directory; the last line is its JSON report."""
    with tempfile.TemporaryDirectory(prefix="cohort-smoke-") as folder:
        local.use_throwaway(Path(folder))
        with local.running(_console):
            report = example.run_through(_console, example.FOLDER)
            again = example.run_through(_console, example.FOLDER)
        if again.changed:
            raise SettingsError("Running the example a second time changed something.")
        example.check(report.figures)
        click.echo(json.dumps({**asdict(report.figures), "urls": report.urls}))


@main.command()
@_sentences
def migrate() -> None:
    """Bring a database of yours to this version: roles, schema, rights, partitions."""
    database.prepare(*database.urls())
    _console.print("The database is up to date.")


@main.command()
@_sentences
def recover() -> None:
    """After a restored backup: sign nothing until the chain has told what it forgot."""
    local.reach_database()
    with unit_of_work(role=Role.ENGINE) as session:
        count = recovery.restore_all(session)
    click.echo(json.dumps({"lanes": count}))


@main.command()
@click.option("--once", is_flag=True, help="Show where they are now, and end.")
@_sentences
def airdrops(once: bool) -> None:
    """Follow the airdrops that are on their way: bar, rate, time left, gas and money spent."""
    local.reach_database()
    if not terminal.follow(_console, is_once=once):
        _console.print("No airdrop is on its way.")


@main.command()
@click.option("--full", "is_full", is_flag=True, help="From the first block, as every night.")
@_sentences
def reconcile(is_full: bool) -> None:
    """Compare database and chain; exit code 1 when they differ or could not be compared."""
    local.reach_database()
    is_sound = True
    for place in engine.workplaces():
        engine.reconcile(place, is_full=is_full)
        with unit_of_work(merchant=place.merchant) as session:
            found = integrity(session)
        _show(found)
        is_sound = is_sound and found.is_sound
    if not is_sound:
        sys.exit(1)


def _show(found: Integrity) -> None:
    """Two tables: what was counted, and what differs."""
    counts = Table("Contract", "Database", "Chain", "Last block", title="Compared", box=SIMPLE)
    for it in found.contracts:
        sides = (it.cursor.recipients, it.minted, it.cursor.last_block)
        counts.add_row(it.name, *("–" if side is None else f"{side:,}" for side in sides))
    differences = Table("About", "Database says", "Chain says", title="Differences", box=SIMPLE)
    for row in found.differences:
        about = f"{found.names.get(row.about, row.about)}\n{row.rule}, {row.subject}"
        differences.add_row(about, row.expected, row.found)
    output = Console()
    output.print(counts)
    for name, problem in found.problems:
        output.print(f"Not compared: {name}. {problem}", soft_wrap=True)
    output.print(differences if found.differences else "No differences.")


@main.command("signer")
@_sentences
def run_signer() -> None:
    """Serve signatures alone, for a signer with a user of its own (docs/custody.md)."""
    local.reach_keys()
    memory.hide()
    code = 0
    while code == 0:  # it ended because it had answered enough
        # A process of its own: what opens keys loads nothing else of the product.
        with subprocess.Popen([sys.executable, "-m", "wallets.signer"]) as child:
            try:
                code = child.wait()
            finally:
                child.terminate()
    sys.exit(code)


@main.group()
def draw() -> None:
    """Provably fair draws, checked by anybody."""


@draw.command("verify")
@click.argument("source", metavar="URL|FILE")
@click.option(
    "--params",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file of the parameters, which then have to be the same.",
)
@_sentences
def verify_draw(source: str, params: Path | None) -> None:
    """Recompute a published draw, without a database; exit code 1 where a step does not hold."""
    document = params.read_bytes() if params else None
    report = verifier.verify(offline.lines_of(source), params=document)
    for step in report.steps:
        click.echo(f"{'FAIL' if step.problem else 'pass'}  {step.name}" + _reason(step.problem))
    if not report.is_sound:
        sys.exit(1)


def _reason(problem: str | None) -> str:
    return f": {problem}" if problem else ""


@main.group()
def wallets() -> None:
    """Custody: rotate keys and check that every wallet can still sign."""


@wallets.command("rotate-kek")
@click.option("--all", "every", is_flag=True, help="Also what the newest version wraps already.")
@_sentences
def rotate_kek(every: bool) -> None:
    """Wrap every data key by the newest version of the key in WALLETS_KEK."""
    local.reach_keys()
    with _progress("Data keys") as progress:
        report = rotation.rotate_kek(every=every, progress=progress)
    click.echo(json.dumps(asdict(report)))
    if report.left:
        raise SettingsError(f"{report.left} data keys are left. Run the command again.")


@wallets.command("rotate-data-keys")
@click.option(
    "--older-than",
    type=click.IntRange(min=0),
    default=24,
    show_default=True,
    help="Hours; so that a command that was killed goes on instead of beginning anew.",
)
@_sentences
def rotate_data_keys(older_than: int) -> None:
    """Seal wallets under new data keys and destroy the old ones."""
    local.reach_keys()
    now = utc_now()
    with _progress("Wallets") as progress:
        report = rotation.rotate_data_keys(
            created_before=now - timedelta(hours=older_than), at=now, progress=progress
        )
    click.echo(json.dumps(asdict(report)))
    if report.kept:
        raise SettingsError(
            f"{report.kept} old data keys still seal wallets and were kept. Run the command again; "
            "if wallets are damaged, restore them from a backup first."
        )


@wallets.command()
@click.option(
    "--share",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Percent of the wallets of every data key, chosen at random.",
)
@_sentences
def check(share: int) -> None:
    """Open a share of the keys, derive their addresses again, and count."""
    local.reach_keys()
    health = key_provider().health()
    with _progress("Data keys") as progress:
        report = inspection.check_wallets(share_percent=share, progress=progress)
    click.echo(json.dumps({"kek": health, **asdict(report)}))
    if not report.is_sound:
        raise SettingsError(
            f"{report.unreadable} wallets and {len(report.closed_data_keys)} data keys do not "
            "open. Put the key-encryption key back, or restore the rows from a backup."
        )


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for people, on the error output; nothing where nobody looks."""
    with Progress(console=_console, disable=not _console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _stop_on_signals() -> None:
    """The first signal unwinds everything in order; more of them change nothing."""

    def stop(number: int, _frame: object) -> None:
        for known in _STOPPING:
            signal.signal(known, signal.SIG_IGN)
        raise SystemExit(0 if _serving.is_set() else 128 + number)

    for known in _STOPPING:
        signal.signal(known, stop)


def _welcome() -> Panel:
    base = core_settings().public_url
    lines = [
        f"Admin    {base}/admin   (sign in as {core_settings().owner_email})",
        f"Space    {base}/space/home   (sign in as any imported member)",
        "Mail     leaves by the server in COHORT_SMTP_URL"
        if has_server()
        else f"Mail     {base}/outbox   (sign-in links and codes arrive here)",
        "Stop with Ctrl-C; everything is kept in " + str(core_settings().data_dir),
    ]
    return Panel("\n".join(lines), title="Cohort is serving", expand=False)


if __name__ == "__main__":
    main()
