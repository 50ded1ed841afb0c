"""Codes of pools: found by what is typed, shown to who may see them, voided, written out.

A code in the open leaves through `reveal` and `written` alone, and both leave an event behind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, Update, func, select, text, tuple_, update
from sqlalchemy.orm import Session

from app.perks import using
from app.perks.code_models import CodeState, PerkCode
from app.perks.errors import CodeUnknownError, NoPoolError
from app.perks.models import Holding, HoldingState, Perk, PerkState
from app.uploads.export import as_csv
from core import secrets
from core.db import change, unit_of_work
from core.events import emit
from core.ids import encode_id
from core.types import MerchantId, PerkCodeId, PerkId

LONGEST = 128
_SEALED = "perk-code"
MOST_TYPED = 1_000
MOST_AT_ONCE = 50_000
_WRITTEN_AT_ONCE = 5_000


def fingerprint_of(perk_id: PerkId, code: str) -> bytes:
    """What finds the code in the perk's pool."""
    return secrets.fingerprint(f"perk-code/{perk_id}", code)


def seal(code_id: PerkCodeId, code: str) -> bytes:
    """The code, readable by this installation, in this row."""
    return secrets.seal(_SEALED, code.encode(), bound_to=code_id.bytes)


def opened(row: PerkCode) -> str:
    """The code of the row; whoever calls this has logged it."""
    return secrets.unseal(_SEALED, row.sealed, bound_to=row.id.bytes).decode()


def find(session: Session, code: str) -> Sequence[Holding]:
    """The holdings that have this code, one a pool of the merchant; those of void codes, too.

    The caller learns from a holding's state that it is revoked. Every pool hashes in a way of its
    own, so each is asked by its own key.
    """
    typed = code.strip()
    if not 1 <= len(typed) <= LONGEST:
        return ()
    pools = session.scalars(
        select(Perk.id).where(Perk.code_count > 0, Perk.state != PerkState.DELETED)
    )
    keys = [(perk_id, fingerprint_of(perk_id, typed)) for perk_id in pools]
    places = tuple_(PerkCode.perk_id, PerkCode.fingerprint)
    return session.scalars(
        select(Holding)
        .join(PerkCode, PerkCode.holding_id == Holding.id)
        .where(places.in_(keys))
        .order_by(Holding.id)
    ).all()


def of_holding(session: Session, holding: Holding) -> PerkCode | None:
    """The row of the holding's code, still sealed."""
    return session.scalar(select(PerkCode).where(PerkCode.holding_id == holding.id))


def reveal(session: Session, holding: Holding, *, at: datetime) -> str:
    """The holding's code in the open; the event says who saw it.

    Raises:
        CodeUnknownError: it has none, or it is void.
    """
    row = of_holding(session, holding)
    if row is None or row.state is not CodeState.ASSIGNED:
        raise CodeUnknownError
    emit(
        session,
        "cohort.perk.code-revealed",
        at=at,
        user_id=holding.user_id,
        perkId=str(holding.perk_id),
        holdingId=str(holding.id),
    )
    return opened(row)


@dataclass(frozen=True)
class Voided:
    """How many codes are void now that were free, how many that a member had, how many were used
    and so stay as they are, and how many of those that were named nobody knows or were void before.
    """

    free: int
    assigned: int = 0
    used: int = 0
    unknown: int = 0


def void_typed(session: Session, perk: Perk, typed: str, *, reason: str, at: datetime) -> Voided:
    """The codes of these lines are void; a holding that had one is revoked, unless it is used.

    Raises:
        ReasonMissingError: nobody said why.
        NoPoolError: the perk has no codes.

    Locks: the free codes, then each holding and its code, then the perk.
    """
    using.check_reason(reason)
    _check_pool(perk)
    named = {line.strip() for line in typed.splitlines() if line.strip()}
    keys = [fingerprint_of(perk.id, code) for code in sorted(named)[:MOST_TYPED]]
    is_named = (PerkCode.perk_id == perk.id) & PerkCode.fingerprint.in_(keys)
    free = change(session, _voiding(is_named & (PerkCode.state == CodeState.FREE), reason))
    found = session.scalars(
        select(Holding)
        .join(PerkCode, PerkCode.holding_id == Holding.id)
        .where(is_named, PerkCode.state == CodeState.ASSIGNED)
        .order_by(Holding.id)
        .with_for_update(of=Holding)
        .execution_options(populate_existing=True)
    ).all()
    given = [it for it in found if it.state in (HoldingState.AVAILABLE, HoldingState.EXPIRED)]
    used = sum(it.state is HoldingState.USED for it in found)
    for holding in given:
        using.revoke(session, holding, reason=reason, at=at)
    _take_out(session, perk, free)
    _tell_voided(session, perk, free + len(given), at=at)
    return Voided(free, len(given), used, len(named) - free - len(given) - used)


def void_free(session: Session, perk: Perk, *, reason: str, at: datetime) -> int:
    """Codes that nobody has are void, as many as one transaction does.

    Returns:
        How many; where it is `MOST_AT_ONCE`, there may be more.

    Raises:
        ReasonMissingError: nobody said why.
        NoPoolError: the perk has no codes.

    Locks: the codes, then the perk.
    """
    using.check_reason(reason)
    _check_pool(perk)
    chosen = _some_free(PerkCode.perk_id == perk.id, MOST_AT_ONCE)
    count = change(session, _voiding(PerkCode.id.in_(chosen), reason))
    _take_out(session, perk, count)
    _tell_voided(session, perk, count, at=at)
    return count


def void_ended(session: Session, *, at: datetime) -> int:
    """Free codes whose time is over are void: nobody could use them.

    Returns:
        How many; where it is `MOST_AT_ONCE`, there may be more.

    Locks: the codes, then their perks in the order of their ids.
    """
    chosen = _some_free(PerkCode.expires_at <= at, MOST_AT_ONCE)
    voiding = _voiding(PerkCode.id.in_(chosen), "expired")
    voided = voiding.returning(PerkCode.perk_id).cte("voided")
    counts = session.execute(
        select(voided.c.perk_id, func.count()).group_by(voided.c.perk_id).order_by(voided.c.perk_id)
    ).all()
    for perk_id, count in counts:
        session.execute(
            update(Perk).where(Perk.id == perk_id).values(code_count=Perk.code_count - count)
        )
    return sum(count for _, count in counts)


def _some_free(condition: ColumnElement[bool], most: int) -> Select[PerkCodeId]:
    """At most so many: a subquery might be asked again and then takes the next ones, this not."""
    chosen = (
        select(PerkCode.id)
        .where(text("perk_codes.state = 'free'"), condition)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("some_free")
    )
    return select(chosen.c.id)


def _voiding(condition: ColumnElement[bool], reason: str) -> Update:
    return (
        update(PerkCode)
        .where(condition)
        .values(state=CodeState.VOID, void_reason=reason.strip(), reserved_for=None)
        .execution_options(synchronize_session=False)
    )


def _take_out(session: Session, perk: Perk, count: int) -> None:
    session.refresh(perk, with_for_update=True)
    perk.code_count -= count
    session.flush()


def _tell_voided(session: Session, perk: Perk, count: int, *, at: datetime) -> None:
    if count:
        emit(session, "cohort.perk.codes-voided", at=at, perkId=str(perk.id), count=count)


def _check_pool(perk: Perk) -> None:
    if not perk.has_pool:
        raise NoPoolError(perk.title)


def log_export(session: Session, perk: Perk, *, at: datetime) -> None:
    """The event says who took all codes out.

    Raises:
        NoPoolError: the perk has no codes.
    """
    _check_pool(perk)
    emit(session, "cohort.perk.codes-exported", at=at, perkId=str(perk.id), count=perk.code_count)


def written(merchant: MerchantId, perk_id: PerkId, *, actor: str) -> Iterator[str]:
    """Every code of the pool as lines of CSV, a part a transaction; `log_export` came before."""
    yield from as_csv([("code", "state", "expiresAt", "holdingId", "voidReason")])
    after = b""
    while True:
        with unit_of_work(merchant=merchant, actor=actor) as session:
            rows = session.scalars(
                select(PerkCode)
                .where(PerkCode.perk_id == perk_id, PerkCode.fingerprint > after)
                .order_by(PerkCode.fingerprint)
                .limit(_WRITTEN_AT_ONCE)
            ).all()
        yield from as_csv(
            (
                opened(row),
                row.state.value,
                "" if row.expires_at is None else row.expires_at.isoformat(timespec="seconds"),
                "" if row.holding_id is None else encode_id("hld", row.holding_id),
                row.void_reason or "",
            )
            for row in rows
        )
        if len(rows) < _WRITTEN_AT_ONCE:
            return
        after = rows[-1].fingerprint
