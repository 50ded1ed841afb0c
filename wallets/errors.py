"""What can go wrong with keys; no message ever carries key material."""

from core.errors import (
    AppError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    SettingsError,
    UnavailableError,
)


class AddressInvalidError(InvalidError):
    """The text is no address that could own anything."""

    def __init__(self, text: str) -> None:
        super().__init__(
            "This is not an address.",
            fields={"address": "Copy it from the wallet: 0x and 40 digits, capitals as they are."},
        )
        self.text = text


class WalletNotFoundError(NotFoundError):
    """No wallet has this address."""

    def __init__(self, address: str) -> None:
        super().__init__(f"This installation holds no key for {address}.")
        self.address = address


class WalletInUseError(ConflictError):
    """The key may still be needed, so it is not destroyed."""

    def __init__(self, address: str) -> None:
        super().__init__(f"The wallet {address} has work that is not final. Its key stays.")
        self.address = address


class DataKeyNotFoundError(UnavailableError):
    """The signer does not know the data key that shall seal: ask again with another."""

    def __init__(self, data_key_id: str) -> None:
        super().__init__(f"The signer does not know the data key {data_key_id}. Try again.")
        self.data_key_id = data_key_id


class SignerUnavailableError(UnavailableError):
    """The signer does not answer; nothing was signed or stored."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The signer does not answer: {reason}. Nothing is lost; try again.")
        self.reason = reason


class SignerProtocolError(AppError):
    """The signer and whoever asks do not understand each other: different versions, or our bug."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The signer was asked, or answered, in a way that fails: {reason}.")
        self.reason = reason


class SigningRefusedError(ForbiddenError):
    """The policy of the wallet's kind does not allow this signature."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"A {kind} wallet may not sign this: {reason}.")
        self.kind = kind
        self.reason = reason


class CiphertextError(AppError):
    """A sealed key does not open: wrong key, changed bytes, or the row of somebody else."""

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"The sealed key of {subject} does not open. The row was changed or belongs to another "
            "owner; restore it from a backup."
        )
        self.subject = subject


class KeyEncryptionKeyError(SettingsError):
    """The key-encryption key is missing, unsafe or another one than the data was sealed with."""


class KekUnavailableError(UnavailableError):
    """The key-encryption key did not answer in time, or its answer cannot be trusted.

    The sentence says what kind of key it is, and not which: clients read it.

    Args:
        reason: what happened; never anything of an answer.
    """

    def __init__(self, kek_id: str, reason: str) -> None:
        super().__init__(
            f"The key-encryption key ({kek_id.partition(':')[0]}) cannot be used now: {reason}. "
            "Signing waits until it can; nothing is lost.",
            retry_after=30,
        )
        self.kek_id = kek_id
        self.reason = reason
