"""One step of everything that moves by itself: chain, minting, grants, campaigns.

Level-triggered. Each part looks at rows and does what is due, in short units of work; running it
twice, or in two processes, or after a kill, does the same work once.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from threading import Lock
from time import monotonic

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns import files, latecomers, runs, schedule
from app.campaigns.models import AudienceFile
from app.perks import code_files, sweeping
from app.perks.code_models import CodeFile, CodeFileState
from app.rewards import revoking, travelling, unlocking
from app.rewards.closing import close_delivered, close_revoked
from app.segments import keeping
from app.segments.book import open_book
from app.segments.models import Segment
from app.users.exports import service as exports
from app.users.exports.models import UserExport
from app.users.imports import service as imports
from app.users.imports.models import UserImport
from chain import local, pipeline, recovery
from chain.client import ChainClient
from chain.local import LocalChain
from chain.models import Chain, ChainKind, LaneReconciliation, LaneRole, NonceLane
from chain.networks import advance_finality, check_identity, client_for, finality_line, find_lane
from chain.settings import chain_settings
from core.db import Role, unit_of_work
from core.errors import UnavailableError
from core.settings import core_settings
from core.types import AudienceFileId, CodeFileId, ExportId, ImportId, MerchantId, utc_now
from minting import anchors, assets, passes, reconciliation, sending, settlement
from minting.models import Plan, PlanState
from minting.recovery import recognise_found

log = structlog.get_logger(__name__)

LONGEST_WAIT = timedelta(minutes=5)
"""Until database and chain are compared in the middle of a delivery."""


@dataclass(frozen=True)
class Workplace:
    """A merchant's lanes on a chain: where there can be something to do."""

    merchant: MerchantId
    chain: Chain


def workplaces() -> list[Workplace]:
    """Every (merchant, chain) with a relayer, found across merchants."""
    with unit_of_work(role=Role.ENGINE) as session:
        rows = session.execute(
            select(NonceLane.merchant_id, Chain)
            .join(Chain)
            .where(NonceLane.role == LaneRole.RELAYER)
            .order_by(NonceLane.id)
        )
        return [Workplace(merchant, chain) for merchant, chain in rows]


def comparable_workplaces(at: datetime) -> list[Workplace]:
    """Workplaces whose turn it is to be compared: those that deliver now can wait a little."""
    compared_at = LaneReconciliation.compared_at
    is_delivering = exists().where(
        Plan.merchant_id == NonceLane.merchant_id,
        Plan.chain_id == NonceLane.chain_id,
        Plan.state == PlanState.RUNNING,
    )
    with unit_of_work(role=Role.ENGINE) as session:
        rows = session.execute(
            select(NonceLane.merchant_id, Chain)
            .join(Chain)
            .outerjoin(LaneReconciliation, LaneReconciliation.lane_id == NonceLane.id)
            .where(NonceLane.role == LaneRole.RELAYER)
            .where(~is_delivering | compared_at.is_(None) | (compared_at < at - LONGEST_WAIT))
            .order_by(NonceLane.id)
        )
        return [Workplace(merchant, chain) for merchant, chain in rows]


_asked_at: dict[tuple[MerchantId, int], float] = {}


def due_workplaces(now: float) -> list[Workplace]:
    """Workplaces whose chain may be asked again: nodes of others are asked every few seconds.

    Args:
        now: monotonic seconds.
    """
    pause = chain_settings().poll_seconds
    due = [place for place in workplaces() if now - _asked_at.get(_key(place), -pause) >= pause]
    for place in due:
        if place.chain.kind is not ChainKind.EMBEDDED:
            _asked_at[_key(place)] = now
    return due


def _key(place: Workplace) -> tuple[MerchantId, int]:
    return place.merchant, place.chain.id


def merchants_with_segments() -> list[MerchantId]:
    """Merchants who have segments to keep."""
    with unit_of_work(role=Role.ENGINE) as session:
        query = select(Segment.merchant_id).where(Segment.archived_at.is_(None)).distinct()
        return list(session.scalars(query))


def keep_segments(merchant: MerchantId) -> None:
    """What happened and what time passed is in the merchant's segments."""
    more = True
    while more:
        with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
            more = keeping.keep(session, at=utc_now())


def build_segments(merchant: MerchantId) -> None:
    """No segment of the merchant waits to be built or proved, but for what others do now."""
    for step in (keeping.rebuild_next, keeping.prove_next):
        more = True
        while more:
            with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
                more = step(session, at=utc_now()) is not None


def prove_segments(merchant: MerchantId) -> None:
    """Every segment of the merchant will be built again, and what differs is told."""
    with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
        keeping.prove(session, sorted(open_book(session).rules))


def running_imports() -> list[tuple[MerchantId, ImportId]]:
    """Imports with work to do, found across merchants."""
    with unit_of_work(role=Role.ENGINE) as session:
        rows = session.execute(
            select(UserImport.merchant_id, UserImport.id).where(
                UserImport.state.in_(imports.MOVING)
            )
        )
        return list(rows)


def unfinished_files() -> list[tuple[MerchantId, AudienceFileId]]:
    """Audience files with work to do, found across merchants."""
    with unit_of_work(role=Role.ENGINE) as session:
        rows = session.execute(
            select(AudienceFile.merchant_id, AudienceFile.id).where(
                AudienceFile.state.in_(files.UNFINISHED)
            )
        )
        return list(rows)


def due_exports(at: datetime) -> list[tuple[MerchantId, ExportId]]:
    """Exports to be written, and those whose file is to be deleted, found across merchants."""
    with unit_of_work(role=Role.ENGINE) as session:
        rows = session.execute(
            select(UserExport.merchant_id, UserExport.id).where(exports.is_due(at))
        )
        return list(rows)


def merchants() -> list[MerchantId]:
    """Every merchant of the installation."""
    with unit_of_work(role=Role.ENGINE) as session:
        return list(session.scalars(select(Merchant.id).order_by(Merchant.id)))


def unfinished_code_files() -> list[tuple[MerchantId, CodeFileId]]:
    """Files of codes on their way into a pool, found across merchants."""
    with unit_of_work(role=Role.ENGINE) as session:
        is_open = CodeFile.state == CodeFileState.RUNNING
        return list(session.execute(select(CodeFile.merchant_id, CodeFile.id).where(is_open)))


def forget_code_files() -> None:
    """Codes are readable in no file that was read."""
    with unit_of_work(role=Role.ENGINE) as session:
        code_files.forget_left(session, at=utc_now())


def sweep_perks(merchant: MerchantId) -> None:
    """Everything that is due with the merchant's perks and their grants is done, a part a
    transaction.
    """
    for piece in (*sweeping.pieces(), revoking.revoke_taken_back, unlocking.give_due):
        more = True
        while more:
            with unit_of_work(merchant=merchant) as session:
                more = piece(session, utc_now())


@cache
def _turn(_merchant: MerchantId, _chain_id: int) -> Lock:
    """One step at a time in this process; other processes are kept apart by row locks."""
    return Lock()


def step(place: Workplace) -> None:
    """Everything due for the merchant on the chain is one step further.

    Raises:
        UnavailableError: chain or signer do not answer; the next step tries again.
        ChainForgottenError: the node lost what was final; nothing is sent.
    """
    turn = _turn(place.merchant, place.chain.id)
    if not turn.acquire(blocking=False):
        return
    try:
        _in_unit(place.merchant, partial(schedule.start_due, at=utc_now()))
        _in_unit(place.merchant, partial(runs.advance, at=utc_now(), is_offline=True))
        advance(place, client_for(place.chain), at=utc_now())
        _failing_since.pop(_key(place), None)
    except UnavailableError as error:
        _halt(place, error, now=monotonic())
        raise
    finally:
        turn.release()


PATIENCE_SECONDS = 10
"""Until what does not answer is said on the screens: one lost answer is not worth a word."""
_failing_since: dict[tuple[MerchantId, int], float] = {}


def _halt(place: Workplace, error: UnavailableError, *, now: float) -> None:
    """Airdrops say what they wait for; the next step that succeeds takes it back."""
    if now - _failing_since.setdefault(_key(place), now) >= PATIENCE_SECONDS:
        _in_unit(
            place.merchant, lambda session: runs.halt(session, place.chain.id, reason=str(error))
        )


def advance(place: Workplace, client: ChainClient, *, at: datetime) -> None:
    """What one step does; a restored lane learns from the chain before anything is decided.

    What became final is written down while the chain executes what comes next: one of them waits
    for the database, the other for the node, and the row locks keep them apart.
    """
    check_identity(place.chain, client)
    open_count = _watch(place, client, at=at)
    is_recovering = _recover(place, client, at=at)
    with ThreadPoolExecutor(1, "books") as books:
        written = books.submit(_write_down, place, at=at)
        sent = 0 if is_recovering else _decide(place, client, at=at)
        if sent:
            _watch(place, client, at=at)  # sends at once; the next step would do it too
        elif open_count and place.chain.kind is ChainKind.EMBEDDED:
            local.mine_block(client)
        written.result()


def _write_down(place: Workplace, *, at: datetime) -> None:
    """Passes, tokens and grants follow what is final."""
    _in_unit(place.merchant, lambda session: settlement.settle(session, at=at))
    _in_unit(place.merchant, lambda session: close_delivered(session, at=at))
    _in_unit(place.merchant, lambda session: close_revoked(session, at=at))


def _watch(place: Workplace, client: ChainClient, *, at: datetime) -> int:
    line = partial(_final_line, place.chain, client)
    return pipeline.watch(place.merchant, client, chain_id=place.chain.id, line=line, at=at)


def _recover(place: Workplace, client: ChainClient, *, at: datetime) -> bool:
    line = partial(_final_line, place.chain, client)
    chain_id = place.chain.id
    if not recovery.advance(place.merchant, client, chain_id=chain_id, line=line, at=at):
        return False
    recognise_found(place.merchant, chain_id=chain_id, at=at)
    return True


def _decide(place: Workplace, client: ChainClient, *, at: datetime) -> int:
    """Runs go on, what became possible is planned, and what is ready is signed."""
    _in_unit(place.merchant, lambda session: latecomers.look(session, at=at))
    _in_unit(place.merchant, lambda session: runs.advance(session, at=at))
    _in_unit(place.merchant, lambda session: travelling.plan_due(session, at=at))
    _in_unit(place.merchant, lambda session: _plan_due(session, place.chain, at=at))
    return sum(
        sending.assign_ready(place.merchant, client, chain_id=place.chain.id, sender=role, at=at)
        for role in LaneRole
    )


def reconcile(place: Workplace, *, is_full: bool = False) -> reconciliation.Report | None:
    """Database and chain of the workplace are compared up to the finality line.

    Args:
        is_full: from the first block, instead of what became final since the last pass.

    Returns:
        None while another pass is at it.

    Raises:
        ChainUnavailableError: too few nodes answer; the next pass tries again.
        ChainForgottenError: the node lost what was final; nothing is compared.
    """
    client = client_for(place.chain)
    check_identity(place.chain, client)
    return reconciliation.reconcile(
        place.merchant,
        client,
        chain_id=place.chain.id,
        line=_final_line(place.chain, client),
        is_full=is_full,
        at=utc_now(),
    )


def lane_of(session: Session, chain: Chain) -> NonceLane:
    """The merchant's relayer on the chain."""
    lane = find_lane(session, chain.id)
    assert lane is not None  # what makes it a workplace
    return lane


def _plan_due(session: Session, chain: Chain, *, at: datetime) -> None:
    lane = lane_of(session, chain)
    assets.advance_deployments(session, lane, at=at)
    anchors.advance(session, lane, at=at)
    passes.freeze_due(session, at=at)


def _final_line(chain: Chain, client: ChainClient) -> int:
    if chain.kind is not ChainKind.EMBEDDED:
        line = finality_line(chain, client)
    else:
        line = finality_line(chain, client, durable=local_chain().durable_block)
        local.show_final(client, line)
    block_hash = client.block_hash(line)
    if line > chain.final_number and block_hash is not None:
        with unit_of_work() as session:
            advance_finality(session, chain.id, number=line, block_hash=block_hash)
    return line


def local_chain() -> LocalChain:
    """The embedded chain's files in this installation's data directory."""
    return LocalChain(core_settings().data_dir.resolve() / "chain")


def _in_unit(merchant: MerchantId, work: Callable[[Session], object]) -> None:
    with unit_of_work(merchant=merchant) as session:
        work(session)
