"""Operator commands: `cohort up`, `cohort smoke`, `cohort migrate`.

Errors the product knows end with their sentence and exit code 1; nothing half-done is left.
"""

import json
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from threading import Event
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel
from sqlalchemy.exc import OperationalError

import app.models  # noqa: F401 - the mappers need every table
from app import database, example, local
from core.errors import AppError, SettingsError
from core.log import configure_logging
from core.settings import core_settings

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
@_sentences
def up(with_example: bool, examples: Path) -> None:
    """Start everything, run the example if the database is empty, then serve until stopped."""
    with local.running(_console) as processes:
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
    settings = core_settings()
    if settings.database_url is None or settings.database_owner_url is None:
        raise SettingsError("Set COHORT_DATABASE_URL and COHORT_DATABASE_OWNER_URL first.")
    database.prepare(
        settings.database_owner_url.get_secret_value(), settings.database_url.get_secret_value()
    )
    _console.print("The database is up to date.")


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
        f"Mail     {base}/outbox   (sign-in links and codes arrive here)",
        "Stop with Ctrl-C; everything is kept in " + str(core_settings().data_dir),
    ]
    return Panel("\n".join(lines), title="Cohort is serving", expand=False)


if __name__ == "__main__":
    main()
