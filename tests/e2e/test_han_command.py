"""`tvilling han` as its owner runs it: telegrams from a serial line and from MQTT, to a host on a socket."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, timedelta

import pytest
from deliveries import CITIZEN
from ending import end
from han_telegrams import METER, aidon, broker, frame
from joserfc.jwk import ECKey
from partners_host import served_host

from consent.grant import GrantTerms
from pod_server import activities, grants, partners
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import open_pod
from pod_server.pods import create_pod

NUMBERS = itertools.count()
TELEGRAMS = 24 * 3 + 2  # three whole minutes, and a part of one that is not over


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with served_host(tmp_path_factory.mktemp("han") / "data") as (served, _):
        yield served


@pytest.fixture
def reader(host, tmp_path):
    """A citizen's reader: its key, its consent, and the command with both."""
    number = next(NUMBERS)
    made = create_pod(host, f"kari-{number}")
    key = ECKey.generate_key("P-256", parameters={"kid": "1", "use": "sig", "alg": "ES256"})
    partner = partners.add_partner(host, name=f"Måleravleser {number}", jwks={"keys": [key.as_dict(private=False)]})
    now = host.clock.now()
    terms = GrantTerms(
        client_id=partner.client_id,
        purpose="personal-footprint",
        kinds=frozenset({"electricity-reading"}),
        operations=frozenset({"append"}),
        granularity="PT1M",
        history_from=now - timedelta(days=30),
        expires_at=now + timedelta(days=30),
    )
    grant = grants.give(host, made.pod_id, terms, actor=CITIZEN).id
    (tmp_path / "key.json").write_text(json.dumps(key.as_dict(private=True)))
    began = (now - timedelta(days=1)).astimezone(UTC).replace(second=0, microsecond=0)
    command = [
        sys.executable, "-m", "tvilling", "han", "--base-url", host.base_url, "--client-id", partner.client_id, "--grant", grant,
        "--key-file", str(tmp_path / "key.json"), "--queue", str(tmp_path / "queue.sqlite"), "--meter", METER,
        "--recorded-from", began.isoformat(), "--json",
    ]  # fmt: skip
    return made, grant, command, began


def kept(host, made):
    own = open_pod(host, require_owner(made.vault), vault=made.vault)
    return sorted(activities.read_activities(host, own), key=lambda each: each.start)


def quantity(stored):
    return json.loads(stored.raw)["quantity"]


def test_a_recording_of_a_serial_line_is_delivered_by_the_minute(host, reader, tmp_path):
    made, _, command, began = reader
    line = b"".join(frame(aidon(1000 + number)) for number in range(TELEGRAMS))
    broken = bytearray(frame(aidon(9)))
    broken[-3] ^= 1
    (tmp_path / "line").write_bytes(line + bytes(broken))
    done = subprocess.run(
        [*command, "--serial", str(tmp_path / "line")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["telegrams"], told["broken"]) == (TELEGRAMS, 1)
    assert (told["delivered"], told["refused"], told["waiting"]) == (3, 0, 0)
    found = kept(host, made)
    assert [each.start for each in found] == [began + timedelta(minutes=number) for number in range(3)]
    assert quantity(found[0]) == pytest.approx((1000 + 11.5) / 60_000, abs=2e-5)
    again = subprocess.run(
        [*command, "--serial", str(tmp_path / "line")], capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(again.stdout)["delivered"] == 3
    assert len(kept(host, made)) == 3, "the same minutes twice are duplicates"


def test_telegrams_of_a_broker_are_delivered_and_the_agent_ends_when_it_is_asked(host, reader):
    made, _, command, _ = reader
    with socket.create_server(("127.0.0.1", 0)) as listener:
        contents = [aidon(1200) for _ in range(TELEGRAMS)]
        threading.Thread(target=broker, args=(listener, contents, []), daemon=True).start()
        address = f"mqtt://127.0.0.1:{listener.getsockname()[1]}/ams"
        agent = subprocess.Popen([*command, "--mqtt", address], stdout=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 60
            while len(kept(host, made)) < 3:
                assert agent.poll() is None, "the agent ended by itself"
                assert time.monotonic() < deadline, "nothing came within a minute"
                time.sleep(0.05)
            agent.send_signal(signal.SIGTERM)
            out, _ = agent.communicate(timeout=60)
        finally:
            end(agent)
    assert agent.returncode == 0
    assert json.loads(out)["delivered"] == 3
    assert [quantity(each) for each in kept(host, made)] == [0.02, 0.02, 0.02]


def test_an_agent_whose_consent_ended_says_so_and_keeps_nothing(host, reader, tmp_path):
    made, grant, command, _ = reader
    grants.withdraw(host, made.pod_id, grant, actor=CITIZEN)
    (tmp_path / "line").write_bytes(b"".join(frame(aidon(1000)) for _ in range(TELEGRAMS)))
    done = subprocess.run(
        [*command, "--serial", str(tmp_path / "line")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "the consent has ended (consent-withdrawn)" in done.stderr
    assert kept(host, made) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--recorded-from", "yesterday"], "--recorded-from"),
        (["--key-file", "/dev/null"], "--key-file: a private key"),
        (["--mqtt", "http://x/y"], "mqtt://[user@]host"),
        (["--mqtt", "mqtt://localhost/x", "--serial", "/dev/null"], "either --serial or --mqtt"),
    ],
)
def test_what_is_wrong_in_the_command_is_told(tmp_path, wrong, told):
    from click.testing import CliRunner

    from tvilling.cli import main

    key = tmp_path / "key.json"
    key.write_text(json.dumps(ECKey.generate_key("P-256").as_dict(private=True)))
    fixed = ["han", "--base-url", "http://localhost:1", "--client-id", "p-1", "--grant", "g-1", "--key-file", str(key)]
    source = [] if "--mqtt" in wrong else ["--serial", "/dev/null"]
    answer = CliRunner().invoke(main, [*fixed, "--queue", str(tmp_path / "q"), *source, *wrong])
    assert (answer.exit_code, told in answer.output) == (1, True), answer.output
