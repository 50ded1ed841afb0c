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
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SqlTimeoutError

from core.db import Role, unit_of_work
from core.errors import AppError
from core.log import configure_logging
from core.types import MerchantId
from wallets import operations, wire
from wallets.errors import SignerProtocolError, SignerUnavailableError
from wallets.settings import socket_path

log = structlog.get_logger(__name__)

REQUESTS = 100_000
"""After so many a fresh process goes on: what memory still holds of keys goes with this one."""
_PR_SET_DUMPABLE = 4
_MCL_CURRENT_AND_FUTURE = 3


def main() -> None:
    """Serve until the supervisor ends it, or until it has done its share."""
    configure_logging("signer")
    protect_memory()
    with Signer(socket_path()) as server:
        server.serve_forever(poll_interval=0.1)


class Signer(socketserver.ThreadingUnixStreamServer):
    """Answers whoever may open the socket: its own user and group.

    Args:
        path: where it listens; a socket that a kill left behind is replaced.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        self._left = REQUESTS
        self._counting = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Under another name first: whoever finds the socket can connect at once.
        draft = path.with_suffix(f".{os.getpid()}")
        super().__init__(str(draft), _Conversation)
        draft.chmod(0o660)
        draft.replace(path)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the request's operation returns, or its error."""
        self._count()
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

    def _count(self) -> None:
        with self._counting:
            self._left -= 1
            if self._left == 0:
                threading.Thread(target=self.shutdown, daemon=True).start()


class _Conversation(socketserver.BaseRequestHandler):
    """Question after question of one caller."""

    server: Signer

    def handle(self) -> None:
        """Until the caller closes, or says something that is no request."""
        try:
            while (request := wire.receive(self.request)) is not None:
                wire.send(self.request, self.server.answer(request))
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
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 0)
    # A limit would let later allocations fail instead.
    is_unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if is_unlimited and libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
        log.info("signer_memory_locked")


if __name__ == "__main__":
    main()
