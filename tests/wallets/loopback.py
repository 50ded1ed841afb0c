"""A server on the loopback interface that stands before a double and can fail on purpose."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Event, Thread
from typing import Any

PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


App = Callable[[Request], Answer]


class Fault(Enum):
    """What goes wrong with an answer."""

    DROPPED = auto()
    """The connection ends without one."""
    HELD = auto()
    """It comes after `release()`."""
    TWICE = auto()
    """It comes twice on one connection."""
    CUT = auto()
    """Half of it comes, then the connection ends."""


class Front:
    """The server; `fault` is applied to every answer, an `Answer` replaces it.

    Args:
        app: what answers when nothing goes wrong.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.url = ""
        self.fault: Fault | Answer | None = None
        self.asked: list[Request] = []
        self.broken = False
        self._released = Event()

    def reset(self) -> None:
        """Nothing goes wrong, nothing was asked; what was held before is let go."""
        self._released.set()
        self._released = Event()
        self.fault = None
        self.asked.clear()

    def release(self) -> None:
        """Held answers are sent now."""
        self._released.set()

    def bytes_for(self, request: Request) -> bytes:
        """What goes over the wire."""
        self.asked.append(request)
        fault = self.fault
        if fault is Fault.HELD:
            assert self._released.wait(PATIENCE_SECONDS)
        if isinstance(fault, Answer):
            return _wire(fault)
        answer = self.app(request)
        wire = _wire(answer)
        if fault is Fault.DROPPED:
            return b""
        if fault is Fault.CUT:
            return wire[: len(wire) - len(answer.body) // 2 - 1]
        return wire + wire if fault is Fault.TWICE else wire


def _wire(answer: Answer) -> bytes:
    headers = {
        "Content-Type": "application/json",
        **answer.headers,
        "Content-Length": str(len(answer.body)),
    }
    head = f"HTTP/1.1 {answer.status} Status\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{head}{lines}\r\n".encode() + answer.body


@contextmanager
def serving(app: App) -> Iterator[Front]:
    """The running server."""
    front = Front(app)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            self.wfile.write(front.bytes_for(request))
            self.close_connection = front.fault in (Fault.DROPPED, Fault.CUT)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that did not wait is no error; anything else is one of the double."""
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)
                front.broken = True

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    front.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield front
        assert not front.broken, "the double itself failed; see the traceback above"
    finally:
        front.release()
        server.shutdown()
        server.server_close()
        thread.join()


def from_wsgi(application: Any) -> App:
    """A WSGI application as what stands behind a front."""

    def app(request: Request) -> Answer:
        started: list[Any] = []
        environ = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(request.body),
            "wsgi.errors": BytesIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            **{f"HTTP_{k.upper().replace('-', '_')}": v for k, v in request.headers.items()},
        }
        parts = application(environ, lambda status, headers: started.append((status, headers)))
        status, headers = started[0]
        kept = {k: v for k, v in headers if k.lower() != "content-length"}
        return Answer(int(status.split()[0]), b"".join(parts), kept)

    return app
