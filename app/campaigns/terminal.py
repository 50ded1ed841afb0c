"""The live numbers of airdrops in a terminal: the same as on the campaign's screen."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from sqlalchemy import select

from app.campaigns.models import AirdropRun, Campaign, RunState
from app.campaigns.progress import Progress as Numbers
from app.campaigns.progress import progress
from app.campaigns.runs import is_on_its_way
from app.web.formats import duration, native, number
from core.db import Role, unit_of_work
from core.types import MerchantId, RunId, utc_now

_POLL_SECONDS = 1.0
_STILL = (RunState.STANDBY, RunState.COMPLETED, RunState.CANCELLED)


def follow(console: Console, *, is_once: bool) -> int:
    """Bars of every unfinished airdrop, until all of them stand still.

    Args:
        is_once: shows where they are now and ends.

    Returns:
        How many airdrops there were to show.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    tasks: dict[RunId, TaskID] = {}
    with Progress(*columns, console=console) as bars:
        while True:
            found = _numbers(set(tasks))
            for run_id, title, numbers in found:
                if run_id not in tasks:
                    tasks[run_id] = bars.add_task(title, total=numbers.total, facts="")
                bars.update(
                    tasks[run_id],
                    completed=numbers.delivered,
                    total=numbers.total,
                    facts=_facts(numbers),
                )
            if is_once or all(numbers.state in _STILL for _, _, numbers in found):
                return len(tasks)
            time.sleep(_POLL_SECONDS)


def _numbers(known: set[RunId]) -> list[tuple[RunId, str, Numbers]]:
    """Every run that has started and is not over, or is shown already, across merchants."""
    with unit_of_work(role=Role.ENGINE) as session:
        rows: list[tuple[MerchantId, RunId]] = list(
            session.execute(
                select(AirdropRun.merchant_id, AirdropRun.id)
                .where(is_on_its_way() | AirdropRun.id.in_(known))
                .order_by(AirdropRun.id)
            )
        )
    return [_read(merchant, run_id) for merchant, run_id in rows]


def _read(merchant: MerchantId, run_id: RunId) -> tuple[RunId, str, Numbers]:
    with unit_of_work(merchant=merchant) as session:
        run = session.get_one(AirdropRun, run_id)
        title = session.get_one(Campaign, run.campaign_id).internal_title
        return run_id, title, progress(session, run, at=utc_now())


def _facts(numbers: Numbers) -> str:
    facts = [numbers.state.value]
    if numbers.rate is not None and numbers.state not in _STILL:
        facts.append(f"{number(int(numbers.rate))} a second")
    if numbers.remaining_seconds is not None:
        facts.append(f"about {duration(numbers.remaining_seconds)} left")
    if numbers.failed:
        facts.append(f"{number(numbers.failed)} failed")
    facts.append(f"{number(numbers.gas)} gas, {native(numbers.fee)}")
    if numbers.paused_by is not None:
        facts.append(f"paused by {numbers.paused_by}")
    elif numbers.pause_reason is not None:
        facts.append(numbers.pause_reason)
    return " · ".join(facts)
