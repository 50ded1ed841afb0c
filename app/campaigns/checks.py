"""What makes a row of an audience file wrong beside others: one statement each, over all rows."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Subquery,
    Text,
    case,
    cast,
    exists,
    func,
    literal,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.campaigns.columns import Rejection
from app.campaigns.models import AudienceFile, AudienceRow
from app.rewards.lines import names_of, rewards_of
from app.users.models import User
from chain.models import ContractAddress
from core.types import AudienceFileId, RewardLineId

_MEMORY = text("SET LOCAL work_mem = '64MB'")
"""A million rows are sorted in memory, or nearly."""
_SET_BASED = (Rejection.CONTRACT_OF_OURS, Rejection.UNKNOWN_REWARD, Rejection.DUPLICATE_ROW)


def check(session: Session, file: AudienceFile) -> dict[str, Any]:
    """Every row is accepted or has its reason; a repeat comes to the same.

    Returns:
        How many rows are rejected, by reason.
    """
    session.execute(_MEMORY)
    _forget(session, file.id)
    find_members(session, file.id)
    contracts = select(ContractAddress.address)
    _reject(session, file.id, AudienceRow.address.in_(contracts), Rejection.CONTRACT_OF_OURS)
    lines = names_of(rewards_of(session, file.campaign_id))
    if lines:  # before any is chosen nobody can say
        is_another = AudienceRow.reward.not_in(lines)
        _reject(session, file.id, is_another, Rejection.UNKNOWN_REWARD)
    is_for_several = names_rewards(session, file.id)
    for doubled in (
        _repeated_recipients(file.id, lines)
        if is_for_several
        else _repetitions(file.id, sql_who()),
        _repetitions(file.id, cast(AudienceRow.key, Text)),
    ):
        is_doubled = AudienceRow.line == doubled.c.line
        _reject(session, file.id, is_doubled, Rejection.DUPLICATE_ROW)
    rows = session.execute(
        select(AudienceRow.reason, func.count())
        .where(AudienceRow.file_id == file.id, AudienceRow.reason.is_not(None))
        .group_by(AudienceRow.reason)
    )
    return {str(reason): count for reason, count in rows}


def sql_who() -> ColumnElement[str]:
    """Whom an accepted row names, in one spelling: the member, the email, or the address."""
    return func.coalesce(
        cast(AudienceRow.user_id, Text), AudienceRow.email_key, sql_address(AudienceRow.address)
    )


def sql_address(address: InstrumentedAttribute[Any]) -> ColumnElement[str]:
    """An address in lower case, or NULL."""
    return "0x" + func.encode(address, "hex", type_=Text())


def names_rewards(session: Session, file_id: AudienceFileId) -> bool:
    """Whether any row says which reward it is for."""
    return bool(
        session.scalar(
            select(exists().where(AudienceRow.file_id == file_id, AudienceRow.reward.is_not(None)))
        )
    )


def find_members(session: Session, file_id: AudienceFileId) -> None:
    """Rows whose email became a member's since they were read know the member."""
    session.execute(
        update(AudienceRow)
        .where(
            AudienceRow.file_id == file_id,
            AudienceRow.reason.is_(None),
            AudienceRow.user_id.is_(None),
            AudienceRow.email_key == User.email_key,
        )
        .values(user_id=User.id)
        .execution_options(synchronize_session=False)
    )


def _forget(session: Session, file_id: AudienceFileId) -> None:
    session.execute(
        update(AudienceRow)
        .where(AudienceRow.file_id == file_id, AudienceRow.reason.in_(_SET_BASED))
        .values(reason=None, text=None)
        .execution_options(synchronize_session=False)
    )


def _repeated_recipients(file_id: AudienceFileId, lines: Mapping[str, RewardLineId]) -> Subquery:
    """The lines of accepted rows of which an earlier one promised everything.

    A row that names no reward is for all of them, so it covers those that do, and not the reverse.
    """
    who = sql_who()
    spelled = [(name, cast(literal(str(line)), Text)) for name, line in lines.items()]
    reward: Any = AudienceRow.reward
    if spelled:
        reward = case(dict(spelled), value=AudienceRow.reward, else_=AudienceRow.reward)
    number = func.row_number().over(partition_by=(who, reward), order_by=AudienceRow.line)
    for_all = func.min(case((AudienceRow.reward.is_(None), AudienceRow.line)))
    numbered = (
        select(
            AudienceRow.line,
            number.label("number"),
            for_all.over(partition_by=who).label("for_all"),
        )
        .where(AudienceRow.file_id == file_id, AudienceRow.reason.is_(None))
        .subquery()
    )
    is_covered = (numbered.c.number > 1) | (numbered.c.for_all < numbered.c.line)
    return select(numbered.c.line).where(is_covered).subquery()


def _repetitions(file_id: AudienceFileId, key: ColumnElement[Any]) -> Subquery:
    """The lines of accepted rows that say what an earlier one said."""
    number = func.row_number().over(partition_by=key, order_by=AudienceRow.line)
    numbered = (
        select(AudienceRow.line, number.label("number"))
        .where(AudienceRow.file_id == file_id, AudienceRow.reason.is_(None), key.is_not(None))
        .subquery()
    )
    return select(numbered.c.line).where(numbered.c.number > 1).subquery()


def _reject(
    session: Session, file_id: AudienceFileId, wrong: ColumnElement[bool], reason: Rejection
) -> None:
    said = func.concat_ws(
        ", ",
        AudienceRow.email,
        sql_address(AudienceRow.address),
        cast(AudienceRow.quantity, Text),
        AudienceRow.reward,
        AudienceRow.key,
    )
    session.execute(
        update(AudienceRow)
        .where(AudienceRow.file_id == file_id, AudienceRow.reason.is_(None), wrong)
        .values(reason=type_coerce(reason.value, Text), text=said)
        .execution_options(synchronize_session=False)
    )
