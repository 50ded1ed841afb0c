"""The way to a node that tells the truth, past every proxy."""

import http.client
import json
import threading
from collections.abc import Sequence
from typing import Any


class Upstream:
    """A node on this machine; each thread has a connection of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()

    def exchange(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        """The whole answer: `result` or `error`."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        connection = self._connection()
        connection.request("POST", "/", body, {"content-type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer

    def ask(self, method: str, *params: Any) -> Any:
        """The result.

        Raises:
            RuntimeError: the node refuses.
        """
        answer = self.exchange(method, params)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=120
            )
        connection: http.client.HTTPConnection = self._local.connection
        return connection
