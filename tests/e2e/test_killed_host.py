"""A host that is killed (SIGKILL) leaves none of its processes behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from ending import kill, kill_and_wait
from ports import free_port
from running_host import serving

from tvilling.demo import City, demo_settings, start_simulators
from tvilling.enrolment import DemoState
from tvilling.lifeline import VARIABLE, Lifeline
from tvilling.partners_of_the_city import PARTNERS
from tvilling.serve import Processes
from tvilling.settings import Listen

WAIT_SECONDS = 30
"""They end at once; on a loaded machine they are waited for."""


def test_no_role_and_no_worker_outlives_a_killed_host(tmp_path):
    ports = free_port(), free_port()
    options = (
        "--data", str(tmp_path / "data"), "--workers", "1", "--listen", f"127.0.0.1:{ports[0]}", "--live-listen", f"127.0.0.1:{ports[1]}",
    )  # fmt: skip
    with serving(f"http://127.0.0.1:{ports[0]}", *options) as host:
        deadline = time.monotonic() + WAIT_SECONDS
        while len(family := host.children(recursive=True)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)  # one of the roles may still be on its way
        assert len(family) >= 4, "three roles, and the worker of one"
        host.send_signal(signal.SIGKILL)
        _, left = psutil.wait_procs(family, timeout=WAIT_SECONDS)
        kill(left)
        assert left == []


def test_a_process_holds_on_as_long_as_its_host_and_ends_with_it():
    """The pipe alone: the host's end closes when the host is gone, whatever the child does."""
    line = Lifeline()
    child = subprocess.Popen(
        [sys.executable, "-c", "import os, signal; from tvilling.lifeline import hold_on; hold_on(os.environ); print('up', flush=True); signal.pause()"],
        env=os.environ | {VARIABLE: str(line.reading)},
        pass_fds=(line.reading,),
        start_new_session=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == b"up\n"
        assert child.poll() is None
        del line
        assert child.wait(WAIT_SECONDS) == -signal.SIGTERM
    finally:
        kill([psutil.Process(child.pid)] if child.poll() is None else [])
        child.stdout.close()


def test_the_partners_and_meters_of_a_demo_end_with_it(tmp_path):
    """The demo's end of the pipe closes as it is killed; they need no host to be there for that."""
    listen, live = (Listen("127.0.0.1", free_port()) for _ in range(2))
    state = DemoState(free_port(), "token", seed=1, live_citizens=1, neighbours=0, passphrases={"kari": ""})
    state.client_ids = {each.slug: each.slug for each in PARTNERS}
    settings = demo_settings(tmp_path, listen, live, 60.0, state)
    city = City(settings, state, Processes(settings))
    started = []
    try:
        start_simulators(city)
        city.programs.start(settings, "han", {"kari": "g-1"}, ["kari"], city.processes.lifeline)
        started = [city.simulators, *city.programs.running.values()]
        assert len(started) == 2
        # The meter's program has read its key and keeps its queue: it runs, and hears the simulators' line.
        _until(lambda: (tmp_path / "simulators" / "han-kari.sqlite").exists())
        assert [each.poll() for each in started] == [None, None]
        del city.processes
        _, left = psutil.wait_procs([psutil.Process(each.pid) for each in started], timeout=WAIT_SECONDS)
        assert left == []
    finally:
        for each in started or [city.simulators]:
            if each is not None:
                kill_and_wait(each)


def _until(happened):
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("named", ["", "x", "9999", "-1"])
def test_an_environment_that_was_left_over_ends_nobody(named):
    from threading import enumerate as threads

    from tvilling.lifeline import hold_on

    hold_on({VARIABLE: named} if named else {})
    for each in threads():
        if each.name == "lifeline":
            each.join(WAIT_SECONDS)
    assert os.getpid()
