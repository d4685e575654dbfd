"""The page "what goes wrong now": every stranger, every switch, how it stands and how often it was met. Needs no script."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from tvilling.city.simulators.faults import Switch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tvilling.city.simulators.faults import Faults

FAULTS_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
_WAYS = (
    ("1", "once"),
    ("3", "three times"),
    ("20%", "a fifth of the time"),
    ("on", "until turned off"),
    ("off", "off"),
)
_STYLE = (
    "body{font:1rem/1.5 sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid}"
    "select,button{font:inherit;min-height:2.75rem}"
)


def faults_page(strangers: Mapping[str, Faults], key: str) -> str:
    """The whole page.

    Args:
        strangers: The switches, by stranger.
        key: What its forms must carry.
    """
    rows = "".join(
        f"<tr><th scope=row>{html.escape(name)}</th><td>{html.escape(switch)}</td>"
        f"<td>{html.escape(how['now'])}</td><td>{how['met']}</td></tr>"
        for name, faults in strangers.items()
        for switch, how in faults.as_told().items()
    )
    table = (
        "<table><thead><tr><th scope=col>Stranger</th><th scope=col>Switch</th><th scope=col>Now</th>"
        f"<th scope=col>Met so far</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else "<p>Nothing goes wrong.</p>"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>What goes wrong now</title><style>{_STYLE}</style><main><h1>What goes wrong now</h1>{table}"
        f'<h2>Turn a switch</h2><form method="post" action="/faults">'
        f'<input type="hidden" name="key" value="{html.escape(key)}">'
        f"<p><label>Whose <select name=stranger>{_options(('all', *strangers))}</select></label> "
        f"<label>what <select name=switch>{_options(tuple(Switch))}</select></label> "
        f"<label>how often <select name=how>{_ways()}</select></label> <button>Turn</button></p></form></main></html>"
    )


def _options(values: tuple[str, ...]) -> str:
    return "".join(f"<option>{html.escape(each)}</option>" for each in values)


def _ways() -> str:
    return "".join(f'<option value="{value}">{words}</option>' for value, words in _WAYS)
