"""The supervisor's children: restarted, stopped in order, and never outliving it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from app.processes import Part, PartFailedError, Processes
from tests.conftest import wait_until

ROOT = Path(__file__).resolve().parents[2]
# Says who it is, and writes "in order" when it is asked to end.
_CHILD = """
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def stop(*_):
    with (folder / "ended").open("a") as ended:
        ended.write(f"{os.getpid()}\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
draft = folder / "draft"
draft.write_text(str(os.getpid()))
draft.replace(folder / "pid")
while True:
    time.sleep(60)
"""
_SUPERVISOR = f"""
import sys, time
from pathlib import Path
from rich.console import Console
from app.processes import Part, Processes
folder = Path(sys.argv[1])
command = [sys.executable, "-c", {_CHILD!r}, str(folder)]
processes = Processes({{}}, inherited=(), console=Console(quiet=True))
processes.start(Part("child", "blue", lambda: command, (folder / "pid").exists))
processes.watch()
time.sleep(60)
"""


def pid_in(folder: Path) -> int:
    return int((folder / "pid").read_text())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def kill_and_wait_for_another(folder: Path) -> int:
    """The process id of the child that took the place of the killed one."""
    killed = pid_in(folder)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: pid_in(folder) != killed)
    return pid_in(folder)


def part_in(folder: Path) -> Part:
    command = [sys.executable, "-c", _CHILD, str(folder)]
    return Part("child", "blue", lambda: command, (folder / "pid").exists)


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A supervisor without children."""
    found = Processes({}, inherited=(), console=Console(quiet=True))
    yield found
    found.stop()


class TestRestart:
    def test_what_ends_is_started_again_and_still_stopped_in_order(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        """Its death signal must not come from the end of the thread that noticed the first end."""
        processes.start(part_in(tmp_path))
        processes.watch()
        another = kill_and_wait_for_another(tmp_path)
        processes.stop()
        assert not is_alive(another)
        assert (tmp_path / "ended").read_text() == f"{another}\n"

    def test_one_started_by_a_thread_that_ended_lives_on(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        processes.start(part_in(tmp_path))
        processes.watch()
        another = kill_and_wait_for_another(tmp_path)
        assert processes._watcher is not None
        processes._stopping.set()
        processes._watcher.join()
        time.sleep(0.2)  # a death signal would have arrived
        assert is_alive(another)

    def test_what_keeps_ending_is_given_up(
        self, processes: Processes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.processes._RESTARTS", 2)
        monkeypatch.setattr("app.processes._RESTART_PAUSE", 0.0)
        hopeless = Part("child", "blue", lambda: [sys.executable, "-c", ""], lambda: False)
        with pytest.raises(PartFailedError, match="it keeps ending"):
            processes.start(hopeless)


class TestReady:
    def test_a_start_returns_once_every_part_is_ready(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        processes.start(part_in(tmp_path))
        assert is_alive(pid_in(tmp_path))

    def test_a_part_that_never_is_fails(
        self, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.processes._READY_SECONDS", 0.3)
        part = part_in(tmp_path)
        part.is_ready = lambda: False
        with pytest.raises(PartFailedError, match="it was not ready"):
            processes.start(part)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of the death")
class TestDeathOfTheSupervisor:
    @pytest.fixture
    def supervisor(self, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A process with one watched child."""
        command = [sys.executable, "-c", _SUPERVISOR, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT) as process:
            wait_until((tmp_path / "pid").exists)
            yield process
            process.kill()

    def test_takes_its_child_along(
        self, supervisor: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        child = pid_in(tmp_path)
        assert is_alive(child)
        supervisor.kill()
        wait_until(lambda: not is_alive(child))

    def test_also_one_that_was_started_again(
        self, supervisor: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        wait_until(lambda: pid_in(tmp_path) > 0)
        another = kill_and_wait_for_another(tmp_path)
        supervisor.kill()
        wait_until(lambda: not is_alive(another))
