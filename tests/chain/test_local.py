"""The embedded chain's files: a kill at any moment loses no block that counted as durable."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eth_account import Account

from chain import local
from chain.client import ChainClient
from chain.local import RELAYER_FUNDS, AnvilMissingError, LocalChain, anvil_path, fund, mine_block
from chain.settings import chain_settings
from tests.conftest import _answers, _free_port, child, wait_until


@pytest.fixture
def files(tmp_path: Path) -> LocalChain:
    """An empty folder for a chain."""
    return LocalChain(tmp_path)


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """Environment variables for the chain settings, put back afterwards."""
    before = dict(os.environ)
    yield os.environ
    os.environ.clear()
    os.environ.update(before)
    chain_settings.cache_clear()


def state(head: int | str, *, size: int = 0) -> bytes:
    """A state file as anvil writes it, as far as anybody here reads it."""
    return json.dumps({"best_block_number": head, "accounts": "x" * size}).encode()


def write(path: Path, data: bytes, *, second: int) -> None:
    """The file, written at this second of a made-up clock."""
    path.write_bytes(data)
    os.utime(path, (second, second))


class TestDurableBlock:
    def test_before_any_file_nothing_is_durable(self, files: LocalChain) -> None:
        assert files.durable_block() == 0

    @pytest.mark.parametrize("head", [7, "0x7"])
    def test_a_whole_file_is_saved_and_counts(self, files: LocalChain, head: int | str) -> None:
        write(files.state, state(head), second=1)
        assert files.durable_block() == 7
        assert files.safe.read_bytes() == state(head)

    def test_a_newer_whole_file_moves_it_on(self, files: LocalChain) -> None:
        write(files.safe, state(7), second=1)
        write(files.state, state(9), second=2)
        assert files.durable_block() == 9

    @pytest.mark.parametrize("length", [0, 1, 10, 25])
    def test_a_cut_file_does_not_count(self, files: LocalChain, length: int) -> None:
        write(files.safe, state(7), second=1)
        write(files.state, state(9)[:length], second=2)
        assert files.durable_block() == 7
        assert files.safe.read_bytes() == state(7)

    def test_whole_json_that_is_no_state_does_not_count(self, files: LocalChain) -> None:
        write(files.state, b"{}", second=1)
        assert files.durable_block() == 0
        assert not files.safe.exists()

    def test_an_unchanged_file_is_not_copied_again(self, files: LocalChain) -> None:
        write(files.state, state(7), second=1)
        write(files.safe, state(7), second=2)
        assert files.durable_block() == 7
        assert files.safe.stat().st_mtime == 2

    def test_nothing_is_left_beside_the_two_files(self, files: LocalChain) -> None:
        for second, data in enumerate((state(1), state(2)[:9], state(3)), start=1):
            write(files.state, data, second=second)
            files.durable_block()
        names = {path.name for path in files.folder.iterdir()}
        assert names == {"state.json", "state.safe.json"}

    def test_the_copy_is_whole_whoever_saves_at_the_same_time(self, files: LocalChain) -> None:
        write(files.state, state(1, size=200_000), second=1)

        def save(_number: int) -> bool:
            files._save()
            return json.loads(files.safe.read_bytes())["best_block_number"] == 1

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(save, range(120)))


class TestRepair:
    def test_a_cut_state_file_is_replaced_by_the_safe_copy(self, files: LocalChain) -> None:
        write(files.safe, state(7), second=1)
        write(files.state, state(9)[:10], second=2)
        files.repair()
        assert files.state.read_bytes() == state(7)

    def test_so_is_a_missing_one_and_one_behind(self, files: LocalChain) -> None:
        write(files.safe, state(7), second=1)
        files.repair()
        assert files.state.read_bytes() == state(7)
        write(files.state, state(3), second=3)
        files.repair()
        assert files.state.read_bytes() == state(7)

    def test_a_newer_whole_one_stays(self, files: LocalChain) -> None:
        write(files.safe, state(7), second=1)
        write(files.state, state(9), second=2)
        files.repair()
        assert files.state.read_bytes() == state(9)

    def test_without_a_safe_copy_nothing_is_touched(self, files: LocalChain) -> None:
        write(files.state, b"cut", second=1)
        files.repair()
        assert files.state.read_bytes() == b"cut"


class TestCommand:
    def test_it_repairs_first(self, files: LocalChain) -> None:
        write(files.safe, state(7), second=1)
        write(files.state, state(9)[:10], second=2)
        files.command(1234)
        assert files.state.read_bytes() == state(7)

    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        LocalChain(tmp_path / "new" / "chain").command(1234)
        assert (tmp_path / "new" / "chain").is_dir()

    def test_the_chain_listens_on_the_loopback_only_and_has_no_public_keys(
        self, files: LocalChain
    ) -> None:
        command = " ".join(files.command(1234))
        assert "--host 127.0.0.1 --port 1234" in command
        assert "--accounts 0" in command
        assert f"--state {files.state}" in command
        assert "--state-interval 1 " in command

    def test_a_large_state_is_written_less_often(self, files: LocalChain) -> None:
        write(files.state, state(1, size=25_000_000), second=1)
        assert "--state-interval 3 " in " ".join(files.command(1234))


class TestAnvilPath:
    def test_a_configured_program_is_taken(self, variables: dict[str, str]) -> None:
        variables["CHAIN_ANVIL_PATH"] = "/somewhere/anvil"
        chain_settings.cache_clear()
        assert anvil_path() == Path("/somewhere/anvil")

    def test_otherwise_the_installed_one(self) -> None:
        assert anvil_path().name == "anvil"

    def test_the_sentence_says_how_to_get_it(self) -> None:
        assert "make setup" in str(AnvilMissingError())


class TestDevelopmentChain:
    def test_a_relayer_is_funded_once(self, node: ChainClient) -> None:
        address = Account.create().address
        fund(node, address)
        assert node.balance(address) == RELAYER_FUNDS
        node.admin("anvil_setBalance", address, hex(RELAYER_FUNDS - 1))
        fund(node, address)
        assert node.balance(address) == RELAYER_FUNDS - 1

    def test_a_poor_relayer_is_funded_again(self, node: ChainClient) -> None:
        address = Account.create().address
        node.admin("anvil_setBalance", address, hex(RELAYER_FUNDS // 2 - 1))
        fund(node, address)
        assert node.balance(address) == RELAYER_FUNDS

    def test_a_block_is_mined(self, node: ChainClient) -> None:
        before = node.head().number
        mine_block(node)
        assert node.head().number == before + 1

    def test_started_again_it_soon_knows_what_was_final(self, tmp_path: Path) -> None:
        files, port = LocalChain(tmp_path), _free_port()
        client = ChainClient("again", [f"http://127.0.0.1:{port}"])
        with child(files.command(port)):
            wait_until(lambda: _answers(client))
            local.show_final(client, client.finalized_number())
            assert client.head().number == 0  # a fresh one knows its beginning
            for _ in range(5):
                mine_block(client)
            wait_until(lambda: files.durable_block() == 5)
        with child(files.command(port)):
            wait_until(lambda: _answers(client))
            line = client.finalized_number()
            assert not client.has_state(line)
            for _ in range(2):
                local.show_final(client, line)
            assert client.has_state(client.finalized_number())
            assert client.head().number == 8  # and it does not go on making blocks

    def test_the_running_chain_becomes_durable(self, node: ChainClient, home: Path) -> None:
        mine_block(node)
        head = node.head().number
        files = LocalChain(home / "chain")
        wait_until(lambda: files.durable_block() >= head)
        assert local._head_in(files.safe) >= head
