"""Claiming: a code is looked at, or used up for what it gives, in one transaction.

What was refused is returned and not raised: the guess and the refusal that were noted have to be
committed. A code that is unknown, malformed or another brand's costs the same work.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.claims import challenge, guessing
from app.claims.codes import canonical, code_fingerprint
from app.claims.errors import (
    AlreadyClaimedError,
    CodeDisabledError,
    CodeExpiredError,
    CodeNotOpenError,
    CodeUnknownError,
    CodeUsedError,
    GoneError,
    NotInAudienceError,
    ProofNeededError,
    StockExhaustedError,
    TooManyGuessesError,
)
from app.claims.models import (
    BatchState,
    ChallengePolicy,
    ClaimAudience,
    ClaimBatch,
    ClaimCode,
    ClaimOpening,
    ClaimPlace,
    ClaimQuota,
    ClaimUse,
)
from app.perks.models import Place
from app.rewards import refusals
from app.rewards.errors import PerUserLimitError, RewardNotLiveError, UserNotActiveError
from app.rewards.granting import Given, grant
from app.rewards.lines import Reward, reward_of
from app.rewards.models import GrantRefusal, GrantSource
from app.rewards.service import Source
from app.segments.models import SegmentMember
from app.users.models import ListMember, User
from app.users.queries import identities
from core.errors import AppError, ConflictError, ForbiddenError
from core.events import emit
from core.ids import encode_id, new_id
from core.types import ClaimUseId, PlaceId

_REFUSALS = (ConflictError, ForbiddenError, GoneError)
_REMEMBERED = timedelta(hours=1)


@dataclass(frozen=True)
class Attempt:
    """Somebody tries a code.

    Args:
        typed: the code as it arrived.
        network: where it came from (`guessing.network_of`).
        answer: a solved challenge, or empty.
        place: where the code is put up, as its link says.
    """

    typed: str
    network: bytes
    answer: str = ""
    place: PlaceId | None = None


@dataclass(frozen=True)
class Offer:
    """What a good code gives.

    Args:
        needs_proof: claiming it takes a solved challenge.
    """

    batch: ClaimBatch
    reward: Reward
    needs_proof: bool


@dataclass(frozen=True)
class Claimed:
    """What the member has now."""

    batch: ClaimBatch
    reward: Reward
    given: Given


@dataclass(frozen=True)
class _Found:
    code: ClaimCode
    batch: ClaimBatch
    is_proven: bool


def look(
    session: Session, attempt: Attempt, user: User | None = None, *, at: datetime
) -> Offer | AppError:
    """What the code would give; nothing is used up.

    Args:
        user: who looks, if they are signed in.

    Returns:
        The offer, or why there is none (not raised: what was counted has to be committed).
    """
    found = _find(session, attempt, at=at)
    if isinstance(found, AppError):
        return found
    _count_opening(session, found.code, at=at)
    _count_at_place(session, found.batch, attempt.place, opened=1)
    try:
        _check_code(session, found.code, user)
        _check_batch(session, found.batch, user, at=at)
        _check_quota(session, found.batch, user)
    except _REFUSALS as error:
        return error
    batch = found.batch
    needs_proof = batch.challenge is ChallengePolicy.ALWAYS
    return Offer(batch, reward_of(session, batch.reward_line_id), needs_proof)


def claim(session: Session, user: User, attempt: Attempt, *, at: datetime) -> Claimed | AppError:
    """The member has what the code gives, and the code one use less.

    Returns:
        What was given, or why nothing was (not raised: guess and refusal have to be committed).

    Locks: the code, the member's quota, and what `app.rewards.granting.grant` locks.
    """
    found = _find(session, attempt, at=at)
    if isinstance(found, AppError):
        return found
    batch = found.batch
    if batch.challenge is ChallengePolicy.ALWAYS and not found.is_proven:
        return ProofNeededError()
    reward = reward_of(session, batch.reward_line_id)
    source = Source(GrantSource.CLAIM, batch.id)
    try:
        with session.begin_nested():
            given = _take(session, found, reward, user, source, at=at)
            _count_at_place(session, batch, attempt.place, claimed=1)
    except _REFUSALS as error:
        _remember(session, reward, user, error, source=source, at=at)
        return error
    return Claimed(batch, reward, given)


def _remember(
    session: Session, reward: Reward, user: User, error: AppError, *, source: Source, at: datetime
) -> None:
    """The answer is remembered, once an hour: whoever tries again and again fills no table."""
    is_known = exists().where(
        GrantRefusal.user_id == user.id,
        GrantRefusal.source_id == source.id,
        GrantRefusal.code == error.code,
        GrantRefusal.refused_at > at - _REMEMBERED,
    )
    if not session.scalar(select(is_known)):
        refusals.note(session, reward.line, user.id, error, source=source, at=at)


def _find(session: Session, attempt: Attempt, *, at: datetime) -> _Found | AppError:
    """The code and its batch, if the network may ask and there is one."""
    network = attempt.network
    is_proven = bool(attempt.answer) and challenge.is_proven(
        session, network, attempt.answer, at=at
    )
    standing = guessing.standing(session, network, at=at)
    if standing.is_blocked:
        return TooManyGuessesError(int(guessing.MOST_WITHIN.total_seconds()))
    needs_proof = standing.needs_proof and not is_proven
    if needs_proof and not _has_free_batches(session):
        return ProofNeededError()
    # What is no code has a fingerprint nobody has, so that it costs what an unknown one costs.
    fingerprint = code_fingerprint(canonical(attempt.typed) or "")
    row = session.execute(
        select(ClaimCode, ClaimBatch)
        .join(ClaimBatch, ClaimBatch.id == ClaimCode.batch_id)
        .where(ClaimCode.fingerprint == fingerprint)
    ).one_or_none()
    if row is None:
        # Without a proof, too: otherwise whoever has none could try codes for nothing.
        guessing.count(session, network, at=at)
        return ProofNeededError() if needs_proof else CodeUnknownError()
    if needs_proof and row[1].challenge is not ChallengePolicy.OFF:
        return ProofNeededError()
    return _Found(row[0], row[1], is_proven)


def _has_free_batches(session: Session) -> bool:
    """Whether the brand has codes that never take a proof."""
    return bool(session.scalar(select(exists().where(ClaimBatch.challenge == ChallengePolicy.OFF))))


def _count_opening(session: Session, code: ClaimCode, *, at: datetime) -> None:
    hour = at.replace(minute=0, second=0, microsecond=0)
    is_it = (ClaimCode.batch_id == code.batch_id) & (ClaimCode.position == code.position)
    opened = update(ClaimCode).where(is_it).values(opened_count=ClaimCode.opened_count + 1)
    session.execute(opened.execution_options(synchronize_session=False))
    row = insert(ClaimOpening).values(batch_id=code.batch_id, hour=hour, opened_count=1)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[ClaimOpening.batch_id, ClaimOpening.hour],
            set_={"opened_count": ClaimOpening.opened_count + 1},
        )
    )


def _count_at_place(
    session: Session, batch: ClaimBatch, place: PlaceId | None, *, opened: int = 0, claimed: int = 0
) -> None:
    """A place that is none of the brand's is nowhere."""
    if place is None or session.get(Place, place) is None:
        return
    row = insert(ClaimPlace).values(
        batch_id=batch.id, place_id=place, opened_count=opened, claimed_count=claimed
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=[ClaimPlace.batch_id, ClaimPlace.place_id],
            set_={
                "opened_count": ClaimPlace.opened_count + opened,
                "claimed_count": ClaimPlace.claimed_count + claimed,
            },
        )
    )


def _take(
    session: Session, found: _Found, reward: Reward, user: User, source: Source, *, at: datetime
) -> Given:
    code, batch = found.code, found.batch
    _use_code(session, code, user)
    ordinal = _count_for_member(session, batch, user)
    _check_batch(session, batch, user, at=at)
    try:
        given = grant(session, reward.line, user.id, source=source, ordinal=ordinal, at=at)
    except (ConflictError, RewardNotLiveError) as error:
        raise _for_member(error) from error
    # Whoever closes the batch waits for the turn that this claim has now, or had it before.
    closed_at = select(ClaimBatch.closed_at).where(ClaimBatch.id == batch.id)
    if session.scalar(closed_at) is not None:
        raise CodeDisabledError
    session.add(
        ClaimUse(
            id=ClaimUseId(new_id()),
            batch_id=batch.id,
            position=code.position,
            user_id=user.id,
            grant_id=given.grant_id,
            used_at=at,
        )
    )
    prefix = "das" if reward.line.perk_id is None else "prk"
    emit(
        session,
        "cohort.claim.redeemed",
        at=at,
        user_id=user.id,
        batchId=encode_id("clb", batch.id),
        rewardId=encode_id(prefix, reward.line.reward_id),
    )
    session.flush()
    return given


def _use_code(session: Session, code: ClaimCode, user: User) -> None:
    """The code has one use less; whoever asks at the same moment waits and sees it."""
    used = (
        update(ClaimCode)
        .where(
            ClaimCode.batch_id == code.batch_id,
            ClaimCode.position == code.position,
            ClaimCode.uses_left > 0,
            ClaimCode.disabled_at.is_(None),
        )
        .values(uses_left=ClaimCode.uses_left - 1)
        .returning(ClaimCode.uses_left)
        .execution_options(synchronize_session=False)
    )
    if session.scalar(used) is None:
        session.refresh(code)
        _check_code(session, code, user)
        raise CodeUsedError


def _check_code(session: Session, code: ClaimCode, user: User | None) -> None:
    """Raises why the code alone is good for nothing."""
    if code.disabled_at is not None:
        raise CodeDisabledError
    if code.uses_left > 0:
        return
    is_theirs = exists().where(
        ClaimUse.batch_id == code.batch_id,
        ClaimUse.position == code.position,
        ClaimUse.user_id.in_([] if user is None else identities(session, user.id)),
    )
    if session.scalar(select(is_theirs)):
        raise AlreadyClaimedError(1)
    raise CodeUsedError


def _check_batch(session: Session, batch: ClaimBatch, user: User | None, *, at: datetime) -> None:
    """Raises why codes of the batch are good for nothing now, or not for this member."""
    state = batch.state(at)
    if state is BatchState.ENDED:
        raise CodeDisabledError
    if state is BatchState.EXPIRED:
        raise CodeExpiredError
    if batch.valid_from > at:
        raise CodeNotOpenError(batch.valid_from)
    if user is not None and not _is_in_audience(session, batch, user):
        raise NotInAudienceError


def _check_quota(session: Session, batch: ClaimBatch, user: User | None) -> None:
    """Raises that the member used as many codes as they may."""
    quota = None if user is None else session.get(ClaimQuota, (batch.id, user.id))
    if quota is not None and quota.used_count >= batch.max_per_user:
        raise AlreadyClaimedError(batch.max_per_user)


def _is_in_audience(session: Session, batch: ClaimBatch, user: User) -> bool:
    if batch.audience_kind is ClaimAudience.ALL:
        return True
    if batch.audience_kind is ClaimAudience.LIST:
        is_in = exists().where(
            ListMember.list_id == batch.audience_id, ListMember.user_id == user.id
        )
    else:
        is_in = exists().where(
            SegmentMember.segment_id == batch.audience_id, SegmentMember.user_id == user.id
        )
    return bool(session.scalar(select(is_in)))


def _count_for_member(session: Session, batch: ClaimBatch, user: User) -> int:
    """How often the member used codes of the batch before; now it is once more."""
    row = insert(ClaimQuota).values(batch_id=batch.id, user_id=user.id, used_count=1)
    counted = row.on_conflict_do_update(
        index_elements=[ClaimQuota.batch_id, ClaimQuota.user_id],
        set_={"used_count": ClaimQuota.used_count + 1},
        where=ClaimQuota.used_count < batch.max_per_user,
    ).returning(ClaimQuota.used_count)
    count = session.scalar(counted)
    if count is None:
        raise AlreadyClaimedError(batch.max_per_user)
    return count - 1


def _for_member(error: AppError) -> AppError:
    """What the grant refused, in words for whoever holds the code."""
    if isinstance(error, RewardNotLiveError):
        return CodeDisabledError()
    if isinstance(error, UserNotActiveError):
        return NotInAudienceError()
    return error if isinstance(error, PerUserLimitError) else StockExhaustedError()
