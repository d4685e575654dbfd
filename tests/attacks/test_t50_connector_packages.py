"""T50: a package of connectors that nobody allowed, that is broken, or that pretends to be somebody else."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest
from connector_packages import install, meter

from partner_bridge.connectors import CONNECTORS, find_connector, packages
from partner_bridge.connectors.normalising import Context, Normalised, normalise
from partner_bridge.connectors.packages import load, packages_at_hand
from partner_bridge.errors import UnusablePayload

CONTEXT = Context(datetime(2026, 11, 23, 12, tzinfo=UTC))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("nabo"):
            del sys.modules[name]


def loaded(*allowed):
    return load(CONNECTORS.values(), allowed)


def why(found):
    assert found.connectors == dict(CONNECTORS), "something of it was taken in"
    (left_out,) = found.not_loaded
    assert left_out.mend
    return left_out.why


def test_what_nobody_allowed_is_never_imported(site):
    install(site, "nabo-meters", {"nabo_meters": "raise SystemExit(3)"}, {"nabo": "nabo_meters:Meter"})
    assert loaded().connectors == dict(CONNECTORS)
    assert list(packages_at_hand()).count("nabo-meters") == 1
    assert "nabo_meters" not in sys.modules


def test_what_is_allowed_and_right_is_there_by_its_name(site):
    install(site, "nabo-meters", {"nabo_meters": meter()}, {"nabo": "nabo_meters:Meter"})
    found = loaded("nabo-meters")
    assert found.not_loaded == ()
    assert found.connectors["nabokraft"].title == "Nabokraft"
    assert found.packages == {"nabokraft": "nabo-meters"}
    assert find_connector("nabokraft", ("nabo-meters",)).title == "Nabokraft"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("class Meter:\n  def __init__(self):\n    raise ValueError('twice\\n  told')", "ValueError: twice told"),
        ("Other = 1", "AttributeError"),
        ("this is no Python", "SyntaxError"),
        ("Meter = 7", "declaration"),
        (meter(name="Nabo Kraft"), "name: a-z"),
        (meter(title="Nabo\u202ekraft"), "title: a control character"),
        (meter(title="x" * 61), "title"),
        (meter(name="oss"), "another connector is named oss"),
        (meter(title="oss.NO"), "calls itself"),
        (meter().replace('"nabokraft", "Nabokraft"', '"oss", "Nabokraft"'), "is not oss"),
        (meter().replace('"nabokraft", "Nabokraft"', '"nabokraft", "AtB"'), "is not atb"),
        (meter().replace('"electricity-reading"', '"thoughts"'), "thoughts is none of"),
        (meter().replace('{"electricity-reading"}', ""), "kinds"),
        (meter().replace('"push", "file"', '"push", "oauth-pull"'), "pulled where it has the method"),
        (meter().replace('"push", "file"', '"pigeon",'), "channels"),
        (meter().replace('"PT1H"', '"sometimes"'), "granularity"),
        (meter().replace('"daily"', '"often"'), "frequency"),
        (meter().replace("timedelta(0)", "timedelta(-1)"), "history"),
        (meter().replace("https://nabokraft", "javascript://nabokraft"), "format_source"),
        (meter().replace("Mens samtykket gjelder.", ""), "terms (nb)"),
        (meter().replace("While the", "\u2066While\u2069 the"), "terms (en)"),
        (meter().replace("def normalise", "def normalize"), "normalise"),
    ],
)
def test_what_is_broken_is_told_and_left_out(site, source, told):
    install(site, "nabo-meters", {"nabo_meters": source}, {"nabo": "nabo_meters:Meter"})
    assert told in why(loaded("nabo-meters"))


def test_one_broken_package_leaves_the_others(site):
    install(site, "nabo-meters", {"nabo_meters": meter()}, {"nabo": "nabo_meters:Meter"})
    install(site, "nabo-broken", {"nabo_broken": "1/0"}, {"broken": "nabo_broken:Meter"})
    install(site, "nabo-double", {"nabo_double": meter(title="Nabokraft 2")}, {"double": "nabo_double:Meter"})
    found = loaded("nabo-broken", "nabo-meters", "nabo-double", "nabo-meters")
    assert set(found.connectors) - set(CONNECTORS) == {"nabokraft"}
    assert [each.package for each in found.not_loaded] == ["nabo-broken", "nabo-double"]


@pytest.mark.parametrize(
    ("entries", "extra", "told"),
    [
        ({}, (), "no connector"),
        ({"shell": "os:system"}, (), "is not its own"),
        ({"ours": "partner_bridge.connectors.oss:Oss"}, (), "is not its own"),
        ({"nabo": "nabo_meters:Meter"}, ("pod_server/permits.py",), "pod_server/permits.py"),
        ({"nabo": "nabo_meters:Meter"}, ("hmac.py",), "hmac.py"),
        ({"nabo": "nabo_meters:Meter"}, ("nabo.pth",), "at every start"),
    ],
)
def test_what_looks_wrong_is_not_imported_at_all(site, entries, extra, told):
    install(site, "nabo-meters", {"nabo_meters": "raise SystemExit(3)"}, entries, extra)
    assert told in why(loaded("nabo-meters"))
    assert "nabo_meters" not in sys.modules


@pytest.mark.parametrize("name", ["not-installed-anywhere", "", "../etc"])
def test_a_package_that_is_not_installed_is_told(name):
    assert why(loaded(name)) == "it is not installed here"


def test_a_connector_that_breaks_on_a_payload_spoils_that_payload_alone(site):
    source = meter().replace("yield Normalised(row)", "yield Normalised(row)\n            raise KeyError(row)")
    install(site, "nabo-meters", {"nabo_meters": source}, {"nabo": "nabo_meters:Meter"})
    connector = loaded("nabo-meters").connectors["nabokraft"]
    first, problem = normalise(connector, b'[{"secret": 1}]', CONTEXT)
    assert isinstance(first, Normalised)
    assert isinstance(problem, UnusablePayload)
    assert "secret" not in str(problem)
    source = source.replace("yield Normalised(row)", "yield row").replace("nabokraft", "nabo-two")
    install(site, "nabo-two", {"nabo_two": source.replace("Nabokraft", "Nabo 2")}, {"nabo": "nabo_two:Meter"})
    (problem,) = normalise(loaded("nabo-two").connectors["nabo-two"], b'[{"secret": 1}]', CONTEXT)
    assert isinstance(problem, UnusablePayload)


def test_the_houses_import_names_are_the_ones_that_are_kept_free():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert {
        each.removesuffix("*") for each in project["tool"]["setuptools"]["packages"]["find"]["include"]
    } == packages.HOUSE
