"""A thin client of the Kubo RPC API: add, cat, pins, version. It trusts no answer.

Every CID a node returns is compared with the one computed here, and bytes it returns are hashed.

References:
    https://docs.ipfs.tech/reference/kubo/rpc/ (all calls are POST, arguments in the query).
"""

import json
from typing import Any, Self

import httpx

from minting.cid import cid_of_bytes
from minting.errors import IpfsMismatchError, IpfsUnavailableError
from minting.settings import ContentSettings

CONNECT_SECONDS = 5
_ADD = {
    "cid-version": "1",
    "raw-leaves": "true",
    "cid-base": "base32",
    "chunker": "size-262144",
    "pin": "true",
    "quieter": "true",
    "progress": "false",
}


class KuboClient:
    """One node.

    Args:
        url: where its RPC API is, without `/api/v0`.
        token: sent as a bearer token.
        timeout_seconds: for one request; the node is told the same limit.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_seconds: int = 60) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_seconds = timeout_seconds

    @classmethod
    def from_settings(cls, settings: ContentSettings) -> Self:
        """The client of the configured node; `api_url` must be set."""
        token = settings.api_token.get_secret_value() if settings.api_token else None
        url = settings.api_url or ""
        return cls(url, token=token, timeout_seconds=settings.timeout_seconds)

    def version(self) -> str:
        """The node's version, for example `0.38.1`.

        Raises:
            IpfsUnavailableError: no answer, or an error.
        """
        return str(self._json("version").get("Version", "unknown"))

    def add(self, data: bytes) -> str:
        """The node has the bytes, pinned, under the CID we computed.

        Raises:
            IpfsUnavailableError: no answer, or an error.
            IpfsMismatchError: it knows them by another name.
        """
        expected = cid_of_bytes(data)
        answer = self._json(
            "add", _ADD, files={"file": ("content", data, "application/octet-stream")}
        )
        self._compare(expected, str(answer.get("Hash")))
        return expected

    def cat(self, cid: str) -> bytes:
        """The bytes behind the CID, checked against it.

        Raises:
            IpfsUnavailableError: the node cannot find them in time.
            IpfsMismatchError: it sent other bytes.
        """
        data = self._post("cat", {"arg": cid}).content
        self._compare(cid, cid_of_bytes(data))
        return data

    def pin(self, cid: str) -> None:
        """The node keeps the content, fetching it when it must.

        Raises:
            IpfsUnavailableError: it cannot find it in time.
        """
        self._json("pin/add", {"arg": cid})

    def is_pinned(self, cid: str) -> bool:
        """True when the node keeps the content.

        Raises:
            IpfsUnavailableError: no answer.
        """
        try:
            answer = self._json("pin/ls", {"arg": cid})
        except IpfsUnavailableError as error:
            # Kubo answers 500 "path '…' is not pinned" instead of an empty list.
            if "is not pinned" in error.reason:
                return False
            raise
        return cid in answer.get("Keys", {})

    def _compare(self, expected: str, found: str) -> None:
        if found != expected:
            raise IpfsMismatchError(self._url, expected=expected, found=found)

    def _json(
        self, command: str, query: dict[str, str] | None = None, *, files: Any = None
    ) -> dict[str, Any]:
        """The last line of the answer: Kubo streams one JSON object a line."""
        lines = self._post(command, query, files=files).text.strip().splitlines()
        try:
            answer = json.loads(lines[-1])
        except (IndexError, ValueError, RecursionError):
            raise self._unavailable(f"{command} answered something that is not JSON") from None
        if not isinstance(answer, dict):
            raise self._unavailable(f"{command} answered something that is no object")
        return answer

    def _post(
        self, command: str, query: dict[str, str] | None = None, *, files: Any = None
    ) -> httpx.Response:
        parameters = {**(query or {}), "timeout": f"{self._timeout_seconds}s"}
        timeout = httpx.Timeout(self._timeout_seconds, connect=CONNECT_SECONDS)
        url = f"{self._url}/api/v0/{command}"
        try:
            answer = httpx.post(
                url, params=parameters, files=files, headers=self._headers, timeout=timeout
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(f"{command}: {type(error).__name__} {error}".strip()) from None
        if answer.status_code != httpx.codes.OK:
            raise self._unavailable(f"{command} answered {answer.status_code} {_message(answer)}")
        return answer

    def _unavailable(self, reason: str) -> IpfsUnavailableError:
        return IpfsUnavailableError(self._url, reason)


def _message(answer: httpx.Response) -> str:
    """Kubo's own sentence: `{"Message": …, "Code": 0, "Type": "error"}`."""
    try:
        return str(answer.json()["Message"])[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        return answer.reason_phrase
