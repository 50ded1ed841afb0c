"""The main job on `examples/`: from a members file to a stranger's proof on the chain.

It uses the same services the screens use and leaves the periodic work to the worker. Every step
looks first at what is there, so running it again changes nothing and says so.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.accounts.service import first_merchant
from app.campaigns import previews
from app.campaigns import service as campaigns
from app.campaigns.models import AirdropRun, AudienceKind, Campaign, RunState
from app.campaigns.progress import progress
from app.campaigns.queries import find_run, list_by_title
from app.rewards.lines import Choice
from app.users import provisioning
from app.users.imports import queries, service
from app.users.imports.models import ImportState, UserImport
from app.users.models import User
from app.verification import reader
from chain.models import Transaction
from chain.networks import get_chain, urls_of
from core.db import unit_of_work
from core.errors import SettingsError, UnavailableError
from core.settings import core_settings
from core.types import ImportId, MerchantId, utc_now
from minting import assets, passes
from minting.content import content_store
from minting.drafts import AssetDraft
from minting.media import render_image
from minting.models import (
    Batch,
    ContractState,
    DigitalAsset,
    MembershipPass,
    PassState,
    Plan,
    PlanKind,
    Token,
    TokenState,
)
from wallets.models import Wallet, WalletKind

FOLDER = Path(__file__).resolve().parent.parent / "examples"
VERIFIED = 20
_ACTOR = "example"
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 240.0


class ExampleFailedError(SettingsError):
    """A step of the main job did not end as it must."""


@dataclass
class Figures:
    """What the job measured; gas is per recipient, rounded down."""

    users: int = 0
    rejected: int = 0
    wallets: int = 0
    passes: int = 0
    assets: int = 0
    verified: int = 0
    gas_per_pass: int = 0
    gas_per_drop: int = 0
    seconds: float = 0.0


@dataclass
class Report:
    """The outcome of a run of the job."""

    figures: Figures = field(default_factory=Figures)
    urls: dict[str, str] = field(default_factory=dict)
    changed: bool = False


@dataclass(frozen=True)
class _Job:
    merchant: MerchantId
    folder: Path
    brand: dict[str, Any]
    progress: Progress
    report: Report

    def unit(self) -> Any:
        """A unit of work of the example's merchant."""
        return unit_of_work(merchant=self.merchant, actor=_ACTOR)

    def follow(self, title: str, total: int, count: Callable[[Session], int]) -> None:
        """A bar that follows `count` until it reaches `total`.

        Raises:
            ExampleFailedError: it stands still for minutes.
        """
        bar = self.progress.add_task(title, total=total)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        done = -1
        while done < total:
            with self.unit() as session:
                now = count(session)
            if now != done:
                done, deadline = now, time.monotonic() + _PATIENCE_SECONDS
                self.progress.update(bar, completed=done)
            if time.monotonic() > deadline:
                raise ExampleFailedError(f"“{title}” stopped at {done} of {total}.")
            if done < total:
                time.sleep(_POLL_SECONDS)


def is_due() -> bool:
    """True when the installation has no members, or an example that was cut short."""
    with unit_of_work() as session:
        merchant = first_merchant(session)
    with unit_of_work(merchant=merchant.id) as session:
        users = session.scalar(select(func.count()).select_from(User)) or 0
        run = session.scalar(select(AirdropRun).limit(1))
        ours = session.scalar(select(UserImport.id).where(UserImport.actor == _ACTOR).limit(1))
    return users == 0 or (ours is not None and (run is None or run.state is not RunState.COMPLETED))


def run_through(console: Console, folder: Path) -> Report:
    """`run`, taken up again whenever a part of the installation was away for a moment.

    Raises:
        ExampleFailedError: a step did not end as it must.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return run(console, folder)
        except (OperationalError, UnavailableError):
            if time.monotonic() > deadline:
                raise
            console.print("A part was away for a moment; the job goes on where it stood.")
            time.sleep(1)


def run(console: Console, folder: Path) -> Report:
    """The whole job has been done, now or before; the report says which.

    Args:
        folder: holds `brand.json`, `members.csv` and the media they name.

    Raises:
        ExampleFailedError: a step did not end as it must.
    """
    started = time.monotonic()
    with unit_of_work() as session:
        merchant = first_merchant(session)
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        brand = json.loads((folder / "brand.json").read_text(encoding="utf-8"))
        job = _Job(merchant.id, folder, brand, progress, Report())
        _import_members(job)
        _issue_passes(job)
        asset = _publish_asset(job, merchant)
        _airdrop(job, asset)
        _verify(job)
    _measure(job)
    job.report.figures.seconds = round(time.monotonic() - started, 1)
    _tell(console, job.report)
    return job.report


def check(figures: Figures) -> None:
    """Everybody has everything, and the chain said so.

    Raises:
        ExampleFailedError: the sentence names the figures.
    """
    everybody = {figures.users, figures.wallets, figures.passes, figures.assets}
    if len(everybody) != 1 or figures.users == 0 or figures.verified != VERIFIED:
        raise ExampleFailedError(f"The figures do not agree: {figures}.")


def _import_members(job: _Job) -> None:
    with job.unit() as session:
        row = session.scalar(
            select(UserImport).where(UserImport.actor == _ACTOR).order_by(UserImport.id).limit(1)
        )
        if row is None:
            job.report.changed = True
            with (job.folder / "members.csv").open("rb") as file:
                row = service.upload(session, "members.csv", file, at=utc_now())
    import_id = row.id
    job.follow("Reading the file", 1, lambda s: int(_is_read(s, import_id)))
    with job.unit() as session:
        service.start(session, service.get(session, import_id), at=utc_now())
    job.follow("Importing members", 1, lambda s: int(_is_imported(s, import_id)))
    with job.unit() as session:
        row = service.get(session, import_id)
        if row.state not in service.DONE:
            raise ExampleFailedError(f"The import ended {row.state}: {row.failure}.")
        job.report.figures.rejected = row.rejected_count
        created = row.created_count
        path = core_settings().data_dir / "example-refused-rows.csv"
        path.write_text("".join(queries.refusals_as_csv(session, row)), encoding="utf-8")
    job.follow("Creating wallets", created, lambda s: created - provisioning.waiting_count(s))


def _is_read(session: Session, import_id: ImportId) -> bool:
    return service.get(session, import_id).state is not ImportState.UPLOADED


def _is_imported(session: Session, import_id: ImportId) -> bool:
    return service.get(session, import_id).finished_at is not None


def _issue_passes(job: _Job) -> None:
    job.follow("Deploying the pass", 1, _pass_contract_live)
    with job.unit() as session:
        total = session.scalar(select(func.count()).select_from(MembershipPass)) or 0
        if passes.freeze_queue(session, at=utc_now()):
            job.report.changed = True
    job.follow("Issuing passes", total, lambda s: _count(s, MembershipPass, state=PassState.ACTIVE))


def _pass_contract_live(session: Session) -> int:
    contract = passes.find_contract(session)
    return int(contract is not None and contract.state is ContractState.LIVE)


def _publish_asset(job: _Job, merchant: Merchant) -> DigitalAsset:
    wanted = job.brand["asset"]
    asset: DigitalAsset | None
    with job.unit() as session:
        asset = session.scalar(
            select(DigitalAsset).where(DigitalAsset.reference_id == wanted["reference_id"])
        )
        if asset is None:
            job.report.changed = True
            media = render_image((job.folder / wanted["image"]).read_bytes())
            draft = AssetDraft(
                internal_name=wanted["internal_name"],
                title=wanted["title"],
                description=wanted["description"],
                symbol=wanted["symbol"],
                attributes=wanted["attributes"],
                reference_id=wanted["reference_id"],
            )
            asset = assets.create(session, content_store(), draft, media, at=utc_now())
        if asset.state is ContractState.DRAFT:
            job.report.changed = True
            assets.publish(session, content_store(), asset, issuer_name=merchant.name, at=utc_now())
    asset_id = asset.id
    job.follow(
        "Publishing the collectible",
        1,
        lambda s: int(assets.get(s, asset_id).state is ContractState.LIVE),
    )
    return asset


def _airdrop(job: _Job, asset: DigitalAsset) -> None:
    wanted = job.brand["campaign"]
    with job.unit() as session:
        found = list_by_title(session, wanted["internal_title"])
        campaign = found[0] if found else _draft_campaign(session, asset, wanted)
        run = find_run(session, campaign.id)
        if run is None:
            job.report.changed = True
            preview = previews.make(session, campaign, at=utc_now())
            _show(job.progress.console, preview.report)
            run = campaigns.publish(session, campaign, preview, at=utc_now())
        total = run.recipient_count
    run_id = run.id
    job.follow("Airdropping", total, lambda s: _delivered(s, run_id))
    job.follow("Settling the run", 1, lambda s: int(_run_completed(s, run_id)))


def _draft_campaign(session: Session, asset: DigitalAsset, wanted: dict[str, Any]) -> Campaign:
    at = utc_now()
    campaign = campaigns.create_airdrop(session, wanted["internal_title"], at=at)
    campaigns.describe(session, campaign, title=wanted["title"], description=wanted["description"])
    campaigns.choose_audience(session, campaign, AudienceKind.ALL)
    campaigns.choose_rewards(session, campaign, [Choice(asset.id)])
    campaigns.choose_delivery(session, campaign, campaigns.Delivery(late_joiners=False))
    return campaign


def _delivered(session: Session, run_id: Any) -> int:
    run = session.get_one(AirdropRun, run_id)
    if run.state is RunState.PAUSED:
        raise ExampleFailedError(f"The airdrop paused: {run.pause_reason}.")
    return progress(session, run, at=utc_now()).delivered


def _run_completed(session: Session, run_id: Any) -> bool:
    return session.get_one(AirdropRun, run_id).state is RunState.COMPLETED


def _show(console: Console, report: dict[str, Any]) -> None:
    console.print(
        f"Preview: {report['recipients']:,} members, {report['transactions']} transactions, "
        f"{report['gas']:,} gas ({report['gas_a_recipient']:,} a member), "
        f"{int(report['cost']) / 10**18:.6f} native"
    )


def _verify(job: _Job) -> None:
    """Ask the chain, with a client that shares no code with the pipeline, who owns what."""
    with job.unit() as session:
        drawn = _draw(session)
        chain_id = drawn[0][2] if drawn else 0
        url = urls_of(get_chain(session, chain_id))[0]
    bar = job.progress.add_task("Verifying on the chain", total=len(drawn))
    for contract, token_id, _chain, owner in drawn:
        found = reader.read_ownership(url, contract, token_id)
        if found.owner is None or found.owner.lower() != owner.lower():
            raise ExampleFailedError(f"Token {token_id} belongs to {found.owner}, not to {owner}.")
        job.report.figures.verified += 1
        job.progress.update(bar, advance=1)
    contract, token_id, chain_id, _owner = drawn[0]
    base = core_settings().public_url
    job.report.urls = {
        "admin": f"{base}/admin",
        "space": f"{base}/space/home",
        "verify": f"{base}/verify/t/{chain_id}/{contract}/{token_id}",
    }


def _draw(session: Session) -> list[tuple[str, int, int, str]]:
    """Twenty members at random: contract, token id, chain id, and the owner the tables name."""
    rows = session.execute(
        select(
            DigitalAsset.address,
            Token,
            DigitalAsset.chain_id,
            MembershipPass.address,
        )
        .join(DigitalAsset, DigitalAsset.id == Token.asset_id)
        .join(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(Token.state == TokenState.OWNED)
    ).all()
    drawn = random.SystemRandom().sample(rows, min(VERIFIED, len(rows)))
    return [
        (str(address), token.token_id or 0, int(chain_id or 0), str(owner))
        for address, token, chain_id, owner in drawn
    ]


def _measure(job: _Job) -> None:
    figures = job.report.figures
    with job.unit() as session:
        figures.users = _count(session, User)
        figures.wallets = _count(session, Wallet, kind=WalletKind.MEMBER)
        figures.passes = _count(session, MembershipPass, state=PassState.ACTIVE)
        figures.assets = _count(session, Token, state=TokenState.OWNED)
        figures.gas_per_pass = _gas(session, PlanKind.PASSES) // max(figures.passes, 1)
        figures.gas_per_drop = _gas(session, PlanKind.DROP) // max(figures.assets, 1)


def _gas(session: Session, kind: PlanKind) -> int:
    return int(
        session.scalar(
            select(func.sum(Transaction.gas_used))
            .join(Batch, Batch.id == Transaction.batch_id)
            .join(Plan)
            .where(Plan.kind == kind)
        )
        or 0
    )


def _count(session: Session, table: type[Any], **values: Any) -> int:
    query = select(func.count()).select_from(table).filter_by(**values)
    return session.scalar(query) or 0


def _tell(console: Console, report: Report) -> None:
    if not report.changed:
        console.print("Nothing changed: every step of the example was done before.")
    figures = report.figures
    console.print(
        f"{figures.users:,} members, {figures.rejected} rows refused, {figures.passes:,} passes "
        f"({figures.gas_per_pass:,} gas each), {figures.assets:,} collectibles "
        f"({figures.gas_per_drop:,} gas each), {figures.verified} verified on the chain, "
        f"{figures.seconds} s"
    )
