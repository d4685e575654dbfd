"""Looks up a page's words by key and fills in their blanks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from dashboard.wording import Language

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Catalogue:
    """The words of one language."""

    language: Language
    words: dict[str, str]

    def __call__(self, key: str, **blanks: Any) -> str:
        """The words for a key.

        Blanks are escaped when they are filled in; the catalogue's own text may hold `<strong>` and `<em>`.

        Raises:
            KeyError: no such key; the catalogue test keeps this from reaching a page.
        """
        text = Markup(self.words[key])  # noqa: S704 - the catalogue is our own text; blanks are escaped by format
        return text.format(**blanks) if blanks else text

    def plain(self, key: str, **blanks: Any) -> str:
        """The words without markup, for attributes and spoken status."""
        return Markup(self(key, **blanks)).striptags()  # noqa: S704 - as above

    def has(self, key: str) -> bool:
        """Whether the key exists: for words that depend on a value with a general fallback."""
        return key in self.words


@cache
def catalogue(language: Language) -> Catalogue:
    """The catalogue of one language, read once."""
    words: dict[str, str] = json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))
    return Catalogue(language, words)
