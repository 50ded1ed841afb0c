"""Which tokens a drop serves, and in which place of which call: read and bound by statements.

Nothing here knows what a call costs; `minting.airdrops` decides that.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    Select,
    Subquery,
    cast,
    column,
    func,
    literal,
    select,
    type_coerce,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from core.types import DropId, UserId
from minting.models import (
    Batch,
    MembershipPass,
    PassState,
    Token,
    TokenState,
)
from minting.numbers import SINGLES
from minting.passes import MAX_BATCH
from minting.planner import DropCall


def queued(*drops: DropId) -> tuple[Any, ...]:
    """Which tokens of these drops are in no plan; those without a pass number are few, and found by
    an index."""
    return (
        Token.drop_id.in_(drops),
        Token.pass_number.is_(None),
        Token.state == TokenState.QUEUED,
    )


def ready_members(planned: Sequence[Any]) -> Select[UserId]:
    """The members among these tokens whose passes are active."""
    return (
        select(MembershipPass.user_id)
        .join(Token, MembershipPass.user_id == Token.user_id)
        .where(*planned, MembershipPass.state == PassState.ACTIVE)
    )


def addressed(planned: Sequence[Any]) -> Subquery:
    """The tokens that go to an address, in the order of the addresses: of members whose pass was
    issued alone, with the number of the pass, and of recipients who are no members."""
    address = type_coerce(func.coalesce(Token.address, MembershipPass.address), LargeBinary)
    place = func.row_number().over(order_by=address) - 1
    is_alone = (MembershipPass.batch_number >= SINGLES) & (MembershipPass.state == PassState.ACTIVE)
    number = cast(MembershipPass.batch_number, BigInteger) * 2**16 + MembershipPass.index
    return (
        select(
            Token.id,
            address.label("address"),
            number.label("pass_number"),
            cast(place // MAX_BATCH, Integer).label("mint"),
            cast(place % MAX_BATCH, Integer).label("index"),
        )
        .outerjoin(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(*planned, Token.address.is_not(None) | is_alone)
        .subquery("alone")
    )


def packed_addresses(session: Session, alone: Subquery) -> Sequence[bytes]:
    """The addresses of each call, joined; increasing."""
    empty = literal(b"", LargeBinary)
    joined = func.string_agg(alone.c.address, aggregate_order_by(empty, alone.c.address))
    query = select(type_coerce(joined, LargeBinary)).group_by(alone.c.mint).order_by(alone.c.mint)
    return session.scalars(query).all()


def bind_places(
    session: Session,
    tokens: Sequence[Any],
    round_number: int,
    planned: Sequence[tuple[DropCall, Batch]],
) -> None:
    """The tokens of each pass batch are in the batch of its call."""
    batch_of = [(part.number, batch.id) for call, batch in planned for part in call.parts]
    if not batch_of:
        return
    numbers, batches = column("number", Integer), column("batch_id", Token.batch_id.type)
    bound = values(numbers, batches, name="bound").data(batch_of)
    number, index = MembershipPass.batch_number, MembershipPass.index
    session.execute(
        update(Token)
        .where(
            *tokens,
            MembershipPass.user_id == Token.user_id,
            MembershipPass.state == PassState.ACTIVE,
            number == bound.c.number,
        )
        .values(
            state=TokenState.MINTING,
            round=round_number,
            batch_id=bound.c.batch_id,
            pass_number=cast(number, BigInteger) * 2**16 + index,
        )
        .execution_options(synchronize_session=False)
    )


def bind_addressed(
    session: Session,
    alone: Subquery,
    batches: Sequence[Batch],
    *,
    first_nonce: int,
) -> None:
    """The tokens of each mint are in its batch."""
    if not batches:
        return
    mint, batch_id = column("mint", Integer), column("batch_id", Token.batch_id.type)
    bound = values(mint, batch_id, name="bound").data([(n, it.id) for n, it in enumerate(batches)])
    session.execute(
        update(Token)
        .where(Token.id == alone.c.id, alone.c.mint == bound.c.mint)
        .values(
            state=TokenState.MINTING,
            batch_id=bound.c.batch_id,
            pass_number=alone.c.pass_number,
            mint_nonce=alone.c.mint + first_nonce,
            mint_index=alone.c.index,
        )
        .execution_options(synchronize_session=False)
    )


def bound_addresses(session: Session, batches: Sequence[Batch]) -> Sequence[bytes]:
    """Whom the tokens of these batches belong to, joined like the addresses of a call.

    The bytes were made by an earlier statement: a pass may have become active in between.
    """
    address = type_coerce(func.coalesce(Token.address, MembershipPass.address), LargeBinary)
    joined = func.string_agg(
        address, aggregate_order_by(literal(b"", LargeBinary), Token.mint_index)
    )
    query = (
        select(type_coerce(joined, LargeBinary))
        .select_from(Token)
        .outerjoin(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(Token.batch_id.in_([batch.id for batch in batches]))
        .group_by(Token.mint_nonce)
        .order_by(Token.mint_nonce)
    )
    return session.scalars(query).all() if batches else []
