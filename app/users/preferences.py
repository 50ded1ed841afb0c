"""Links that let whoever has them see and change what one member agreed to, and nothing else."""

from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.secrets import fingerprint, same
from core.settings import core_settings
from core.types import MerchantId, UserId

_PURPOSE = "preferences/v1"


def link_of(merchant: MerchantId, user: UserId) -> str:
    """The address of the member's preferences; the same each time, so that old mails still work."""
    names = f"{encode_id('mrc', merchant)}.{encode_id('usr', user)}"
    return f"{core_settings().public_url}/preferences/{names}.{_signature(names)}"


def read_link(token: str) -> tuple[MerchantId, UserId] | None:
    """Whose preferences the end of such an address opens, or None if it was not made here."""
    names, _, signature = token.rpartition(".")
    if not same(signature.encode(), _signature(names).encode()):
        return None
    merchant, _, user = names.partition(".")
    try:
        return MerchantId(decode_id("mrc", merchant)), UserId(decode_id("usr", user))
    except UnknownIdentifierError:
        return None


def _signature(names: str) -> str:
    return fingerprint(_PURPOSE, names).hex()
