"""The Celery worker: thin tasks, and the one schedule of everything periodic.

Run with `celery -A app.worker worker -B -P threads`. Tasks carry ids and open their own units of
work; whatever a lost message leaves behind, the next sweep finds.
"""

from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import TypeVar
from uuid import UUID

import structlog
from celery.schedules import crontab
from celery.signals import beat_init, setup_logging, worker_ready
from sqlalchemy import text

import app.models  # noqa: F401 - the mappers need every table
from app import engine, upkeep
from app.campaigns import files
from app.claims import making
from app.perks import code_files, code_loading
from app.privacy import copies
from app.segments import service as segments
from app.users import conversions, provisioning
from app.users.exports import service as exports
from app.users.imports import running
from app.users.imports import service as imports
from core import jobs, mail, mail_delivery
from core.db import Role, unit_of_work
from core.errors import AppError
from core.log import configure_logging
from core.types import (
    AudienceFileId,
    ClaimBatchId,
    CodeFileId,
    ConversionId,
    ExportId,
    ImportId,
    MerchantId,
    SubjectExportId,
    utc_now,
)

log = structlog.get_logger(__name__)

celery = jobs.celery_app()
celery.conf.beat_schedule = {
    "step": {"task": "engine.step", "schedule": 0.5, "options": {"expires": 2}},
    "mail": {"task": mail.TASK, "schedule": 1, "options": {"expires": 1}},
    "lost-mail": {"task": "mail.sort_out", "schedule": 60, "options": {"expires": 60}},
    "imports": {"task": "engine.imports", "schedule": 15, "options": {"expires": 15}},
    "provision": {"task": "engine.provision", "schedule": 5, "options": {"expires": 5}},
    "exports": {"task": "engine.exports", "schedule": 15, "options": {"expires": 15}},
    "files": {"task": "engine.files", "schedule": 15, "options": {"expires": 15}},
    "code-files": {"task": "engine.code_files", "schedule": 15, "options": {"expires": 15}},
    "perks": {"task": "engine.perks", "schedule": 15, "options": {"expires": 15}},
    "points": {"task": "engine.points", "schedule": 15, "options": {"expires": 15}},
    "earn-points": {"task": "engine.earn_points", "schedule": 1, "options": {"expires": 1}},
    "warn-of-ends": {"task": "engine.warn_of_ends", "schedule": crontab(minute=4)},
    "prove-points": {"task": "engine.prove_points", "schedule": crontab(hour=2, minute=11)},
    "people": {"task": "engine.people", "schedule": 15, "options": {"expires": 15}},
    "draws": {"task": "engine.draws", "schedule": 5, "options": {"expires": 5}},
    "winners": {"task": "engine.winners", "schedule": 60, "options": {"expires": 60}},
    "badges": {"task": "engine.badges", "schedule": 1, "options": {"expires": 1}},
    "codes": {"task": "engine.codes", "schedule": 60, "options": {"expires": 60}},
    "keep-segments": {"task": "segments.keep", "schedule": 0.5, "options": {"expires": 2}},
    "build-segments": {"task": "segments.sweep", "schedule": 15, "options": {"expires": 15}},
    "prove-segments": {
        "task": "segments.prove",
        "schedule": crontab(hour=2, minute=41, day_of_week="sunday"),
    },
    "partitions": {"task": "engine.partitions", "schedule": 86_400},
    "reconcile": {"task": "engine.reconcile", "schedule": 30, "options": {"expires": 30}},
    "reconcile-fully": {"task": "engine.reconcile_fully", "schedule": crontab(hour=3, minute=17)},
}


@setup_logging.connect  # type: ignore[untyped-decorator]
def _logging(**_: object) -> None:
    configure_logging("worker")


@worker_ready.connect  # type: ignore[untyped-decorator]
def _worker_is_ready(**_: object) -> None:
    jobs.ready_file("worker").touch()


@beat_init.connect  # type: ignore[untyped-decorator]
def _beat_is_ready(**_: object) -> None:
    jobs.ready_file("beat").touch()


Found = TypeVar("Found")


def _each(found: Iterable[Found], work: Callable[[Found], object], failure: str) -> None:
    """The work is done for each of them; one that fails never stops the others."""
    for one in found:
        try:
            work(one)
        except AppError as error:
            log.warning(failure, code=error.code, detail=str(error))
        except Exception:
            log.exception(failure, subject=str(one))


def _by_ids(task: Callable[[str, str], object]) -> Callable[[tuple[UUID, UUID]], object]:
    """The task as it is done for a row that was found."""
    return lambda ids: task(str(ids[0]), str(ids[1]))


@jobs.task("engine.step")
def step() -> None:
    """Move everything due by one step; a chain that does not answer never stops the others."""
    _each(engine.due_workplaces(monotonic()), engine.step, "step_failed")


@jobs.task("engine.reconcile")
def reconcile() -> None:
    """Compare what became final with the tables."""
    _reconcile(engine.comparable_workplaces(utc_now()), is_full=False)


@jobs.task("engine.reconcile_fully")
def reconcile_fully() -> None:
    """Compare everything, every night."""
    _reconcile(engine.workplaces(), is_full=True)


def _reconcile(places: list[engine.Workplace], *, is_full: bool) -> None:
    _each(places, partial(engine.reconcile, is_full=is_full), "reconcile_failed")


@jobs.task(mail.TASK)
def deliver_mail() -> None:
    """Messages that wait for the mail server leave."""
    mail_delivery.deliver_due()


@jobs.task("mail.sort_out")
def sort_out_mail() -> None:
    """Of messages that did not leave, bounces are noted, and those of long ago are forgotten."""
    _each(engine.merchants(), upkeep.note_bounces, "bounces_not_noted")
    mail_delivery.forget_old()


@jobs.task("engine.imports")
def sweep_imports() -> None:
    """Take up imports whose message was lost or whose worker was killed."""
    _each(engine.running_imports(), _by_ids(run_import), "import_failed")


@jobs.task(imports.TASK)
def run_import(merchant: str, import_id: str) -> None:
    """Do what an import has to do, a part a transaction."""
    more = True
    while more:
        with unit_of_work(merchant=MerchantId(UUID(merchant))) as session:
            more = running.run_part(session, ImportId(UUID(import_id)), at=utc_now())


@jobs.task("engine.provision")
def sweep_members() -> None:
    """Give wallets and passes to members whose message was lost."""
    _each(engine.merchants(), lambda it: provision(str(it)), "provision_failed")


@jobs.task(provisioning.TASK)
def provision(merchant: str) -> None:
    """Give wallets and passes to all members that have none, a part a transaction."""
    more = True
    while more:
        with unit_of_work(merchant=MerchantId(UUID(merchant))) as session:
            more = provisioning.run_part(session, at=utc_now())


@jobs.task("engine.exports")
def sweep_exports() -> None:
    """Take up exports whose message was lost or whose worker was killed; delete expired files."""
    _each(engine.due_exports(utc_now()), _by_ids(run_export), "export_failed")


@jobs.task(exports.TASK)
def run_export(merchant: str, export_id: str) -> None:
    """Write an export to its end, a part a transaction."""
    more = True
    while more:
        with unit_of_work(merchant=MerchantId(UUID(merchant))) as session:
            more = exports.run_part(session, ExportId(UUID(export_id)), at=utc_now())


@jobs.task("engine.files")
def sweep_files() -> None:
    """Take up audience files whose message was lost or whose worker was killed."""
    _each(engine.unfinished_files(), _by_ids(read_file), "audience_file_failed")


@jobs.task(files.TASK)
def read_file(merchant: str, file_id: str) -> None:
    """Read an audience file to its end, a part a transaction."""
    more = True
    while more:
        with unit_of_work(merchant=MerchantId(UUID(merchant))) as session:
            more = files.run_part(session, AudienceFileId(UUID(file_id)), at=utc_now())


@jobs.task("engine.code_files")
def sweep_code_files() -> None:
    """Take up files of codes whose message was lost or whose worker was killed, also at the end."""
    _each(engine.unfinished_code_files(), _by_ids(load_codes), "code_file_failed")
    engine.forget_code_files()


@jobs.task(code_files.TASK)
def load_codes(merchant: str, file_id: str) -> None:
    """Get a file of codes into its pool, a part a transaction."""
    more = True
    while more:
        with unit_of_work(merchant=MerchantId(UUID(merchant))) as session:
            more = code_loading.run_part(session, CodeFileId(UUID(file_id)), at=utc_now())


@jobs.task("engine.perks")
def sweep_perks() -> None:
    """Expire, lapse and forget what is due with perks, and tell where few are left."""
    _each(engine.merchants(), engine.sweep_perks, "perks_not_swept")


@jobs.task("engine.points")
def sweep_points() -> None:
    """Points end, and what was reserved too long is given back."""
    _each(engine.merchants(), upkeep.sweep_points, "points_not_swept")


@jobs.task("engine.earn_points")
def earn_points() -> None:
    """Events earn points by the brand's rules."""
    _each(upkeep.merchants_with_rules(), upkeep.earn_points, "points_not_earned")


@jobs.task("engine.warn_of_ends")
def warn_of_ends() -> None:
    """Members hear of points that end soon."""
    _each(engine.merchants(), upkeep.warn_of_ends, "ends_not_told")


@jobs.task("engine.prove_points")
def prove_points() -> None:
    """Every night balances, entries, lots and holds are compared."""
    _each(engine.merchants(), upkeep.prove_points, "points_not_proved")


@jobs.task("engine.people")
def sweep_people() -> None:
    """Do what is due with members: values converted and cleared, people forgotten or told."""
    _each(upkeep.due_work(utc_now()), lambda work: work(), "upkeep_failed")


@jobs.task("engine.draws")
def advance_draws() -> None:
    """Open boxes nobody opened, and draw raffles whose date has come."""
    _each(upkeep.due_draws(utc_now()), lambda work: work(), "draw_failed")


@jobs.task("engine.winners")
def replace_winners() -> None:
    """Give the prize of a winner who dropped out of a raffle to the next reserve."""
    _each(upkeep.dropped_out_winners(utc_now()), lambda work: work(), "winner_not_replaced")


@jobs.task("engine.badges")
def follow_badges() -> None:
    """Give and take badges as lists and segments say."""
    _each(upkeep.merchants_with_badges(), upkeep.follow_badges, "badges_failed")


@jobs.task("engine.codes")
def keep_codes() -> None:
    """Rotate the keys that sign codes; forget codes nobody can show any more."""
    _each(engine.merchants(), upkeep.keep_codes, "codes_not_kept")


@jobs.task(conversions.TASK)
def convert_property(merchant: str, conversion_id: str) -> None:
    """Try or convert the values of a property to their end, a part a transaction."""
    upkeep.convert(MerchantId(UUID(merchant)), ConversionId(UUID(conversion_id)))


@jobs.task(copies.TASK)
def make_copy(merchant: str, export_id: str) -> None:
    """Write down everything that is known of a member."""
    upkeep.make_copy(MerchantId(UUID(merchant)), SubjectExportId(UUID(export_id)))


@jobs.task(making.TASK)
def make_claim_codes(merchant: str, batch_id: str) -> None:
    """Make the codes of a batch to the last, a part a transaction."""
    upkeep.make_codes(MerchantId(UUID(merchant)), ClaimBatchId(UUID(batch_id)))


@jobs.task("segments.keep")
def keep_segments() -> None:
    """What happened and what time passed is in the segments."""
    _each(engine.merchants_with_segments(), engine.keep_segments, "segments_not_kept")


@jobs.task("segments.sweep")
def sweep_segments() -> None:
    """Build segments whose message was lost or whose worker was killed."""
    _each(engine.merchants_with_segments(), engine.build_segments, "segments_not_built")


@jobs.task(segments.TASK)
def build_segments(merchant: str) -> None:
    """Build every segment of the merchant that waits for it, a transaction each."""
    engine.build_segments(MerchantId(UUID(merchant)))


@jobs.task("segments.prove")
def prove_segments() -> None:
    """Once a week everything is built again."""
    _each(engine.merchants_with_segments(), engine.prove_segments, "segments_not_proved")


@jobs.task("engine.partitions")
def make_partitions() -> None:
    """Next month's event partitions exist."""
    with unit_of_work(role=Role.ENGINE) as session:
        session.execute(text("SELECT cohort_make_event_partitions()"))
