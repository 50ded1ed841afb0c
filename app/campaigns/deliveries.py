"""What an airdrop gives to whom, a row each: where it is, why, and in which transaction."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, exists, false, select, tuple_
from sqlalchemy.orm import Session

from app.campaigns.models import AirdropRun
from app.rewards.lines import Reward, rewards_of
from app.rewards.models import Grant, GrantSource, GrantState
from app.uploads.export import safe_cell
from app.users.models import User
from app.users.queries import users
from chain.models import Outcome, Transaction
from core.db import unit_of_work
from core.types import GrantId, MerchantId, RewardLineId
from minting.models import Batch, BatchState, Token
from wallets.addresses import parse, to_checksum
from wallets.errors import AddressInvalidError

_ROWS_AT_ONCE = 2000
COLUMNS = (
    *("recipient", "reward", "number", "state", "reason", "token", "transaction"),
    "delivered",
)
KEYS = (Grant.reward_line_id, Grant.recipient_key, Grant.ordinal)
"""The order of the rows, for pages."""


class RecipientState(StrEnum):
    """Where a reward on its way to a recipient is."""

    QUEUED = "queued"
    GRANTING = "granting"
    SUBMITTED = "submitted"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    REVOKED = "revoked"


_CLOSED = {
    RecipientState.DELIVERED: GrantState.DELIVERED,
    RecipientState.SKIPPED: GrantState.SKIPPED,
    RecipientState.CANCELLED: GrantState.CANCELLED,
    RecipientState.REVOKED: GrantState.REVOKED,
}
_BATCH_STATES = {
    RecipientState.GRANTING: (BatchState.PLANNED,),
    RecipientState.SUBMITTED: (BatchState.ASSIGNED, BatchState.FINAL),
    RecipientState.FAILED: (BatchState.HELD,),
}
_OPEN = (GrantState.PENDING, GrantState.DELIVERING)


@dataclass(frozen=True)
class Recipient:
    """A member, or an address that is no member's wallet, and where one reward for them is.

    Args:
        reason: of a failure or cancellation, why it was skipped or revoked, for people to read.
        transaction: the newest of its batch, if one is signed.
    """

    user: User | None
    grant: Grant
    reward: Reward
    token: Token | None
    state: RecipientState
    reason: str | None
    transaction: Transaction | None

    @property
    def name(self) -> str:
        """The member's email, or the address."""
        return self.user.email if self.user is not None else str(self.grant.address)

    @property
    def tx_hash(self) -> str | None:
        """The transaction that is in a block, or the newest bytes of it."""
        if self.transaction is None:
            return None
        found = self.transaction.mined_hash or self.transaction.attempts[-1].tx_hash
        return "0x" + found.hex()


def recipients(
    run: AirdropRun,
    *,
    state: RecipientState | None = None,
    line: RewardLineId | None = None,
    search: str = "",
) -> Select[Grant]:
    """Grants of the run, all or those in a state or of a line; they are paged by `KEYS`.

    Args:
        search: as for members: the beginning of an address or name, a wallet, a pass number.
    """
    query: Select[Grant] = select(Grant).where(
        Grant.source_type == GrantSource.AIRDROP, Grant.source_id == run.id
    )
    if state is not None:
        query = query.where(_is_in(state))
    if line is not None:
        query = query.where(Grant.reward_line_id == line)
    if search.strip():
        found = Grant.user_id.in_(users(search).with_only_columns(User.id))
        query = query.where(found | _is_at(search.strip()))
    return query


def _is_at(text: str) -> ColumnElement[bool]:
    """Whether a grant is for the address somebody typed."""
    try:
        return Grant.address == to_checksum(parse(text))
    except AddressInvalidError:
        return false()


def _is_in(state: RecipientState) -> ColumnElement[bool]:
    if state in _CLOSED:
        return Grant.state == _CLOSED[state]
    is_open = Grant.state.in_(_OPEN)
    if state is RecipientState.QUEUED:
        is_planned = exists().where(Token.grant_id == Grant.id, Token.batch_id.is_not(None))
        return is_open & ~is_planned
    in_batch = exists().where(
        Token.grant_id == Grant.id,
        Token.batch_id == Batch.id,
        Batch.state.in_(_BATCH_STATES[state]),
    )
    return is_open & in_batch


def details(session: Session, run: AirdropRun, grants: Sequence[Grant]) -> list[Recipient]:
    """These grants of the run with everything a row shows, in the same order."""
    rewards = {reward.line.id: reward for reward in rewards_of(session, run.campaign_id)}
    rows = session.execute(
        select(Grant.id, User, Token, Batch)
        .outerjoin(User, User.id == Grant.user_id)
        .outerjoin(Token, Token.grant_id == Grant.id)
        .outerjoin(Batch, Batch.id == Token.batch_id)
        .where(Grant.id.in_([grant.id for grant in grants]))
    )
    found: dict[GrantId, tuple[User | None, Token | None, Batch | None]] = {
        grant_id: (user, token, batch) for grant_id, user, token, batch in rows
    }
    batches = {batch.id for _, _, batch in found.values() if batch is not None}
    newest = {
        row.batch_id: row
        for row in session.scalars(
            select(Transaction).where(Transaction.batch_id.in_(batches)).order_by(Transaction.nonce)
        )
        if row.outcome is not Outcome.CANCELLED
    }
    return [
        Recipient(
            *(user, grant, rewards[grant.reward_line_id], token),
            *(_state(grant, batch), _reason(grant, batch)),
            newest.get(batch.id) if batch is not None else None,
        )
        for grant in grants
        for user, token, batch in [found[grant.id]]
    ]


def _state(grant: Grant, batch: Batch | None) -> RecipientState:
    if grant.state not in _OPEN:
        closed = {grant_state: state for state, grant_state in _CLOSED.items()}
        return closed.get(grant.state, RecipientState.CANCELLED)
    if batch is None:
        return RecipientState.QUEUED
    return next(state for state, which in _BATCH_STATES.items() if batch.state in which)


def _reason(grant: Grant, batch: Batch | None) -> str | None:
    return grant.reason or (None if batch is None else batch.held_reason)


def as_csv(merchant: MerchantId, run: AirdropRun, query: Select[Grant]) -> Iterator[str]:
    """The rows as a file, part by part: a million recipients never are in memory at once."""
    yield _lines([COLUMNS])
    rest = query
    while True:
        with unit_of_work(merchant=merchant) as session:
            grants = session.scalars(rest.order_by(*KEYS).limit(_ROWS_AT_ONCE)).all()
            part = _lines([_cells(row) for row in details(session, run, grants)])
        if not grants:
            return
        yield part
        last = grants[-1]
        place = (last.reward_line_id, last.recipient_key, last.ordinal)
        rest = query.where(tuple_(*KEYS) > place)


def _cells(row: Recipient) -> tuple[str, ...]:
    token = None if row.token is None else row.token.token_id
    return (
        safe_cell(row.name),
        safe_cell(row.reward.title),
        str(row.grant.ordinal + 1),
        row.state.value,
        safe_cell(row.reason or ""),
        str(token or ""),
        row.tx_hash or "",
        row.grant.delivered_at.isoformat() if row.grant.delivered_at else "",
    )


def _lines(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
