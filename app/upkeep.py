"""What is due with members and codes: found across merchants, done a part a transaction, as the
engine.

Level-triggered like `app.engine`: whatever a lost message or a kill left behind is found here.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from threading import Lock

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.claims import challenge, guessing, making
from app.claims.models import ClaimBatch, ClaimGuess, ClaimProof
from app.draws import steps, winners
from app.draws.models import Draw
from app.passes import keys, seen
from app.points import earning, holds, moving, proof, warnings
from app.privacy import copies, erasure
from app.privacy.models import Erasure, SubjectExport, SubjectExportState
from app.rewards import refusals
from app.rewards.models import GrantRefusal
from app.segments import badge_reader, badges
from app.users import conversions, mailing
from app.users.models import Property
from app.users.upkeep_models import Conversion
from core.db import Role, unit_of_work
from core.event_cursor import EventCursor
from core.types import (
    ClaimBatchId,
    ConversionId,
    DrawId,
    ErasureId,
    MerchantId,
    PropertyId,
    SubjectExportId,
    utc_now,
)

Work = Callable[[], None]


def due_work(at: datetime) -> Iterator[Work]:
    """Everything that is due now, one piece of work each."""
    with unit_of_work(role=Role.ENGINE) as session:
        found = [
            *_conversions(session),
            *_clearings(session, at),
            *_erasures(session, at),
            *_copies(session, at),
            *_answers(session, at),
            *_guesses(session, at),
            *_codes(session),  # the last: it takes longest
        ]
    yield from found


def _conversions(session: Session) -> Iterator[Work]:
    rows = session.execute(
        select(Conversion.merchant_id, Conversion.id).where(
            Conversion.state.in_(conversions.UNFINISHED)
        )
    )
    for merchant, conversion_id in rows:
        yield partial(convert, merchant, conversion_id)


def convert(merchant: MerchantId, conversion_id: ConversionId) -> None:
    """The change of type goes on until it waits for somebody, or has ended."""
    _repeat(merchant, lambda session: conversions.run_part(session, conversion_id, at=utc_now()))


def _clearings(session: Session, at: datetime) -> Iterator[Work]:
    is_over = or_(Property.converted_at.is_(None), Property.converted_at <= at - conversions.KEPT)
    rows = session.execute(
        select(Property.merchant_id, Property.id).where(
            or_(Property.deleted_at.is_not(None), Property.retired_slot.is_not(None) & is_over)
        )
    )
    for merchant, property_id in rows:
        yield partial(_clear, merchant, property_id)


def _clear(merchant: MerchantId, property_id: PropertyId) -> None:
    def part(session: Session) -> bool:
        row = session.get(Property, property_id)
        return row is not None and conversions.clear_due(session, row, at=utc_now())

    _repeat(merchant, part)


def _answers(session: Session, at: datetime) -> Iterator[Work]:
    is_old = GrantRefusal.refused_at < at - refusals.KEPT
    for merchant in session.scalars(select(GrantRefusal.merchant_id).where(is_old).distinct()):
        yield partial(_forget_answers, merchant)


def _forget_answers(merchant: MerchantId) -> None:
    with unit_of_work(merchant=merchant) as session:
        refusals.forget_old(session, at=utc_now())


def merchants_with_badges() -> list[MerchantId]:
    """Whose events are followed: merchants that have ever published a badge."""
    with unit_of_work(role=Role.ENGINE) as session:
        of_badges = EventCursor.reader == badges.READER
        return list(session.scalars(select(EventCursor.merchant_id).where(of_badges)))


def follow_badges(merchant: MerchantId) -> None:
    """Badges are gained and lost as far as events can be read now."""
    _repeat(merchant, lambda session: badge_reader.follow(session, at=utc_now()))


def keep_codes(merchant: MerchantId) -> None:
    """The key that signs is not too old, and codes that are over are forgotten."""
    with unit_of_work(merchant=merchant) as session:
        keys.rotate(session, at=utc_now())
        seen.prune(session, at=utc_now())


def sweep_points(merchant: MerchantId) -> None:
    """Points whose end has come are gone, reserved ones whose time is over are back."""
    for piece in (holds.release_due, moving.expire_due):
        more = True
        while more:
            with unit_of_work(merchant=merchant) as session:
                more = piece(session, utc_now())


def merchants_with_rules() -> list[MerchantId]:
    """Whose events may earn points: merchants that have ever made a rule."""
    with unit_of_work(role=Role.ENGINE) as session:
        of_rules = EventCursor.reader == earning.READER
        return list(session.scalars(select(EventCursor.merchant_id).where(of_rules)))


_earning = Lock()
_EARNINGS_A_RUN = 500


def earn_points(merchant: MerchantId) -> None:
    """Events have earned what they earn, as far as they can be read now.

    One thread of this process is enough, and not for long; the next run goes on.
    """
    if not _earning.acquire(blocking=False):
        return
    try:
        _repeat(merchant, earning.follow)
        for _ in range(_EARNINGS_A_RUN):
            with unit_of_work(merchant=merchant) as session:
                if not earning.settle_next(session, utc_now()):
                    break
    finally:
        _earning.release()


def warn_of_ends(merchant: MerchantId) -> None:
    """Whoever has points that end soon was told."""
    more = True
    while more:
        with unit_of_work(merchant=merchant) as session:
            more = warnings.warn_due(session, utc_now())


def note_bounces(merchant: MerchantId) -> None:
    """Whose address is known to no server is written to no more."""
    with unit_of_work(merchant=merchant) as session:
        mailing.note_bounces(session, at=utc_now())


def prove_points(merchant: MerchantId) -> None:
    """What differs in the merchant's ledger is written down."""
    with unit_of_work(merchant=merchant) as session:
        proof.prove(session, at=utc_now())


def _repeat(merchant: MerchantId, part: Callable[[Session], bool]) -> None:
    more = True
    while more:
        with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
            more = part(session)


def _erasures(session: Session, at: datetime) -> Iterator[Work]:
    """Due members are forgotten first; their keys are destroyed once nothing is on its way."""
    is_due = Erasure.erased_at.is_(None) & (Erasure.due_at <= at)
    rows = session.execute(
        select(Erasure.merchant_id, Erasure.id)
        .where(Erasure.cancelled_at.is_(None), Erasure.keys_destroyed_at.is_(None))
        .where(or_(Erasure.erased_at.is_not(None), is_due))
    )
    for merchant, erasure_id in rows:
        yield partial(_erase, merchant, erasure_id)


def _erase(merchant: MerchantId, erasure_id: ErasureId) -> None:
    with unit_of_work(merchant=merchant) as session:
        erasure.erase(session, erasure_id, at=utc_now())
    with unit_of_work(merchant=merchant) as session:
        erasure.destroy_keys(session, erasure_id, at=utc_now())


def due_draws(at: datetime) -> Iterator[Work]:
    """Draws whose boxes are overdue or whose date has come, one piece of work each."""
    with unit_of_work(role=Role.ENGINE) as session:
        found = steps.list_due(session, at)
    for merchant, draw_id in found:
        yield partial(steps.advance, merchant, draw_id, at=at)


def dropped_out_winners(at: datetime) -> Iterator[Work]:
    """Raffles of which a winner is gone or gave no address in time, one piece of work each."""
    with unit_of_work(role=Role.ENGINE) as session:
        found = winners.list_dropped_out(session)
    for merchant, draw_id in found:
        yield partial(_replace_winners, merchant, draw_id, at)


def _replace_winners(merchant: MerchantId, draw_id: DrawId, at: datetime) -> None:
    with unit_of_work(merchant=merchant) as session:
        winners.replace_gone(session, session.get_one(Draw, draw_id), at=at)


def _copies(session: Session, at: datetime) -> Iterator[Work]:
    waiting = SubjectExport.state == SubjectExportState.QUEUED
    is_old = SubjectExport.created_at <= at - copies.KEPT
    rows = session.execute(
        select(SubjectExport.merchant_id, SubjectExport.id, is_old).where(or_(waiting, is_old))
    )
    for merchant, export_id, is_over in rows:
        yield partial(_expire_copy if is_over else make_copy, merchant, export_id)


def make_copy(merchant: MerchantId, export_id: SubjectExportId) -> None:
    """The copy of everything about a member is there."""
    with unit_of_work(merchant=merchant) as session:
        copies.make(session, export_id, at=utc_now())


def _expire_copy(merchant: MerchantId, export_id: SubjectExportId) -> None:
    with unit_of_work(merchant=merchant) as session:
        copies.expire(session, export_id)


def _codes(session: Session) -> Iterator[Work]:
    rows = session.execute(
        select(ClaimBatch.merchant_id, ClaimBatch.id).where(making.is_unfinished())
    )
    for merchant, batch_id in rows:
        yield partial(make_codes, merchant, batch_id)


_making = Lock()


def make_codes(merchant: MerchantId, batch_id: ClaimBatchId) -> None:
    """The batch has all its codes, unless this process is making codes already.

    Millions take minutes, and every sweep finds the batch again: one thread is enough of them. What
    is left out here, a later sweep finds.
    """
    if _making.acquire(blocking=False):
        try:
            _repeat(merchant, lambda session: making.run_part(session, batch_id, at=utc_now()))
        finally:
            _making.release()


def _guesses(session: Session, at: datetime) -> Iterator[Work]:
    counted = select(ClaimGuess.merchant_id).where(guessing.is_old(at))
    solved = select(ClaimProof.merchant_id).where(challenge.is_old(at))
    for merchant in session.scalars(counted.union(solved)):
        yield partial(_forget_guesses, merchant)


def _forget_guesses(merchant: MerchantId) -> None:
    with unit_of_work(merchant=merchant) as session:
        guessing.forget_old(session, at=utc_now())
        challenge.forget_old(session, at=utc_now())
