"""Types of value: money, gas and identifiers are integers and UUIDs with a name.

No `float` carries value anywhere; a uint256 leaves in JSON as a string.
"""

from datetime import UTC, datetime
from typing import Any, NewType
from uuid import UUID

from sqlalchemy import Numeric
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

Wei = NewType("Wei", int)
"""10^-18 of the native coin; also a price per gas."""
Gas = NewType("Gas", int)
"""A count of gas."""
TokenId = NewType("TokenId", int)
"""A uint256 token id; outside and in calldata only."""

OrganisationId = NewType("OrganisationId", UUID)
MerchantId = NewType("MerchantId", UUID)
MemberId = NewType("MemberId", UUID)
UserId = NewType("UserId", UUID)
PropertyId = NewType("PropertyId", UUID)
ConsentId = NewType("ConsentId", UUID)
ConversionId = NewType("ConversionId", UUID)
ErasureId = NewType("ErasureId", UUID)
SubjectExportId = NewType("SubjectExportId", UUID)
ImportId = NewType("ImportId", UUID)
ExportId = NewType("ExportId", UUID)
ListId = NewType("ListId", UUID)
SegmentId = NewType("SegmentId", UUID)
BadgeId = NewType("BadgeId", UUID)
AudienceFileId = NewType("AudienceFileId", UUID)
WalletId = NewType("WalletId", UUID)
DataKeyId = NewType("DataKeyId", UUID)
LaneId = NewType("LaneId", UUID)
TransactionId = NewType("TransactionId", UUID)
PlanId = NewType("PlanId", UUID)
BatchId = NewType("BatchId", UUID)
PassId = NewType("PassId", UUID)
AssetId = NewType("AssetId", UUID)
DropId = NewType("DropId", UUID)
PerkId = NewType("PerkId", UUID)
HoldingId = NewType("HoldingId", UUID)
RedemptionId = NewType("RedemptionId", UUID)
RevocationId = NewType("RevocationId", UUID)
PlaceId = NewType("PlaceId", UUID)
PerkCodeId = NewType("PerkCodeId", UUID)
CodeFileId = NewType("CodeFileId", UUID)
TokenRowId = NewType("TokenRowId", UUID)
CampaignId = NewType("CampaignId", UUID)
RunId = NewType("RunId", UUID)
RewardLineId = NewType("RewardLineId", UUID)
GrantId = NewType("GrantId", UUID)
ManualGrantId = NewType("ManualGrantId", UUID)
GrantRefusalId = NewType("GrantRefusalId", UUID)
DrawId = NewType("DrawId", UUID)
BoxId = NewType("BoxId", UUID)
TicketId = NewType("TicketId", UUID)
ClaimBatchId = NewType("ClaimBatchId", UUID)
ClaimUseId = NewType("ClaimUseId", UUID)
PointsUnitId = NewType("PointsUnitId", UUID)
PointsAccountId = NewType("PointsAccountId", UUID)
PointsTransactionId = NewType("PointsTransactionId", UUID)
PointsLotId = NewType("PointsLotId", UUID)
PointsHoldId = NewType("PointsHoldId", UUID)
PointsRuleId = NewType("PointsRuleId", UUID)
EventId = NewType("EventId", UUID)
DiscrepancyId = NewType("DiscrepancyId", UUID)
DeviceId = NewType("DeviceId", UUID)
MailId = NewType("MailId", UUID)


def utc_now() -> datetime:
    """The current time, aware, in UTC; only process edges call it, services take `at`."""
    return datetime.now(UTC)


class Uint256(TypeDecorator[int]):
    """An unsigned 256-bit integer as `NUMERIC(78,0)`, exact in both directions."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: Dialect) -> int | None:
        """Refuse what the column cannot mean."""
        if value is not None and not 0 <= value < 2**256:
            raise ValueError("not an unsigned 256-bit integer")
        return value

    def process_result_value(self, value: Any, _dialect: Dialect) -> int | None:
        """Return the exact integer."""
        return None if value is None else int(value)
