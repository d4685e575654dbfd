"""Packages of connectors as an installer leaves them: a folder with modules and a `.dist-info` beside them."""

from __future__ import annotations

import textwrap

GOOD = """
    from datetime import timedelta

    from partner_bridge.connectors.declaration import Declaration, Organisation, Words
    from partner_bridge.connectors.normalising import Normalised, decode_as


    class Meter:
        name = "{name}"
        title = "{title}"
        kinds = frozenset({{"electricity-reading"}})
        form = "json"
        declaration = Declaration(
            organisation=Organisation("nabokraft", "Nabokraft"),
            channels=("push", "file"),
            granularity="PT1H",
            frequency="daily",
            history=timedelta(0),
            terms=Words("Mens samtykket gjelder.", "Medan samtykket gjeld.", "While the consent stands."),
            format_source="https://nabokraft.example/format",
        )

        def normalise(self, payload, context):
            for row in decode_as(payload, list[dict]):
                yield Normalised(row)
"""


def meter(name: str = "nabokraft", title: str = "Nabokraft") -> str:
    """The source of a connector that is right."""
    return textwrap.dedent(GOOD.format(name=name, title=title))


def install(site, package: str, modules: dict[str, str], entries: dict[str, str], extra: tuple[str, ...] = ()) -> str:
    """Leave a package in a folder that is on the path; returns its name."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("[tvilling.connectors]\n" + "\n".join(lines) + "\n" if lines else "")
    for name, source in modules.items():
        (site / f"{name}.py").write_text(textwrap.dedent(source))
    for name in extra:
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("")
    files = [f"{name}.py" for name in modules] + list(extra) + [f"{info.name}/METADATA"]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    return package
