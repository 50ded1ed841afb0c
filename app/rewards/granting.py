"""One reward for one member: decided and done by one statement, whoever else asks at the same time.

Counters are raised by updates that name their limits, so what is exhausted changes no row; the
statement then makes nothing, a savepoint takes back what it counted, and the reason is looked up
afterwards. A perk is in the member's hands at once, with its code; a digital asset is promised and
travels on its own (`app.rewards.travelling`).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.perks import handing
from app.perks import service as perks
from app.perks.errors import CodePoolEmptyError
from app.perks.models import Holding, Perk, PerkQuota, PerkState
from app.rewards.errors import (
    PerUserLimitError,
    RewardNotLiveError,
    StockExhaustedError,
    UserNotActiveError,
)
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from app.rewards.service import Source, received_data
from app.users.models import User, UserState
from core.db import after_commit, sql_id
from core.events import Event, insert_events_by
from core.types import GrantId, HoldingId, RewardLineId, UserId
from minting import airdrops
from minting.models import ContractState, DigitalAsset

_TRIES = 3
"""Stock that comes back between a refusal and its reason is asked for again, so often."""
_USER = bindparam("given_user", type_=User.id.type)
_SOURCE = bindparam("given_source", type_=Grant.source_id.type)
_ORDINAL = bindparam("given_ordinal", type_=Grant.ordinal.type)
_ACTOR = bindparam("given_actor", type_=Event.actor.type)
_WHEN = handing.Moment.to_come()
_AT = _WHEN.at
_MOST_KEPT = 512

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Given:
    """What a member has from a source; `is_new` unless it was given before."""

    grant_id: GrantId
    holding_id: HoldingId | None
    is_new: bool


def grant(
    session: Session,
    line: RewardLine,
    user_id: UserId,
    *,
    source: Source,
    ordinal: int = 0,
    at: datetime,
) -> Given:
    """The member has the line's reward from this source; a repeat returns what the first gave.

    Args:
        ordinal: counts from 0 where the source gives the member several.

    Raises:
        UserNotActiveError: the member is blocked, merged or erased.
        RewardNotLiveError: the perk or the asset is a draft or archived.
        StockExhaustedError, PerkExhaustedError, SupplyExhaustedError, CodePoolEmptyError: nothing
            is left of the line, or of what it gives.
        PerUserLimitError: the member has as many of the perk as anybody may have.
        Whatever is raised, nothing was changed: the transaction goes on.

    Locks: the member (shared), the line, the perk or the asset, the member's quota, a free code.
    """
    asked = _Asked(session, line, user_id, source, ordinal, at)
    for _ in range(_TRIES):
        given = asked.try_to_give() or asked.known()
        if given is not None:
            return given
        asked.refuse()
    raise StockExhaustedError(1, 0)


@dataclass
class _Asked:
    session: Session
    line: RewardLine
    user_id: UserId
    source: Source
    ordinal: int
    at: datetime
    perk: Perk | None = None
    """As the last try took it to be."""

    def known(self) -> Given | None:
        """What the source gave the member before."""
        query = (
            select(Grant.id, Holding.id)
            .outerjoin(Holding, Holding.grant_id == Grant.id)
            .where(
                Grant.user_id == self.user_id,
                Grant.reward_line_id == self.line.id,
                Grant.source_id == self.source.id,
                Grant.ordinal == self.ordinal,
            )
        )
        row = self.session.execute(query).one_or_none()
        return None if row is None else Given(row[0], row[1], is_new=False)

    def try_to_give(self) -> Given | None:
        """It is given, or nothing is changed."""
        with self.session.begin_nested() as savepoint:
            given = self._give_asset() if self.line.perk_id is None else self._give_perk()
            if given is None:
                savepoint.rollback()
        return given

    def _give_perk(self) -> Given | None:
        perk = self.perk = self._perk_as_known()
        statement = _statement_for(self.line, self.source.type, perk)
        row = self._send(statement, handing.Moment.values(perk, self.at))
        return None if row is None else Given(row[0], row[1], is_new=True)

    def _perk_as_known(self) -> Perk:
        """The perk as it was read some time ago; the statement says whether it is still so."""
        assert self.line.perk_id is not None  # one of both
        known = _perks.get(self.line.perk_id)
        if known is None:
            known = perks.copy_of(perks.get(self.session, self.line.perk_id))
            after_commit(self.session, partial(_remember, _perks, known.id, known))
        return known

    def _give_asset(self) -> Given | None:
        assert self.line.asset_id is not None  # one of both
        row = self._send(_statement_for(self.line, self.source.type), {str(_WHEN.at.key): self.at})
        if row is None:
            return None
        columns = (Grant.id, Grant.user_id, Grant.address, Grant.ordinal)
        airdrops.request_tokens(
            self.session,
            self.line.asset_id,
            reward_line_id=self.line.id,
            grants=select(*columns).where(Grant.id == row[0]),
            most=self.ordinal + 1,
            is_reserved=self.line.is_reserved,
            at=self.at,
        )
        self._refuse_asset()  # it is locked now, so it stays what it is
        return Given(row[0], None, is_new=True)

    def _send(self, statement: Select[Any], values: dict[str, Any]) -> Row[*tuple[Any, ...]] | None:
        facts = {
            _USER.key: self.user_id,
            _SOURCE.key: self.source.id,
            _ORDINAL.key: self.ordinal,
            _ACTOR.key: self.session.info["actor"],
        }
        return self.session.execute(statement, {**facts, **values}).one_or_none()

    def refuse(self) -> None:
        """Say why nothing was given, in the order in which it is decided."""
        state = self.session.scalar(select(User.state).where(User.id == self.user_id))
        if state is not UserState.ACTIVE:
            raise UserNotActiveError(state)
        self.session.refresh(self.line)
        line = self.line
        left = None if line.quantity is None else line.quantity - line.granted_count
        if left is not None and left < 1:
            raise StockExhaustedError(1, left)
        if line.perk_id is not None:
            self._refuse_perk(perks.get(self.session, line.perk_id))

    def _refuse_asset(self) -> None:
        assert self.line.asset_id is not None  # one of both
        asset = self.session.get_one(DigitalAsset, self.line.asset_id)
        if asset.state is not ContractState.LIVE and not self.line.is_reserved:
            raise RewardNotLiveError(asset.title)

    def _refuse_perk(self, perk: Perk) -> None:
        self.session.refresh(perk)
        if self.perk is not None and self.perk.version != perk.version:
            _perks.pop(perk.id, None)
            return  # it was decided by what is no longer so
        if perk.state is not PerkState.LIVE and not self.line.is_reserved:
            raise RewardNotLiveError(perk.title)
        refusal = None if self.line.is_reserved else perks.shortage(perk, 1)
        if refusal is not None:
            raise refusal
        quota = self.session.get(PerkQuota, (perk.id, self.user_id), populate_existing=True)
        held = quota.granted_count if quota is not None else 0
        if perk.max_per_user is not None and held >= perk.max_per_user:
            raise PerUserLimitError(perk.title, perk.max_per_user)
        if perk.has_pool:  # what is left is kept for others, has expired, or is in somebody's hand
            raise CodePoolEmptyError(perk.title, wanted=1, left=0)


def take_turn(session: Session, line_id: RewardLineId) -> None:
    """Nobody gives one of the line until this transaction ends, and whoever did has committed."""
    session.execute(select(_turn_of(line_id)))


def _turn_of(line_id: RewardLineId) -> ColumnElement[Any]:
    return func.pg_advisory_xact_lock(int.from_bytes(line_id.bytes[8:], signed=True))


_statements: dict[Hashable, Select[Any]] = {}
"""By what they depend on; making one takes longer than sending it."""
_perks: dict[Hashable, Perk] = {}
"""As they were when last read, committed."""


def _statement_for(line: RewardLine, kind: GrantSource, perk: Perk | None = None) -> Select[Any]:
    """The statement that gives one of the line: rows of grant and holding, or none."""
    key = (line.id, line.is_reserved, kind, perk)  # this very copy: its version may come to nothing
    known = _statements.get(key)
    if known is None:
        known = _Statement(line, kind, perk).build()
        _remember(_statements, key, known)
    return known


def _remember(known: dict[Hashable, Kept], key: Hashable, value: Kept) -> None:
    if len(known) >= _MOST_KEPT:
        known.clear()
    known[key] = value


@dataclass(frozen=True)
class _Statement:
    line: RewardLine
    kind: GrantSource
    perk: Perk | None

    def build(self) -> Select[Any]:
        line = self._count_on_line(self._queue(self._member()))
        if self.perk is None:
            return select(self._insert_grant(line, GrantState.PENDING).c.id)
        noted = self._note_quota(self.perk, self._count(self.perk, line))
        granted = self._insert_grant(noted, GrantState.DELIVERED)
        rows = select(granted.c.id, granted.c.user_id)
        # A ticket has reserves, who get what lapses.
        is_of_ticket = self.kind is GrantSource.TICKET
        held = handing.hand_over(self.perk, rows, returns_to_giver=is_of_ticket, at=_WHEN)
        data = received_data(self.line, held)
        facts: Select[Any] = select(literal("cohort.perk.received"), held.c.user_id, data)
        told = insert_events_by(facts, at=_AT, actor=_ACTOR).cte("told")
        return select(held.c.grant_id, held.c.id).add_cte(told)

    def _member(self) -> CTE:
        """The member, if active, and so until the transaction ends."""
        is_active = (User.id == _USER) & (User.state == UserState.ACTIVE)
        member = select(User.id, literal(self.line.id).label("line_id")).where(is_active)
        return member.with_for_update(read=True).cte("member")

    def _queue(self, member: CTE) -> CTE:
        """Whoever gives of the line waits in order of arrival, and is woken once."""
        return select(member.c.id, member.c.line_id, _turn_of(self.line.id)).cte("turn")

    def _count_on_line(self, member: CTE) -> CTE:
        """One more is given by the line, if it has one left; an asset has to travel then."""
        is_left = RewardLine.quantity.is_(None) | (RewardLine.granted_count < RewardLine.quantity)
        if self.perk is None:
            moved: dict[str, Any] = {"waiting_since": func.coalesce(RewardLine.waiting_since, _AT)}
        else:
            moved = {"delivered_count": RewardLine.delivered_count + 1}
        return (
            update(RewardLine)
            .where(RewardLine.id == member.c.line_id, is_left)
            .values(granted_count=RewardLine.granted_count + 1, **moved)
            .returning(member.c.id.label("user_id"), RewardLine.perk_id)
            .cte("line")
        )

    def _count(self, perk: Perk, line: CTE) -> CTE:
        """One more of the perk is given, if one is left, and if the perk is as it was read."""
        is_as_known = (Perk.id == line.c.perk_id) & (Perk.version == perk.version)
        if self.line.is_reserved:
            return select(line.c.user_id).join(Perk, is_as_known).cte("perk")
        is_left = Perk.total_quantity.is_(None) | (Perk.granted_count < Perk.total_quantity)
        if perk.has_pool:
            is_left &= Perk.granted_count < Perk.code_count
        return (
            update(Perk)
            .where(is_as_known, Perk.state == PerkState.LIVE, is_left)
            .values(granted_count=Perk.granted_count + 1)
            .returning(line.c.user_id)
            .cte("perk")
        )

    def _note_quota(self, perk: Perk, counted: CTE) -> CTE:
        """The member has one more of the perk, unless that were too many.

        What is reserved was promised before, so it is noted and never refused.
        """
        most = null() if self.line.is_reserved else literal(perk.max_per_user)
        limit = cast(most, PerkQuota.max_per_user.type)
        rows = select(literal(perk.id), counted.c.user_id, literal(1), limit)
        names = ["perk_id", "user_id", "granted_count", "max_per_user"]
        noted = insert(PerkQuota).from_select(names, rows, include_defaults=False)
        asked = noted.excluded.max_per_user
        return (
            noted.on_conflict_do_update(
                index_elements=[PerkQuota.perk_id, PerkQuota.user_id],
                set_={"granted_count": PerkQuota.granted_count + 1, "max_per_user": asked},
                where=or_(asked.is_(None), PerkQuota.granted_count < asked),
            )
            .returning(PerkQuota.user_id)
            .cte("noted")
        )

    def _insert_grant(self, counted: CTE, state: GrantState) -> CTE:
        facts: dict[InstrumentedAttribute[Any], Any] = {
            Grant.id: sql_id(),
            Grant.source_type: literal(self.kind, type_=Grant.source_type.type),
            Grant.source_id: _SOURCE,
            Grant.reward_line_id: literal(self.line.id),
            Grant.recipient_key: cast(counted.c.user_id, Text),
            Grant.ordinal: _ORDINAL,
            Grant.user_id: counted.c.user_id,
            Grant.state: literal(state, type_=Grant.state.type),
            Grant.created_at: _AT,
        }
        if state is GrantState.DELIVERED:
            facts[Grant.delivered_at] = _AT
        return (
            insert(Grant)
            .from_select([it.key for it in facts], select(*facts.values()), include_defaults=False)
            .on_conflict_do_nothing()
            .returning(Grant.id, Grant.user_id)
            .cte("granted")
        )
