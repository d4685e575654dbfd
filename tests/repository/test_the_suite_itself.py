"""What the suite needs so that every test in it is run, and the run comes to its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import memory_folder
import psutil
import pytest
from ending import end, family_of, forked, killed_after, outcome_of
from ports import free_port

from tvilling import ports as house_ports

TESTS = Path(__file__).parents[1]


def test_no_two_test_files_share_a_name():
    """Folders of tests are no packages, so a second file of a name stops the whole collection."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert sum(names.values()) > 100
    assert [name for name, count in names.items() if count > 1] == []


def test_no_test_has_a_name_that_fills_the_pipes_between_the_workers(request):
    """Each name is sent several times; bodies of megabytes as parameters once made two hundred megabytes of them."""
    names = [item.nodeid for item in request.session.items]
    assert [name[:150] for name in names if len(name) > 500] == []


def test_ports_for_servers_are_free_and_lie_where_no_outgoing_connection_takes_them():
    lent = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(lent.read_text().split()[0]) if lent.exists() else 49_152
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert max(ports) < first
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="taken"):
        house_ports.free_port(range(taken.getsockname()[1], taken.getsockname()[1] + 1))


def test_files_lie_in_memory_only_where_there_is_plenty_and_nothing_stays_there(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_folder, "MEMORY", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", "/somewhere")
    assert memory_folder.choose() is None, "whoever sets TMPDIR has chosen"
    monkeypatch.delenv("TMPDIR")
    ended = subprocess.Popen(["true"])
    ended.wait(10)
    (tmp_path / f"tvilling-tests-{ended.pid}-left").mkdir()
    monkeypatch.setattr(memory_folder, "NEEDED_BYTES", 2**60)
    assert memory_folder.choose() is None
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(memory_folder, "NEEDED_BYTES", 0)
    chosen = memory_folder.choose()
    assert Path(tempfile.gettempdir()) == chosen
    memory_folder.leave(chosen, keep=False)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_does_not_want_to_end_is_ended_with_its_children():
    program = "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    program += (
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); "
    )
    program += "print(child.pid, flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(process.stdout.readline()))
    end(process, grace_seconds=0.1)
    assert process.returncode == -signal.SIGKILL
    child.wait(10)


def test_a_forked_child_that_hangs_is_reported_and_gone():
    with forked(lambda: time.sleep(600)) as child, pytest.raises(TimeoutError):
        outcome_of(child, within_seconds=0.05)
    assert not psutil.pid_exists(child)
    with forked(lambda: 1 / 0) as child:
        assert outcome_of(child) == 1


def test_what_waits_for_a_process_that_hangs_comes_to_its_end():
    process = subprocess.Popen(["sleep", "600"])
    with killed_after(0.05, lambda: family_of(process.pid)):
        assert process.wait(30) == -signal.SIGKILL
