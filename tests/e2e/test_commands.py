"""The command line as an operator uses it: real files, one JSON value each; in processes of its own where that adds
something, else in this one, since each process takes most of a second to start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from joserfc.jwk import ECKey

from tvilling.cli import main


@pytest.fixture
def tvilling(tmp_path):
    """Run a command on a data folder of the test's own."""

    def run(*arguments: str, stdin: str = "", code: int = 0):
        done = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / "data"), "--json"], input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.stderr + done.stdout
        return json.loads(done.stdout) if code == 0 else done.stderr

    return run


@pytest.fixture
def process(tmp_path):
    """Run a command in a process of its own on the same data folder."""

    def run(*arguments: str, stdin: str = "", code: int = 0):
        done = subprocess.run(
            [sys.executable, "-m", "tvilling", *arguments, "--data", str(tmp_path / "data"), "--json"],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    return run


@pytest.fixture
def partner_keys(tmp_path):
    path = tmp_path / "keys.json"
    key = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"})
    path.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return path


def add_kari(tvilling):
    return tvilling("citizen", "add", "kari", "--passphrase-file", "-", stdin="four good words here\n")


def test_a_citizen_is_enrolled_once_and_handles_are_guarded(process, tvilling):
    made = add_kari(process)
    assert made["webid"].endswith("/kari/profile/card#me")
    assert made["pod"].endswith("/kari/")
    assert len(made["recovery_code"].replace("-", "")) >= 26
    assert "taken" in process("citizen", "add", "kari", code=1)
    assert "handle" in tvilling("citizen", "add", "Kari!", code=1)
    assert "reserved" in tvilling("citizen", "add", "bridge", code=1)
    assert "at least 8" in process("citizen", "add", "ola", "--passphrase-file", "-", stdin="short\n", code=1)
    assert [row["handle"] for row in process("citizen", "list")] == ["kari"]


def test_credentials_name_the_token_endpoint(tvilling):
    add_kari(tvilling)
    made = tvilling("citizen", "credentials", "kari", "--passphrase-file", "-", stdin="four good words here")
    assert set(made) == {"client_id", "client_secret", "token_endpoint"}
    assert "passphrase" in tvilling("citizen", "credentials", "kari", "--passphrase-file", "-", stdin="no!", code=1)


def test_a_consent_is_given_paused_renewed_withdrawn_and_erased(tvilling, partner_keys):
    add_kari(tvilling)
    partner = tvilling(
        "partner", "add", "--name", "Newcomer", "--jwks", str(partner_keys), "--redirect-uri", "http://127.0.0.1:9/cb"
    )
    assert set(partner) == {"client_id", "token_endpoint", "delivery_endpoint"}
    given = tvilling(
        "consent", "give", "kari", "--partner", partner["client_id"], "--kind", "electricity-reading",
        "--purpose", "live-electricity", "--granularity", "PT1H", "--quota", "100",
    )  # fmt: skip
    assert given["kinds"] == ["electricity-reading"]

    def state():
        return tvilling("consent", "list", "kari")[0]["state"]

    assert state() == "active"
    tvilling("consent", "pause", given["grant"])
    assert state() == "paused"
    tvilling("consent", "resume", given["grant"])
    tvilling("consent", "renew", given["grant"], "--expires", "2028-01-01")
    assert tvilling("consent", "list", "kari")[0]["expires"].startswith("2028-01-01")
    tvilling("consent", "withdraw", given["grant"])
    assert state() == "withdrawn"
    tvilling("consent", "erase", given["grant"])
    assert state() == "erased"
    assert "no grant" in tvilling("consent", "withdraw", "g-nothing", code=1)
    actors = [each["event"]["actor"]["kind"] for each in exported_log(tvilling)["events"]]
    assert "operator-assisted" in actors


def test_a_consent_to_read_names_figures_and_a_partner_is_vouched_for(tvilling, partner_keys):
    add_kari(tvilling)
    partner = tvilling(
        "partner", "add", "--name", "Newcomer", "--jwks", str(partner_keys), "--redirect-uri", "http://127.0.0.1:9/cb"
    )
    to = ("consent", "give", "kari", "--partner", partner["client_id"])
    given = tvilling(*to, "--read", "footprint-month", "--read", "transit-trip", "--reads-per-day", "2")
    assert (given["figures"], given["kinds"]) == (["footprint-month"], ["transit-trip"])
    assert given["location"].endswith(f"/bridge/grants/{given['grant']}")
    (row,) = tvilling("consent", "list", "kari")
    assert (row["figures"], row["reads"]) == (["footprint-month"], 0)
    assert "of its own" in tvilling(*to, "--read", "footprint-month", "--kind", "transit-trip", code=1)

    signed = tvilling("partner", "statement", partner["client_id"])
    assert signed["software_statement"].count(".") == 2
    assert tvilling("partner", "trust", "https://another.example")["issuer"] == "https://another.example"
    assert tvilling("partner", "trusted") == ["https://another.example"]
    assert tvilling("partner", "trust", "https://another.example", "--end")["suspended"] == 0


def exported_log(tvilling):
    """The log as the citizen would download it, through the library, since the page is tested elsewhere."""
    from contextlib import closing

    from pod_server.log.ledger import export
    from pod_server.opening import find_pod
    from pod_server.vault.vault import unlock_with_custodian
    from tvilling.app import create_host
    from tvilling.commands.frame import Frame

    data = Path(tvilling.__closure__[0].cell_contents) / "data"
    host = create_host(Frame(data=data, base_url=None, as_json=True).settings())
    with closing(host.storage), host.storage.read() as tx:
        pod = find_pod(tx, "kari")
        return export(tx, host, unlock_with_custodian(host.host_key, host.key_store, pod.pod_id), pod.pod_id)


def test_an_import_counts_each_record_once_and_the_log_verifies(tvilling, tmp_path):
    add_kari(tvilling)
    sample = tmp_path / "hours.csv"
    sample.write_text(
        "start,value\n"
        + "".join(f"2026-10-{day:02d} {hour:02d}:00:00+00:00,0.{hour}5\n" for day in (1, 2) for hour in range(24))
    )
    first = tvilling("import", "kari", "--connector", "hourly-csv", str(sample))
    assert first["accepted"] == 48
    assert first["refused"] == 0
    second = tvilling("import", "kari", "--connector", "hourly-csv", str(sample))
    assert second["accepted"] == 0
    assert second["duplicates"] == first["accepted"]
    assert tvilling("log", "verify", "kari")["size"] >= 3
    exported = tmp_path / "log.json"
    document = exported_log(tvilling)
    exported.write_text(json.dumps(document))
    assert tvilling("log", "verify", str(exported))["size"] == len(document["events"])
    document["events"][1]["event"]["count"] += 1
    exported.write_text(json.dumps(document))
    assert "checkpoint" in tvilling("log", "verify", str(exported), code=1)


def test_the_shared_samples_import_whole(tvilling, shared_samples):
    add_kari(tvilling)
    sample = next(shared_samples.glob("electricity-hourly/uk-electricity*.csv.gz"))
    assert tvilling("import", "kari", "--connector", "hourly-csv", str(sample))["accepted"] == 23508


def test_a_wrong_connector_or_file_is_told_in_words(tvilling, tmp_path):
    add_kari(tvilling)
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"\x89nonsense")
    assert "connector" in tvilling("import", "kari", "--connector", "no-such", str(broken), code=1)
    assert "start,value" in tvilling("import", "kari", "--connector", "hourly-csv", str(broken), code=1)
    broken.write_bytes(b"\xff\xfe\x00nonsense")
    assert "UTF-16" in tvilling("import", "kari", "--connector", "hourly-csv", str(broken), code=1)


def test_a_newer_data_folder_is_refused_in_words(tvilling, process, tmp_path):
    import sqlite3

    add_kari(tvilling)
    from pod_server.storage.schema_version import SCHEMA_VERSION

    with sqlite3.connect(tmp_path / "data" / "tvilling.sqlite") as database:
        database.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))
    assert "newer" in process("citizen", "list", code=1)


def test_a_database_address_that_is_none_is_told_in_words_without_repeating_it(process):
    refused = process("citizen", "list", "--database-url", "mysql://kari:hush@x/y", code=1)
    assert "postgresql://USER@HOST" in refused
    assert "hush" not in refused
