"""Child processes of the supervisor: started in order, watched, restarted, stopped in order."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console

from core.errors import SettingsError

_PR_SET_PDEATHSIG = 1
_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_RESTARTS = 30
_RESTART_WINDOW = 120.0
_RESTART_PAUSE = 0.3
_POLL_SECONDS = 0.05


class PartFailedError(SettingsError):
    """A part of the installation does not start or keeps ending."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"The {name} does not run: {detail}. Its log lines above say why.")
        self.name = name


@dataclass
class Part:
    """One child process.

    Args:
        command: made anew for every start, because a start may repair files first.
        is_ready: asked until it says True.
        stop_signal: asks the process to end in order.
        death_signal: what it gets when the supervisor dies; parts whose rows are the truth just
            end, so that the next start need not wait for them.
        environment: what it alone gets of the environment.
        hidden: how variables begin that it shall not have.
    """

    name: str
    colour: str
    command: Callable[[], list[str]]
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    environment: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    started_at: list[float] = field(default_factory=list)


class Processes:
    """All children of this supervisor.

    Linux sends a child its death signal when the *thread* that started it ends. So one thread
    starts them all, and it ends after the last of them, or with the whole process.

    Args:
        environment: what every child gets.
        inherited: file descriptors every child holds open; the instance's lock is one, so the
            lock is held until the last child is gone.
    """

    def __init__(
        self, environment: Mapping[str, str], *, inherited: tuple[int, ...], console: Console
    ) -> None:
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._inherited = inherited
        self._console = console
        self._parts: list[Part] = []
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._failure: Exception | None = None
        self._launcher = ThreadPoolExecutor(1, thread_name_prefix="launcher")

    def set_environment(self, **values: str) -> None:
        """Children started from now on get these too."""
        self._environment.update(values)

    def start(self, *parts: Part) -> None:
        """The parts run and are ready; they start side by side.

        Raises:
            PartFailedError: one ended, or is not ready after a minute.
        """
        self._parts.extend(parts)
        for part in parts:
            self._launch(part)
        for part in parts:
            self._wait_ready(part)

    def _launch(self, part: Part) -> None:
        self._launcher.submit(self._spawn, part).result()

    def _spawn(self, part: Part) -> None:
        part.started_at.append(time.monotonic())
        part.process = subprocess.Popen(
            part.command(),
            env=self._environment_of(part),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=self._inherited,
            start_new_session=True,
            preexec_fn=partial(_die_with_parent, part.death_signal),
        )
        threading.Thread(target=self._relay, args=(part, part.process), daemon=True).start()

    def _environment_of(self, part: Part) -> dict[str, str]:
        shown = {
            name: value
            for name, value in self._environment.items()
            if not name.startswith(part.hidden)
        }
        return {**shown, **part.environment}

    def _relay(self, part: Part, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # opened as a pipe above
        with process.stdout as lines:
            for line in lines:
                self._console.print(f"[{part.colour}]{part.name:>8}[/] ", end="")
                self._console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)

    def _wait_ready(self, part: Part) -> None:
        """Wait for one part while all are kept alive: it may need one that has just died."""
        deadline = time.monotonic() + _READY_SECONDS
        while not part.is_ready():
            if self._stopping.wait(_POLL_SECONDS):
                return
            self._revive_ended()
            if time.monotonic() > deadline:
                detail = f"it was not ready after {_READY_SECONDS:.0f} seconds"
                raise PartFailedError(part.name, detail)

    def watch(self) -> None:
        """From now on, whatever ends is started again, until `stop`."""
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        try:
            while not self._stopping.wait(_POLL_SECONDS * 4):
                self._revive_ended()
        except Exception as error:
            # Unwatched parts would look alive; the whole installation stops with the reason.
            self._failure = error
            self._stopping.set()

    def wait(self) -> None:
        """Return never, unless a part fails for good.

        Raises:
            PartFailedError: a part ends again and again.
        """
        while not self._stopping.wait(1):
            pass
        if self._failure is not None:
            raise self._failure

    def _revive_ended(self) -> None:
        for part in self._parts:
            code = None if part.process is None else part.process.poll()
            if code is None or time.monotonic() - part.started_at[-1] < _RESTART_PAUSE:
                continue
            if not self._may_restart(part):
                raise PartFailedError(part.name, f"it keeps ending (code {code})")
            self._console.print(
                f"[yellow]The {part.name} ended (code {code}); starting it again.[/]"
            )
            self._launch(part)

    def _may_restart(self, part: Part) -> bool:
        since = time.monotonic() - _RESTART_WINDOW
        return sum(1 for moment in part.started_at if moment > since) < _RESTARTS

    def stop(self) -> None:
        """Every child has ended, last started first; a repeat changes nothing."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        if self._parts:
            # Whoever was interrupted while waiting for a start must not miss its child.
            self._launcher.submit(lambda: None).result()
        while self._parts:
            _stop(self._parts.pop())
        self._launcher.shutdown()


def _stop(part: Part) -> None:
    process = part.process
    if process is None or process.poll() is not None:
        return
    process.send_signal(part.stop_signal)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _die_with_parent(death_signal: int) -> None:
    """A child never outlives its supervisor, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
