"""Which members a list shows: what the address of the page says, as conditions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import ColumnElement, Text, Uuid, and_, column, or_, select, table, type_coerce
from sqlalchemy.orm import Session

from app.users import values
from app.users.fields import Field, fold
from app.users.models import ListMember, User, UserState
from app.users.queries import begins, wallet_address
from app.users.slots import SOUGHT_LENGTH, Kind, beginning
from core.db import merchant_of
from core.ids import decode_id
from core.types import ListId, SegmentId, UserId
from minting.models import MembershipPass
from minting.numbers import split_pass_number
from wallets.models import Wallet

_DAY = timedelta(days=1)
# Of the feature above this one: who is in a segment is a row, and nothing else is asked of it.
_SEGMENT_MEMBERS = table("segment_members", column("segment_id", Uuid()), column("user_id", Uuid()))
SHOWN = (UserState.ACTIVE, UserState.BLOCKED)
"""Who is shown when no state is asked for: the others are nobody's members any more."""


@dataclass(frozen=True)
class Filters:
    """What was asked for, as typed; empty texts ask for nothing.

    Args:
        q: the beginning of an address, a name or a reference id; a wallet address; a pass number.
        list, segment: public ids.
        field, op, value: one condition on a field; `op` is one of `is`, `begins`, `from`, `to`,
            `set` and `unset`.
    """

    q: str = ""
    state: str = ""
    source: str = ""
    list: str = ""
    segment: str = ""
    field: str = ""
    op: str = ""
    value: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether everybody is shown."""
        return not any(
            (self.q.strip(), self.state, self.source, self.list, self.segment, self.field)
        )

    @classmethod
    def from_query(cls, query: str) -> "Filters":
        """What `as_query` wrote; anything else in it is left out."""
        names = {it.name for it in dataclass_fields(cls)}
        return cls(**{name: value for name, value in parse_qsl(query) if name in names})

    def as_query(self) -> str:
        """As the query of an address."""
        return urlencode({name: value for name, value in vars(self).items() if value})


def conditions(
    session: Session, asked: Filters, fields: Mapping[str, Field]
) -> list[ColumnElement[bool]]:
    """True of the members who are shown; every one names the merchant's rows only.

    Raises:
        UnknownIdentifierError: a list or segment that cannot be.
        ValueInvalidError: the value is none of the field's kind.
    """
    found = [User.merchant_id == merchant_of(session), _in_state(asked.state)]
    if asked.q.strip():
        found.append(_found_by(session, asked.q.strip()))
    if asked.source:
        found.append(User.source == asked.source)
    if asked.list:
        list_id = ListId(decode_id("lst", asked.list))
        members = select(ListMember.user_id).where(
            ListMember.list_id == list_id, ListMember.merchant_id == merchant_of(session)
        )
        found.append(User.id.in_(members))
    if asked.segment:
        segment_id = SegmentId(decode_id("seg", asked.segment))
        user_id = _SEGMENT_MEMBERS.c.user_id
        found.append(
            User.id.in_(select(user_id).where(_SEGMENT_MEMBERS.c.segment_id == segment_id))
        )
    if asked.field in fields:
        found.append(_compared(fields[asked.field], asked.op, asked.value))
    return found


def _in_state(state: str) -> ColumnElement[bool]:
    if state in set(UserState):
        return User.state == UserState(state)
    return User.state.in_(SHOWN)


def _found_by(session: Session, search: str) -> ColumnElement[bool]:
    """Matches of indexed columns, each by its beginning.

    Holders of a wallet or a pass are looked up first: as a subquery beside the others they would
    keep the database from using any index.
    """
    folded = fold(search)
    choices = [
        begins(User.email_key, search.lower()),
        begins(User.name_key, folded),
        begins(User.last_key, folded),
        begins(User.reference_id, search),
    ]
    holders = _holders(session, search)
    if holders:
        choices.append(User.id.in_(holders))
    return or_(*choices)


def _holders(session: Session, search: str) -> list[UserId]:
    found: list[Any] = []
    if search.lower().startswith("0x"):
        address = wallet_address(search)
        found += session.scalars(select(Wallet.owner_id).where(Wallet.address == address))
    place = split_pass_number(search)
    if place is not None:
        number, index = place
        found += session.scalars(
            select(MembershipPass.user_id).where(
                MembershipPass.batch_number == number, MembershipPass.index == index
            )
        )
    ids = [it for it in found if it is not None]
    # Who was merged is found as who they are now.
    return [*ids, *session.scalars(select(User.merged_into_id).where(User.id.in_(ids)))]


def _compared(field: Field, op: str, text: str) -> ColumnElement[bool]:
    if op == "set":
        return field.sought.is_not(None)
    if op == "unset":
        return field.sought.is_(None)
    if field.kind is Kind.TEXT:
        return _text_compared(field, op, text)
    value = values.parse(text, field.kind)
    if field.kind is Kind.DATE and op in ("is", "to"):
        ends = field.sought < value + _DAY  # type: ignore[operator]
        return and_(field.sought >= value, ends) if op == "is" else ends
    return _COMPARISONS.get(op, _COMPARISONS["is"])(field.sought, value)


_COMPARISONS: Mapping[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "is": lambda sought, value: sought == value,
    "from": lambda sought, value: sought >= value,
    "to": lambda sought, value: sought <= value,
}


def _text_compared(field: Field, op: str, text: str) -> ColumnElement[bool]:
    wanted = field.normalise(str(values.parse(text, Kind.TEXT)))
    sought = type_coerce(field.sought, Text())
    indexed = beginning(field.sought) if field.is_cut else sought
    if op == "begins":
        found = begins(indexed, wanted[:SOUGHT_LENGTH])
        return found if len(wanted) <= SOUGHT_LENGTH else and_(found, begins(sought, wanted))
    if field.is_cut:
        return and_(indexed == wanted[:SOUGHT_LENGTH], sought == wanted)
    return sought == wanted
