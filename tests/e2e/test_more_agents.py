"""`tvilling serve --agents 2`: agents that think side by side, each pod taken in once, whichever of them dies."""

from __future__ import annotations

import time

import psutil
import pytest
from deliveries import add_partner, deliver, granted, readings
from ports import free_port

from pod_server import feed
from pod_server.pods import create_pod
from tvilling.app import create_host
from tvilling.data_folder import migrate_data_folder
from tvilling.serve import Processes
from tvilling.settings import Listen, Settings

PODS = 12


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    """A host whose only role is the agent, in two processes, and a second look at its data."""
    settings = Settings(
        data_folder=str(tmp_path_factory.mktemp("agents") / "data"),
        base_url="http://localhost:8080",
        live_url="http://localhost:8080",
        listen=Listen("127.0.0.1", free_port()),
        live_listen=Listen("127.0.0.1", free_port()),
        agents=2,
    )
    migrate_data_folder(settings)
    host, processes = create_host(settings), Processes(settings)
    try:
        yield host, processes
    finally:
        processes.stop()
        host.storage.close()
        host.key_store.close()


def wait_until_taken_in(host):
    deadline = time.monotonic() + 60
    while True:
        with host.storage.read() as tx:
            if feed.pending(tx)[0] == 0:
                return
        assert time.monotonic() < deadline, "deliveries wait for the agents for a minute"
        time.sleep(0.02)


def test_two_agents_take_every_pod_in_and_one_goes_on_where_the_other_died(agents):
    host, processes = agents
    partner = add_partner(host, "Strømmen AS")
    permits = [
        granted(host, create_pod(host, f"citizen-{n}", name=f"C {n}").pod_id, partner=partner).permit
        for n in range(PODS)
    ]
    for permit in permits:
        deliver(host, permit, readings(0, 24))
    processes.start(("agent",))
    assert list(processes.running) == ["agent", "agent 2"]
    wait_until_taken_in(host)

    first = processes.running["agent"]
    psutil.Process(first.pid).kill()
    first.wait(10)
    for permit in permits:
        deliver(host, permit, readings(24, 24))
    wait_until_taken_in(host)
    assert processes.running["agent 2"].poll() is None

    processes.watch_once()
    assert processes.running["agent"].pid != first.pid
    assert processes.running["agent"].poll() is None
