"""Gets codes into pools in parts, each of them one transaction with its checkpoint.

A part is read, hashed and sealed here, copied to the database in one piece and taken over by one
statement; a worker that is killed anywhere goes on at the next part and repeats nothing.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.accounts.emails import EmailInvalidError, email_key
from app.perks import code_files, codes
from app.perks.code_models import CodeFile, CodeFileState
from app.perks.errors import PoolFullError
from app.perks.models import Perk
from app.perks.patterns import Pattern
from app.uploads import blocks, tables
from app.uploads.blocks import Block, Spot
from app.uploads.errors import FileUnreadableError
from app.uploads.records import Dialect, read_records
from app.uploads.tables import Layout
from core.db import after_commit, choose_actor, merchant_of
from core.events import emit
from core.ids import new_id
from core.types import CodeFileId, PerkCodeId

PART_BYTES = 2 << 20
MADE_AT_ONCE = 50_000
_ONE_A_LINE = "\x1f"
"""Separates nothing in a file of plain text: there a line is a code."""
_NAMES = {
    "code": ("code", "codes", "coupon", "voucher"),
    "expires": ("expiresat", "expires_at", "expires", "expiry", "expiration", "valid until"),
    "email": ("email", "e-mail", "mail"),
}


class Row(NamedTuple):
    """A code on its way: its line in the file, and for whom until when it is."""

    line: int
    code: str
    expires_at: datetime | None = None
    reserved_for: str | None = None


def run_part(session: Session, file_id: CodeFileId, *, at: datetime) -> bool:
    """The next part of the file is in the pool.

    Returns:
        True while there is more to do.

    Locks: the file, then the perk.
    """
    row = session.scalar(
        select(CodeFile)
        .where(CodeFile.id == file_id, CodeFile.state == CodeFileState.RUNNING)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return False
    choose_actor(session, row.actor)
    try:
        with session.begin_nested():
            return _make(session, row, at=at) if row.pattern else _read(session, row, at=at)
    except (FileUnreadableError, PoolFullError) as error:
        session.refresh(row)
        row.failure = str(error)
        _end(session, row, CodeFileState.FAILED, at=at)
        return False


def _make(session: Session, row: CodeFile, *, at: datetime) -> bool:
    pattern = Pattern.load(row.pattern or {})
    count = min(MADE_AT_ONCE, row.wanted_count - row.added_count)
    _load(session, row, [Row(number, pattern.make()) for number in range(count)], is_made=True)
    if row.added_count < row.wanted_count:
        return True
    _end(session, row, CodeFileState.COMPLETED, at=at)
    return False


def _read(session: Session, row: CodeFile, *, at: datetime) -> bool:
    table = code_files.table_path(row.id)
    if row.layout is None:
        _look(row, table)
    layout = row.layout or {}
    start = Spot(row.next_byte, row.next_line) if row.next_byte else blocks.beginning(table)
    block = blocks.read_block(
        table, layout["delimiter"], layout["width"], at=start, size=PART_BYTES
    )
    rows, refused = _rows(block, layout, is_first=row.next_byte == 0)
    _load(session, row, rows, refused=refused)
    row.next_byte, row.next_line = block.after.byte, block.after.line
    if not block.is_last:
        return True
    is_whole = row.refused_count == 0
    state = CodeFileState.COMPLETED if is_whole else CodeFileState.COMPLETED_WITH_ERRORS
    _end(session, row, state, at=at)
    return False


def _look(row: CodeFile, table: Path) -> None:
    """How the file is written and what its columns are is known from here on."""
    upload = code_files.upload_path(row.id)
    layout = tables.look(upload)
    if row.name.lower().endswith(".txt") and not layout.sheets:
        layout = Layout(layout.encoding, _ONE_A_LINE)
    tables.make(upload, table, layout)
    first = next(iter(read_records(table, Dialect(layout.delimiter))), None)
    if first is None:
        raise FileUnreadableError("The file holds no codes. Export it again and upload that.")
    named = _columns([cell.strip().lower() for cell in first.cells])
    row.byte_count = table.stat().st_size
    row.layout = {
        "delimiter": layout.delimiter,
        "width": len(first.cells),
        "has_header": named is not None,
        **(named or {"code": 0, "expires": 1, "email": 2}),
        "was": asdict(layout),
    }


def _columns(cells: Sequence[str]) -> dict[str, int] | None:
    """Which column says what, if the first record names them."""
    found = {
        kind: place
        for kind, names in _NAMES.items()
        for place, cell in enumerate(cells)
        if cell in names
    }
    return {kind: found.get(kind, len(cells)) for kind in _NAMES} if "code" in found else None


def _rows(
    block: Block, layout: dict[str, Any], *, is_first: bool
) -> tuple[list[Row], list[tuple[int, str]]]:
    """The rows that may be codes, and those that are none with their reasons."""
    nothing = [None] * len(block.lines)
    width = layout["width"]
    chosen = [
        block.columns[layout[kind]].to_pylist() if layout[kind] < width else nothing
        for kind in ("code", "expires", "email")
    ]
    records = list(zip(block.lines, *chosen, strict=True))
    if is_first and layout["has_header"]:
        records = records[1:]
    rows: list[Row] = []
    refused = [(line, "illegal_character") for line, _ in block.misfits]
    for line, code, expires, email in records:
        try:
            if line in block.broken:
                raise ValueError("illegal_character")
            rows.append(Row(line, _code(code), _moment(expires), _address(email)))
        except ValueError as reason:
            refused.append((line, str(reason)))
    return rows, refused


def _code(cell: str | None) -> str:
    code = (cell or "").strip()
    if not code:
        raise ValueError("empty")
    if len(code) > codes.LONGEST:
        raise ValueError("too_long")
    if not code.isprintable():
        raise ValueError("illegal_character")
    return code


def _moment(cell: str | None) -> datetime | None:
    """A day without a time ends with that day; a time without a zone is in UTC."""
    said = (cell or "").strip()
    if not said:
        return None
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise ValueError("date_invalid") from None
    if len(said) == len("2026-12-31"):
        found = found.replace(hour=23, minute=59, second=59)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _address(cell: str | None) -> str | None:
    said = (cell or "").strip()
    if not said:
        return None
    try:
        return email_key(said)
    except EmailInvalidError:
        raise ValueError("email_invalid") from None


def _load(
    session: Session,
    row: CodeFile,
    rows: Sequence[Row],
    *,
    refused: Iterable[tuple[int, str]] = (),
    is_made: bool = False,
) -> None:
    """The rows are in the pool; what is there already is refused, or, of made ones, made again."""
    session.execute(text(_TEMPORARY))
    _copy(session, _lines(row, rows))
    values = {"merchant": merchant_of(session), "perk": row.perk_id, "file": row.id}
    added, reserved = session.execute(text(_INSERT), values).one()
    told = [*refused]
    if added < len(rows) and not is_made:
        told += [(line, reason) for line, reason in session.execute(text(_TWICE), values)]
    session.execute(text("DROP TABLE code_part"))
    if told:
        values_of = [{"file": row.id, "line": line, "reason": reason} for line, reason in told]
        session.execute(text(_REFUSE), values_of)
    perk = session.get_one(Perk, row.perk_id, with_for_update=True, populate_existing=True)
    perk.code_count += added
    perk.has_reserved_codes = perk.has_reserved_codes or reserved > 0
    if perk.code_count > code_files.MOST_CODES:
        raise PoolFullError(code_files.MOST_CODES)
    row.added_count += added
    row.refused_count += len(told)
    session.flush()


def _lines(row: CodeFile, rows: Sequence[Row]) -> Iterable[str]:
    """What COPY reads: one row a line, nothing in it that COPY would take for itself."""
    for it in rows:
        code_id = PerkCodeId(new_id())
        yield "\t".join(
            (
                str(it.line),
                str(code_id),
                f"\\\\x{codes.fingerprint_of(row.perk_id, it.code).hex()}",
                f"\\\\x{codes.seal(code_id, it.code).hex()}",
                "\\N" if it.expires_at is None else it.expires_at.isoformat(),
                "\\N" if it.reserved_for is None else _escaped(it.reserved_for),
            )
        )


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _copy(session: Session, lines: Iterable[str]) -> None:
    buffer = io.StringIO()
    for line in lines:
        buffer.write(line)
        buffer.write("\n")
    cursor: Any = session.connection().connection.cursor()
    with cursor, cursor.copy("COPY code_part FROM STDIN") as copy:
        copy.write(buffer.getvalue())


def _end(session: Session, row: CodeFile, state: CodeFileState, *, at: datetime) -> None:
    row.state, row.finished_at = state, at
    session.flush()
    after_commit(session, partial(code_files.forget_files, row.id))
    emit(
        session,
        "cohort.perk.codes-added",
        at=at,
        perkId=str(row.perk_id),
        added=row.added_count,
        refused=row.refused_count,
    )


_TEMPORARY = (
    "CREATE TEMPORARY TABLE code_part (line bigint, id uuid, fingerprint bytea, sealed bytea,"
    " expires_at timestamptz, reserved_for text)"
)
# In the order of the hashes: two files at the same time wait for each other instead of crosswise,
# and neighbours in the index are written together.
_INSERT = """
WITH added AS (
  INSERT INTO perk_codes
    (id, merchant_id, perk_id, file_id, fingerprint, sealed, expires_at, reserved_for, state)
  SELECT id, :merchant, :perk, :file, fingerprint, sealed, expires_at,
    CASE WHEN reserved_for IS NOT NULL THEN coalesce((
      SELECT survivor.email_key FROM users JOIN users survivor ON survivor.id = users.merged_into_id
      WHERE users.merchant_id = :merchant AND users.email_key = reserved_for
    ), reserved_for) END, 'free'
  FROM (SELECT DISTINCT ON (fingerprint) * FROM code_part ORDER BY fingerprint, line) AS firsts
  ORDER BY fingerprint
  ON CONFLICT (perk_id, fingerprint) DO NOTHING
  RETURNING reserved_for
)
SELECT count(*), count(reserved_for) FROM added
"""
_TWICE = """
SELECT p.line, CASE WHEN c.file_id = :file THEN 'duplicate_in_file' ELSE 'duplicate_in_pool' END
FROM code_part p
JOIN LATERAL (
  SELECT file_id, id FROM perk_codes
  WHERE perk_id = :perk AND fingerprint = p.fingerprint LIMIT 1
) c ON true
WHERE c.id <> p.id
"""
_REFUSE = "INSERT INTO code_refusals (file_id, line, reason) VALUES (:file, :line, :reason)"
