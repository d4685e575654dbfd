"""A running host, with its web, live and agent processes, and the programs of others that come to it over sockets.

The programs are npm packages, locked in package-lock.json and installed by `make clients` into node_modules, which git
does not keep. Without them these tests are skipped, and say so loudly; where TVILLING_REQUIRE_CLIENTS is set (CI), they
fail.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running_host import Program, RunningHost, no_clients, running_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before the scheduler reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these share one host: they run in one worker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("clients"))


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the clients installed beside these tests, or a skip that nobody overlooks."""
    found = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    if not found or not (HERE / "node_modules" / ".package-lock.json").is_file():
        no_clients("the packages of tests/clients are not installed")
    return found


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """One host for all of these tests."""
    with running_host(tmp_path_factory.mktemp("clients") / "data") as host:
        yield host


@pytest.fixture
def program(node: str) -> Iterator[Callable[..., Program]]:
    """Starts a client's program; ends those that were started."""
    started: list[Program] = []

    def start(script: str, **told: Any) -> Program:
        started.append(Program(node, HERE / script, told))
        return started[-1]

    yield start
    for each in started:
        each.end()
