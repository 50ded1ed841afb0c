"""Email addresses: what is one, and when two spellings are the same person."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

from core.errors import InvalidError

MAX_LENGTH = 254


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
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise EmailInvalidError(text) from None
    return f"{found.local_part.lower()}@{found.ascii_domain.lower()}"
