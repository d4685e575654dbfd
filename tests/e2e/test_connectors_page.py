"""docs/connectors.md: its commands run as they stand there; the city bike's package is installed and comes in by file and by push.

Nothing of the project knows of it: what the page shows, a partner's own people could have done.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "connectors.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each block of commands printed, in order."""
    folder = tmp_path_factory.mktemp("page")
    site = folder / "site"
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "CLONE": str(ROOT),
        "BASE": f"http://127.0.0.1:{free_port()}",
        "LIVE": f"127.0.0.1:{free_port()}",
        # Installed beside the tests' own environment, never into it; and without a network.
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPATH": str(site),
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }
    commands = BLOCK.findall(PAGE.read_text("utf-8"))
    commands.append('curl -sf "$BASE/vocab/catalogue.ttl" -o catalogue.ttl; kill $HOST; wait $HOST || true\n')
    script = "set -euo pipefail\ntrap 'kill ${HOST:-} 2>/dev/null || true' EXIT\n" + "echo '=== block'\n".join(commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout.split("=== block\n"), folder / "tvilling-citybike"


def test_a_newcomers_package_comes_in_by_file_and_by_push(said):
    (first, second, _, imported, pushed, _), folder = said
    assert "2 passed" in first
    assert "2 passed" in second
    listed = json.loads((folder / "list.json").read_text())
    assert [each["package"] for each in listed["connectors"] if each["name"] == "citybike"] == ["tvilling-citybike"]
    assert listed["left_out"] == []
    report = json.loads(imported.splitlines()[-1])
    assert (report["accepted"], report["refused"]) == (2, 0)
    assert [line.split()[:2] for line in pushed.splitlines()] == [
        ["0", "accepted"], ["1", "refused"], ["2", "accepted"], ["3", "refused"],
    ]  # fmt: skip
    catalogue = (folder / "catalogue.ttl").read_text()
    assert "#citybike-transit-trip>" in catalogue
    assert "Bysykkel AS" in catalogue


def test_the_environment_of_the_tests_is_as_it_was():
    names = {each.name for each in Path(sys.prefix).glob("lib/python*/site-packages/tvilling_*")}
    assert not {each for each in names if "citybike" in each}
