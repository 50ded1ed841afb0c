"""Members of the brand, what is known of them, and the lists they are on."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.users.slots import MOST_SLOTS, Kind
from core.db import Base, TenantMixin, VersionMixin
from core.types import ConsentId, ListId, PropertyId, UserId


class UserState(StrEnum):
    """Whether a member takes part; erased rows keep accounting only."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    MERGED = "merged"
    """Another member goes on as this person; this row still holds its wallet and what is in it."""
    ERASED = "erased"


class MailStatus(StrEnum):
    """Whether mail reaches the address."""

    OK = "ok"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


_SORTED = ("state", "source", "mail_status")
_SORTED_IF_SET = (
    "first_key",
    "phone",
    "lang",
    "country",
    "time_zone",
    "last_seen_at",
    "email_verified_at",
)
"""What lists are sorted by, with the id behind it, so that pages follow each other in an index."""


def _is_set(name: str) -> TextClause:
    return text(f"{name} IS NOT NULL")


class User(TenantMixin, VersionMixin, Base):
    """One end customer of one merchant.

    The keys are folded by Python and collated "C", so that prefix searches use an index below a
    row-level-security policy. Values of the brand's own properties are in columns of this table
    that the model does not name (`app.users.slots`).
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("merchant_id", "email_key"),
        UniqueConstraint("merchant_id", "reference_id"),
        Index("ix_users_list", "merchant_id", "id"),
        Index("ix_users_name", "merchant_id", "name_key"),
        Index(
            "ix_users_last_name",
            "merchant_id",
            "last_key",
            postgresql_where=text("last_key IS NOT NULL"),
        ),
        Index("ix_users_merged", "merged_into_id", postgresql_where=_is_set("merged_into_id")),
        *(
            Index(f"ix_users_{name}", "merchant_id", name, "id", postgresql_where=_is_set(name))
            for name in _SORTED_IF_SET
        ),
        *(Index(f"ix_users_{name}", "merchant_id", name, "id") for name in _SORTED),
    )

    id: Mapped[UserId] = mapped_column(primary_key=True)
    email: Mapped[str]
    email_key: Mapped[str] = mapped_column(Text(collation="C"))
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    first_key: Mapped[str | None] = mapped_column(Text(collation="C"))
    last_key: Mapped[str | None] = mapped_column(Text(collation="C"))
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    phone: Mapped[str | None]
    lang: Mapped[str | None]
    country: Mapped[str | None]
    time_zone: Mapped[str | None]
    reference_id: Mapped[str | None] = mapped_column(Text(collation="C"))
    state: Mapped[UserState] = mapped_column(default=UserState.ACTIVE)
    source: Mapped[str]
    mail_status: Mapped[MailStatus] = mapped_column(default=MailStatus.OK)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    email_verified_at: Mapped[datetime | None]
    merged_into_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))

    @property
    def display_name(self) -> str:
        """First and last name, or the address when neither is known."""
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.email


class Property(TenantMixin, VersionMixin, Base):
    """A typed field the brand adds to every member; `slot` says where its values are.

    `reference_id` names it in files and, once used there, in the API. A deleted one keeps its slot
    until its values are gone. `retired_kind` and `retired_slot` are where the values were before
    the kind was changed at `converted_at`, until nobody can go back any more.
    """

    __tablename__ = "properties"
    __table_args__ = (
        Index(
            "uq_properties_name",
            "merchant_id",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "uq_properties_reference",
            "merchant_id",
            "reference_id",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        UniqueConstraint("merchant_id", "kind", "slot"),
        CheckConstraint(f"slot BETWEEN 1 AND {MOST_SLOTS}", name="slot"),
    )

    id: Mapped[PropertyId] = mapped_column(primary_key=True)
    name: Mapped[str]
    reference_id: Mapped[str]
    kind: Mapped[Kind]
    slot: Mapped[int]
    with_time: Mapped[bool] = mapped_column(default=False)
    is_sensitive: Mapped[bool] = mapped_column(default=False)
    is_user_visible: Mapped[bool] = mapped_column(default=False)
    is_user_editable: Mapped[bool] = mapped_column(default=False)
    allowed_values: Mapped[list[Any] | None]
    retired_kind: Mapped[Kind | None]
    retired_slot: Mapped[int | None]
    converted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class PropertyChange(TenantMixin, Base):
    """A value that somebody changed by hand or by API: from what to what, when and by whom.

    Imports keep what they overwrote themselves, to be undone.
    """

    __tablename__ = "property_changes"
    __table_args__ = (PrimaryKeyConstraint("user_id", "field", "at"),)

    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    field: Mapped[str]
    at: Mapped[datetime]
    before: Mapped[str | None]
    after: Mapped[str | None]
    actor: Mapped[str]


class Consent(TenantMixin, Base):
    """Somebody agreed to a purpose, or took it back; the newest row of a purpose counts.

    `channel` is where it happened and `proof` points at the form or file that shows it.
    """

    __tablename__ = "consents"
    __table_args__ = (
        Index("ix_consents_subject", "user_id", "purpose", "at"),
        Index("ix_consents_purpose", "merchant_id", "purpose", "user_id", "at"),
    )

    id: Mapped[ConsentId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    purpose: Mapped[str]
    is_given: Mapped[bool]
    at: Mapped[datetime]
    channel: Mapped[str]
    text_version: Mapped[str | None]
    lang: Mapped[str | None]
    proof: Mapped[str | None]
    actor: Mapped[str]


class ErasedAddress(TenantMixin, Base):
    """Somebody with this address was erased; only the installation's secret can tell whose it was.

    `fingerprint` is a keyed hash of the address (`app.users.forgotten`).
    """

    __tablename__ = "erased_addresses"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "fingerprint"),)

    fingerprint: Mapped[bytes]


class UserList(TenantMixin, VersionMixin, Base):
    """A static set of members, imported or picked by hand."""

    __tablename__ = "lists"
    __table_args__ = (UniqueConstraint("merchant_id", "reference_id"),)

    id: Mapped[ListId] = mapped_column(primary_key=True)
    name: Mapped[str]
    reference_id: Mapped[str | None]
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class ListMember(TenantMixin, Base):
    """A member is on a list; who put it there, and when."""

    __tablename__ = "list_members"
    __table_args__ = (
        PrimaryKeyConstraint("list_id", "user_id"),
        Index("ix_list_members_user", "user_id", "list_id"),
    )

    list_id: Mapped[ListId] = mapped_column(ForeignKey("lists.id"))
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    added_at: Mapped[datetime]
    actor: Mapped[str]
