"""Gives members what they get with their membership: a custodial wallet and a queued pass.

Imports write members only. This reader of events follows them in sets: each has a wallet and a
pass soon after, and nobody has two, whatever is repeated. Sign-up does it at once
(`app.users.service.ensure_user`), so here is nothing left to do for it.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from app.users.models import User, UserState
from core import event_cursor, jobs
from core.db import merchant_of, sql_ids
from core.event_cursor import EventCursor
from core.types import UserId
from minting import passes
from minting.models import MembershipPass

READER = "provisioning"
TASK = "users.provision"
USERS_A_PART = 4 * passes.MAX_BATCH
"""Whole batches of passes: what is left over waits for more, or costs more each."""
_CREATED = "cohort.user.created"


def run_part(session: Session, *, at: datetime) -> bool:
    """The next members that have none have a wallet and a queued pass.

    Returns:
        True while there is more to do.

    Raises:
        SignerUnavailableError: the signer does not answer; the next run does it.

    Locks: the reader's cursor, then the newest data key of the merchant.
    """
    cursor = event_cursor.claim(session, READER)
    if cursor is None:
        return False
    page = event_cursor.read(session, cursor, limit=USERS_A_PART)
    if page.is_lost:
        return _look_at_everybody(session, cursor, at=at)
    named = [it.user_id for it in page.facts if it.type == _CREATED and it.user_id is not None]
    listed = select(sql_ids(named))
    _provide(session, session.scalars(_without_pass().where(User.id.in_(listed))).all(), at=at)
    return not page.is_last


def _look_at_everybody(session: Session, cursor: EventCursor, *, at: datetime) -> bool:
    """What was missed is not known, so members without a pass are looked for in the tables.

    The cursor moves first: whoever is committed after the search is behind it.
    """
    lost_at = cursor.xid, cursor.event_id
    event_cursor.skip(session, cursor)
    found = session.scalars(_without_pass().limit(USERS_A_PART)).all()
    _provide(session, found, at=at)
    if len(found) < USERS_A_PART:
        return False
    cursor.xid, cursor.event_id = lost_at
    return True


def _without_pass() -> Select[UserId]:
    return (
        select(User.id)
        .where(
            User.state != UserState.ERASED,
            ~exists().where(MembershipPass.user_id == User.id),
        )
        .order_by(User.id)
    )


def _provide(session: Session, users: Sequence[UserId], *, at: datetime) -> None:
    if users:
        passes.queue(session, users, at=at)


def waiting_count(session: Session) -> int:
    """Members whose wallet is still to be made."""
    waiting = _without_pass().order_by(None).subquery()
    return session.scalar(select(func.count()).select_from(waiting)) or 0


def nudge(session: Session) -> None:
    """New members of this transaction are looked at soon after its commit."""
    jobs.after_commit(session, TASK, merchant_of(session))
