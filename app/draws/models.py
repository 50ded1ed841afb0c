"""Draws, what they promise, who takes part, and everything that is published of them.

What a draw promised is held by the database: a trigger refuses to change it, openings, heads of
their log, places and replacements are only ever added, and the seed is read through a function that
writes down who read it (`app.draws.seeds`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.draws.algorithm import Mode
from core.db import Base, TenantMixin
from core.ids import encode_id
from core.types import BoxId, CampaignId, DrawId, RewardLineId, TicketId, UserId

LINE_PREFIX = "rwl"


class DrawState(StrEnum):
    """How far a draw is; nothing goes back."""

    COMMITTED = "committed"
    OPEN = "open"
    """Boxes or tickets are handed out."""
    CLOSED = "closed"
    """The last box is opened, or no more tickets are taken."""
    DRAWN = "drawn"
    REVEALED = "revealed"
    VOID = "void"
    """Ended without anybody."""


class Animation(StrEnum):
    """How a box opens, where motion is welcome; otherwise it is open at once."""

    FADE = "fade"
    SHAKE = "shake"
    SCRATCH = "scratch"
    WHEEL = "wheel"


class Draw(TenantMixin, Base):
    """One provably fair draw.

    `params` are the canonical bytes that `commitment` covers. An instant draw counts boxes handed
    out and opened, and `log_end` is the last hash of its log; a raffle counts tickets, and has a
    root once it is closed. `ended_at` is when the last box was handed out or somebody ended it.
    `box_texts` are by language and then by name (`app.draws.looks`).
    """

    __tablename__ = "draws"
    __table_args__ = (
        Index("ix_draws_list", "merchant_id", "id"),
        Index(
            "ix_draws_moving",
            "state",
            postgresql_where=text("state NOT IN ('revealed', 'void')"),
        ),
        CheckConstraint("handed_out_count <= boxes", name="handed_out"),
        CheckConstraint("opened_count <= handed_out_count", name="opened"),
        CheckConstraint("(server_seed IS NOT NULL) = (state = 'revealed')", name="secret"),
        CheckConstraint("(mode = 'raffle') = (draw_at IS NOT NULL)", name="date"),
    )

    id: Mapped[DrawId] = mapped_column(primary_key=True)
    campaign_id: Mapped[CampaignId | None] = mapped_column(ForeignKey("campaigns.id"))
    name: Mapped[str]
    mode: Mapped[Mode]
    state: Mapped[DrawState] = mapped_column(default=DrawState.COMMITTED)
    params: Mapped[bytes]
    commitment: Mapped[bytes]
    sealed_salt: Mapped[bytes]
    boxes: Mapped[int | None] = mapped_column(BigInteger)
    draw_at: Mapped[datetime | None]
    max_wins_per_user: Mapped[int | None]
    reserves: Mapped[int] = mapped_column(default=0)
    beacon_chain_id: Mapped[int | None] = mapped_column(ForeignKey("chains.id"))
    shows_odds: Mapped[bool] = mapped_column(default=True)
    box_texts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    box_animation: Mapped[Animation] = mapped_column(default=Animation.FADE)
    box_visual_cid: Mapped[str | None]
    handed_out_count: Mapped[int] = mapped_column(BigInteger, default=0)
    opened_count: Mapped[int] = mapped_column(BigInteger, default=0)
    log_end: Mapped[bytes]
    tickets_root: Mapped[bytes | None]
    beacon_number: Mapped[int | None] = mapped_column(BigInteger)
    beacon_hash: Mapped[bytes | None]
    beacon_timestamp: Mapped[int | None] = mapped_column(BigInteger)
    server_seed: Mapped[bytes | None]
    committed_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    drawn_at: Mapped[datetime | None]
    revealed_at: Mapped[datetime | None]

    lines: Mapped[list["DrawLine"]] = relationship(
        order_by="DrawLine.position", lazy="selectin", back_populates="draw"
    )

    @property
    def is_raffle(self) -> bool:
        """Whether tickets are drawn on a date; else boxes are opened at once."""
        return self.mode is Mode.RAFFLE

    @property
    def is_taking(self) -> bool:
        """Whether somebody may still be given a box or a ticket."""
        return self.state in (DrawState.COMMITTED, DrawState.OPEN) and self.ended_at is None


class DrawLine(TenantMixin, Base):
    """A prize of a draw, so many times: a reward line whose stock was set aside at the commitment.

    `quantity` is what was promised, whatever goes back to the stock later; `won_count` is how many
    of them have a winner.
    """

    __tablename__ = "draw_lines"
    __table_args__ = (
        UniqueConstraint("draw_id", "position"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("won_count BETWEEN 0 AND quantity", name="won"),
    )

    reward_line_id: Mapped[RewardLineId] = mapped_column(
        ForeignKey("reward_lines.id"), primary_key=True
    )
    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"))
    position: Mapped[int]
    quantity: Mapped[int] = mapped_column(BigInteger)
    won_count: Mapped[int] = mapped_column(BigInteger, default=0)

    draw: Mapped[Draw] = relationship(back_populates="lines")

    @property
    def name(self) -> str:
        """What parameters and published documents call it."""
        return encode_id(LINE_PREFIX, self.reward_line_id)


class DrawSeed(TenantMixin, Base):
    """The secret of a draw, sealed. No role reads it but through `cohort_read_draw_seed`."""

    __tablename__ = "draw_seeds"

    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"), primary_key=True)
    sealed: Mapped[bytes]


class DrawSeedRead(TenantMixin, Base):
    """Who had the secret of a draw read, when and for what; written by the function that reads."""

    __tablename__ = "draw_seed_reads"
    __table_args__ = (Index("ix_draw_seed_reads_draw", "draw_id", "id"),)

    id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True), primary_key=True)
    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"))
    purpose: Mapped[str]
    actor: Mapped[str]
    read_at: Mapped[datetime]


class EntryState(StrEnum):
    """Where a box or a ticket is."""

    SEALED = "sealed"
    OPENED = "opened"
    VOID = "void"
    """A ticket of somebody who was blocked or erased before the draw was closed."""


class Box(TenantMixin, Base):
    """A member's box of an instant draw. A source hands a member each `ordinal` once."""

    __tablename__ = "draw_boxes"
    __table_args__ = (
        UniqueConstraint("draw_id", "source_id", "user_id", "ordinal"),
        Index("ix_draw_boxes_owner", "user_id", "id"),
        Index("ix_draw_boxes_sealed", "draw_id", "id", postgresql_where=text("state = 'sealed'")),
    )

    id: Mapped[BoxId] = mapped_column(primary_key=True)
    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"))
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    source_id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True))
    ordinal: Mapped[int] = mapped_column(default=0)
    state: Mapped[EntryState] = mapped_column(default=EntryState.SEALED)
    handed_out_at: Mapped[datetime]

    draw: Mapped[Draw] = relationship()


class BoxOpening(TenantMixin, Base):
    """An opening in the log of its draw, tied to the one before by its hash; never changed.

    `unclaimed` says why a prize went back to the stock instead of to the member.
    """

    __tablename__ = "draw_openings"
    __table_args__ = (
        PrimaryKeyConstraint("draw_id", "number"),
        UniqueConstraint("box_id"),
        CheckConstraint("number > 0", name="number"),
    )

    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"))
    number: Mapped[int] = mapped_column(BigInteger)
    box_id: Mapped[BoxId] = mapped_column(ForeignKey("draw_boxes.id"))
    client_nonce: Mapped[bytes]
    flag: Mapped[str | None]
    line_id: Mapped[RewardLineId | None] = mapped_column(ForeignKey("draw_lines.reward_line_id"))
    previous_hash: Mapped[bytes]
    hash: Mapped[bytes]
    unclaimed: Mapped[str | None]
    opened_at: Mapped[datetime]


class DrawHead(TenantMixin, Base):
    """What the log of a draw said up to an opening, published while it was written; for ever."""

    __tablename__ = "draw_heads"
    __table_args__ = (
        PrimaryKeyConstraint("draw_id", "number"),
        ForeignKeyConstraint(
            ["draw_id", "number"], ["draw_openings.draw_id", "draw_openings.number"]
        ),
    )

    draw_id: Mapped[DrawId]
    number: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes]
    published_at: Mapped[datetime]


class Ticket(TenantMixin, Base):
    """A member's ticket of a raffle; `tag` stands for the member where tickets are published."""

    __tablename__ = "draw_tickets"
    __table_args__ = (
        UniqueConstraint("draw_id", "seq"),
        UniqueConstraint("draw_id", "source_id", "user_id", "ordinal"),
        Index("ix_draw_tickets_owner", "user_id", "id"),
        CheckConstraint("seq > 0", name="seq"),
    )

    id: Mapped[TicketId] = mapped_column(primary_key=True)
    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"))
    seq: Mapped[int] = mapped_column(BigInteger)
    tag: Mapped[bytes]
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    source_id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True))
    ordinal: Mapped[int] = mapped_column(default=0)
    state: Mapped[EntryState] = mapped_column(default=EntryState.SEALED)
    registered_at: Mapped[datetime]

    draw: Mapped[Draw] = relationship()


class DrawPlace(TenantMixin, Base):
    """Which ticket took which place of a raffle: the prizes by line, then the reserves."""

    __tablename__ = "draw_places"
    __table_args__ = (
        PrimaryKeyConstraint("draw_id", "number"),
        UniqueConstraint("ticket_id"),
    )

    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"))
    number: Mapped[int] = mapped_column(BigInteger)
    ticket_id: Mapped[TicketId] = mapped_column(ForeignKey("draw_tickets.id"))
    line_id: Mapped[RewardLineId | None] = mapped_column(ForeignKey("draw_lines.reward_line_id"))


class DrawReplacement(TenantMixin, Base):
    """A winner who does not win any more, the reserve who moved up, and why; public for ever."""

    __tablename__ = "draw_replacements"
    __table_args__ = (
        PrimaryKeyConstraint("draw_id", "number"),
        UniqueConstraint("out_id"),
        UniqueConstraint("by_id"),
    )

    draw_id: Mapped[DrawId] = mapped_column(ForeignKey("draws.id"))
    number: Mapped[int]
    out_id: Mapped[TicketId] = mapped_column(ForeignKey("draw_tickets.id"))
    by_id: Mapped[TicketId | None] = mapped_column(ForeignKey("draw_tickets.id"))
    line_id: Mapped[RewardLineId] = mapped_column(ForeignKey("draw_lines.reward_line_id"))
    reason: Mapped[str]
    replaced_at: Mapped[datetime]
