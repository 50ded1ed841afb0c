"""Email addresses: what is one, and when two spellings are the same person."""

import re
import unicodedata
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from core.errors import InvalidError

MAX_LENGTH = 254
_MAX_LOCAL = 64
# A dot-atom in ASCII: the local part of nearly every address there is.
_PLAIN = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class EmailInvalidError(InvalidError):
    """The text is no email address."""

    def __init__(self, text: str) -> None:
        super().__init__(
            "This is not an email address.",
            fields={"email": "Enter an address such as name@example.com."},
        )
        self.text = text


def email_key(email: str) -> str:
    """The identity of an address: NFC, lower case, domain in its ASCII form.

    Aliases such as `name+tag` stay different people.

    Raises:
        EmailInvalidError: not an RFC 5322 addr-spec of at most 254 characters.

    References:
        RFC 5322 §3.4.1, RFC 5891 (IDNA).
    """
    text = unicodedata.normalize("NFC", email.strip())
    if len(text) > MAX_LENGTH:
        raise EmailInvalidError(text)
    local, _, domain = text.partition("@")
    try:
        if len(local) > _MAX_LOCAL or not _PLAIN.fullmatch(local):
            return _any_key(text)
        key = f"{local.lower()}@{_domain_key(domain)}"
    except EmailNotValidError:
        raise EmailInvalidError(text) from None
    if len(key) > MAX_LENGTH:
        raise EmailInvalidError(text)
    return key


@lru_cache(maxsize=4096)
def _domain_key(domain: str) -> str:
    """The key of a domain, remembered: a file of members names few domains and many members."""
    return _any_key(f"a@{domain}").partition("@")[2]


def _any_key(text: str) -> str:
    found = validate_email(text, check_deliverability=False, test_environment=True)
    return f"{found.local_part.lower()}@{found.ascii_domain.lower()}"
