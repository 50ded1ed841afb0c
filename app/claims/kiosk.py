"""A code on a screen: a fresh one every so many seconds, and at once when somebody used it.

The screen needs nothing but its link. Whoever asks with the link within the time of a code gets the
same code, so a reload wastes none and nobody draws them all.
"""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.claims.errors import KioskMissingError
from app.claims.models import BatchState, ClaimBatch, ClaimCode
from app.claims.seeds import code_of
from core.secrets import fingerprint

_TOKEN_BYTES = 32


def open_link(session: Session, batch: ClaimBatch) -> str:
    """The token of a new link for the batch's screen; an earlier one opens nothing any more.

    Raises:
        KioskMissingError: its codes are not for a screen, or are sealed.

    Locks: the batch.
    """
    session.refresh(batch, with_for_update={"key_share": True})
    if batch.kiosk_seconds is None or batch.sealed_at is not None:
        raise KioskMissingError
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    batch.kiosk_hash = _hash(token)
    session.flush()
    return token


def find(session: Session, token: str) -> ClaimBatch:
    """The batch whose codes the screen with this link shows.

    Raises:
        KioskMissingError: no link of ours, or not any more.
    """
    batch = session.scalar(select(ClaimBatch).where(ClaimBatch.kiosk_hash == _hash(token)))
    if batch is None:
        raise KioskMissingError
    return batch


def shown_code(session: Session, batch: ClaimBatch, *, at: datetime) -> str | None:
    """The code the screen shows now, or None when there is none to show.

    Locks: the batch.
    """
    session.refresh(batch, with_for_update={"key_share": True})
    if batch.state(at) not in (BatchState.LIVE, BatchState.BUILDING):
        return None
    lasting = timedelta(seconds=batch.kiosk_seconds or 0)
    is_fresh = batch.kiosk_shown_at is not None and at - batch.kiosk_shown_at < lasting
    after = batch.kiosk_position - 1 if is_fresh else batch.kiosk_position
    position = _next_unused(session, batch, after)
    if position is None:
        return None
    if position != batch.kiosk_position:
        batch.kiosk_position, batch.kiosk_shown_at = position, at
        session.flush()
    return code_of(batch, position)


def _next_unused(session: Session, batch: ClaimBatch, after: int) -> int | None:
    """The first code behind this position that somebody could use."""
    return session.scalar(
        select(ClaimCode.position)
        .where(
            ClaimCode.batch_id == batch.id,
            ClaimCode.position > after,
            ClaimCode.uses_left > 0,
            ClaimCode.disabled_at.is_(None),
        )
        .order_by(ClaimCode.position)
        .limit(1)
    )


def _hash(token: str) -> bytes:
    return fingerprint("claim-kiosk", token)
