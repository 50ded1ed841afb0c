"""Imports as people steer them: a file is uploaded, mapped, tried, run, paused, undone.

Whatever takes time is done in parts by the worker (`app.users.imports.running`).
"""

import shutil
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy.orm import Session

from app.accounts import models as accounts
from app.uploads.errors import FileUnreadableError
from app.uploads.tables import Layout
from app.users.imports import consent_fields
from app.users.imports import mapping as mappings
from app.users.imports.cells import Reading
from app.users.imports.duplicates import Survey
from app.users.imports.errors import (
    ImportNotFoundError,
    ImportNotReadError,
    ImportStateError,
)
from app.users.imports.models import (
    ImportKind,
    ImportState,
    Mode,
    OnDuplicate,
    OnEmpty,
    UserImport,
)
from core import jobs
from core.db import merchant_of
from core.ids import new_id
from core.settings import core_settings
from core.types import ImportId, ListId

FILE_BYTES = 2_000_000_000
PASTE_BYTES = 5_000_000
TASK = "users.run_import"
EDITABLE = (ImportState.ANALYSED, ImportState.PREVIEWED)
MOVING = (
    ImportState.UPLOADED,
    ImportState.PREVIEWING,
    ImportState.RUNNING,
    ImportState.UNDOING,
)
"""States in which the worker has something to do."""
DONE = (ImportState.COMPLETED, ImportState.COMPLETED_WITH_ERRORS)
UNDO_DAYS = timedelta(days=30)


@dataclass(frozen=True)
class Options:
    """How the rows are taken; `reading` is how people write in the file.

    Args:
        event_type: of every row of a file of events, where no column says it.
        consent_basis: on what answers rest that the file says people gave.
        is_recreating: people who were erased are created again.
    """

    mode: Mode = Mode.CREATE_AND_UPDATE
    on_empty: OnEmpty = OnEmpty.SKIP
    on_duplicate: OnDuplicate = OnDuplicate.FIRST
    reading: Reading = field(default_factory=Reading)
    event_type: str | None = None
    consent_basis: str | None = None
    is_recreating: bool = False

    def dump(self) -> dict[str, Any]:
        """As the row keeps it."""
        said = asdict(self)
        del said["reading"]["latest"]  # known by the import itself
        return said


def load_options(said: dict[str, Any]) -> Options:
    """What `Options.dump` made."""
    if not said:
        return Options()
    return Options(
        Mode(said["mode"]),
        OnEmpty(said["on_empty"]),
        OnDuplicate(said["on_duplicate"]),
        Reading(**said["reading"]),
        said.get("event_type"),
        said.get("consent_basis"),
        said.get("is_recreating", False),
    )


def load_layout(row: UserImport) -> Layout:
    """How the import's file is read.

    Raises:
        ImportNotReadError: nobody has looked at it yet.
    """
    if row.layout is None:
        raise ImportNotReadError
    said = row.layout
    return Layout(**{**said, "sheets": tuple(said["sheets"])})


def upload(
    session: Session,
    file_name: str,
    content: BinaryIO,
    *,
    kind: ImportKind = ImportKind.USERS,
    list_id: ListId | None = None,
    at: datetime,
) -> UserImport:
    """The file is stored, and looked at in the background.

    Args:
        list_id: the list its people come on, unless another one is chosen later.
    """
    row = UserImport(
        id=ImportId(new_id()),
        kind=kind,
        file_name=file_name or f"{kind}.csv",
        state=ImportState.UPLOADED,
        list_id=list_id if kind is ImportKind.USERS else None,
        actor=session.info["actor"],
        created_at=at,
    )
    path = upload_path(row.id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("wb") as target:
        shutil.copyfileobj(content, target, 1 << 20)
    session.add(row)
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)
    return row


def upload_path(import_id: ImportId) -> Path:
    """Where the file is as it was uploaded."""
    return core_settings().data_dir / "imports" / f"{import_id.hex}.upload"


def table_path(import_id: ImportId) -> Path:
    """Where the file is as a table."""
    return upload_path(import_id).with_suffix(".table")


def forget_findings(import_id: ImportId) -> None:
    """What was found out about the file is not needed any more."""
    Survey(upload_path(import_id)).forget()


def forget_files(import_id: ImportId) -> None:
    """Nothing of the file is kept."""
    forget_findings(import_id)
    for path in (upload_path(import_id), table_path(import_id)):
        path.unlink(missing_ok=True)


def get(session: Session, import_id: ImportId) -> UserImport:
    """The import.

    Raises:
        ImportNotFoundError: this merchant has none with the id.
    """
    row = session.get(UserImport, import_id)
    if row is None:
        raise ImportNotFoundError(import_id)
    return row


def choose_layout(session: Session, row: UserImport, layout: Layout) -> None:
    """The file is read anew, in this way.

    Raises:
        ImportStateError: it has started.
    """
    _check_editable(row)
    row.layout, row.state, row.mapping = asdict(layout), ImportState.UPLOADED, {}
    _forget_findings(row)
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)


def choose_mapping(
    session: Session,
    row: UserImport,
    mapping: dict[int, str],
    *,
    options: Options = Options(),
    list_id: ListId | None = None,
) -> None:
    """The import will read its columns this way.

    Args:
        mapping: column position -> key of a field (`mapping.fields`).

    Raises:
        MappingInvalidError: nothing says who a row is of, or a field is named twice.
        ImportStateError: it has started.
    """
    _check_editable(row)
    _check_mapping(session, row, mapping, options)
    said = {str(position): key for position, key in mapping.items()}
    if (said, options.dump(), list_id) != (row.mapping, row.options, row.list_id):
        _forget_findings(row)
    row.mapping, row.options, row.list_id = said, options.dump(), list_id
    session.flush()


def _check_mapping(
    session: Session, row: UserImport, mapping: dict[int, str], options: Options
) -> None:
    columns = [str(column) for column in row.columns]
    mappings.check(row.kind, mapping, columns, event_type=options.event_type)
    is_live = session.get_one(accounts.Merchant, merchant_of(session)).mode is accounts.Mode.LIVE
    consent_fields.check(session, mapping.values(), options.consent_basis, is_live=is_live)


def _check_complete(session: Session, row: UserImport) -> None:
    mapping = {int(position): key for position, key in row.mapping.items()}
    _check_mapping(session, row, mapping, load_options(row.options))


def _forget_findings(row: UserImport) -> None:
    row.preview, row.is_surveyed, row.row_count, row.done_count = None, False, 0, 0
    row.next_byte, row.next_line = 0, 1
    if row.state is ImportState.PREVIEWED:
        row.state = ImportState.ANALYSED


def _check_editable(row: UserImport) -> None:
    if row.state not in EDITABLE:
        raise ImportStateError(row.id, row.state)


def preview(session: Session, row: UserImport, *, at: datetime) -> None:
    """What running the import would do is found out in the background; nothing is written.

    Raises:
        MappingInvalidError: the mapping is not complete.
        ImportStateError: it has started.
    """
    _check_editable(row)
    _check_complete(session, row)
    row.state, row.preview, row.resumed_at = ImportState.PREVIEWING, None, at
    row.next_byte, row.next_line, row.done_count = 0, 1, 0
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)


def start(session: Session, row: UserImport, *, at: datetime) -> None:
    """The import runs in the background from now on; starting it twice changes nothing.

    Raises:
        MappingInvalidError: the mapping is not complete.
    """
    if row.state not in EDITABLE:
        return
    _check_complete(session, row)
    row.state, row.started_at, row.resumed_at = ImportState.RUNNING, at, at
    row.next_byte, row.next_line, row.done_count = 0, 1, 0
    mappings.remember(session, row)
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)


def pause(session: Session, row: UserImport) -> None:
    """No further part is taken; a repeat changes nothing.

    Locks: the import, for as long as a part takes.
    """
    session.refresh(row, with_for_update=True)
    if row.state is ImportState.RUNNING:
        row.state = ImportState.PAUSED
        session.flush()


def resume(session: Session, row: UserImport, *, at: datetime) -> None:
    """A paused import goes on where it stood; a repeat changes nothing.

    Locks: the import.
    """
    session.refresh(row, with_for_update=True)
    if row.state is ImportState.PAUSED:
        row.state, row.resumed_at = ImportState.RUNNING, at
        session.flush()
        jobs.after_commit(session, TASK, row.merchant_id, row.id)


def undo(session: Session, row: UserImport, *, at: datetime) -> None:
    """What the import did is taken back in the background; a repeat changes nothing.

    Raises:
        ImportStateError: it has not ended, or more than 30 days ago.

    Locks: the import.
    """
    session.refresh(row, with_for_update=True)
    if row.state in (ImportState.UNDOING, ImportState.UNDONE):
        return
    if not is_undoable(row, at=at):
        raise ImportStateError(row.id, row.state)
    row.state, row.done_count, row.conflict_count = ImportState.UNDOING, 0, 0
    row.resumed_at = at
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)


def is_undoable(row: UserImport, *, at: datetime) -> bool:
    """Whether what it did can be taken back now."""
    return row.finished_at is not None and (
        (row.state in DONE or (row.state is ImportState.FAILED and row.started_at is not None))
        and at <= row.finished_at + UNDO_DAYS
    )


@dataclass(frozen=True)
class Progress:
    """How far the work is: of `total` so much is done, so many a second, so many seconds left."""

    done: int
    total: int
    rate: int | None
    remaining: int | None


def progress(row: UserImport, *, at: datetime) -> Progress:
    """How far the current pass over the file is; rows are estimated until the file was read."""
    total = row.row_count
    if not row.is_surveyed and row.next_byte:
        total = row.done_count * max(row.byte_count, 1) // row.next_byte
    seconds = (at - row.resumed_at).total_seconds() if row.resumed_at else 0.0
    rate = int(row.done_count / seconds) if seconds > 0 and row.done_count else None
    left = max(0, total - row.done_count)
    return Progress(
        row.done_count, max(total, row.done_count), rate, left // rate if rate else None
    )


def unreadable(row: UserImport, error: FileUnreadableError, *, at: datetime) -> None:
    """The import ends here; the sentence says why."""
    row.state, row.failure, row.finished_at = ImportState.FAILED, str(error), at
