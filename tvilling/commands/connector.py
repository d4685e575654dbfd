"""`tvilling connector`: whose formats this host reads."""

from __future__ import annotations

from pathlib import Path

import click

from tvilling.commands.frame import Frame, command


@click.group()
def connector() -> None:
    """Connectors: the formats of partners, the house's own and those of packages."""


@connector.command("list")
@command
def list_all(frame: Frame) -> None:
    """Every connector that this host knows, where it came from, and what was left out."""
    from partner_bridge.connectors import registry  # noqa: PLC0415 - `--help` stays quick

    found = registry(frame.settings().connector_packages)
    rows = [
        {
            "name": each.name,
            "title": each.title,
            "package": found.packages.get(each.name, "tvilling"),
            "kinds": sorted(each.kinds),
            "channels": list(each.declaration.channels),
        }
        for each in found.connectors.values()
    ]
    left_out = [{"package": each.package, "why": each.why, "mend": each.mend} for each in found.not_loaded]
    words = [f"{each['name']:<16} {each['title']} ({each['package']})" for each in rows]
    words += [f"LEFT OUT  {each['package']}: {each['why']}\n          {each['mend']}" for each in left_out]
    frame.answer({"connectors": rows, "left_out": left_out}, "\n".join(words))


@connector.command("new")
@click.argument("name")
@click.option("--title", default="", help="What people call the source; the name, where nothing is said.")
@click.option("--kind", default="electricity-reading", show_default=True, help="What it makes.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="The new folder; tvilling-NAME by default.")
@command
def new(frame: Frame, *, name: str, title: str, kind: str, out: Path | None) -> None:
    """Write a package with a connector that works, and its test (docs/connectors.md)."""
    from tvilling.new_connector import write_package  # noqa: PLC0415

    folder = out or Path(f"tvilling-{name}")
    files = write_package(folder, name, title or name.capitalize(), kind)
    frame.answer(
        {"folder": str(folder), "files": [file.name for file in files]},
        f"{folder} holds a connector that works. Next: cd {folder} && python -m pytest",
    )
