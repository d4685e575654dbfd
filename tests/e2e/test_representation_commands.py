"""`tvilling citizen represent`: recorded from papers, listed for both, ended at once; ages as the host's settings say."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

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
