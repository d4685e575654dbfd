"""Where the built page assets lie: addresses with content hashes, and the icons' drawings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

from dashboard.errors import AssetsNotBuilt

STATIC = Path(__file__).parent / "static"

OWN_FILES = ("tvilling.css", "scene.css", "live.js", "sheet.js", "passkey.js", "files.js", "mark.svg")
"""Our own files; served with their content's hash as the query."""

_OWN_ICONS = {
    "kettle": '<path d="M6 10h9l2 9a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1z"/><path d="M7 10a4 4 0 0 1 7 0"/><path d="M10.500 5V4"/>'
    '<path d="M16.500 13 20 9h1.500"/><path d="M4.500 14C2.500 13 2 11 2 9"/>',
    "twin": '<circle cx="9" cy="12" r="6"/><circle cx="15" cy="12" r="6"/>',
}
"""Two signs that the icon set lacks."""


@dataclass(frozen=True)
class Assets:
    """The assets of one start of the server."""

    addresses: dict[str, str]
    icons: dict[str, str]

    def address(self, name: str) -> str:
        """The address of a file, by the name it has in build.py or in static/own."""
        return self.addresses[name]

    def icon(self, name: str) -> Markup:
        """An icon, hidden from screen readers: the words beside it carry the meaning."""
        drawing = self.icons[name]
        return Markup(  # noqa: S704 - drawings of the locked icon set and our own
            '<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.9" '
            f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">{drawing}</svg>'
        )


@cache
def load_assets(static: Path = STATIC) -> Assets:
    """Read the manifest once.

    Raises:
        AssetsNotBuilt: `make setup` has not been run.
    """
    built = static / "built"
    try:
        manifest: dict[str, str] = json.loads((built / "manifest.json").read_text("utf-8"))
        icons: dict[str, str] = json.loads((built / "icons.json").read_text("utf-8"))
    except FileNotFoundError as missing:
        raise AssetsNotBuilt("the page assets have not been built: run `make setup`") from missing
    addresses = {name: f"/-/static/built/{copy}" for name, copy in manifest.items()}
    for name in OWN_FILES:
        digest = hashlib.sha256((static / "own" / name).read_bytes()).hexdigest()[:12]
        addresses[name] = f"/-/static/own/{name}?{digest}"
    return Assets(addresses, icons | _OWN_ICONS)
