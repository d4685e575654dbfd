"""`tvilling connector new`: what it writes works, whatever kind is asked for; what cannot be is told."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
from click.testing import CliRunner

from partner_bridge.connectors import CONNECTORS
from partner_bridge.connectors.packages import load
from partner_bridge.connectors.trial import try_anything, try_payload
from tvilling.cli import main
from vocab.kinds import load_kinds


def new(*arguments):
    return CliRunner().invoke(main, ["connector", "new", *map(str, arguments)])


@pytest.mark.parametrize("kind", sorted(load_kinds().by_slug))
def test_a_new_package_reads_its_sample_and_breaks_on_nothing(tmp_path, monkeypatch, kind):
    name = f"nabo-{kind}"[:31]
    made = new(name, "--kind", kind, "--out", tmp_path / "new", "--json")
    assert made.exit_code == 0, made.output
    module = next(each.removesuffix(".py") for each in json.loads(made.output)["files"] if each.startswith("tvilling_"))
    monkeypatch.syspath_prepend(str(tmp_path / "new"))
    monkeypatch.setitem(sys.modules, module, None)  # so that it is forgotten afterwards
    del sys.modules[module]
    loaded = importlib.import_module(module)
    (connector,) = [each() for each in vars(loaded).values() if isinstance(each, type) and hasattr(each, "normalise")]
    sample = (tmp_path / "new" / "sample.json").read_bytes()
    made_of = try_payload(connector, sample)
    assert ([each.kind for each in made_of.activities], made_of.problems) == ([kind], ())
    assert try_anything(connector, sample) > 50
    assert load([*CONNECTORS.values(), connector], ()).connectors[connector.name] is connector


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Nabo"], "a-z, 0-9"),
        (["../nabo"], "a-z, 0-9"),
        (["nabo", "--kind", "thoughts"], "the kinds are"),
        (["nabo", "--title", 'x"""\nimport os'], "--title"),
        (["nabo", "--title", "$class_name"], "--title"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(tmp_path, arguments, told):
    answer = new(*arguments, "--out", tmp_path / "new")
    assert (answer.exit_code, told in answer.output) == (1, True), answer.output
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "mine").write_text("kept")
    assert new("nabo", "--out", tmp_path).exit_code == 1
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_a_trial_tells_what_a_connector_does_wrong():
    class Wrong(type(CONNECTORS["waste-weights"])):
        def normalise(self, payload, context):
            made = list(super().normalise(payload, context))
            yield from made
            yield from made[:1]

    payload = b'{"id": "1", "calendar": [{"dato": "2026-11-20", "fraksjonId": 9999, "vektKg": 5.8}]}'
    with pytest.raises(AssertionError, match="two records of one name"):
        try_payload(Wrong(), payload)
    assert len(try_payload(CONNECTORS["waste-weights"], payload).activities) == 1
