"""docs/solid-apps.md: its files are written and its commands run, as they stand there, against a running host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "solid-apps.md"
BLOCK = re.compile(r"^```(sh|py|js|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:#|//) ([a-z]+\.(?:py|mjs))\n")

pytestmark = pytest.mark.timeout(240)  # a busy machine may take its time over twenty programs

BROWSER = f"""#!{sys.executable}
import sys, urllib.request
sys.path.insert(0, {str(HERE.parent)!r})
from running_host import Browser
with Browser({{base!r}}, "signe") as browser:
    browser.sign_in(open({{passphrase!r}}).read().strip())
    urllib.request.urlopen(browser.answer_app(sys.argv[1], "change")).read()
"""


@pytest.fixture
def said(running, node, tmp_path):
    """What each block of commands printed, in order."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    browser = tmp_path / "browser"
    browser.write_text(BROWSER.format(base=running.base_url, passphrase=str(folder / "passphrase.txt")))
    browser.chmod(0o755)
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    commands = []
    for kind, text in blocks:
        if kind in {"py", "js"}:
            named = NAMED.match(text)
            assert named, f"a file without a name: {text[:60]}"
            (folder / named.group(1)).write_text(text)
        elif kind == "sh":
            commands.append(text)
    script = "set -euo pipefail\n" + "echo '=== block'\n".join(commands)
    # Nothing of this machine but the programs that the page says one needs.
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{Path(node).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "BASE": running.base_url,
        "DATA": str(running.data),
        "PORT": str(free_port()),
        "BROWSER": str(browser),
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.split("=== block\n")


def test_every_command_of_the_page_does_what_the_page_says(said, running):
    add, open_doors, refusal, note, app, listener, answer, vocabulary, cleaning = said
    pod = f"{running.base_url}/signe/"
    assert "signe" in add
    assert '"Signe Moe"' in open_doors
    assert 'rel="acl"' in open_doors
    assert "token_endpoint" in open_doors
    assert "problems/" in refusal
    assert note.startswith("201\n204\n")
    assert "Buy bread" in note
    assert "shopping" in note
    assert "Hello, Signe Moe" in app
    assert f"Wrote {pod}private/first-app/hello.ttl" in app
    assert listener.strip() == f"Add {pod}private/notes/new.txt"
    assert answer.splitlines() == [
        "document,text", f"{pod}private/notes/today.ttl,Buy bread", f"{pod}private/first-app/hello.ttl,Hei!",
    ]  # fmt: skip
    assert not vocabulary.strip(), "files are fetched, and nothing is said"
    assert [line.split()[0] for line in cleaning.splitlines()] == ["204"] * 5
