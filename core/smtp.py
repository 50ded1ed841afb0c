"""The mail server: its address from the settings, and one message at a time over one connection.

TLS is never optional: `smtps://` begins with it, `smtp://` demands STARTTLS, and certificates are
checked against the system's. The one exception is written out, `?tls=none`, for a server that is
reached without leaving the machine or a network one trusts; it takes no password elsewhere.
"""

import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import getaddresses
from ipaddress import ip_address
from time import monotonic
from urllib.parse import parse_qs, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email

from core.errors import SettingsError
from core.settings import core_settings

_TIMEOUT_SECONDS = 15
PATIENCE_SECONDS = 90
"""A message whose text was not begun by then is somebody else's soon, and is left."""
_CLOSES = 421
_PORTS = {"smtp": 587, "smtps": 465}
_FORM = "smtp://user:password@host:587 or smtps://user:password@host"


class MailRefusedError(Exception):
    """The server will not take this message, now or later; the text is its answer."""


class MailPutOffError(Exception):
    """The server does not take this message now; the text is its answer."""


class ServerAwayError(Exception):
    """No message can be sent now; the text says why."""


@dataclass(frozen=True)
class Server:
    """Where mail leaves.

    Args:
        tls: `implicit`, `starttls` or `none`.
        sender: address with or without a name, as in a From header.
    """

    host: str
    port: int
    tls: str
    sender: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def server() -> Server:
    """The mail server of the settings.

    Raises:
        SettingsError: there is none, or it is described in a way that cannot work.
    """
    settings = core_settings()
    if settings.smtp_url is None:
        raise SettingsError(f"Set COHORT_SMTP_URL, so that mail can leave: {_FORM}.")
    # Nothing of the address is repeated in an error: it holds the password.
    try:
        url = urlsplit(settings.smtp_url.get_secret_value())
        port = url.port or _PORTS[url.scheme]
        tls = parse_qs(url.query, strict_parsing=True) if url.query else {}
    except (ValueError, KeyError):
        raise SettingsError(f"COHORT_SMTP_URL is not of the form {_FORM}.") from None
    is_plain = tls == {"tls": ["none"]} and url.scheme == "smtp"
    if not url.hostname or url.path not in ("", "/") or not (is_plain or not tls):
        raise SettingsError(f"COHORT_SMTP_URL is not of the form {_FORM}.")
    if is_plain and url.username and not _is_own(url.hostname):
        raise SettingsError(
            "COHORT_SMTP_URL says tls=none, so its password would travel in clear. Use TLS, or a "
            "server on this machine."
        )
    secured = "implicit" if url.scheme == "smtps" else "starttls"
    return Server(
        url.hostname,
        port,
        "none" if is_plain else secured,
        _sender(settings.mail_from),
        unquote(url.username or ""),
        unquote(url.password or ""),
    )


def _is_own(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sender(text: str) -> str:
    try:
        [(name, address)] = getaddresses([text])
        checked = validate_email(address, check_deliverability=False, test_environment=True)
        return str(Address(name, addr_spec=checked.ascii_email or address))
    except (EmailNotValidError, ValueError):
        raise SettingsError(
            "Set COHORT_MAIL_FROM to the address mail comes from, for example "
            "Alder & Tide <hello@example.com>."
        ) from None


class Line:
    """A connection to the server, made when the first message needs it and kept for the others."""

    def __init__(self) -> None:
        self._connection: smtplib.SMTP | None = None

    def send(
        self, write: Callable[[str, str], EmailMessage], recipient: str, *, begun: float
    ) -> None:
        """The server has taken the message for this one recipient.

        Args:
            write: the message from this sender to this recipient; a ValueError: there is none.
            begun: `time.monotonic()` when the message was taken up.

        Raises:
            MailRefusedError, MailPutOffError: the server does not take this message.
            ServerAwayError: it takes none, or cannot be reached as the settings demand.
            SettingsError: as `server`.
        """
        to = server()
        address = _travelling(recipient)
        try:
            message = write(to.sender, address)
        except ValueError as error:
            raise MailRefusedError(f"The message cannot be written: {error}") from None
        with _answers():
            connection = self._connection or self._connect(to)
            self._connection = connection
        try:
            self._converse(connection, message, address, begun)
        except ServerAwayError:
            self._drop()
            raise
        except (MailRefusedError, MailPutOffError):
            with suppress(OSError, smtplib.SMTPException):
                connection.rset()
            raise

    def _converse(
        self, connection: smtplib.SMTP, message: EmailMessage, recipient: str, begun: float
    ) -> None:
        is_ascii = recipient.isascii()
        options = [] if is_ascii else ["SMTPUTF8"]
        if not is_ascii and not connection.has_extn("smtputf8"):
            raise MailRefusedError("The mail server takes no address with letters beyond ASCII.")
        sender = message["From"].addresses[0].addr_spec
        text = message.as_bytes(policy=SMTP if is_ascii else SMTPUTF8)
        with _answers():
            answer = connection.mail(sender, options)
            # Whoever is refused here is the brand, not the recipient: settings can mend that.
            _check(answer, 250, for_good=MailPutOffError)
            answer = connection.rcpt(recipient)
            _check(answer, 250, 251, 252)
            if monotonic() - begun > PATIENCE_SECONDS:
                raise ServerAwayError("The mail server took too long before it took the message.")
            _check(connection.data(text), 250)

    def _connect(self, to: Server) -> smtplib.SMTP:
        context = ssl.create_default_context()
        name = _own_name()
        if to.tls == "implicit":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                to.host, to.port, name, timeout=_TIMEOUT_SECONDS, context=context
            )
        else:
            connection = smtplib.SMTP(to.host, to.port, name, timeout=_TIMEOUT_SECONDS)
        with ExitStack() as unfinished:
            unfinished.callback(connection.close)
            connection.ehlo_or_helo_if_needed()
            if to.tls == "starttls":
                connection.starttls(context=context)
                connection.ehlo_or_helo_if_needed()
            if to.user:
                connection.login(to.user, to.password)
            unfinished.pop_all()
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """The conversation has ended."""
        if self._connection is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._connection.quit()
        self._drop()


def _own_name() -> str:
    """What we say we are called; looked up nowhere."""
    host = urlsplit(core_settings().public_url).hostname or "localhost"
    with suppress(ValueError):
        own = ip_address(host)
        return f"[{own}]" if own.version == 4 else f"[IPv6:{own}]"
    return host


def _travelling(recipient: str) -> str:
    """The address with its domain in ASCII."""
    try:
        checked = validate_email(recipient, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise MailRefusedError("This is not an email address.") from None
    return f"{checked.local_part}@{checked.ascii_domain}"


@contextmanager
def _answers() -> Iterator[None]:
    """What the library and the network raise says that no message can be sent now."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise ServerAwayError(
            f"The mail server does not accept user and password: {_said(error.smtp_error)}"
        ) from None
    except smtplib.SMTPNotSupportedError as error:
        raise ServerAwayError(f"The mail server cannot do what is needed: {error}") from None
    except smtplib.SMTPDataError as error:
        _check((error.smtp_code, error.smtp_error))
    except smtplib.SMTPResponseException as error:
        raise ServerAwayError(f"{error.smtp_code} {_said(error.smtp_error)}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise ServerAwayError(f"The mail server does not answer: {error}") from None


def _check(
    answer: tuple[int, bytes | str], *wanted: int, for_good: type[Exception] = MailRefusedError
) -> None:
    code, text = answer
    if code in wanted:
        return
    said = f"{code} {_said(text)}"
    if code == _CLOSES:
        raise ServerAwayError(said)
    raise (for_good if code >= 500 else MailPutOffError)(said)


def _said(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
