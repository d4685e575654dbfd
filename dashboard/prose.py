"""Our own Markdown pages (docs/problems) as HTML: headings, paragraphs, lists, code, links, strong and emphasis.

A small reader for text that we wrote ourselves; everything is escaped before marks are read.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_EMPHASIS = re.compile(r"(?<![*\w])[*_]([^*_]+)[*_](?![*\w])")
_LINK = re.compile(r"\[([^\]]+)\]\(((?:https?://|/|#|[a-z0-9-]+(?:\.md)?)[^)\s]*)\)")
_HEADING = re.compile(r"(#{1,4}) (.+)")
_ITEM = re.compile(r"(?:[-*]|\d+\.) (.+)")


def inline(text: str) -> Markup:
    """One paragraph's text."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(f"<code>{match.group(1)}</code>")
        return f"\x00{len(kept) - 1}\x00"

    html = _CODE.sub(keep, str(escape(text)))
    html = _LINK.sub(lambda match: f'<a href="{match.group(2).removesuffix(".md")}">{match.group(1)}</a>', html)
    html = _STRONG.sub(r"<strong>\1</strong>", html)
    html = _EMPHASIS.sub(r"<em>\1</em>", html)
    html = re.sub("\x00(\\d+)\x00", lambda match: kept[int(match.group(1))], html)
    return Markup(html)  # noqa: S704 - escaped above


def markdown(text: str) -> Markup:
    """A whole page."""
    blocks: list[str] = []
    lines = text.splitlines()
    place = 0
    while place < len(lines):
        line = lines[place]
        if not line.strip():
            place += 1
        elif line.startswith("```"):
            end = next((n for n in range(place + 1, len(lines)) if lines[n].startswith("```")), len(lines))
            code = escape("\n".join(lines[place + 1 : end]))
            blocks.append(f'<pre tabindex="0"><code>{code}</code></pre>')
            place = end + 1
        elif heading := _HEADING.match(line):
            level = len(heading.group(1))
            blocks.append(f"<h{level}>{inline(heading.group(2))}</h{level}>")
            place += 1
        elif _ITEM.match(line):
            ordered = line[0].isdigit()
            items: list[str] = []
            while place < len(lines) and lines[place].strip():
                match = _ITEM.match(lines[place])
                if match:
                    items.append(match.group(1))
                else:
                    items[-1] += " " + lines[place].strip()
                place += 1
            tag = "ol" if ordered else "ul"
            blocks.append(f"<{tag}>{''.join(f'<li>{inline(item)}</li>' for item in items)}</{tag}>")
        else:
            paragraph: list[str] = []
            while place < len(lines) and lines[place].strip() and not lines[place].startswith(("```", "#")):
                paragraph.append(lines[place].strip())
                place += 1
            blocks.append(f"<p>{inline(' '.join(paragraph))}</p>")
    return Markup("\n".join(blocks))  # noqa: S704 - each block is escaped by inline()
