"""What every kind of test starts from: a real host on SQLite in a folder of its own, at a fixed time."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import hosts
import hypothesis
import memory_folder
import pytest
from hosts import NOON, City, make_host
from postgresql_server import Databases, PostgresqlServer
from statements_across_pods import guard

from pod_server.clock import SetClock
from pod_server.storage.postgresql.transaction import PostgresqlTransaction
from pod_server.storage.sqlite import SqliteTransaction

E2E = Path(__file__).parent / "e2e"
SHARED_SAMPLES = Path(__file__).parents[2] / "shared" / "data" / "samples"


# No deadlines: how long an example takes says how busy the machine is. Where a change is judged, it is judged by the
# same examples each time; whoever runs the tests at home tries new ones.
hypothesis.settings.register_profile(
    "house",
    deadline=None,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
    database=None if os.environ.get("CI") else hypothesis.settings.default.database,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("house")

ENGINES = ("sqlite", "postgresql")

ON_BOTH_ENGINES = (
    "unit/storage/test_both_engines.py",
    "unit/pods",
    "unit/grants",
    "unit/activities",
    "faults/test_packing.py",
    "unit/log/test_ledger.py",
    "unit/authorization/test_enforcement.py",
    "unit/authentication",
    "unit/partner_bridge/test_delivery.py",
    "unit/partner_bridge/test_outbox.py",
    "unit/partners",
    "unit/twin_agent/test_pipeline.py",
    "unit/twin_agent/test_proposals.py",
    "faults/test_killed_while_writing.py",
    "faults/test_agent_crashes.py",
    "faults/test_outbox_crashes.py",
    "faults/test_withdrawal_interleavings.py",
    "faults/test_withdrawal_race.py",
    "attacks/test_t04_write_after_withdrawal.py",
    "attacks/test_t06_replay.py",
    "protocol/bridge",
    "protocol/oauth/test_partner_journey.py",
    "protocol/solid/test_activities_view.py",
    "protocol/solid/test_locked_pod.py",
    "protocol/solid/test_section_4_resources.py",
    "protocol/solid/test_section_5_reading_and_writing.py",
)
"""What must hold on both engines: storage and everything that reads, decides and writes. `make postgresql` (pytest
--engine postgresql) runs every test on PostgreSQL."""

ON_SQLITE_ALONE = (
    "e2e/test_breach.py",
    "e2e/test_commands.py",
    "e2e/test_doctor.py",
    "e2e/test_operation_commands.py",
    "e2e/test_pod_transfer.py",
    "attacks/test_t01_every_door.py",
    "attacks/test_t01_stolen_data_folder.py",
    "attacks/test_t26_host_and_locked_pod.py::test_no_file_holds",
    "faults/test_damaged_files.py",
    "faults/test_disk_full.py",
    "faults/test_power_cuts_and_full_disks.py",
    "models/",
    "protocol/doors/test_bad_requests.py::test_a_full_disk",
)
"""What looks into the data folder's own database file, fills it, or runs commands on it."""


ON_ONE_ENGINE = ("protocol/bridge/test_read_grants.py",)
"""Among those, what adds no statement of its own; tests/unit/grants/test_readings.py has reading's on both."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """One option: the engine for tests that would run on SQLite alone."""
    parser.addoption("--engine", choices=ENGINES, default="sqlite", help="for tests that run on one engine")


_memory_folder = pytest.StashKey[Path | None]()
_failed = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Files lie in memory where there is plenty (memory_folder.py)."""
    config.stash[_memory_folder] = memory_folder.choose()


@pytest.hookimpl(tryfirst=True)  # before the scheduler reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a running host run in one worker: in two, it would be started twice."""
    for item in items:
        if (
            E2E not in item.path.parents
            or item.get_closest_marker("xdist_group")
            or not isinstance(item, pytest.Function)
        ):
            continue
        shared = [each for known in item._fixtureinfo.name2fixturedefs.values() for each in known]
        if any(each.scope == "module" for each in shared):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed leaves its files."""
    session.config.stash[_failed] = exitstatus != 0


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the memory back."""
    if (folder := config.stash.get(_memory_folder, None)) is not None:
        memory_folder.leave(folder, keep=config.stash.get(_failed, True))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What must hold on both engines runs once on each."""
    name = metafunc.definition.path.relative_to(Path(__file__).parent).as_posix()
    if (
        metafunc.config.getoption("--engine") == "sqlite"
        and name.startswith(ON_BOTH_ENGINES)
        and name not in ON_ONE_ENGINE
    ):
        metafunc.parametrize("engine", ENGINES, indirect=True)


_LONGEST_NAME = 80


def pytest_make_parametrize_id(val: object) -> str | None:
    """A short name for a long parameter: names travel between processes with each report, and some bodies are megabytes."""
    if not isinstance(val, str | bytes) or len(val) <= _LONGEST_NAME:
        return None  # pytest's own names are good
    content = val.encode("utf-8", "surrogatepass") if isinstance(val, str) else val
    start = content[:20].decode("ascii", "replace").encode("unicode_escape").decode()
    return f"{start}... {len(val)} long, {zlib.crc32(content):08x}"


@pytest.fixture(scope="session", autouse=True)
def _every_statement_names_its_pod():
    """Whatever a test does, no statement on citizens' data goes without a pod (statements_across_pods.py)."""
    for transaction in (SqliteTransaction, PostgresqlTransaction):
        guard(transaction)


@pytest.fixture(scope="session")
def databases():
    """Databases on a PostgreSQL server that is started when a test first asks for one."""
    server = PostgresqlServer()
    yield Databases(server)
    server.stop()


@pytest.fixture(autouse=True)
def engine(request, monkeypatch):
    """The storage engine of the hosts that a test makes: see ON_BOTH_ENGINES."""
    chosen = getattr(request, "param", None) or request.config.getoption("--engine")
    if chosen == "sqlite":
        yield chosen
        return
    name = request.path.relative_to(Path(__file__).parent).as_posix() + f"::{request.node.name}"
    if name.startswith(ON_SQLITE_ALONE):
        pytest.skip("about SQLite's own file")
    databases = request.getfixturevalue("databases")
    monkeypatch.setattr(hosts, "database_url_for", databases.url_for)
    yield chosen
    databases.give_back()


@pytest.fixture
def clock() -> SetClock:
    """The 23rd of November 2026, noon."""
    return SetClock(NOON)


@pytest.fixture
def city(tmp_path, clock):
    """An empty city."""
    host = make_host(tmp_path / "data", clock)
    yield City(host, clock)
    host.storage.close()
    host.key_store.close()


@pytest.fixture
def host(city):
    """The city's host."""
    return city.host


@pytest.fixture
def shared_samples() -> Path:
    """Real partner data that may lie beside the project; without it the test is skipped by name."""
    if not SHARED_SAMPLES.is_dir():
        pytest.skip("the shared samples do not lie beside this clone")
    return SHARED_SAMPLES
