"""Reads of digital assets for screens."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session

from app.users.models import User
from chain.models import LaneRole, Outcome, Transaction
from core.db import unit_of_work
from core.types import AssetId, MerchantId, TokenRowId
from minting.change_models import TokenRevocation
from minting.models import (
    ContractState,
    DigitalAsset,
    MembershipPass,
    Plan,
    PlanState,
    Token,
    TokenState,
)

_ROWS_AT_ONCE = 1_000


def assets(*, is_archived: bool | None = None) -> Select[DigitalAsset]:
    """The digital assets that are in the archive, that are not, or all that the team sees."""
    query = select(DigitalAsset).where(DigitalAsset.state != ContractState.DELETED)
    if is_archived is None:
        return query
    in_archive = DigitalAsset.state == ContractState.ARCHIVED
    return query.where(in_archive if is_archived else ~in_archive)


def tokens(asset_id: AssetId, *, block: int | None = None) -> Select[Token]:
    """All tokens of an asset, or those that there were after this block of its chain."""
    query = select(Token).where(Token.asset_id == asset_id)
    return query if block is None else query.where(*_existed_at(block))


def _existed_at(block: int) -> tuple[ColumnElement[bool], ...]:
    """Its mint is final and not later than the block, and its end is not."""
    ended = exists().where(
        TokenRevocation.token_id == Token.id,
        TokenRevocation.batch_id == Transaction.batch_id,
        *_succeeded_by(block),
    )
    minted = exists().where(Transaction.batch_id == Token.batch_id, *_succeeded_by(block))
    return minted, ~ended


def _succeeded_by(block: int) -> tuple[ColumnElement[bool], ...]:
    return Transaction.outcome == Outcome.SUCCESS, Transaction.block_number <= block


def revocations(session: Session, rows: Sequence[Token]) -> dict[TokenRowId, TokenRevocation]:
    """Why each of these tokens ends or ended, if the issuer decided that."""
    query = select(TokenRevocation).where(TokenRevocation.token_id.in_([row.id for row in rows]))
    return {row.token_id: row for row in session.scalars(query)}


def decisions(session: Session, asset_id: AssetId) -> Sequence[Plan]:
    """What the issuer decided of the asset that its contract does not say yet, oldest first."""
    query = select(Plan).where(
        Plan.subject_id == asset_id, Plan.sender == LaneRole.ISSUER, Plan.state != PlanState.DONE
    )
    return session.scalars(query.order_by(Plan.ordinal)).all()


def owners_of(
    session: Session, rows: Sequence[Token]
) -> dict[object, tuple[User, MembershipPass | None]]:
    """The member and the pass behind each of these tokens that has one, by member id."""
    found = session.execute(
        select(User, MembershipPass)
        .outerjoin(MembershipPass, MembershipPass.user_id == User.id)
        .where(User.id.in_([row.user_id for row in rows]))
    )
    return {user.id: (user, membership) for user, membership in found}


def owner_rows(
    merchant: MerchantId, asset_id: AssetId, *, block: int | None = None
) -> Iterator[tuple[str, ...]]:
    """Header and rows of everybody's token, read a page a transaction while they are sent."""
    yield "email", "name", "pass", "address", "tokenId", "state", "since"
    after: TokenRowId | None = None
    while True:
        with unit_of_work(merchant=merchant) as session:
            found = session.execute(_owner_page(asset_id, after, block)).all()
            rows = [_owner_row(token, user, membership) for token, user, membership in found]
        yield from rows
        if len(found) < _ROWS_AT_ONCE:
            return
        after = found[-1][0].id


def _owner_page(
    asset_id: AssetId, after: TokenRowId | None, block: int | None
) -> Select[Token, User | None, MembershipPass | None]:
    query = (
        select(Token, User, MembershipPass)
        .outerjoin(User, User.id == Token.user_id)
        .outerjoin(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(Token.asset_id == asset_id)
    )
    if block is not None:
        query = query.where(*_existed_at(block))
    return (
        (query if after is None else query.where(Token.id > after))
        .order_by(Token.id)
        .limit(_ROWS_AT_ONCE)
    )


def _owner_row(
    token: Token, user: User | None, membership: MembershipPass | None
) -> tuple[str, ...]:
    since = token.owned_at or token.created_at
    return (
        (user.email or "") if user else "",
        user.display_name if user else "",
        (membership.number or "") if membership else "",
        token.address or (membership.address if membership else ""),
        "" if token.token_id is None else str(token.token_id),
        token.state,
        since.isoformat(),
    )


def owned_counts(session: Session, asset_ids: Sequence[AssetId]) -> dict[AssetId, int]:
    """How many tokens of each asset are on the chain for good."""
    rows = session.execute(
        select(Token.asset_id, func.count())
        .where(Token.asset_id.in_(asset_ids), Token.state == TokenState.OWNED)
        .group_by(Token.asset_id)
    )
    return dict(rows.all())


def counts_by_state(session: Session, asset_id: AssetId) -> dict[TokenState, int]:
    """How many tokens of the asset there are in each state."""
    rows = session.execute(
        select(Token.state, func.count()).where(Token.asset_id == asset_id).group_by(Token.state)
    )
    return dict(rows.all())
