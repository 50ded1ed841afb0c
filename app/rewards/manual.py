"""Rewards given by hand: to members one names, for a reason one writes down."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.emails import EmailInvalidError, email_key
from app.rewards import service
from app.rewards.errors import ManualGrantNotFoundError, RecipientsInvalidError
from app.rewards.lines import Choice, make_line
from app.rewards.models import Grant, GrantSource, GrantState, ManualGrant, RewardLine
from app.rewards.service import Source
from app.users.models import User, UserState
from core.types import ManualGrantId, UserId

MOST_RECIPIENTS = 1_000
REASON_LENGTH = 200
_MOST_NAMED = 5
"""So many unknown addresses are spelled out in an error."""


@dataclass(frozen=True)
class Counts:
    """How many grants of a hand-out are delivered, on their way, and skipped."""

    delivered: int
    open: int
    skipped: int


def find_recipients(session: Session, text: str) -> list[UserId]:
    """The active members with these email addresses, one a line or between commas.

    Raises:
        RecipientsInvalidError: none, too many, or somebody who is no active member.
    """
    written = list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))
    if not 1 <= len(written) <= MOST_RECIPIENTS:
        raise RecipientsInvalidError(f"Name between 1 and {MOST_RECIPIENTS:,} members.")
    keys = {email: _key(email) for email in written}
    rows = session.execute(
        select(User.email_key, User.id).where(
            User.email_key.in_({key for key in keys.values() if key}),
            User.state == UserState.ACTIVE,
        )
    )
    known: dict[str, UserId] = {key: user for key, user in rows}
    unknown = [email for email, key in keys.items() if key not in known]
    if unknown:
        named = ", ".join(unknown[:_MOST_NAMED])
        more = len(unknown) - _MOST_NAMED
        others = f" and {more} more" if more > 0 else ""
        raise RecipientsInvalidError(
            f"No active member has these addresses: {named}{others}. Import them first, or take "
            "them out."
        )
    return list(dict.fromkeys(known[key] for key in keys.values() if key))


def _key(email: str) -> str:
    try:
        return email_key(email)
    except EmailInvalidError:
        return ""


def give(
    session: Session,
    grant_id: ManualGrantId,
    choice: Choice,
    users: Sequence[UserId],
    *,
    reason: str,
    at: datetime,
) -> ManualGrant:
    """These members have the reward; under the same identifier nothing is given twice.

    A perk is in their hands at once, a digital asset travels. Who has as many of a perk as anybody
    may is skipped.

    Raises:
        RecipientsInvalidError: no reason is given.
        LinesInvalidError, RewardNotLiveError: the reward cannot be given.
        StockExhaustedError, SupplyExhaustedError, PerkExhaustedError, CodePoolEmptyError: fewer
            are left; roll back.

    Locks: the line, then the perk or the asset.
    """
    known = session.get(ManualGrant, grant_id)
    if known is not None:
        return known
    if not 1 <= len(reason) <= REASON_LENGTH:
        raise RecipientsInvalidError(f"Say why, in 1 to {REASON_LENGTH} characters.", "reason")
    line = make_line(session, choice)
    row = ManualGrant(
        id=grant_id,
        reward_line_id=line.id,
        reason=reason,
        actor=session.info["actor"],
        created_at=at,
    )
    session.add(row)
    session.flush()
    chosen = select(User.id).where(User.id.in_(users))
    recipients = service.members(chosen, quantity=choice.per_recipient)
    source = Source(GrantSource.MANUAL, row.id)
    service.grant_many(session, line, recipients, source=source, at=at)
    if line.perk_id is not None:
        service.hand_over(session, line, at=at)
    elif line.granted_count:
        line.waiting_since = at
    session.flush()
    return row


def get(session: Session, grant_id: ManualGrantId) -> ManualGrant:
    """The hand-out.

    Raises:
        ManualGrantNotFoundError: this merchant has none with the id.
    """
    row = session.get(ManualGrant, grant_id)
    if row is None:
        raise ManualGrantNotFoundError(grant_id)
    return row


def counts_of(session: Session, line: RewardLine) -> Counts:
    """How far a hand-out is."""
    states = session.scalars(select(Grant.state).where(Grant.reward_line_id == line.id)).all()
    delivered = states.count(GrantState.DELIVERED) + states.count(GrantState.REVOKED)
    skipped = states.count(GrantState.SKIPPED)
    return Counts(delivered, len(states) - delivered - skipped, skipped)
