"""`tvilling connector new`: a package of a connector that works from the first minute, and whose test says so.

It reads the smallest format there is, `{id, start, end, amount}`, and makes records of the kind that was asked for.
Whoever has another format changes the three places that the file names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from tvilling.errors import SettingsError
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from vocab.kinds import Kind

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_EVERY_RECORD = frozenset({"@id", "@type", "@context", "start", "end", "quantity", "correction", "inferred", "source"})

PROJECT = Template("""\
[build-system]
requires = ["setuptools>=75"]
build-backend = "setuptools.build_meta"

[project]
name = "tvilling-$name"
version = "0.1.0"
description = "Reads the format of $title for Tvilling."
requires-python = ">=3.11"
dependencies = ["tvilling"]

[project.entry-points."tvilling.connectors"]
$name = "$module:$class_name"

[tool.setuptools]
py-modules = ["$module"]
""")

CONNECTOR = Template('''\
"""$title: say here what comes in, where its format is described, and what is surprising in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload


# 1. One payload as the partner writes it; a file holds an array of them, or one a line.
class _Record(msgspec.Struct):
    id: str
    start: datetime
    end: datetime
    amount: float


class $class_name:
    """Records of $title."""

    name = "$name"
    title = "$title"
    kinds = frozenset({"$kind"})
    form: Literal["json", "text"] = "json"
    # 2. What citizens and the catalogue are told.
    declaration = Declaration(
        organisation=Organisation("$name", "$title"),
        channels=("push", "file"),
        granularity="$granularity",
        frequency="daily",
        history=None,
        terms=Words(
            nb="Kommer bare mens samtykket ditt gjelder.",
            nn="Kjem berre medan samtykket ditt gjeld.",
            en="Comes only while your consent stands.",
        ),
        format_source="docs/connectors.md",
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:
        """One activity a payload; what cannot be used is told, never guessed."""
        record: _Record = decode_as(payload, _Record)
        if record.amount < 0:
            yield UnusablePayload("an amount below zero")
            return
        # 3. What it means. The name follows from the payload alone, so that sending again is harmless.
        yield Normalised(
            {
                "@id": f"$name:{name_part(record.id)[:120]}",
                "@type": "$type_name",
                "start": instant(record.start),
                "end": instant(record.end),
                "quantity": record.amount,
$members                "source": "$title",
            }
        )
''')

TEST = Template('''\
"""What the connector makes of its sample, and that nothing in a payload breaks it. Run it with pytest."""

from pathlib import Path

from $module import $class_name

from partner_bridge.connectors.trial import try_anything, try_payload

SAMPLE = (Path(__file__).parent / "sample.json").read_bytes()


def test_the_sample_becomes_records():
    made = try_payload($class_name(), SAMPLE)
    assert made.problems == ()
    assert [each.kind for each in made.activities] == ["$kind"]


def test_whatever_stands_in_a_payload_nothing_breaks():
    assert try_anything($class_name(), SAMPLE) > 50
''')


def write_package(folder: Path, name: str, title: str, kind: str) -> list[Path]:
    """Write the package; returns its files.

    Args:
        folder: A new folder.
        name: The connector's.
        title: What people call its source.
        kind: What it makes.

    Raises:
        SettingsError: a name or a kind that cannot be, or the folder is there.
    """
    if not _NAME.match(name):
        raise SettingsError("a connector's name is made of a-z, 0-9 and hyphens, at most 31 of them, a letter first")
    if not title.strip() or not title.isprintable() or set('"\\{}$') & set(title):
        raise SettingsError("--title: a line without quotation marks, backslashes, braces and dollars")
    known = load_kinds().by_slug
    if kind not in known:
        raise SettingsError(f"--kind: the kinds are {', '.join(sorted(known))}")
    if folder.exists():
        raise SettingsError(f"{folder} is there already; nothing was written")
    example = json.loads(next(iter(known[kind].examples("valid").values())))
    words = {
        "name": name,
        "title": title,
        "kind": kind,
        "module": f"tvilling_{name.replace('-', '_')}",
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "type_name": known[kind].type_name,
        "granularity": known[kind].granularities[0],
        "members": "".join(
            f"{' ' * 16}{json.dumps(key)}: {json.dumps(value)},\n" for key, value in _fixed(known[kind], example)
        ),
    }
    record = {"id": "1", "start": example["start"], "end": example["end"], "amount": example["quantity"]}
    files = {
        "pyproject.toml": PROJECT.substitute(words),
        f"{words['module']}.py": CONNECTOR.substitute(words),
        f"test_{words['module']}.py": TEST.substitute(words),
        "sample.json": json.dumps([record], indent=1) + "\n",
    }
    folder.mkdir(parents=True)
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    return [folder / file for file in files]


def _fixed(kind: Kind, example: dict[str, Any]) -> list[tuple[str, Any]]:
    """The members that each record of the kind must have beside the common ones, as its example has them."""
    return [
        (member.name, example[member.name])
        for member in kind.members
        if member.required and member.name not in _EVERY_RECORD and member.name in example
    ]
