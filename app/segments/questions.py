"""Which of given members meet which of many rules: one statement, written once and asked again.

Hundreds of rules may read one property. Writing their SQL takes longer than deciding about a
member, so the statement is kept with the book of rules it was written from; only the members and
what depends on now are other parameters each time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.orm import Session

from app.segments import compile as compiler
from app.segments.book import Book
from app.segments.ground import GoneError, Ground
from app.users.models import User
from core.types import SegmentId, UserId

_MEMBERS = "members"
_DIALECT = dialect()  # type: ignore[no-untyped-call]
_IDS: UUID[Any] = UUID(as_uuid=True)


@dataclass(frozen=True)
class Question:
    """Whether members meet the rules of these segments.

    Args:
        statement: SQL as the driver takes it, and `values` its parameters.
        moments: parameters that depend on now.
    """

    segments: Sequence[SegmentId]
    statement: str
    values: Mapping[str, Any]
    moments: Sequence[tuple[str, Callable[[Ground], Any]]]

    def ask(
        self, session: Session, users: Sequence[UserId], ground: Ground
    ) -> Iterator[tuple[SegmentId, UserId]]:
        """Each member with each of the segments whose rule it meets."""
        values = {name: of(ground) for name, of in self.moments}
        rows = session.connection().exec_driver_sql(
            self.statement, {**self.values, **values, _MEMBERS: list(users)}
        )
        for user, *answers in rows:
            for segment, is_met in zip(self.segments, answers, strict=True):
                if is_met:
                    yield segment, user


def question(book: Book, segments: frozenset[SegmentId], ground: Ground) -> Question:
    """The question about these segments of the book, as it was written before or written now."""
    slots = tuple((key, str(it.sought)) for key, it in ground.fields.items() if it.property_id)
    key = (segments, slots, ground.zone.key)
    found = book.questions.get(key)
    if found is None:
        found = book.questions[key] = _write(sorted(segments), ground.of_few())
    return found


def _write(segments: Sequence[SegmentId], ground: Ground) -> Question:
    asked: list[Any] = []
    answered: list[SegmentId] = []
    for segment in segments:
        try:
            asked.append(compiler.meets(ground.known[segment], ground).label(f"s{len(asked)}"))
        except GoneError:
            continue  # what it names went away: it keeps whom it has until it is built again
        answered.append(segment)
    members = func.unnest(bindparam(_MEMBERS, type_=ARRAY(_IDS)), type_=_IDS)
    query = select(User.id, *asked).where(
        compiler.is_member(ground.merchant), User.id.in_(select(members))
    )
    compiled = query.compile(dialect=_DIALECT)
    moments = [(compiled.bind_names[it], of) for it, of in ground.moments]
    values = {
        name: value.value if isinstance(value, Enum) else value
        for name, value in compiled.params.items()
    }
    return Question(answered, str(compiled), values, moments)
