"""What changed of published assets: versions of their documents, and tokens taken back."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db import Base, TenantMixin
from core.types import AssetId, BatchId, PlanId, TokenRowId
from minting.models import Plan


class AssetVersion(TenantMixin, Base):
    """The documents of an asset as they were published, or changed to, for the number-th time.

    The first were deployed with the contract; a plan puts each later version on the chain.
    """

    __tablename__ = "asset_versions"

    asset_id: Mapped[AssetId] = mapped_column(ForeignKey("digital_assets.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    metadata_cid: Mapped[str]
    contract_cid: Mapped[str]
    plan_id: Mapped[PlanId | None] = mapped_column(ForeignKey("plans.id"))
    created_at: Mapped[datetime]

    plan: Mapped[Plan | None] = relationship()


class TokenRevocation(TenantMixin, Base):
    """The issuer ends this token, for this reason; it is burned once its batch is final."""

    __tablename__ = "token_revocations"
    __table_args__ = (UniqueConstraint("batch_id"),)

    token_id: Mapped[TokenRowId] = mapped_column(ForeignKey("tokens.id"), primary_key=True)
    batch_id: Mapped[BatchId] = mapped_column(ForeignKey("batches.id"))
    reason: Mapped[str]
    actor: Mapped[str]
    created_at: Mapped[datetime]
