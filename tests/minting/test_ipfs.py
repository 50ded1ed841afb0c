"""The Kubo client, against a small server that answers as scripted."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from minting.errors import IpfsMismatchError, IpfsUnavailableError
from minting.ipfs import KuboClient
from minting.settings import ContentSettings

DATA = b"hello world\n"
CID = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
V0 = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"


class Kubo(ThreadingHTTPServer):
    """Answers every call with the scripted status and body, and remembers the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.requests: list[tuple[str, dict[str, list[str]], bytes, str | None]] = []
        self.released = threading.Event()
        self.hangs = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def script(self, command: str, body: object, *, status: int = 200) -> None:
        """Answer the command so from now on."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[f"/api/v0/{command}"] = (status, raw)


class _Handler(BaseHTTPRequestHandler):
    server: Kubo

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        token = self.headers.get("Authorization")
        self.server.requests.append((parts.path, parse_qs(parts.query), body, token))
        if self.server.hangs:
            self.server.released.wait(20)
            return
        status, answer = self.server.answers.get(parts.path, (404, b"404 page not found"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def kubo() -> Iterator[Kubo]:
    """A scripted node."""
    with Kubo() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def client(kubo: Kubo) -> KuboClient:
    """A client of it."""
    return KuboClient(kubo.url + "/", timeout_seconds=5)


class TestAdd:
    def test_names_everything_that_shapes_the_cid(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("add", {"Name": "content", "Hash": CID, "Size": "12"})
        assert client.add(DATA) == CID
        ((path, query, body, token),) = kubo.requests
        assert path == "/api/v0/add"
        assert {key: value for key, (value,) in query.items()} == {
            "cid-version": "1",
            "raw-leaves": "true",
            "cid-base": "base32",
            "chunker": "size-262144",
            "pin": "true",
            "quieter": "true",
            "progress": "false",
            "timeout": "5s",
        }
        assert DATA in body
        assert token is None

    def test_reads_the_last_of_several_lines(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("add", b'{"Bytes":12}\n{"Name":"content","Hash":"%s"}\n' % CID.encode())
        assert client.add(DATA) == CID

    def test_refuses_a_node_that_names_it_otherwise(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("add", {"Name": "content", "Hash": V0})
        with pytest.raises(IpfsMismatchError, match=V0) as caught:
            client.add(DATA)
        assert caught.value.expected == CID

    def test_sends_the_token(self, kubo: Kubo) -> None:
        kubo.script("add", {"Hash": CID})
        settings = ContentSettings(api_url=kubo.url, api_token=SecretStr("secret"))
        KuboClient.from_settings(settings).add(DATA)
        assert kubo.requests[0][3] == "Bearer secret"


class TestCat:
    def test_returns_the_bytes(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("cat", DATA)
        assert client.cat(CID) == DATA
        assert kubo.requests[0][1]["arg"] == [CID]

    def test_refuses_other_bytes(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("cat", b"hello moon\n")
        with pytest.raises(IpfsMismatchError):
            client.cat(CID)


class TestPins:
    def test_pin_names_the_cid(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("pin/add", {"Pins": [CID]})
        client.pin(CID)
        assert kubo.requests[0][1]["arg"] == [CID]

    def test_is_pinned_when_listed(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("pin/ls", {"Keys": {CID: {"Type": "recursive"}}})
        assert client.is_pinned(CID)

    def test_is_not_pinned_when_the_node_says_so(self, kubo: Kubo, client: KuboClient) -> None:
        answer = {"Message": f"path '{CID}' is not pinned", "Code": 0, "Type": "error"}
        kubo.script("pin/ls", answer, status=500)
        assert not client.is_pinned(CID)

    def test_another_error_is_no_answer(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("pin/ls", {"Message": "context deadline exceeded"}, status=500)
        with pytest.raises(IpfsUnavailableError, match="deadline"):
            client.is_pinned(CID)


class TestVersion:
    def test_is_what_the_node_says(self, kubo: Kubo, client: KuboClient) -> None:
        kubo.script("version", {"Version": "0.38.1"})
        assert client.version() == "0.38.1"

    @pytest.mark.parametrize(
        "body", [b"", b"<html>502</html>", b"[]", b"{", b"[" * 100_000, b"\xff\xfe"]
    )
    def test_anything_but_an_object_is_no_answer(
        self, kubo: Kubo, client: KuboClient, body: bytes
    ) -> None:
        kubo.script("version", body)
        with pytest.raises(IpfsUnavailableError):
            client.version()

    @pytest.mark.parametrize("status", [301, 403, 404, 500])
    def test_another_status_is_no_answer(self, kubo: Kubo, client: KuboClient, status: int) -> None:
        kubo.script("version", b"no", status=status)
        with pytest.raises(IpfsUnavailableError, match=str(status)) as caught:
            client.version()
        assert caught.value.status == 503

    @pytest.mark.parametrize(
        "url", [lambda kubo: "http://127.0.0.1:1", lambda kubo: "http://", lambda kubo: "nonsense"]
    )
    def test_a_wrong_address_is_no_answer(self, kubo: Kubo, url: Callable[[Kubo], str]) -> None:
        with pytest.raises(IpfsUnavailableError, match="IPFS_API_URL"):
            KuboClient(url(kubo)).version()

    def test_silence_is_no_answer(self, kubo: Kubo) -> None:
        kubo.hangs = True
        with pytest.raises(IpfsUnavailableError, match="Timeout"):
            KuboClient(kubo.url, timeout_seconds=1).version()
