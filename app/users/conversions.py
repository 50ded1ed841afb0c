"""Changes of a property's type: tried over every member, run into a new slot, taken back.

The values are converted a part a transaction, so that a kill costs one part. A last look at all of
them, while nobody may write, finds what changed meanwhile; then the property points at the new
slot. The old one is kept for thirty days, and going back is pointing at it again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from app.users import properties, slots, stored, values
from app.users.conversion_rules import TARGETS, Rules, Shape, convert
from app.users.errors import ConversionStateError, PropertyInvalidError, ValueInvalidError
from app.users.models import Property, PropertyChange, User
from app.users.slots import Kind
from app.users.upkeep_models import Conversion, ConversionState
from app.users.values import Value
from core import jobs
from core.db import merchant_of
from core.ids import encode_id, new_id
from core.types import ConversionId, UserId

TASK = "users.convert_property"
VALUES_A_PART = 20_000
EXAMPLES = 100
KEPT = timedelta(days=30)
"""How long the values from before a change of type are kept."""
UNFINISHED = (ConversionState.COUNTING, ConversionState.RUNNING)
_OPEN = (*UNFINISHED, ConversionState.PREVIEWED)

Found = Sequence[tuple[UserId, Value]]


def begin(
    session: Session, row: Property, target: Shape, rules: Rules, *, at: datetime
) -> Conversion:
    """What changing the type would do is being found out, over all members; nothing is written.

    Raises:
        PropertyInvalidError: values of the kind cannot become the other.
        ConversionStateError: another change is open, or can still be taken back.

    Locks: the merchant's properties.
    """
    properties.lock(session)
    if target.kind not in TARGETS[row.kind]:
        raise PropertyInvalidError({"kind": f"A {row.kind} cannot become a {target.kind}."})
    if find_open(session, row) is not None:
        raise ConversionStateError("Its type is being changed already.")
    if row.retired_slot is not None:
        raise ConversionStateError(
            "Its last change of type can still be taken back. Decide about that one first."
        )
    found = Conversion(
        id=ConversionId(new_id()),
        property_id=row.id,
        kind=target.kind,
        with_time=target.with_time and target.kind is Kind.DATE,
        options={**rules.as_options(), "with_time_before": row.with_time},
        user_count=session.scalar(select(func.count()).select_from(User)) or 0,
        value_count=_count(session, row),
        actor=session.info["actor"],
        created_at=at,
    )
    session.add(found)
    session.flush()
    jobs.after_commit(session, TASK, merchant_of(session), found.id)
    return found


def _count(session: Session, row: Property) -> int:
    value = slots.value_column(row.kind, row.slot)
    query = select(func.count()).select_from(User)
    return session.scalar(query.where(_of_merchant(session), value.is_not(None))) or 0


def find_open(session: Session, row: Property) -> Conversion | None:
    """The change of type that is not finished, or None."""
    return session.scalar(
        select(Conversion).where(Conversion.property_id == row.id, Conversion.state.in_(_OPEN))
    )


def find_last(session: Session, row: Property) -> Conversion | None:
    """The change of type that made the property what it is, or None."""
    return session.scalar(
        select(Conversion)
        .where(Conversion.property_id == row.id, Conversion.state == ConversionState.COMPLETED)
        .order_by(Conversion.id.desc())
        .limit(1)
    )


def run(session: Session, found: Conversion) -> None:
    """The values are converted from now on; those that cannot be are empty afterwards.

    Raises:
        ConversionStateError: it has not been tried, or has begun.

    Locks: the merchant's properties; the users table when its slot is new to the installation.
    """
    properties.lock(session)
    session.refresh(found)
    if found.state is not ConversionState.PREVIEWED:
        raise ConversionStateError("Find out first what changing the type would do.")
    found.slot = properties.free_slot(session, found.kind)
    found.state, found.next_user_id, found.seen_count = ConversionState.RUNNING, None, 0
    session.flush()
    jobs.after_commit(session, TASK, merchant_of(session), found.id)


def abort(session: Session, found: Conversion, *, at: datetime) -> None:
    """The type stays what it is.

    Raises:
        ConversionStateError: the values are being converted already.
    """
    if found.state is ConversionState.RUNNING:
        raise ConversionStateError("It is running. Take it back once it has ended.")
    found.state, found.finished_at = ConversionState.CANCELLED, at
    session.flush()


def run_part(session: Session, conversion_id: ConversionId, *, at: datetime) -> bool:
    """The next values are tried or converted; True while there are more.

    Args:
        session: as the engine's role, for one merchant.

    Locks: the conversion; for the last look, the merchant's properties.
    """
    found = session.scalar(
        select(Conversion)
        .where(Conversion.id == conversion_id, Conversion.merchant_id == merchant_of(session))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if found is None or found.state not in UNFINISHED:
        return False
    row = session.get_one(Property, found.property_id)
    part = _values_after(session, row, found.next_user_id)
    if not part:
        _end(session, row, found, at=at)
        return False
    converted, failed = _convert_all(part, row, found)
    if found.state is ConversionState.COUNTING:
        _note(found, converted, failed)
    else:
        assert found.slot is not None  # it is running
        stored.write(session, found.kind, found.slot, converted)
    found.seen_count += len(part)
    found.next_user_id = part[-1][0]
    session.flush()
    return True


def _values_after(session: Session, row: Property, after: UserId | None) -> Found:
    value = slots.value_column(row.kind, row.slot)
    query = select(User.id, value).where(_of_merchant(session), value.is_not(None))
    if after is not None:
        query = query.where(User.id > after)
    return [(it[0], it[1]) for it in session.execute(query.order_by(User.id).limit(VALUES_A_PART))]


def _of_merchant(session: Session) -> ColumnElement[bool]:
    return User.merchant_id == merchant_of(session)


def _convert_all(
    part: Found, row: Property, found: Conversion
) -> tuple[list[tuple[UserId, Value | None]], list[UserId]]:
    """What each becomes, and whose cannot become anything."""
    source, target = Shape(row.kind, row.with_time), Shape(found.kind, found.with_time)
    rules = Rules.from_options(found.options)
    converted: list[tuple[UserId, Value | None]] = []
    failed = []
    for user_id, value in part:
        try:
            converted.append((user_id, convert(value, source, target, rules)))
        except ValueInvalidError:
            failed.append(user_id)
    return converted, failed


def _note(
    found: Conversion, converted: Sequence[tuple[UserId, Value | None]], failed: list[UserId]
) -> None:
    found.converted_count += sum(value is not None for _, value in converted)
    found.failed_count += len(failed)
    room = EXAMPLES - len(found.failing)
    found.failing = [*found.failing, *(user.hex for user in failed[:room])]


def _end(session: Session, row: Property, found: Conversion, *, at: datetime) -> None:
    if found.state is ConversionState.COUNTING:
        found.state = ConversionState.PREVIEWED
        session.flush()
        return
    properties.lock(session)
    _look_again(session, row, found)
    row.retired_kind, row.retired_slot, row.converted_at = row.kind, row.slot, at
    assert found.slot is not None  # it is running
    row.kind, row.slot, row.with_time = found.kind, found.slot, found.with_time
    found.state, found.finished_at = ConversionState.COMPLETED, at
    session.flush()


def _look_again(session: Session, row: Property, found: Conversion) -> None:
    """What changed while the values were converted is right in the new slot, and counted."""
    assert found.slot is not None  # it is running
    old = slots.value_column(row.kind, row.slot)
    new = slots.value_column(found.kind, found.slot)
    found.converted_count = found.failed_count = 0
    query = select(User.id, old, new).where(
        _of_merchant(session), old.is_not(None) | new.is_not(None)
    )
    rows = session.execute(query.execution_options(yield_per=VALUES_A_PART))
    for part in rows.partitions():
        had = [(user, value) for user, value, _ in part if value is not None]
        converted, failed = _convert_all(had, row, found)
        wanted = dict(converted)
        stored.write(
            session,
            found.kind,
            found.slot,
            [(user, wanted.get(user)) for user, _, is_now in part if wanted.get(user) != is_now],
        )
        found.converted_count += sum(value is not None for value in wanted.values())
        found.failed_count += len(failed)


def can_roll_back(row: Property, *, at: datetime) -> bool:
    """Whether the values from before the last change of type are still there."""
    return row.converted_at is not None and at < row.converted_at + KEPT


def roll_back(session: Session, row: Property, *, at: datetime) -> None:
    """The property is of the type it was before, with the values it had then.

    Raises:
        ConversionStateError: there is nothing to go back to.

    Locks: the merchant's properties.
    """
    properties.lock(session)
    session.refresh(row)
    last = find_last(session, row)
    if last is None or not can_roll_back(row, at=at):
        raise ConversionStateError("There is nothing left to go back to.")
    assert row.retired_kind is not None and row.retired_slot is not None
    kind, slot = row.kind, row.slot
    row.kind, row.slot = row.retired_kind, row.retired_slot
    row.with_time = bool(last.options["with_time_before"])
    row.retired_kind, row.retired_slot, row.converted_at = kind, slot, None
    last.state = ConversionState.CANCELLED
    session.flush()


def keep(session: Session, row: Property) -> None:
    """The values from before the last change of type are cleared; nobody can go back.

    Raises:
        ConversionStateError: there are none.
    """
    if row.converted_at is None:
        raise ConversionStateError("There is nothing to forget.")
    row.converted_at = None
    session.flush()


def examples(session: Session, row: Property, found: Conversion) -> list[tuple[UserId, str]]:
    """The first members whose values cannot be converted, with the values as they are now."""
    ids = [UserId(UUID(user)) for user in found.failing]
    value = slots.value_column(*_before(row, found))
    rows = session.execute(
        select(User.id, value).where(User.id.in_(ids), value.is_not(None)).order_by(User.id)
    )
    shape = _shape_before(row, found)
    return [(it[0], values.show(it[1], shape.kind, with_time=shape.with_time)) for it in rows]


def failures(session: Session, row: Property, found: Conversion) -> Iterator[tuple[str, str, str]]:
    """Id, email and value of every member whose value cannot be converted."""
    shape, after = _shape_before(row, found), None
    value = slots.value_column(*_before(row, found))
    target, rules = Shape(found.kind, found.with_time), Rules.from_options(found.options)
    while True:
        query = select(User.id, User.email, value).where(value.is_not(None))
        if after is not None:
            query = query.where(User.id > after)
        part = session.execute(query.order_by(User.id).limit(VALUES_A_PART)).all()
        for user_id, email, it in part:
            try:
                convert(it, shape, target, rules)
            except ValueInvalidError:
                shown = values.show(it, shape.kind, with_time=shape.with_time)
                yield encode_id("usr", user_id), email, shown
        if not part:
            return
        after = part[-1][0]


def _before(row: Property, found: Conversion) -> tuple[Kind, int]:
    """Where the values are that are, or were, to be converted."""
    if found.state is ConversionState.COMPLETED and row.retired_kind and row.retired_slot:
        return row.retired_kind, row.retired_slot
    return row.kind, row.slot


def _shape_before(row: Property, found: Conversion) -> Shape:
    return Shape(_before(row, found)[0], bool(found.options["with_time_before"]))


def clear_due(session: Session, row: Property, *, at: datetime) -> bool:
    """Values nobody will see again are gone, some at a time; True while there are more.

    Those of a deleted property, and its history; those from before a change of type, after thirty
    days or when somebody said so. Then the slot is free.

    Args:
        session: as the engine's role, for the merchant of the property.
    """
    if row.retired_slot is not None and row.retired_kind is not None:
        if row.deleted_at is None and can_roll_back(row, at=at):
            return False
        if stored.clear_part(session, row.retired_kind, row.retired_slot):
            return True
        row.retired_kind = row.retired_slot = row.converted_at = None
    if row.deleted_at is not None:
        if stored.clear_part(session, row.kind, row.slot):
            return True
        key = encode_id("prp", row.id)
        history = delete(PropertyChange).where(
            PropertyChange.merchant_id == row.merchant_id, PropertyChange.field == key
        )
        session.execute(history)
        session.delete(row)
    session.flush()
    return False
