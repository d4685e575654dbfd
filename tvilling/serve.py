"""The host's processes: web answers requests, live holds the long streams, agent thinks and sends.

`--role all` starts one process for each role, and more of the agent where asked, and watches them: one that dies is
started anew, and one that keeps dying ends the host with an error. SIGTERM and Ctrl-C end everything cleanly.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from types import FrameType
from typing import Literal
from urllib.parse import urlsplit

from tvilling.errors import ProcessError
from tvilling.lifeline import Lifeline
from tvilling.settings import SETTINGS_FILE_VARIABLE, Settings

Role = Literal["web", "live", "agent"]
ROLES: tuple[Role, ...] = ("web", "live", "agent")

RESTARTS_BEFORE_GIVING_UP = 5
_HEAD_START_SECONDS = 1.0


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop


def start_process(
    arguments: list[str], settings: Settings, lifeline: Lifeline | None = None
) -> subprocess.Popen[bytes]:
    """Start one of the house's programmes with these settings, in a session of its own; with a lifeline it ends with us.

    A session of its own, because Ctrl-C in a terminal would otherwise reach the children before their parent could
    end them in order.
    """
    environment = dict(os.environ) if lifeline is None else lifeline.environment()
    environment[SETTINGS_FILE_VARIABLE] = str(settings.run_folder / "settings.json")
    return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        [sys.executable, "-m", *arguments],
        env=environment,
        pass_fds=() if lifeline is None else (lifeline.reading,),
        start_new_session=True,
        # Standard output belongs to the command's own answer.
        stdout=sys.stderr.fileno(),
    )


@dataclass
class Processes:
    """The running processes of one host."""

    settings: Settings
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """By name: the role's, or `agent 2`, `agent 3` and so on for agents that only think."""
    restarts: dict[str, int] = field(default_factory=dict)
    lifeline: Lifeline = field(default_factory=Lifeline)

    def start(self, roles: tuple[Role, ...] = ROLES) -> None:
        """Write the settings and start the roles, web before the others, since people wait for it."""
        self.settings.write()
        for role in sorted(roles, key=lambda role: role != "web"):
            self._start(role)
            if role == "web" and len(roles) > 1:
                self._give_a_start(self.running[role])
        if "agent" in roles:
            for number in range(2, self.settings.agents + 1):
                self._start(f"agent {number}")

    def _start(self, name: str) -> None:
        entry = "twin" if name.startswith("agent ") else name
        self.running[name] = start_process(["tvilling.roles", entry], self.settings, self.lifeline)

    def _give_a_start(self, web: subprocess.Popen[bytes]) -> None:
        """Let web have the processors to itself until it answers, or for a second; whether it does is seen later."""
        deadline = time.monotonic() + _HEAD_START_SECONDS
        while time.monotonic() < deadline and web.poll() is None:
            if _answers(f"{self.settings.listen.origin}/readyz"):
                return
            time.sleep(0.02)

    def watch_once(self) -> None:
        """Start anew what has died.

        Raises:
            ProcessError: one role died too often to go on.
        """
        for name, process in self.running.items():
            if process.poll() is None:
                continue
            self.restarts[name] = self.restarts.get(name, 0) + 1
            if self.restarts[name] > RESTARTS_BEFORE_GIVING_UP:
                raise ProcessError(f"the {name} process ended {self.restarts[name]} times (code {process.returncode})")
            self._start(name)

    def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """Wait until web and live answer, those of them that were started.

        Raises:
            ProcessError: they did not in time, or a process ended first.
        """
        deadline = time.monotonic() + timeout_seconds
        doors = {"web": f"{self.settings.listen.origin}/readyz", "live": f"{self.settings.live_listen.origin}/healthz"}
        for url in (url for role, url in doors.items() if role in self.running):
            while True:
                for name, process in self.running.items():
                    if process.poll() is not None:
                        raise ProcessError(
                            f"the {name} process ended at once (code {process.returncode}); is its port taken?"
                        )
                if _answers(url):
                    break
                if time.monotonic() > deadline:
                    raise ProcessError(f"{url} did not answer within {timeout_seconds:.0f} seconds")
                time.sleep(0.02)

    def stop(self, grace_seconds: float = 8.0) -> None:
        """Ask every process to end, then insist."""
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + grace_seconds
        for process in self.running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.running.clear()


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=2.0)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def serve(settings: Settings, roles: tuple[Role, ...], *, on_ready: Callable[[], None] | None = None) -> None:
    """Run the roles until a signal comes.

    Raises:
        ProcessError: a process does not start, or keeps dying.
    """
    stop = stop_on_signals()
    processes = Processes(settings)
    try:
        processes.start(roles)
        if set(roles) == set(ROLES):
            processes.wait_until_ready()
        if on_ready is not None:
            on_ready()
        while not stop.wait(0.5):
            processes.watch_once()
    finally:
        processes.stop()
