"""Batches of claim codes: made, prolonged, topped up, closed, sealed."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.claims import making
from app.claims.errors import (
    BatchNotFoundError,
    BatchSealedError,
    BatchUnfinishedError,
    CodeNotFoundError,
    CodeTransitionError,
)
from app.claims.models import (
    KIOSK_SECONDS,
    MOST_CODES,
    MOST_PER_USER,
    MOST_USES,
    ChallengePolicy,
    ClaimAudience,
    ClaimBatch,
    ClaimCode,
    CodeState,
)
from app.claims.seeds import sealed_seed
from app.rewards.granting import take_turn
from app.rewards.lines import Choice, make_line
from app.segments.models import Segment
from app.users.models import UserList
from core import jobs
from core.errors import InvalidError
from core.events import emit
from core.ids import encode_id, new_id
from core.texts import tidy
from core.types import ClaimBatchId

NAME_LENGTH = 120
_INVALID = "The codes cannot be made yet."


@dataclass(frozen=True)
class BatchDraft:
    """What people choose of a batch.

    Args:
        choice: what each use gives.
        valid_from: None for at once; valid_until: None for ever.
    """

    name: str
    choice: Choice
    code_count: int = 1
    uses_per_code: int = 1
    max_per_user: int = 1
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    audience_kind: ClaimAudience = ClaimAudience.ALL
    audience_id: UUID | None = None
    challenge: ChallengePolicy = ChallengePolicy.AFTER_FAILURES
    kiosk_seconds: int | None = None


def create(session: Session, draft: BatchDraft, *, at: datetime) -> ClaimBatch:
    """The batch exists, and its codes are made in the background from now on.

    Raises:
        InvalidError: `fields` names what must change.
        RewardNotLiveError: the reward is not published.
        AssetNotFoundError, PerkNotFoundError: this merchant has none with the id.
    """
    draft = replace(draft, name=tidy(draft.name))
    problems = {
        "name": None if 1 <= len(draft.name) <= NAME_LENGTH else "Between 1 and 120 characters.",
        "code_count": _range(draft.code_count, 1, MOST_CODES),
        "uses_per_code": _range(draft.uses_per_code, 1, MOST_USES),
        "max_per_user": _range(draft.max_per_user, 1, MOST_PER_USER),
        "valid_until": _period(draft.valid_from or at, draft.valid_until, at=at),
        "audience": _audience(session, draft.audience_kind, draft.audience_id),
        "kiosk_seconds": _kiosk(draft),
    }
    _refuse(problems)
    line = make_line(session, draft.choice)
    batch_id = ClaimBatchId(new_id())
    batch = ClaimBatch(
        id=batch_id,
        name=draft.name,
        reward_line_id=line.id,
        code_count=draft.code_count,
        made_count=0,
        uses_per_code=draft.uses_per_code,
        max_per_user=draft.max_per_user,
        valid_from=draft.valid_from or at,
        valid_until=draft.valid_until,
        audience_kind=draft.audience_kind,
        audience_id=draft.audience_id,
        challenge=draft.challenge,
        seed=sealed_seed(batch_id),
        kiosk_seconds=draft.kiosk_seconds,
        created_at=at,
    )
    session.add(batch)
    session.flush()
    _tell(session, batch, "created", at=at)
    jobs.after_commit(session, making.TASK, batch.merchant_id, batch.id)
    return batch


def _refuse(problems: dict[str, str | None]) -> None:
    fields = {name: problem for name, problem in problems.items() if problem}
    if fields:
        raise InvalidError(_INVALID, fields=fields)


def _range(number: int, least: int, most: int) -> str | None:
    return None if least <= number <= most else f"Between {least:,} and {most:,}."


def _period(start: datetime, end: datetime | None, *, at: datetime) -> str | None:
    if end is None or end > max(start, at):
        return None
    return "Choose a moment that is still to come, after the codes begin to work."


def _audience(session: Session, kind: ClaimAudience, cohort_id: UUID | None) -> str | None:
    if kind is ClaimAudience.ALL:
        return None
    cohort: type[UserList | Segment] = UserList if kind is ClaimAudience.LIST else Segment
    is_it = (cohort.id == cohort_id) & cohort.archived_at.is_(None)
    if session.scalar(select(cohort.id).where(is_it)) is not None:
        return None
    return "Choose a list or segment that is in use."


def _kiosk(draft: BatchDraft) -> str | None:
    if draft.kiosk_seconds is None:
        return None
    least, most = KIOSK_SECONDS
    if not least <= draft.kiosk_seconds <= most:
        return f"Between {least} and {most} seconds, or empty for no screen."
    return None if draft.uses_per_code == 1 else "On a screen each code is used once."


def _tell(session: Session, batch: ClaimBatch, what: str, *, at: datetime, **data: Any) -> None:
    name = encode_id("clb", batch.id)
    emit(session, f"cohort.claim-batch.{what}", at=at, batchId=name, **data)


def get(session: Session, batch_id: ClaimBatchId) -> ClaimBatch:
    """The batch.

    Raises:
        BatchNotFoundError: this merchant has none with the id.
    """
    batch = session.get(ClaimBatch, batch_id)
    if batch is None:
        raise BatchNotFoundError(batch_id)
    return batch


def get_code(session: Session, batch: ClaimBatch, position: int) -> ClaimCode:
    """The code at this position.

    Raises:
        CodeNotFoundError: the batch has none there.
    """
    row = session.get(ClaimCode, (batch.id, position))
    if row is None:
        raise CodeNotFoundError(position)
    return row


def _lock(session: Session, batch: ClaimBatch) -> None:
    """As it is now and until the transaction ends; claims go on meanwhile."""
    session.refresh(batch, with_for_update={"key_share": True})


def extend(
    session: Session, batch: ClaimBatch, valid_until: datetime | None, *, at: datetime
) -> None:
    """The codes work until this moment, or for ever.

    Raises:
        InvalidError: the moment has passed.

    Locks: the batch.
    """
    _lock(session, batch)
    _refuse({"valid_until": _period(batch.valid_from, valid_until, at=at)})
    batch.valid_until = valid_until
    session.flush()
    _tell(session, batch, "extended", at=at)


def top_up(session: Session, batch: ClaimBatch, count: int, *, at: datetime) -> None:
    """So many more codes are made in the background; those that are there stay.

    Raises:
        BatchSealedError: the seed they would be made from was destroyed.
        InvalidError: none, or more than a batch may have.

    Locks: the batch.
    """
    _lock(session, batch)
    if batch.sealed_at is not None:
        raise BatchSealedError
    _refuse({"count": _range(count, 1, MOST_CODES - batch.code_count)})
    batch.code_count += count
    session.flush()
    _tell(session, batch, "topped-up", at=at, codes=count)
    jobs.after_commit(session, making.TASK, batch.merchant_id, batch.id)


def close(session: Session, batch: ClaimBatch, *, at: datetime) -> None:
    """No code of the batch works any more, until it is opened again; a repeat changes nothing.

    Claims that are under way come before it, and those behind it learn of it.

    Locks: the turn of the batch's reward line, then the batch.
    """
    take_turn(session, batch.reward_line_id)
    _lock(session, batch)
    if batch.closed_at is None:
        batch.closed_at = at
        session.flush()
        _tell(session, batch, "closed", at=at)


def reopen(session: Session, batch: ClaimBatch, *, at: datetime) -> None:
    """The codes work again; a repeat changes nothing.

    Locks: the batch.
    """
    _lock(session, batch)
    if batch.closed_at is not None:
        batch.closed_at = None
        session.flush()
        _tell(session, batch, "reopened", at=at)


def seal_batch(session: Session, batch: ClaimBatch, *, at: datetime) -> None:
    """The codes work as before, but nobody can show, print or add any; there is no way back.

    Raises:
        BatchUnfinishedError: some of the codes are not made yet.

    Locks: the batch.
    """
    _lock(session, batch)
    if batch.made_count < batch.code_count:
        raise BatchUnfinishedError
    if batch.sealed_at is None:
        batch.seed, batch.sealed_at = None, at
        batch.kiosk_hash = None
        session.flush()
        _tell(session, batch, "sealed", at=at)


def disable(
    session: Session, batch: ClaimBatch, position: int, *, is_disabled: bool, at: datetime
) -> None:
    """The code works no more, or again.

    Raises:
        CodeNotFoundError: the batch has none at this position.
        CodeTransitionError: it is used up, its time is over, or it is so already.

    Locks: the code.
    """
    row = session.get(ClaimCode, (batch.id, position), with_for_update=True, populate_existing=True)
    if row is None:
        raise CodeNotFoundError(position)
    state = row.state(batch, at)
    if state is not (CodeState.ACTIVE if is_disabled else CodeState.DISABLED):
        raise CodeTransitionError(state, "disabled" if is_disabled else "enabled")
    row.disabled_at = at if is_disabled else None
    session.flush()
    what = "code-disabled" if is_disabled else "code-enabled"
    _tell(session, batch, what, at=at, position=position)
