"""What can go wrong at the counter."""

from collections.abc import Sequence
from datetime import datetime

from core.errors import ConflictError, ForbiddenError, NotFoundError, TooManyError
from core.ids import encode_id
from core.types import DeviceId, PerkId


class DeviceNotFoundError(NotFoundError):
    """This merchant has no such device."""

    def __init__(self, device_id: DeviceId) -> None:
        super().__init__("There is no such device. Go back to the list.")
        self.device_id = device_id


class PairingOverError(NotFoundError):
    """The code that pairs a device was used, is too old, or never existed."""

    def __init__(self) -> None:
        super().__init__(
            "This pairing code no longer works. Ask for a new one; codes live five minutes."
        )


class DeviceKeyRefusedError(ForbiddenError):
    """The request carries no key of a device that may work."""

    status = 401

    def __init__(self) -> None:
        super().__init__(
            "This device is not paired any more, or its key is missing. Pair it again in the admin."
        )


class ScannerRoleError(ForbiddenError):
    """Somebody of the team who does not work at a counter."""

    def __init__(self, role: str) -> None:
        super().__init__(
            f"Your role ({role}) may not scan. Ask an admin for another role, or to pair this "
            "device."
        )


class DeviceStandsError(ConflictError):
    """A device stands where an admin put it."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"This device stands at {place}. An admin pairs it for another place under Settings, "
            "Scanners."
        )


class TokenForgedError(ForbiddenError):
    """Nobody of this brand signed the code."""

    status = 401

    def __init__(self) -> None:
        super().__init__("This code was not made by this brand. Do not accept it.")


class TokenExpiredError(ConflictError):
    """The code is older than ninety seconds: a picture of a screen, most likely."""

    status = 410

    def __init__(self, expired_at: datetime) -> None:
        super().__init__("This code is older than 90 seconds. Ask for the live code.")
        self.expired_at = expired_at


class TokenNotYetValidError(ConflictError):
    """The code is of a time to come."""

    def __init__(self) -> None:
        super().__init__(
            "This code is from the future. Ask to reload the page that shows it, and check the "
            "clock of this installation."
        )


class CodeAmbiguousError(ConflictError):
    """Several perks have the same code; a till says which it means.

    Args:
        perks: their ids and titles.
    """

    def __init__(self, perks: Sequence[tuple[PerkId, str]]) -> None:
        named = ", ".join(f"“{title}” ({encode_id('prk', perk)})" for perk, title in perks)
        super().__init__(f"Several perks have this code: {named}. Send the perkId of one of them.")
        self.perks = perks


class TicketOverError(ConflictError):
    """What was found was shown too long ago, or to somebody else."""

    def __init__(self) -> None:
        super().__init__("This was looked up too long ago. Scan the code again.")


class ExternalIdReusedError(ConflictError):
    """The till's own number already stands for another redemption."""

    def __init__(self, external_id: str) -> None:
        super().__init__(
            "This externalId was already used for another request. Send a new one for every sale."
        )
        self.external_id = external_id


class OfflineNotAllowedError(ConflictError):
    """The device's place does not let devices go on without connection."""

    def __init__(self) -> None:
        super().__init__(
            "This place does not allow scanning without connection. An admin decides that under "
            "Settings, Scanners."
        )


class RedemptionNotFoundError(NotFoundError):
    """This merchant has no such redemption."""

    def __init__(self) -> None:
        super().__init__("There is no such redemption. Look at the list of this device.")


class TooManyScansError(TooManyError):
    """One device asks too often."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many scans from this device. Wait a minute.", retry_after=retry_after)
