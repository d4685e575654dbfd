"""`tvilling citizen represent`: recorded from papers, listed for both, ended at once; ages as the host's settings say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pod_server.signatures import base64url
from tvilling.cli import main
from tvilling.errors import SettingsError
from tvilling.settings import Listen, Settings


@pytest.fixture
def citizen(city, tmp_path):
    for handle in ("ola", "nora"):
        city.citizen(handle)

    def run(*arguments, code=0):
        done = CliRunner().invoke(main, ["citizen", *arguments, "--data", str(tmp_path / "data"), "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if code == 0 else done.stderr

    return run


GUARDIAN = ("--by", "ola", "--as", "guardian-of-child", "--evidence", "birth certificate seen", "--born", "2020-05-17")


def test_a_guardian_is_recorded_listed_for_both_and_ended(citizen):
    made = citizen("represent", "nora", *GUARDIAN)
    assert (made["for"], made["by"], made["state"]) == ("nora", "ola", "standing")
    assert "erase" not in made["acts"]
    for handle in ("ola", "nora"):
        assert [each["authority"] for each in citizen("representations", handle)] == [made["authority"]]
    citizen("end-representation", "nora", made["authority"])
    assert citizen("representations", "nora")[0]["state"] == "ended"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "ola", "--as", "power-of-attorney", "--evidence", "signed"), "five years"),
        (("--by", "ola", "--as", "guardian-of-child", "--evidence", "seen"), "date of birth"),
        (("--by", "ola", "--as", "guardian-of-child", "--evidence", "seen", "--born", "yesterday"), "--born"),
        ((*GUARDIAN, "--purpose", "anything at all"), "--purpose"),
        (("--by", "nora", "--as", "guardian-of-adult", "--evidence", "seen"), "themselves"),
        (("--by", "nobody", "--as", "guardian-of-adult", "--evidence", "seen"), ""),
    ],
)
def test_what_cannot_be_recorded_says_why(citizen, arguments, said):
    assert said in citizen("represent", "nora", *arguments, code=1)
    assert citizen("representations", "nora") == []


@pytest.mark.parametrize(
    ("ages", "consent", "research"),
    [((), 13, 15), (("14",), 14, 15), (("16",), 16, 16), (("research-statistics=18",), 13, 18)],
)
def test_ages_are_settings(tmp_path, ages, consent, research):
    rules = settings(tmp_path, ages).age_rules()
    assert (rules.age_for("food-footprint"), rules.age_for("research-statistics")) == (consent, research)


@pytest.mark.parametrize("ages", [("12",), ("17",), ("soon",), ("no-purpose=15",), ("research-statistics=19",)])
def test_ages_that_the_law_does_not_allow_are_refused_at_the_start(tmp_path, ages):
    with pytest.raises(SettingsError):
        settings(tmp_path, ages)


def settings(folder, ages):
    here = Listen("127.0.0.1", 8080)
    return Settings(
        data_folder=str(folder),
        base_url="http://localhost:8080",
        live_url="http://localhost:8081",
        listen=here,
        live_listen=here,
        ages=ages,
    )


def register_of(tmp_path, key, *entries, made=None, days=2, name="folkeregisteret"):
    """A delivered register: the file, its signature and the register's public key."""
    made = made or datetime.now(UTC) - timedelta(minutes=1)
    said = {"register": name, "made": made.isoformat(), "until": (made + timedelta(days=days)).isoformat()}
    content = json.dumps(said | {"authorities": list(entries)}).encode()
    files = [tmp_path / each for each in ("register.json", "register.sig", "register.jwks")]
    files[0].write_bytes(content)
    files[1].write_text(base64url.write(key.sign(content)))
    x = base64url.write(key.public_key().public_bytes_raw())
    files[2].write_text(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}))
    return (str(files[0]), "--signature", str(files[1]), "--keys", str(files[2]))


NORA = {
    "id": "vm-26-1", "for": "nora", "by": "ola", "authority": "guardian-of-child", "born": "2020-05-17",
    "begins": "2026-01-02", "evidence": "26/1234",
}  # fmt: skip


def test_a_delivered_register_is_taken_over_and_what_is_gone_ends(citizen, tmp_path):
    key = Ed25519PrivateKey.generate()
    citizen("represent", "ola", "--by", "nora", "--as", "guardian-of-adult", "--evidence", "recorded at the desk")
    first = citizen("synchronise", *register_of(tmp_path, key, NORA, NORA | {"id": "vm-26-2", "for": "elsewhere"}))
    assert (first["began"], first["ended"], first["elsewhere"]) == (1, 0, 1)
    assert citizen("synchronise", *register_of(tmp_path, key, NORA))["began"] == 0, "the same again changes nothing"
    (said,) = [each for each in citizen("representations", "nora") if each["source"] == "folkeregisteret"]
    assert (said["by"], said["state"], said["evidence"]) == ("ola", "standing", "26/1234")
    assert citizen("synchronise", *register_of(tmp_path, key))["ended"] == 1
    states = {each["source"]: each["state"] for each in citizen("representations", "nora")}
    assert states == {"folkeregisteret": "ended", "operator": "standing"}, "what the desk recorded is the desk's"
    assert citizen("synchronise", *register_of(tmp_path, key, NORA))["began"] == 0, "an ended one does not come back"


def test_a_register_that_is_not_signed_so_is_old_or_broken_changes_nothing(citizen, tmp_path):
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    good = register_of(tmp_path, key, NORA)
    (tmp_path / "register.json").write_bytes((tmp_path / "register.json").read_bytes() + b" ")
    assert "was not signed" in citizen("synchronise", *good, code=1)
    for said, entries, more in (
        ("no more", (NORA,), {"made": now - timedelta(days=5)}),
        ("more than a week", (NORA,), {"days": 30}),
        ("of the future", (NORA,), {"made": now + timedelta(days=1)}),
        ("none of this host's", (NORA,), {"name": "operator"}),
        ("an id of its own", (NORA, NORA), {}),
        ("date of birth", (NORA | {"born": None},), {}),
        ("cannot be read", (NORA | {"authority": "king"},), {}),
    ):
        assert said in citizen("synchronise", *register_of(tmp_path, key, *entries, **more), code=1), said
    assert citizen("representations", "nora") == []
