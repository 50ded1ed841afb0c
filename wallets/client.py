"""How the rest of the product asks the signer."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.db import merchant_of
from wallets import wire
from wallets.errors import SignerProtocolError, SignerUnavailableError
from wallets.settings import socket_path

_PATIENCE_SECONDS = 5.0
"""For a signer that is being started again."""
_ANSWER_SECONDS = 30.0
CALLER = text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
"""The number of the SQL transaction, which it gets here if it had none."""

Answer = Callable[[], Any]
"""Waits for what the signer says, once."""


class Signer(Protocol):
    """Whoever has the keys."""

    def ask(self, session: Session, operation: str, arguments: Mapping[str, Any]) -> Answer:
        """The operation is begun for the session's merchant, on behalf of its SQL transaction.

        Raises:
            SignerUnavailableError: nobody listens; from `Answer`, too.
            AppError: from `Answer`: what the operation raises.
        """
        ...


class RemoteSigner:
    """The signer's process behind its socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._missed_at: float | None = None

    def ask(self, session: Session, operation: str, arguments: Mapping[str, Any]) -> Answer:
        """One connection a question: a signer that was started again is found at once."""
        request = {
            "operation": operation,
            "merchant": merchant_of(session).hex,
            "caller": session.scalar(CALLER),
            "arguments": arguments,
        }
        connection = self._send(request)
        return lambda: self._answer(connection, request)

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> Any:
        """Asked once more where the signer ended meanwhile: what it did then nobody has."""
        answer = _receive(connection) or _receive(self._send(request))
        if answer is None:
            raise SignerUnavailableError("it ended before it answered")
        if "error" in answer:
            raise wire.from_error(answer["error"])
        if "result" not in answer:
            raise SignerProtocolError("an answer lacks its result")
        return answer["result"]

    def _send(self, request: dict[str, Any]) -> socket.socket:
        connection = self._connect()
        try:
            wire.send(connection, request)
        except OSError as error:
            connection.close()
            raise SignerUnavailableError(type(error).__name__) from None
        return connection

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_ANSWER_SECONDS)
            try:
                connection.connect(str(self._path))
            except OSError as error:
                connection.close()
                if self._is_missed() or time.monotonic() > deadline:
                    self._missed_at = time.monotonic()
                    raise SignerUnavailableError(type(error).__name__) from None
                time.sleep(0.05)
            else:
                self._missed_at = None
                return connection

    def _is_missed(self) -> bool:
        """Whether somebody has just waited in vain: who comes after holds locks, too."""
        missed = self._missed_at
        return missed is not None and time.monotonic() - missed < _PATIENCE_SECONDS


def _receive(connection: socket.socket) -> dict[str, Any] | None:
    """What the signer says; None when it ended before it said anything.

    Raises:
        SignerUnavailableError: it is too slow.
    """
    with connection:
        try:
            return wire.receive(connection)
        except TimeoutError:
            raise SignerUnavailableError("it is too slow") from None
        except OSError:
            return None


def is_listening() -> bool:
    """Whether somebody answers at the socket of this installation."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(socket_path()))
        except OSError:
            return False
        return True


@cache
def _remote() -> RemoteSigner:
    return RemoteSigner(socket_path())


_signer: Signer | None = None


def signer() -> Signer:
    """Whom this process asks."""
    return _signer if _signer is not None else _remote()


@contextmanager
def use_signer(one: Signer) -> Iterator[None]:
    """Inside the block this process asks another signer (tests)."""
    global _signer
    previous, _signer = _signer, one
    try:
        yield
    finally:
        _signer = previous
