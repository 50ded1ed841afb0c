"""Audience files: stored, read in checkpointed parts, checked as a set.

A part is one transaction: its rows and the checkpoint commit together, so reading goes on after a
kill and repeats nothing. Python looks at each row alone; whatever takes more than one row, or
what is known already, is one SQL statement (`app.campaigns.checks`).
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Select, delete, select, text
from sqlalchemy.orm import Session

from app.campaigns import checks, columns
from app.campaigns.errors import AudienceNotFromFileError
from app.campaigns.models import AudienceFile, AudienceKind, AudienceRow, Campaign, FileState
from app.uploads import detection, spreadsheet
from app.uploads.errors import FileUnreadableError
from app.uploads.export import as_csv
from app.uploads.records import BEGINNING, GONE, Dialect, Place, Record, read_records
from core import jobs
from core.db import after_commit
from core.ids import new_id
from core.settings import core_settings
from core.types import AudienceFileId

FILE_BYTES = 2_000_000_000
ROWS_A_PART = 50_000
TASK = "campaigns.read_file"
UNFINISHED = (FileState.READING, FileState.CHECKING, FileState.REPLACED)
_SAMPLE = 20
# COPY does not go through a policy, so it fills a table of this transaction first.
_STAGE = text(
    "CREATE TEMPORARY TABLE audience_part (line integer, email text,"
    ' email_key text COLLATE "C", address bytea, quantity integer,'
    " reward text, key text, reason text, text text)"
)
_COPY = "COPY audience_part FROM STDIN"
_LOAD = text(
    "INSERT INTO audience_rows"
    " (file_id, line, email, email_key, address, quantity, reward, key, user_id, reason, text)"
    " SELECT :file_id, part.line, part.email, part.email_key, part.address, part.quantity,"
    " part.reward, part.key,"
    " coalesce(users.id, wallets.owner_id), part.reason, part.text FROM audience_part part"
    " LEFT JOIN users ON users.email_key = part.email_key"
    " LEFT JOIN wallets ON wallets.address = part.address AND wallets.kind = 'member'"
)
_UNSTAGE = text("DROP TABLE audience_part")


def upload(
    session: Session, campaign: Campaign, file_name: str, content: BinaryIO, *, at: datetime
) -> AudienceFile:
    """The file is stored, and read in the background from now on."""
    row = AudienceFile(
        id=AudienceFileId(new_id()),
        campaign_id=campaign.id,
        file_name=file_name or "recipients.csv",
        actor=session.info["actor"],
        rejected={},
        created_at=at,
    )
    path = file_path(row.id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("wb") as target:
        shutil.copyfileobj(content, target)
    session.add(row)
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)
    return row


def file_path(file_id: AudienceFileId) -> Path:
    """Where the uploaded file is, until it is read."""
    return core_settings().data_dir / "audiences" / f"{file_id.hex}.upload"


def find(session: Session, campaign: Campaign) -> AudienceFile | None:
    """The file the campaign is for, or None when it is for others."""
    if campaign.audience_kind is not AudienceKind.FILE or campaign.audience_id is None:
        return None
    return session.get_one(AudienceFile, AudienceFileId(campaign.audience_id))


def get(session: Session, campaign: Campaign) -> AudienceFile:
    """The file the campaign is for.

    Raises:
        AudienceNotFromFileError: it is for others.
    """
    row = find(session, campaign)
    if row is None:
        raise AudienceNotFromFileError
    return row


def replace(session: Session, campaign: Campaign) -> None:
    """The campaign's file is read no further, and is deleted in the background.

    Locks: the file.
    """
    row = find(session, campaign)
    if row is not None:
        campaign.audience_id = None
        discard(session, row)


def discard(session: Session, row: AudienceFile) -> None:
    """The file is read no further, and is deleted in the background.

    Locks: the file.
    """
    session.refresh(row, with_for_update=True)
    row.state = FileState.REPLACED
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)


def find_more(session: Session, campaign: Campaign) -> AudienceFile | None:
    """The file that shall add recipients to the published campaign, or None."""
    return session.scalar(
        select(AudienceFile)
        .where(
            AudienceFile.campaign_id == campaign.id,
            AudienceFile.id != campaign.audience_id,
            AudienceFile.state != FileState.REPLACED,
        )
        .order_by(AudienceFile.id.desc())
        .limit(1)
    )


def discard_more(session: Session, campaign: Campaign) -> None:
    """No file waits any more to add recipients.

    Locks: the files.
    """
    while (waiting := find_more(session, campaign)) is not None:
        discard(session, waiting)


def check_again(session: Session, campaign: Campaign) -> None:
    """The rewards that rows name are compared with what the campaign gives now.

    Locks: the file.
    """
    row = find(session, campaign)
    if row is None:
        return
    session.refresh(row, with_for_update=True)
    if row.state is FileState.READY and checks.names_rewards(session, row.id):
        row.state = FileState.CHECKING
        session.flush()
        jobs.after_commit(session, TASK, row.merchant_id, row.id)


def run_part(session: Session, file_id: AudienceFileId, *, at: datetime) -> bool:
    """The next part of the work on the file is done.

    Returns:
        True while there is more to do.

    Locks: the file.
    """
    row = session.scalar(
        select(AudienceFile)
        .where(AudienceFile.id == file_id, AudienceFile.state.in_(UNFINISHED))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return False
    if row.state is FileState.REPLACED:
        return _delete(session, row)
    if row.state is FileState.CHECKING:
        return _check(session, row, at=at)
    row.started_at = row.started_at or at
    try:
        if row.layout is None:
            _look(row)
        else:
            with session.begin_nested():
                _load(session, row)
    except FileUnreadableError as error:
        row.state, row.failure, row.finished_at = FileState.FAILED, str(error), at
        _forget_upload(session, row)
        return False
    return True


def _delete(session: Session, row: AudienceFile) -> bool:
    session.execute(delete(AudienceRow).where(AudienceRow.file_id == row.id))
    session.delete(row)
    _forget_upload(session, row)
    return False


def _forget_upload(session: Session, row: AudienceFile) -> None:
    """What the brand's file said of people is kept in one place only."""
    after_commit(session, partial(file_path(row.id).unlink, missing_ok=True))


def _look(row: AudienceFile) -> None:
    """How the file is read is known; a spreadsheet is a table from now on."""
    path = file_path(row.id)
    try:
        if spreadsheet.is_spreadsheet(path):
            table = path.with_suffix(".table")
            spreadsheet.convert(path, table)
            table.replace(path)
            found = detection.Detection(Dialect(","), detection.detect(path).lines)
        else:
            found = detection.detect(path)
    except OSError:
        raise FileUnreadableError(GONE) from None
    first = next(read_records(path, found.dialect), None)
    if first is None:
        raise FileUnreadableError("The file is empty. Export it again and upload that.")
    row.layout = columns.layout_of(found.dialect, first.cells).dump()
    row.line_count = found.lines


def _load(session: Session, row: AudienceFile) -> None:
    """The next rows of the file are in the table, with the members they name."""
    assert row.layout is not None  # looked at before
    layout = columns.load_layout(row.layout)
    records = _records_from(row, layout)
    session.execute(_STAGE)
    count = 0
    judge = columns.Judge(layout)
    cursor: Any = session.connection().connection.cursor()
    with cursor, cursor.copy(_COPY) as copy:
        for count, record in enumerate(islice(records, ROWS_A_PART), start=1):  # noqa: B007
            copy.write_row(judge(record))
    session.execute(_LOAD, {"file_id": row.id})
    session.execute(_UNSTAGE)
    row.row_count += count
    following = next(records, None)
    if following is not None:
        place = following.place
        row.next_record, row.next_line, row.next_byte = place.number, place.line, place.byte
    elif row.row_count == 0:
        raise FileUnreadableError("The file has a header but no rows.")
    else:
        row.next_line += count
        row.state = FileState.CHECKING
    session.flush()


def _records_from(row: AudienceFile, layout: columns.Layout) -> Iterator[Record]:
    start = Place(row.next_record, row.next_line, row.next_byte)
    records = read_records(file_path(row.id), layout.dialect, start=start)
    if start == BEGINNING and layout.has_header:
        next(records, None)
    return records


def _check(session: Session, row: AudienceFile, *, at: datetime) -> bool:
    row.rejected = checks.check(session, row)
    row.state, row.finished_at = FileState.READY, at
    _forget_upload(session, row)
    return False


@dataclass(frozen=True)
class Progress:
    """How far the reading is: lines, lines a second, seconds left."""

    done: int
    total: int
    rate: int | None
    remaining: int | None


def progress(row: AudienceFile, *, at: datetime) -> Progress:
    """How far the file is read."""
    done = row.next_line - 1
    seconds = (at - row.started_at).total_seconds() if row.started_at else 0.0
    rate = int(done / seconds) if seconds and done else None
    remaining = max(0, row.line_count - done) // rate if rate else None
    return Progress(done, max(row.line_count, done), rate, remaining)


def sample_rejected(session: Session, row: AudienceFile) -> list[AudienceRow]:
    """The first rejected rows, by line."""
    return list(session.scalars(_rejected(row).limit(_SAMPLE)))


def rejected_as_csv(session: Session, row: AudienceFile) -> Iterator[str]:
    """The error file: line, reason, and what the row said."""
    found = session.scalars(_rejected(row).execution_options(yield_per=1_000))
    rows = ((it.line, it.reason, it.text) for it in found)
    return as_csv(chain([("line", "reason", "row")], rows))


def _rejected(row: AudienceFile) -> Select[AudienceRow]:
    return (
        select(AudienceRow)
        .where(AudienceRow.file_id == row.id, AudienceRow.reason.is_not(None))
        .order_by(AudienceRow.line)
    )
