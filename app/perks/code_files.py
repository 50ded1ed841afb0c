"""Files of codes as people steer them: uploaded, or codes made by a pattern; and what was refused.

Whatever takes time is done in parts by the worker (`app.perks.code_loading`).
"""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.perks.code_models import CodeFile, CodeFileState, CodeRefusal
from app.perks.errors import CodeFileNotFoundError, NoPoolError, PatternInvalidError, PoolFullError
from app.perks.models import Perk
from app.perks.patterns import Pattern
from app.uploads.export import as_csv
from core import jobs
from core.ids import new_id
from core.settings import core_settings
from core.types import CodeFileId, PerkId

FILE_BYTES = 2_000_000_000
MOST_CODES = 10_000_000
TASK = "perks.load_codes"
_LONGEST_UPLOAD = timedelta(days=1)


def upload(session: Session, perk: Perk, name: str, content: BinaryIO, *, at: datetime) -> CodeFile:
    """The file is stored, and its codes get into the pool in the background.

    Raises:
        NoPoolError: the perk has no codes.
    """
    row = _new(perk, name or "codes.csv", session.info["actor"], at=at)
    path = upload_path(row.id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("wb") as target:
        shutil.copyfileobj(content, target, 1 << 20)
    path.chmod(0o600)
    row.byte_count = path.stat().st_size
    return _begin(session, row)


def generate(
    session: Session, perk: Perk, pattern: Pattern, count: int, *, at: datetime
) -> CodeFile:
    """So many codes are made in the background.

    Raises:
        NoPoolError: the perk has no codes.
        PatternInvalidError: they cannot be made so.
        PoolFullError: the pool would have more than one may have.
    """
    if count < 1:
        raise PatternInvalidError({"count": "At least one."})
    if perk.code_count + count > MOST_CODES:
        raise PoolFullError(MOST_CODES)
    pattern.check(count)
    row = _new(perk, f"{pattern.prefix}{'•' * pattern.length}", session.info["actor"], at=at)
    row.pattern, row.wanted_count = pattern.dump(), count
    return _begin(session, row)


def _new(perk: Perk, name: str, actor: str, *, at: datetime) -> CodeFile:
    if not perk.has_pool:
        raise NoPoolError(perk.title)
    return CodeFile(
        id=CodeFileId(new_id()),
        perk_id=perk.id,
        name=name[:200],
        state=CodeFileState.RUNNING,
        actor=actor,
        created_at=at,
    )


def _begin(session: Session, row: CodeFile) -> CodeFile:
    session.add(row)
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)
    return row


def get(session: Session, perk: Perk, file_id: CodeFileId) -> CodeFile:
    """The file of this perk.

    Raises:
        CodeFileNotFoundError: it has none with the id.
    """
    row = session.get(CodeFile, file_id)
    if row is None or row.perk_id != perk.id:
        raise CodeFileNotFoundError(file_id)
    return row


def of_perk(session: Session, perk_id: PerkId, *, limit: int = 20) -> Sequence[CodeFile]:
    """The newest files of the perk."""
    query = select(CodeFile).where(CodeFile.perk_id == perk_id).order_by(CodeFile.id.desc())
    return session.scalars(query.limit(limit)).all()


def upload_path(file_id: CodeFileId) -> Path:
    """Where the file is as it was uploaded."""
    return core_settings().data_dir / "codes" / f"{file_id.hex}.upload"


def table_path(file_id: CodeFileId) -> Path:
    """Where the file is as a table."""
    return upload_path(file_id).with_suffix(".table")


def forget_files(file_id: CodeFileId) -> None:
    """Nothing of the file is kept: its codes are readable there."""
    for path in (upload_path(file_id), table_path(file_id)):
        path.unlink(missing_ok=True)


def forget_left(session: Session, *, at: datetime) -> int:
    """Nothing is kept of files that were read, whatever ended the worker that had read them.

    Args:
        session: of the engine.

    Returns:
        How many there were, those among them that were never wholly uploaded.
    """
    paths = sorted(upload_path(CodeFileId(UUID(int=0))).parent.glob("*"))
    by_id = {path: CodeFileId(UUID(hex=path.stem)) for path in paths}
    rows = session.execute(
        select(CodeFile.id, CodeFile.state).where(CodeFile.id.in_(set(by_id.values())))
    )
    states = {file_id: state for file_id, state in rows}
    gone = 0
    for path, file_id in by_id.items():
        is_read = file_id in states and states[file_id] is not CodeFileState.RUNNING
        if is_read or (file_id not in states and _is_old(path, at)):
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def _is_old(path: Path, at: datetime) -> bool:
    """No upload takes so long before its row is there."""
    return at - datetime.fromtimestamp(path.stat().st_mtime, UTC) > _LONGEST_UPLOAD


def refusals_as_csv(session: Session, row: CodeFile) -> Iterator[str]:
    """The error file: line and reason. What the line said was a code, perhaps a good one."""
    query = (
        select(CodeRefusal)
        .where(CodeRefusal.file_id == row.id)
        .order_by(CodeRefusal.line)
        .execution_options(yield_per=1000)
    )
    found = ((it.line, it.reason) for it in session.scalars(query))
    return as_csv(chain([("line", "reason")], found))
