"""What is wrong with a command's arguments or files is told in words, with exit code 1 or 2, and never as a traceback."""

from __future__ import annotations

import gzip
import json

import pytest
from click.testing import CliRunner
from joserfc.jwk import ECKey

from tvilling.cli import main


@pytest.fixture(scope="module")
def tvilling(tmp_path_factory):
    """Run a command on one data folder; its exit code and words. An exception that was not told is raised."""
    folder = tmp_path_factory.mktemp("commands")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*arguments, "--data", str(folder / "data")])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    assert run("citizen", "add", "kari")[0] == 0
    return run


@pytest.fixture(scope="module")
def client_id(tvilling, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return json.loads(tvilling("partner", "add", "--name", "Oss.no", "--jwks", str(keys), "--json")[1])["client_id"]


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"[]", b"null", b'{"keys":[null]}', b'{"keys":[{"kty":"EC"}]}', b'{"keys":[{"kty":"oct","k":"AA"}]}',
     b'{"keys":[NaN]}', b"[" * 100_000, b"\xff\xfe"],
)  # fmt: skip
def test_a_key_set_that_is_none(tvilling, tmp_path, content):
    file = tmp_path / "keys.json"
    file.write_bytes(content)
    code, words = tvilling("partner", "add", "--name", "x", "--jwks", str(file))
    assert (code, words.startswith("tvilling: ")) == (1, True)


@pytest.mark.parametrize(
    "option",
    [
        ("--expires", "tomorrow"),
        ("--expires", "2020-01-01"),
        ("--expires", "9999-12-31T23:59:59-14:00"),
        ("--window", "0001-01-01T00:00:00+14:00/2027-01-01"),
        ("--window", "2027-01-01/2026-01-01"),
        ("--window", "a/b"),
        ("--granularity", "hourly"),
        ("--granularity", "PT0S"),
        ("--quota", "0"),
        ("--quota", "9" * 30),
        ("--kind", "no-such-kind"),
        ("--purpose", ""),
        ("--partner", "p-nobody"),
    ],
)
def test_terms_nobody_could_mean(tvilling, client_id, option):
    code, words = tvilling("consent", "give", "kari", "--partner", client_id, "--kind", "electricity-reading", *option)
    assert code in {1, 2}
    assert words
    assert "Traceback" not in words


@pytest.mark.parametrize("verb", ["withdraw", "pause", "renew", "erase"])
@pytest.mark.parametrize("grant", ["", "x", "\x00", "g" * 10_000])
def test_a_grant_that_is_none(tvilling, verb, grant):
    code, words = tvilling("consent", verb, grant)
    assert code in {1, 2}
    assert words


@pytest.mark.parametrize(
    "content", [b"", b"x", b"[]", b"null", b"{}", b'{"format":"tvilling-log-1"}', b"[" * 100_000, b"\xff"]
)
@pytest.mark.parametrize("kind", ["log", "receipt"])
def test_a_log_or_receipt_that_is_none(tvilling, tmp_path, kind, content):
    file = tmp_path / "document"
    file.write_bytes(content)
    code, words = tvilling(kind, "verify", str(file))
    assert (code, words.startswith("tvilling: ")) == (1, True)


@pytest.mark.parametrize(
    ("connector", "content", "accepted"),
    [
        ("hourly-csv", b'start,value\n"' + b"a" * 200_000 + b'",1\n2026-11-01T01:00:00Z,1\n', 1),
        ("hourly-csv", b"start,value\n9999-12-31T23:30:00Z,1\n0001-01-01T00:00:00+14:00,1\n2026-11-01T02:00:00Z,1\n", 1),
        ("hourly-csv", b"start,value\n2026-11-01T03:00:00Z,Infinity\n2026-11-01T04:00:00Z,1e999\n", 0),
        ("elhub-csv", b"Fra;Til;KWH 60 Forbruk;Kvalitet\n01.01.0001 00:00;01.01.0001 01:00;1,0;M\n", 0),
        ("rema1000", b"\x1f\x8b\x08\x00garbage" + b"\xff" * 50, None),
        ("atb", gzip.compress(b"{}", mtime=0)[:-6], None),
        ("waste-weights", bytes(1000), 0),
        ("tronderenergi", b"[{},{}]", 0),
        ("oss", b"[" * 100_000, 0),
    ],
)  # fmt: skip
def test_a_file_that_is_broken_loses_its_broken_lines_alone(tvilling, tmp_path, connector, content, accepted):
    file = tmp_path / "file"
    file.write_bytes(content)
    code, words = tvilling("import", "kari", "--connector", connector, str(file), "--json")
    if accepted is None:
        assert (code, words.startswith("tvilling: ")) == (1, True)
        return
    report = json.loads(words.splitlines()[0])
    assert report["accepted"] == accepted
    assert report["refused"] == len(report["problems"]) >= 1
    assert {problem["type"].rpartition("/")[2] for problem in report["problems"]} <= {
        "unusable-payload",
        "not-an-activity",
    }
