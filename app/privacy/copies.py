"""A copy of everything tied to a member, as JSON and as a page to read, in one archive.

Made in the background, kept for a week, deleted when the member is erased.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.privacy.errors import CopyNotFoundError
from app.privacy.known import everything_of
from app.privacy.models import SubjectExport, SubjectExportState
from app.users.models import User, UserState
from app.web.rendering import environment
from core import jobs
from core.db import after_commit, merchant_of
from core.ids import new_id
from core.settings import core_settings
from core.types import SubjectExportId, UserId

TASK = "privacy.make_copy"
KEPT = timedelta(days=7)


def request(session: Session, user: User, *, at: datetime) -> SubjectExport:
    """A copy is being made; while one is, no second one begins.

    Raises:
        CopyNotFoundError: there is nobody left to tell of.
    """
    if user.state in (UserState.ERASED, UserState.MERGED):
        raise CopyNotFoundError
    waiting = session.scalar(
        select(SubjectExport).where(
            SubjectExport.user_id == user.id, SubjectExport.state == SubjectExportState.QUEUED
        )
    )
    if waiting is not None:
        return waiting
    row = SubjectExport(
        id=SubjectExportId(new_id()),
        user_id=user.id,
        actor=session.info["actor"],
        created_at=at,
    )
    session.add(row)
    session.flush()
    jobs.after_commit(session, TASK, merchant_of(session), row.id)
    return row


def make(session: Session, export_id: SubjectExportId, *, at: datetime) -> None:
    """The archive is there; a repeat changes nothing.

    Locks: the copy.
    """
    row = session.scalar(
        select(SubjectExport)
        .where(SubjectExport.id == export_id, SubjectExport.state == SubjectExportState.QUEUED)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return
    known = everything_of(session, session.get_one(User, row.user_id), at=at)
    page = environment().get_template("privacy/copy.html").render(known=known, at=at)
    path = file_of(row.id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".part")
    with ZipFile(draft, "w", ZIP_DEFLATED) as archive:
        archive.writestr("everything.json", json.dumps(known, indent=2, ensure_ascii=False))
        archive.writestr("everything.html", page)
    draft.chmod(0o600)
    draft.replace(path)
    row.state, row.finished_at = SubjectExportState.READY, at
    session.flush()


def file_of(export_id: SubjectExportId) -> Path:
    """Where the archive is."""
    return core_settings().data_dir / "copies" / f"{export_id.hex}.zip"


def of_member(session: Session, user_id: UserId) -> Sequence[SubjectExport]:
    """The member's copies, newest first."""
    return session.scalars(
        select(SubjectExport)
        .where(SubjectExport.user_id == user_id)
        .order_by(SubjectExport.id.desc())
    ).all()


def read(session: Session, user_id: UserId, export_id: SubjectExportId, *, at: datetime) -> bytes:
    """The archive of one of the member's copies.

    Raises:
        CopyNotFoundError: somebody else's, not ready, or not kept any more.
    """
    row = session.get(SubjectExport, export_id)
    is_there = row is not None and row.user_id == user_id and row.created_at > at - KEPT
    path = file_of(export_id)
    if not is_there or not path.exists():
        raise CopyNotFoundError
    return path.read_bytes()


def expire(session: Session, export_id: SubjectExportId) -> None:
    """The copy is gone."""
    session.execute(delete(SubjectExport).where(SubjectExport.id == export_id))
    path = file_of(export_id)
    after_commit(session, lambda: path.unlink(missing_ok=True))


def forget(session: Session, ids: Sequence[UserId]) -> None:
    """No copy of these members is left."""
    found = session.scalars(select(SubjectExport.id).where(SubjectExport.user_id.in_(ids)))
    for export_id in found.all():
        expire(session, export_id)
