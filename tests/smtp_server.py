"""A mail server on loopback that answers as it is told, and keeps what it takes."""

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class MailServer:
    """What it says to each command, and what it has.

    Args:
        answers: command -> answer instead of the usual one; `.` is the end of a text.
        cuts_at: the command after which it closes the connection without an answer.
        certificate: file with key and certificate; None: no TLS.
        is_implicit: TLS begins with the connection.
        login: what it asks for, as `(user, password)`; None: nothing.
    """

    answers: dict[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    cuts_at: str = ""
    certificate: Path | None = None
    is_implicit: bool = False
    login: tuple[str, str] | None = None
    port: int = 0
    taken: list[bytes] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    connections: int = 0

    @property
    def messages(self) -> list[EmailMessage]:
        """Every text it has read to the end, in order."""
        return [message_from_bytes(it, policy=policy.default) for it in self.taken]

    def url(self, user: str = "", *, scheme: str = "smtp", plain: bool = True) -> str:
        """How COHORT_SMTP_URL names it."""
        return f"{scheme}://{user}127.0.0.1:{self.port}{'?tls=none' if plain else ''}"


class _Conversation(StreamRequestHandler):
    def handle(self) -> None:
        mine: MailServer = self.server.mine  # type: ignore[attr-defined]
        mine.connections += 1
        self.is_secure = mine.is_implicit
        if mine.is_implicit:
            self._begin_tls(mine)
        self._say(mine.answers.get("connect", "220 ready"))
        while line := self.rfile.readline().decode().strip():
            command = line.split()[0].upper()
            mine.said.append(command if command == "AUTH" else command + line[len(command) :])
            if command == mine.cuts_at:
                return
            if not self._answer(mine, command, line):
                return

    def _answer(self, mine: MailServer, command: str, line: str) -> bool:
        if command in mine.answers:
            self._say(mine.answers[command])
        elif command == "EHLO":
            self._greet(mine)
        elif command == "STARTTLS":
            self._say("220 go on")
            self._begin_tls(mine)
        elif command == "AUTH":
            self._check_login(mine, line)
        elif command == "DATA":
            return self._take(mine)
        else:
            self._say("221 bye" if command == "QUIT" else "250 ok")
        return command != "QUIT"

    def _greet(self, mine: MailServer) -> None:
        lines = ["loopback", *mine.extensions]
        if mine.certificate is not None and not self.is_secure:
            lines.append("STARTTLS")
        if mine.login is not None:
            lines.append("AUTH PLAIN")
        for line in lines[:-1]:
            self._say(f"250-{line}")
        self._say(f"250 {lines[-1]}")

    def _check_login(self, mine: MailServer, line: str) -> None:
        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        is_right = (user, password) == mine.login
        self._say("235 welcome" if is_right else "535 5.7.8 authentication failed")

    def _take(self, mine: MailServer) -> bool:
        self._say("354 go on")
        text = b""
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            text += line[1:] if line.startswith(b"..") else line
        mine.taken.append(text)
        if mine.cuts_at == ".":
            return False
        self._say(mine.answers.get(".", "250 taken"))
        return True

    def _begin_tls(self, mine: MailServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert mine.certificate is not None
        context.load_cert_chain(mine.certificate)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.is_secure = True

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def finish(self) -> None:
        """Close what TLS put around the connection, too."""
        super().finish()
        self.connection.close()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is a part of many tests."""


@contextmanager
def serving(mine: MailServer) -> Iterator[MailServer]:
    """The server answers on a free port of this machine."""
    with _Server(("127.0.0.1", 0), _Conversation) as server:
        server.mine = mine  # type: ignore[attr-defined]
        mine.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield mine
        server.shutdown()
        thread.join()


def make_certificate(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1 in one file; whoever trusts the file trusts the server."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
