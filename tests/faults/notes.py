"""Notes the database takes of writes that undo what others found: the oracle for frozen workers.

A row may only move forward: nothing leaves `final`, no nonce and no finality line goes back, a send
is not forgotten, and no bytes are added to what is in a block. One thing more can be stale, and
only the chain shows it: a block that a worker asked about, which left the chain while the worker
stood still.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

_TABLES = """
CREATE TABLE faults_notes (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL DEFAULT current_setting('application_name'),
    what text NOT NULL,
    detail text
)
"""
_BACKWARDS = {
    "transactions": {
        "a final transaction was written again": "OLD.state = 'final'",
        "a nonce changed": "NEW.nonce <> OLD.nonce",
    },
    "attempts": {
        "the last send went back": "NEW.last_sent_at < OLD.last_sent_at",
        "the first send changed": "OLD.first_sent_at <> NEW.first_sent_at",
        "an acceptance was forgotten": "OLD.accepted_at IS NOT NULL AND NEW.accepted_at IS NULL",
        "signed bytes changed": "NEW.raw <> OLD.raw",
    },
    "batches": {
        "a final batch was written again": "OLD.state = 'final' AND NEW.state <> 'final'",
        "an assigned batch was planned again": "OLD.state = 'assigned' AND NEW.state = 'planned'",
    },
    "lanes": {"the next nonce went back": "NEW.next_nonce < OLD.next_nonce"},
    "chains": {"the finality line went back": "NEW.final_number < OLD.final_number"},
}
_IN_BLOCK = "in a block"


@dataclass(frozen=True)
class Freeze:
    """A worker that stood still, between two moments of the wall clock."""

    who: str
    since: float
    until: float


def prepare(owner_url: str) -> None:
    """The database takes notes from now on."""
    statements = [_TABLES]
    for table, rules in _BACKWARDS.items():
        checks = [_note(what, condition) for what, condition in rules.items()]
        if table == "transactions":
            moved = "NEW.block_hash IS NOT NULL AND NEW.block_hash IS DISTINCT FROM OLD.block_hash"
            checks.append(_note(_IN_BLOCK, moved, "encode(NEW.block_hash, 'hex')"))
        statements += _trigger(table, "UPDATE", checks)
    in_block = (
        "(SELECT state FROM transactions WHERE id = NEW.transaction_id) IN ('mined', 'final')"
    )
    statements += _trigger("attempts", "INSERT", [_note("bytes for what is in a block", in_block)])
    engine = create_engine(owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _note(what: str, condition: str, detail: str = "NULL") -> str:
    insert = f"INSERT INTO faults_notes (what, detail) VALUES ('{what}', {detail})"
    return f"IF {condition} THEN {insert}; END IF;"


def _trigger(table: str, event: str, checks: Sequence[str]) -> list[str]:
    name = f"faults_{table}_{event.lower()}"
    body = " ".join(checks)
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        f" SET search_path = public AS $$ BEGIN {body} RETURN NULL; END $$",
        f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def stale_writes(
    owner_url: str, freezes: Sequence[Freeze], abandoned: dict[str, float]
) -> list[str]:
    """Every write that should not have been accepted, in words.

    Args:
        abandoned: block hash (0x…) -> when it left the chain.
    """
    engine = create_engine(owner_url, poolclass=NullPool)
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT at, who, what, detail FROM faults_notes")).all()
    found = []
    for at, who, what, detail in rows:
        if what != _IN_BLOCK:
            found.append(f"{who}: {what}")
        elif _slept_since(freezes, who, at, abandoned.get("0x" + detail)):
            found.append(f"{who}: a block that left the chain while it stood still")
    return found


def _slept_since(freezes: Sequence[Freeze], who: str, at: datetime, left: float | None) -> bool:
    """Whether the block left the chain before a thaw after which the worker wrote it.

    What it asked after the thaw cannot name the block any more, so it asked before.
    """
    if left is None:
        return False
    moment = at.timestamp()
    return any(it.who == who and left < it.until <= moment for it in freezes)
