"""The independent reader, against a small server on loopback that answers as scripted."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from app.verification import abi
from app.verification.errors import ChainUnavailableError, ContractMissingError
from app.verification.reader import OwnershipStatus, chain_id, read_ownership

CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
OWNER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
ISSUER = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
TOKEN = (3 << 32) | 77
HASH = "0x" + "ab" * 32
HEAD = {"number": "0x10", "hash": HASH, "timestamp": "0x6553f100"}
REVERT = {"code": 3, "message": "execution reverted", "data": "0x"}
TRUE, FALSE = "0x" + "1".rjust(64, "0"), abi.ZERO_WORD
URI = "ipfs://bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"

Answer = Callable[[list[Any]], Any]


def address_word(address: str) -> str:
    """The address as an answer."""
    return "0x" + address[2:].rjust(64, "0")


def string_answer(text: str) -> str:
    """The text as an answer."""
    raw = text.encode()
    padded = raw.ljust(-(-len(raw) // 32) * 32, b"\0")
    return "0x" + abi.word(32) + abi.word(len(raw)) + padded.hex()


class Failure(dict[str, Any]):
    """A JSON-RPC error object."""


class FakeNode(ThreadingHTTPServer):
    """A node with one contract; every answer can be scripted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: dict[str, Any] = {
            abi.OWNER_OF: address_word(OWNER),
            abi.TOKEN_URI: string_answer(URI),
            abi.LOCKED: FALSE,
            abi.OWNER: address_word(ISSUER),
            abi.SUPPORTS_INTERFACE + abi.ERC721: TRUE,
            abi.SUPPORTS_INTERFACE + abi.ERC5192: FALSE,
        }
        self.methods: dict[str, Any] = {
            "eth_chainId": "0x7a69",
            "eth_getBlockByNumber": HEAD,
            "eth_getCode": "0x6001",
            "eth_getLogs": [],
        }
        self.asked: list[tuple[str, list[Any]]] = []
        self.raw: tuple[int, bytes] | None = None
        self.hangs = False
        self.drips = False
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def burned(self) -> None:
        """The token is gone."""
        self.calls[abi.OWNER_OF] = self.calls[abi.TOKEN_URI] = Failure(REVERT)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One JSON-RPC response."""
        method, params = request["method"], request["params"]
        self.asked.append((method, params))
        found = self._call(params[0]["data"]) if method == "eth_call" else self.methods[method]
        key = "error" if isinstance(found, Failure) else "result"
        return {"jsonrpc": "2.0", "id": request["id"], key: found}

    def _call(self, data: str) -> Any:
        selector = data[2:10]
        key = data[2:18] if selector == abi.SUPPORTS_INTERFACE else selector
        return self.calls.get(key, Failure(REVERT))


class _Handler(BaseHTTPRequestHandler):
    server: FakeNode

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.hangs:
            self.server.released.wait(20)
            return
        if self.server.raw is not None:
            self._send(*self.server.raw)
        elif self.server.drips:
            self._drip()
        else:
            # Nodes may answer a batch in any order.
            answers = [self.server.answer(request) for request in json.loads(body)][::-1]
            self._send(200, json.dumps(answers).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Location", self.server.url)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        """A byte now and then, each within any timeout of a single read."""
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.released.wait(0.05):
                self.wfile.write(b" ")
                self.wfile.flush()
        except OSError:
            pass  # the reader hung up, as it must

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A scripted node."""
    with FakeNode() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


class TestSelectors:
    @pytest.mark.parametrize(("selector", "signature"), abi.SIGNATURES.items())
    def test_are_the_hash_of_their_signature(self, selector: str, signature: str) -> None:
        assert keccak(text=signature).hex().startswith(selector)


class TestReadOwnership:
    def test_tells_everything_the_contract_says(self, node: FakeNode) -> None:
        found = read_ownership(node.url, CONTRACT, TOKEN)
        assert found.status is OwnershipStatus.OWNED
        assert (found.owner, found.contract_owner) == (OWNER, ISSUER)
        assert (found.token_uri, found.soulbound, found.is_erc721) == (URI, False, True)
        assert (found.chain_id, found.contract, found.token_id) == (31337, CONTRACT.lower(), TOKEN)
        assert (found.block.number, found.block.hash) == (16, HASH)
        assert found.block.timestamp == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)

    def test_reads_everything_at_one_named_block(self, node: FakeNode) -> None:
        read_ownership(node.url, CONTRACT, TOKEN)
        places = [params[-1] for method, params in node.asked if method == "eth_call"]
        assert places == [{"blockHash": HASH}] * 6

    def test_gives_the_call_that_repeats_the_question(self, node: FakeNode) -> None:
        found = read_ownership(node.url, CONTRACT, TOKEN)
        assert found.call_data == "0x6352211e" + f"{TOKEN:064x}"
        assert found.call_data in [
            params[0]["data"] for method, params in node.asked if method == "eth_call"
        ]

    def test_of_a_soulbound_token_says_so(self, node: FakeNode) -> None:
        node.calls[abi.SUPPORTS_INTERFACE + abi.ERC5192] = TRUE
        node.calls[abi.LOCKED] = TRUE
        assert read_ownership(node.url, CONTRACT, TOKEN).soulbound

    def test_does_not_believe_locked_without_its_interface(self, node: FakeNode) -> None:
        node.calls[abi.LOCKED] = TRUE
        assert not read_ownership(node.url, CONTRACT, TOKEN).soulbound

    def test_of_a_burned_token_names_no_owner(self, node: FakeNode) -> None:
        node.burned()
        node.methods["eth_getLogs"] = [{"topics": []}]
        found = read_ownership(node.url, CONTRACT, TOKEN, from_block=9)
        assert (found.status, found.owner, found.token_uri) == (OwnershipStatus.BURNED, None, None)
        ((wanted,),) = [params for method, params in node.asked if method == "eth_getLogs"]
        assert wanted == {
            "address": CONTRACT.lower(),
            "fromBlock": "0x9",
            "toBlock": "0x10",
            "topics": [abi.TRANSFER, None, abi.ZERO_WORD, "0x" + f"{TOKEN:064x}"],
        }

    def test_of_a_token_that_never_was_names_no_owner(self, node: FakeNode) -> None:
        node.burned()
        found = read_ownership(node.url, CONTRACT, TOKEN)
        assert (found.status, found.owner) == (OwnershipStatus.NEVER_MINTED, None)

    def test_takes_the_zero_address_for_nobody(self, node: FakeNode) -> None:
        node.calls[abi.OWNER_OF] = abi.ZERO_WORD
        assert read_ownership(node.url, CONTRACT, TOKEN).owner is None

    @pytest.mark.parametrize(
        "error",
        [
            {"code": 3, "message": "execution reverted: asset: no such token"},
            {"code": -32000, "message": "Execution reverted"},
            {"code": -32015, "message": "VM execution error"},
        ],
    )
    def test_knows_a_refusal_of_every_node(self, node: FakeNode, error: dict[str, Any]) -> None:
        node.calls[abi.OWNER_OF] = Failure(error)
        found = read_ownership(node.url, CONTRACT, TOKEN)
        assert found.status is OwnershipStatus.NEVER_MINTED

    @pytest.mark.parametrize("answer", ["0x", "0x01", "0x" + "ff" * 32, "0x" + "ff" * 4096])
    def test_leaves_out_what_the_contract_says_badly(self, node: FakeNode, answer: str) -> None:
        node.calls[abi.TOKEN_URI] = node.calls[abi.OWNER] = answer
        found = read_ownership(node.url, CONTRACT, TOKEN)
        assert (found.owner, found.token_uri, found.contract_owner) == (OWNER, None, None)

    def test_refuses_a_string_that_is_not_text(self, node: FakeNode) -> None:
        node.calls[abi.TOKEN_URI] = "0x" + abi.word(32) + abi.word(2) + "fffe".ljust(64, "0")
        assert read_ownership(node.url, CONTRACT, TOKEN).token_uri is None

    def test_refuses_an_address_without_code(self, node: FakeNode) -> None:
        node.methods["eth_getCode"] = "0x"
        node.calls = {key: "0x" for key in node.calls}
        with pytest.raises(ContractMissingError, match="31337"):
            read_ownership(node.url, CONTRACT, TOKEN)

    @pytest.mark.parametrize("answer", ["0x", "0x01", "0x" + "ff" * 32])
    def test_refuses_a_contract_that_knows_no_owners(self, node: FakeNode, answer: str) -> None:
        node.calls[abi.OWNER_OF] = answer
        with pytest.raises(ContractMissingError):
            read_ownership(node.url, CONTRACT, TOKEN)

    @pytest.mark.parametrize("token_id", [-1, 2**256])
    def test_refuses_a_number_that_is_no_uint256(self, node: FakeNode, token_id: int) -> None:
        with pytest.raises(ValueError, match="uint256"):
            read_ownership(node.url, CONTRACT, token_id)


class TestWithoutAnAnswer:
    def check(self, node: FakeNode, *, timeout: float = 5.0) -> None:
        """No owner, but an error that says to come back."""
        with pytest.raises(ChainUnavailableError) as caught:
            read_ownership(node.url, CONTRACT, TOKEN, timeout=timeout)
        assert caught.value.status == 503
        assert caught.value.retry_after == 5
        assert OWNER not in str(caught.value)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html><h1>502 Bad Gateway</h1></html>",
            b"[",
            b"[" * 100_000,
            b"\xff\xfe\x00",
            b"{}",
            b"[]",
            b"[1]",
            b'[{"id":0,"result":"0x1"}]',
            b'{"error":{"code":-32005,"message":"rate limit"}}',
            b"[" + b" " * 5_000_000 + b"]",
        ],
        ids=lambda body: body[:12].decode("latin-1"),
    )
    def test_nonsense_is_refused(self, node: FakeNode, body: bytes) -> None:
        node.raw = (200, body)
        self.check(node)

    @pytest.mark.parametrize("status", [204, 301, 401, 429, 500, 503])
    def test_every_other_status_is_refused(self, node: FakeNode, status: int) -> None:
        node.raw = (status, b"" if status == 204 else b"[]")
        self.check(node)

    def test_silence_is_refused(self, node: FakeNode) -> None:
        node.hangs = True
        self.check(node, timeout=0.2)

    def test_an_answer_that_drips_is_refused(self, node: FakeNode) -> None:
        node.drips = True
        self.check(node, timeout=0.3)

    def test_a_closed_port_is_refused(self) -> None:
        with pytest.raises(ChainUnavailableError):
            read_ownership("http://127.0.0.1:1", CONTRACT, TOKEN)

    @pytest.mark.parametrize("url", ["", "nonsense", "http://", "ftp://127.0.0.1"])
    def test_a_wrong_address_is_refused(self, url: str) -> None:
        with pytest.raises(ChainUnavailableError):
            read_ownership(url, CONTRACT, TOKEN)

    @pytest.mark.parametrize(
        "error",
        [
            {"code": -32000, "message": "header not found"},
            {"code": -32005, "message": "limit exceeded"},
            {"code": -32603, "message": "internal error"},
            {},
        ],
    )
    def test_an_error_that_is_no_revert_is_no_burn(
        self, node: FakeNode, error: dict[str, Any]
    ) -> None:
        node.calls[abi.OWNER_OF] = Failure(error)
        self.check(node)

    def test_logs_that_cannot_be_read_are_no_burn_and_no_absence(self, node: FakeNode) -> None:
        node.burned()
        node.methods["eth_getLogs"] = Failure({"code": -32005, "message": "range too large"})
        self.check(node)

    @pytest.mark.parametrize("logs", [None, "0x", {}])
    def test_logs_that_are_no_list_are_refused(self, node: FakeNode, logs: Any) -> None:
        node.burned()
        node.methods["eth_getLogs"] = logs
        self.check(node)

    @pytest.mark.parametrize(
        "head",
        [
            None,
            {},
            {**HEAD, "hash": "0xabcd"},
            {**HEAD, "hash": None},
            {**HEAD, "number": 16},
            {**HEAD, "number": "0xzz"},
            {**HEAD, "timestamp": "0x" + "f" * 20},
        ],
    )
    def test_a_block_that_makes_no_sense_is_refused(self, node: FakeNode, head: Any) -> None:
        node.methods["eth_getBlockByNumber"] = head
        self.check(node)

    @pytest.mark.parametrize("result", [None, 7, "0xabc", "hello", ["0x"]])
    def test_an_answer_that_is_no_data_is_refused(self, node: FakeNode, result: Any) -> None:
        node.calls[abi.OWNER_OF] = result
        self.check(node)


class TestChainId:
    def test_is_a_number(self, node: FakeNode) -> None:
        assert chain_id(node.url) == 31337

    def test_of_a_broken_node_is_refused(self, node: FakeNode) -> None:
        node.methods["eth_chainId"] = "mainnet"
        with pytest.raises(ChainUnavailableError):
            chain_id(node.url)


class TestIndependence:
    def test_shares_no_code_with_what_it_checks(self) -> None:
        folder = Path(abi.__file__).parent
        for name in ("reader.py", "rpc.py", "abi.py"):
            text = (folder / name).read_text(encoding="utf-8")
            imports = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
            for package in ("chain", "minting", "wallets", "web3", "eth_"):
                assert not [line for line in imports if f" {package}" in line], name
