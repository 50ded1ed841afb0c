"""Puts the members of a random world into the tables, and the same into the oracle's hands."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import column, insert, table, update
from sqlalchemy.orm import Session

from app.users import properties, slots
from app.users.fields import fold
from app.users.models import Consent, ListMember, Property, UserList
from app.users.service import new_row
from app.users.slots import Kind
from core.db import merchant_of
from core.events import Event
from core.ids import encode_id, new_id
from core.types import ConsentId, ListId, UserId
from tests.app.segments.oracle import Happening, Person
from tests.app.segments.worlds import LISTS
from tests.conftest import NOW

_KINDS = {
    "city": (Kind.TEXT, False),
    "spend": (Kind.NUMBER, False),
    "vip": (Kind.BOOLEAN, False),
    "birthday": (Kind.DATE, False),
    "ordered": (Kind.DATE, True),
}


class Stage:
    """The properties and lists of a merchant that random worlds speak of by plain names."""

    def __init__(self, session: Session) -> None:
        self.properties: dict[str, Property] = {}
        for name, (kind, with_time) in _KINDS.items():
            flags = properties.Flags(with_time=with_time)
            self.properties[name] = properties.create(session, name, kind, flags=flags, at=NOW)
        self.lists = {name: ListId(new_id()) for name in LISTS}
        for name, list_id in self.lists.items():
            session.add(UserList(id=list_id, name=name, created_at=NOW))
        session.flush()

    def key(self, name: str) -> str:
        """How rules call a field of this name."""
        row = self.properties.get(name)
        return name if row is None else encode_id("prp", row.id)

    def rule(self, rule: dict[str, Any]) -> dict[str, Any]:
        """The rule with real keys in place of plain names."""
        return {
            "groups": [
                {"conditions": [self._condition(it) for it in group["conditions"]]}
                for group in rule["groups"]
            ]
        }

    def _condition(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["kind"] == "property":
            return {**asked, "field": self.key(asked["field"])}
        if asked["kind"] == "list":
            return {**asked, "id": str(self.lists[asked["id"]])}
        return asked

    def columns(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What the users table holds for these fields."""
        found: dict[str, Any] = {}
        for name, value in fields.items():
            row = self.properties.get(name)
            if row is None:
                found[name] = value
                continue
            found[slots.value_name(row.kind, row.slot)] = value
            if row.kind is Kind.TEXT:
                sought = None if value is None else fold(value)
                found[slots.sought_name(row.kind, row.slot)] = sought
        if "first_name" in fields:
            name = fields["first_name"]
            found["first_key"] = None if name is None else fold(name)
        return found


_OF_PEOPLE = ("events", "lists", "consents")


def settle(session: Session, stage: Stage, drawn: Sequence[dict[str, Any]]) -> dict[UserId, Person]:
    """The drawn members are in the tables, and as persons of the oracle."""
    people: dict[UserId, Person] = {}
    rows, events, members, consents = [], [], [], []
    for number, it in enumerate(drawn):
        email = f"{number}@example.com"
        fields = {key: value for key, value in it.items() if key not in _OF_PEOPLE}
        row = new_row(email, email, source="test") | stage.columns(fields)
        rows.append({**row, "state": "active", "mail_status": "ok", "version": 1})
        user = row["id"]
        events += [_event(user, *happening) for happening in it["events"]]
        members += [
            {"list_id": stage.lists[name], "user_id": user, "added_at": NOW, "actor": "test"}
            for name in it["lists"]
        ]
        consents += [_consent(user, place, *it) for place, it in enumerate(it["consents"])]
        people[user] = Person(
            fields={key: value for key, value in fields.items() if value is not None},
            events=[Happening(*happening) for happening in it["events"]],
            lists=set(it["lists"]),
            consents=dict(it["consents"]),
        )
    merchant = {"merchant_id": merchant_of(session)}
    if rows:
        session.execute(
            insert(table("users", *map(column, [*rows[0], "merchant_id"]))),
            [row | merchant for row in rows],
        )
    for model, found in ((Event, events), (ListMember, members), (Consent, consents)):
        if found:
            session.execute(insert(model), found)
    return people


def _event(user: UserId, kind: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    facts = {"type": kind, "occurred_at": at, "data": data, "actor": "test"}
    return {"id": new_id(), "user_id": user, **facts}


def _consent(user: UserId, place: int, purpose: str, is_given: bool) -> dict[str, Any]:
    row = {"id": ConsentId(new_id()), "user_id": user, "purpose": purpose, "is_given": is_given}
    return {**row, "at": NOW + timedelta(microseconds=place), "channel": "test", "actor": "test"}


def write(session: Session, stage: Stage, user: UserId, fields: dict[str, Any]) -> None:
    """The member has these values now."""
    found = stage.columns(fields)
    users = table("users", *map(column, ["id", *found]))
    session.execute(update(users).where(users.c.id == user).values(found))
