"""Listens for JSON-RPC over HTTP and says what it was told to say, nonsense included."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    body: bytes
    status: int = 200


Respond = Callable[[dict[str, Any]], Reply | None]
"""From the request to what goes back; None closes the connection without a word."""


def answered(request: dict[str, Any], **answer: Any) -> Reply:
    """A well-formed answer: `result=…` or `error=…`."""
    return Reply(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}).encode())


def listen(respond: Respond) -> int:
    """The port on which everything is answered from now on, until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # header and body in one segment: two would wait for each other's receipt

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = respond(body)
            if reply is None:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the worker was killed while it asked
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A connection that was closed on purpose is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port: int = server.server_port
    return port
