"""Starting an installation that cannot start: one sentence that says what to do, exit code 1."""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app import parts
from tests.conftest import wait_until

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 120
_HOLDER = """
import fcntl, sys
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
print("holds", flush=True)
sys.stdin.read()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def taken_port() -> Iterator[int]:
    """A port somebody listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


class Start:
    """`cohort up` in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "lock"

    def launch(self, **settings: str) -> subprocess.Popen[str]:
        """The process."""
        environment = {
            **os.environ,
            "COHORT_DATA_DIR": str(self.folder),
            "COHORT_PORT": str(free_port()),
            "CHAIN_LOCAL_PORT": str(free_port()),
            **settings,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", "up", "--no-example"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def refused(self, **settings: str) -> str:
        """The sentence it ends with."""
        return sentence_of(self.launch(**settings))


def sentence_of(process: subprocess.Popen[str]) -> str:
    """The error a start ended with; anything else fails the test."""
    output, _ = process.communicate(timeout=_SECONDS)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    found = re.search(r"Error: (.*)", output, re.DOTALL)
    assert found is not None, output
    return " ".join(found[1].split())


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A fresh data directory."""
    folder = tmp_path / "data"
    folder.mkdir()
    return Start(folder)


class TestLock:
    def test_a_second_instance_is_refused_and_told_who_is_first(self, start: Start) -> None:
        with start.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(str(os.getpid()))
            lock.flush()
            sentence = start.refused()
        assert sentence == (
            f"Another Cohort (process {os.getpid()}) already uses {start.folder}. Stop it first, "
            "or set COHORT_DATA_DIR to another directory."
        )
        assert sorted(path.name for path in start.folder.iterdir()) == ["lock"]

    def test_the_lock_of_a_dead_process_is_taken_over(self, start: Start) -> None:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        start.lock.write_text(str(dead.pid))
        with taken_port() as port:
            assert "Another Cohort" not in start.refused(COHORT_PORT=str(port))
        assert start.lock.read_text() not in ("", str(dead.pid))

    def test_what_a_dead_instance_left_running_is_waited_for(self, start: Start) -> None:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        start.lock.write_text(str(dead.pid))
        command = [sys.executable, "-c", _HOLDER, str(start.lock)]
        pipe = subprocess.PIPE
        with taken_port() as port:
            with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as orphan:
                assert orphan.stdout is not None
                assert orphan.stdout.readline() == "holds\n"
                begun = start.launch(COHORT_PORT=str(port))
                # It has the lock's file open and waits.
                wait_until(lambda: _has_open(begun.pid, start.lock))
                assert begun.poll() is None
                orphan.communicate()
            assert "Another Cohort" not in sentence_of(begun)


def _has_open(pid: int, path: Path) -> bool:
    links = Path(f"/proc/{pid}/fd").glob("*")
    return any(_target(link) == str(path) for link in links)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


class TestMail:
    @pytest.mark.parametrize(
        ("settings", "missing"),
        [
            ({}, "Set COHORT_SMTP_URL"),
            ({"COHORT_SMTP_URL": "smtp://u:hunter2@mail.example.com"}, "Set COHORT_MAIL_FROM"),
            ({"COHORT_SMTP_URL": "mail.example.com"}, "COHORT_SMTP_URL is not of the form"),
        ],
    )
    def test_in_production_has_to_be_able_to_leave(
        self, start: Start, settings: dict[str, str], missing: str
    ) -> None:
        sentence = start.refused(COHORT_ENVIRONMENT="production", **settings)
        assert sentence.startswith(missing) and "hunter2" not in sentence

    def test_its_password_is_no_business_of_who_opens_keys_or_keeps_the_chain(
        self, set_environment: Callable[..., None]
    ) -> None:
        set_environment(COHORT_DATABASE_SIGNER_URL="postgresql+psycopg://signer@host/name")
        for part in (parts.signer(), parts.chain()):
            assert "COHORT_SMTP_URL".startswith(part.hidden)
        for part in (parts.web(), parts.worker()):
            assert not "COHORT_SMTP_URL".startswith(part.hidden)


class TestDirectory:
    @pytest.mark.parametrize("version", ["2", "99", "nonsense"])
    def test_of_a_newer_version_is_refused_and_left_alone(self, start: Start, version: str) -> None:
        (start.folder / "VERSION").write_text(f"{version}\n")
        sentence = start.refused()
        assert (
            f"was written by a newer version (format {version}, this version knows 1)" in sentence
        )
        assert "use another COHORT_DATA_DIR" in sentence
        assert (start.folder / "VERSION").read_text() == f"{version}\n"
        assert not (start.folder / "postgres").exists()

    def test_with_an_empty_version_says_what_to_delete(self, start: Start) -> None:
        version = start.folder / "VERSION"
        version.write_text("")
        assert start.refused() == (
            f"{version} is empty: an earlier start was interrupted. Delete that file and start "
            "again; nothing else is touched. If a newer version worked here before, install that "
            "one."
        )
        assert not (start.folder / "postgres").exists()
        version.unlink()
        with taken_port() as port:
            assert "is taken" in start.refused(COHORT_PORT=str(port))
        assert version.read_text() == "1\n"

    def test_that_is_new_or_was_cut_before_its_version_gets_one(self, start: Start) -> None:
        (start.folder / "VERSION.part").write_text("")
        with taken_port() as port:
            assert "is taken" in start.refused(COHORT_PORT=str(port))
        assert (start.folder / "VERSION").read_text() == "1\n"
        assert not (start.folder / "VERSION.part").exists()


class TestPort:
    @pytest.mark.parametrize("setting", ["COHORT_PORT", "CHAIN_LOCAL_PORT"])
    def test_that_is_taken_names_its_setting(self, start: Start, setting: str) -> None:
        with taken_port() as port:
            sentence = start.refused(**{setting: str(port)})
        assert sentence == (
            f"Port {port} is taken by another program. Stop that program, or set {setting} to a "
            "free port."
        )


class _Chain(BaseHTTPRequestHandler):
    """A node of chain 5."""

    def do_POST(self) -> None:
        request: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": "0x5"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def other_chain() -> Iterator[str]:
    """The address of a node of another chain."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Chain) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class TestChain:
    def test_that_is_another_names_both_numbers(self, start: Start, other_chain: str) -> None:
        sentence = start.refused(CHAIN_RPC_URLS=other_chain)
        assert "serves chain 5, but this installation's data belongs to chain 31337" in sentence
        assert "Point CHAIN_RPC_URLS at chain 31337." in sentence

    def test_that_does_not_answer_says_so(self, start: Start) -> None:
        sentence = start.refused(CHAIN_RPC_URLS=f"http://127.0.0.1:{free_port()}")
        assert "does not answer" in sentence
