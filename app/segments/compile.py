"""Makes SQL of a rule: an expression over the users table, true of whoever meets it.

Two spellings of the same question. Of all members, what happened to them is a set that is made once
and looked up; of a few, each looks for its own rows by an index. Names and values are parameters;
the only identifiers are columns of the models and slots, which are a letter and a number.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    Uuid,
    and_,
    column,
    false,
    func,
    not_,
    or_,
    select,
    table,
    union,
)
from sqlalchemy.dialects.postgresql import distinct_on

from app.segments import rules
from app.segments.ground import GoneError, Ground, among
from app.segments.models import BadgeOwner
from app.segments.on_events import of_event
from app.segments.on_properties import of_property
from app.segments.rules import (
    AssetCondition,
    BadgeCondition,
    CampaignCondition,
    Condition,
    ConsentCondition,
    EventCondition,
    ListCondition,
    PassCondition,
    PropertyCondition,
    Rule,
    SegmentCondition,
)
from app.users.models import Consent, ListMember, User, UserState
from core.types import MerchantId, UserId
from minting.models import MembershipPass, PassState, Token, TokenState

# Of the features above this one: who received what from whom is a row.
_GRANTS = table(
    "grants",
    *(column(name, Uuid()) for name in ("merchant_id", "source_id", "user_id")),
    *(column(name, Text()) for name in ("source_type", "state")),
)


def is_member(merchant: MerchantId) -> ColumnElement[bool]:
    """Whoever can be in a segment at all."""
    return and_(
        User.merchant_id == merchant,
        User.state != UserState.ERASED,
        User.state != UserState.MERGED,
    )


def meets(rule: Rule, ground: Ground, *, depth: int = 0) -> ColumnElement[bool]:
    """True of whoever meets the rule; never NULL of a member.

    Raises:
        GoneError: it names a field or segment that is not there.
    """
    if depth > rules.DEEPEST:
        raise GoneError("The rules of segments are inside each other too deep.")
    groups = [
        and_(*(condition(it, ground, depth=depth) for it in group.conditions))
        for group in rule.groups
    ]
    return or_(*groups)


def wanted(rule: Rule, ground: Ground) -> Select[UserId]:
    """The ids of all members who meet the rule: each group by its own indexes, nobody twice.

    Raises:
        GoneError: it names a field or segment that is not there.
    """
    groups = [
        select(User.id).where(
            is_member(ground.merchant), *(condition(it, ground, depth=0) for it in group.conditions)
        )
        for group in rule.groups
    ]
    return groups[0] if len(groups) == 1 else select(union(*groups).subquery().c.id)


def condition(asked: Condition, ground: Ground, *, depth: int = 0) -> ColumnElement[bool]:
    """True of whoever meets the condition; never NULL of a member.

    Raises:
        GoneError: it names a field or segment that is not there.
    """
    if isinstance(asked, PropertyCondition):
        return of_property(asked, ground)
    if isinstance(asked, SegmentCondition):
        if asked.id not in ground.known:
            raise GoneError("A segment that the rule names is not there any more.")
        inner = meets(ground.known[asked.id], ground, depth=depth + 1)
    else:
        inner = _MEMBERSHIPS[type(asked)](asked, ground)
    is_wanted = asked.is_done if isinstance(asked, EventCondition) else asked.is_in
    return inner if is_wanted else not_(inner)


def _of_list(condition: ListCondition, ground: Ground) -> ColumnElement[bool]:
    found = select(ListMember.user_id).where(ListMember.list_id == condition.id)
    return among(found, ListMember.user_id, ground)


def _of_badge(condition: BadgeCondition, ground: Ground) -> ColumnElement[bool]:
    found = select(BadgeOwner.user_id).where(BadgeOwner.badge_id == condition.id)
    return among(found, BadgeOwner.user_id, ground)


def _of_asset(condition: AssetCondition, ground: Ground) -> ColumnElement[bool]:
    found = select(Token.user_id).where(
        Token.asset_id == condition.id,
        Token.state == TokenState.OWNED,
        Token.user_id.is_not(None),
    )
    if condition.times == 1:
        return among(found, Token.user_id, ground)
    if ground.is_few:
        each = found.with_only_columns(func.count()).where(Token.user_id == User.id)
        return each.correlate(User).scalar_subquery() >= condition.times
    owners = found.group_by(Token.user_id).having(func.count() >= condition.times)
    return User.id.in_(owners)


def _of_campaign(condition: CampaignCondition, ground: Ground) -> ColumnElement[bool]:
    found = select(_GRANTS.c.user_id).where(
        _GRANTS.c.merchant_id == ground.merchant,
        _GRANTS.c.source_type == "airdrop",
        _GRANTS.c.source_id == condition.id,
        _GRANTS.c.state == "delivered",
        _GRANTS.c.user_id.is_not(None),
    )
    return among(found, _GRANTS.c.user_id, ground)


def _of_pass(_condition: PassCondition, ground: Ground) -> ColumnElement[bool]:
    found = select(MembershipPass.user_id).where(
        MembershipPass.merchant_id == ground.merchant, MembershipPass.state == PassState.ACTIVE
    )
    return among(found, MembershipPass.user_id, ground)


def _of_consent(condition: ConsentCondition, ground: Ground) -> ColumnElement[bool]:
    asked = (Consent.merchant_id == ground.merchant, Consent.purpose == condition.purpose)
    if ground.is_few:
        newest = (
            select(Consent.is_given)
            .where(*asked, Consent.user_id == User.id)
            .order_by(Consent.at.desc(), Consent.id.desc())
            .limit(1)
        )
        return func.coalesce(newest.correlate(User).scalar_subquery(), false())
    newest_of_each = (
        select(Consent.user_id, Consent.is_given)
        .where(*asked)
        .ext(distinct_on(Consent.user_id))
        .order_by(Consent.user_id, Consent.at.desc(), Consent.id.desc())
        .subquery()
    )
    return User.id.in_(select(newest_of_each.c.user_id).where(newest_of_each.c.is_given))


_MEMBERSHIPS: dict[type, Callable[[Any, Ground], ColumnElement[bool]]] = {
    EventCondition: of_event,
    ListCondition: _of_list,
    BadgeCondition: _of_badge,
    AssetCondition: _of_asset,
    CampaignCondition: _of_campaign,
    PassCondition: _of_pass,
    ConsentCondition: _of_consent,
}
