"""Who stands at the counter: a device or a person, where, and how it is written down."""

from dataclasses import dataclass

from app.accounts.models import Merchant
from app.perks.models import Place
from app.scanning.models import ScanDevice
from core.ids import encode_id
from core.types import PlaceId


@dataclass(frozen=True)
class Scanner:
    """Whoever scans.

    Args:
        device: the paired device; None for a person of the team.
        actor: as events name it.
        is_admin: may take back what others took, at any time.
        chosen: where a person says that they stand; a device stands where it was put.
    """

    merchant: Merchant
    actor: str
    device: ScanDevice | None = None
    is_admin: bool = False
    chosen: Place | None = None

    @property
    def place(self) -> Place | None:
        """Where it stands, if that is known."""
        return self.device.place if self.device else self.chosen

    @property
    def place_id(self) -> PlaceId | None:
        """The id of where it stands."""
        return self.place.id if self.place else None

    @property
    def device_name(self) -> str | None:
        """How the log of redemptions names the device."""
        return encode_id("dev", self.device.id) if self.device else None
