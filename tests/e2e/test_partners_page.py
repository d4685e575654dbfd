"""docs/partners.md: its files are written and its commands run, as they stand there, against a host on a socket.

From nothing to the first accepted activity: nothing is prepared but the host.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from partners_host import served_host

from pod_server.partner_deliveries import totals
from pod_server.partners import list_partners

PAGE = Path(__file__).parents[2] / "docs" / "partners.md"
BLOCK = re.compile(r"^```(sh|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([a-z]+\.py)\n")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A host with its pages, doors and outbox, in real time, that may call one loopback address."""
    with served_host(tmp_path_factory.mktemp("partners") / "data") as host:
        yield host


@pytest.fixture(scope="module")
def said(served, tmp_path_factory):
    """What each block of commands printed, in order."""
    host, receiver = served
    folder = tmp_path_factory.mktemp("page")
    commands = []
    for kind, text in BLOCK.findall(PAGE.read_text("utf-8")):
        if kind == "py":
            named = NAMED.match(text)
            assert named, f"a file without a name: {text[:60]}"
            (folder / named.group(1)).write_text(text)
        else:
            commands.append(text)
    # Nothing of this machine but the programs that the page says one needs.
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "BASE": host.base_url,
        "PORT": str(receiver),
    }
    script = "set -euo pipefail\ntrap 'kill ${RECEIVER:-} 2>/dev/null || true' EXIT\n" + "echo '=== block'\n".join(
        commands
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout.split("=== block\n")


def test_every_command_of_the_page_does_what_the_page_says(said, served):
    host, _ = served
    base, key, applied, curl, python, link, told = said
    assert (base, key) == ("", "")
    client_id = applied.strip()
    assert json.loads(curl) == [{"status": "accepted", "id": "trip-1"}]
    first, second = python.splitlines()
    assert "'status': 'accepted', 'id': 'trip-2'" in first
    assert f"{host.base_url}/bridge/receipts/r-" in second
    assert json.loads(link)["link"].startswith(f"{host.base_url}/-/partners/enter/")
    assert told.splitlines() == ["test 1"]
    (partner,) = list_partners(host)
    assert (partner.client_id, partner.state) == (client_id, "applied")
    assert totals(host, client_id)["accepted"] == 2


def test_every_problem_that_the_page_names_has_its_page():
    for slug in re.findall(r"\(problems/([a-z-]+)\.md\)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / "problems" / f"{slug}.md").is_file(), slug
