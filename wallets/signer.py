"""The signer: the one process that opens keys, behind a Unix socket, with a role of its own.

`cohort up` starts it; `cohort signer` runs it alone, for an installation whose signer has a user of
its own. It speaks no HTTP, loads nothing of the product but custody, leaves no core dump, and ends
after so many requests for a fresh one to take over.
"""

import ctypes
import os
import resource
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SqlTimeoutError

from core import memory
from core.db import Role, unit_of_work
from core.errors import AppError
from core.log import configure_logging
from core.types import MerchantId
from wallets import data_keys, operations, wire
from wallets.errors import SignerProtocolError, SignerUnavailableError
from wallets.settings import socket_path

log = structlog.get_logger(__name__)

REQUESTS = 100_000
"""After so many a fresh process goes on: what memory still holds of keys goes with this one."""
CONVERSATIONS = 32
"""At once; more wait for their turn."""
_CONVERSATION_SECONDS = 90.0
_LAST_SECONDS = 30.0
"""For what is being answered when the process ends."""
_FORGETTING_SECONDS = 30.0
_MCL_CURRENT_AND_FUTURE = 3


def main() -> None:
    """Serve until the supervisor ends it, or until it has done its share."""
    configure_logging("signer")
    protect_memory()
    threading.Thread(target=_forget_expired, daemon=True).start()
    with Signer(socket_path()) as server:
        server.serve_forever(poll_interval=0.1)
        server.finish()


def _forget_expired() -> None:
    """Data keys that are not needed leave the memory, also where nothing happens."""
    while True:
        time.sleep(_FORGETTING_SECONDS)
        data_keys.forget_expired()


class Signer(socketserver.ThreadingUnixStreamServer):
    """Answers whoever may open the socket: its own user and group.

    Args:
        path: where it listens; a socket that a kill left behind is replaced.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        self._left = REQUESTS
        self._turns = threading.Semaphore(CONVERSATIONS)
        self._answering = 0
        self._counting = threading.Condition()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Under another name first: whoever finds the socket can connect at once.
        draft = path.with_suffix(f".{os.getpid()}")
        super().__init__(str(draft), _Conversation)
        draft.chmod(0o660)
        draft.replace(path)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the request's operation returns, or its error."""
        try:
            return {"result": _perform(request)}
        except AppError as error:
            log.warning("signer_refused", error=str(error))
            return {"error": wire.to_error(error)}
        except (OperationalError, InterfaceError, SqlTimeoutError) as error:
            log.warning("signer_lost_database", error=type(error).__name__)
            return {"error": wire.to_error(SignerUnavailableError("its database does not answer"))}
        except Exception as error:
            # Our bug. Its type alone: what was being signed or sealed is nobody's business.
            log.error("signer_failed", error=type(error).__name__)
            return {"error": wire.to_error(SignerProtocolError(type(error).__name__))}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One of the conversations that go on at once."""
        with self._turns:
            with self._counting:
                self._answering += 1
            try:
                yield
            finally:
                with self._counting:
                    self._answering -= 1
                    self._counting.notify_all()

    def count(self) -> None:
        """One answer more was given; after the last one nobody new is heard."""
        with self._counting:
            self._left -= 1
            if self._left == 0:
                threading.Thread(target=self.shutdown, daemon=True).start()

    def finish(self) -> None:
        """What is being answered is, before the process ends."""
        self.socket.close()
        with self._counting:
            self._counting.wait_for(lambda: not self._answering, _LAST_SECONDS)


class _Conversation(socketserver.BaseRequestHandler):
    """Question after question of one caller."""

    server: Signer

    def handle(self) -> None:
        """Until the caller closes, or says something that is no request."""
        self.request.settimeout(_CONVERSATION_SECONDS)
        try:
            with self.server.turn():
                while (request := wire.receive(self.request)) is not None:
                    wire.send(self.request, self.server.answer(request))
                    self.server.count()
        except (OSError, SignerProtocolError) as error:
            log.warning("signer_conversation_ended", error=type(error).__name__)


def _perform(request: dict[str, Any]) -> Any:
    try:
        merchant = MerchantId(UUID(request["merchant"]))
        operation, arguments = str(request["operation"]), dict(request["arguments"])
        caller = int(request["caller"])
    except (KeyError, TypeError, ValueError):
        raise SignerProtocolError("a request lacks something") from None
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        return operations.perform(session, operation, arguments, caller=caller)


def protect_memory() -> None:
    """Nothing of this process is written to a disk: no core dump, and no swap where that can be."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory.hide()
    if sys.platform != "linux":
        return
    # A limit would let later allocations fail instead.
    is_unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if is_unlimited and ctypes.CDLL(None).mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
        log.info("signer_memory_locked")


if __name__ == "__main__":
    main()
