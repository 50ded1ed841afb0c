"""A tiny node on the loopback interface that answers what the test put in."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Node:
    """One server; `answers` maps a method to its result, its error object, or raw bytes."""

    def __init__(self, url: str, asked: list[tuple[str, Any]], answers: dict[str, Any]) -> None:
        self.url = url
        self.asked = asked
        self.answers = answers

    def count(self, method: str) -> int:
        """How often the method was called."""
        return sum(name == method for name, _ in self.asked)


def error(code: int, message: str, data: Any = None) -> dict[str, Any]:
    """A JSON-RPC error answer."""
    fields = {"code": code, "message": message}
    return {"error": fields if data is None else {**fields, "data": data}}


@contextmanager
def node(**answers: Any) -> Iterator[Node]:
    """A running node; keys are methods, values `bytes` as they are, a result or error, or an HTTP
    status to fail with."""
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((body["method"], body["params"]))
            answer = answers[body["method"]]
            status = answer if isinstance(answer, int) else 200
            data = b"busy" if isinstance(answer, int) else _answer(answer, body["id"])
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Node(f"http://127.0.0.1:{server.server_port}", asked, answers)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(answer: Any, number: int) -> bytes:
    if isinstance(answer, bytes):
        return answer
    rest = answer if isinstance(answer, dict) and "error" in answer else {"result": answer}
    return json.dumps({"jsonrpc": "2.0", "id": number, **rest}).encode()


def dead_url() -> str:
    """A URL nobody answers at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
