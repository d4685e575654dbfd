"""What a consent to read would show, in words and with today's values: the same functions that answer the reader.

The citizen sees each figure as its reader would see it now, before deciding; the values are shown to the citizen alone
and are no part of the text that is kept by its hash.
"""

from __future__ import annotations

from collections import deque
from datetime import date, datetime, time
from typing import TYPE_CHECKING

from partner_bridge.reading import LONGEST_READ
from partner_bridge.shared import LOCAL, shared_activities, shared_figures
from pod_server import documents, figures
from pod_server.representation import stored, trig, turtle
from vocab.kinds import load_kinds
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from collections.abc import Collection

    from consent.grant import GrantTerms
    from dashboard.frame import Visit
    from partner_bridge.shared import SharedActivity, SharedValue
    from pod_server.host import Host
    from pod_server.opening import OpenPod

_LATEST = 3
"""How many of the latest values stand as examples; the number of them all is told beside."""


def figure_titles(visit: Visit, slugs: Collection[str]) -> list[str]:
    """The names of figures in the reader's language."""
    return [visit.wording.of(load_shared_figures()[slug].titles) for slug in sorted(slugs)]


def preview(host: Host, visit: Visit, own: OpenPod, terms: GrantTerms) -> dict[str, list[str]]:
    """For each figure and kind of the terms, the lines that say what would be read now.

    Args:
        host: This host.
        visit: Whose language, and when.
        own: The citizen's own pod, open.
        terms: What is asked for; a period or a record counts where it lies in the window.
    """
    t, w = visit.words, visit.wording
    with host.storage.read() as tx:
        content = figures.load_figures(tx, own) if terms.figures else None
    values: dict[str, list[SharedValue]] = {slug: [] for slug in sorted(terms.figures)}
    for value in shared_figures(content, terms, visit.now):
        values[value.figure.slug].append(value)
    lines: dict[str, list[str]] = {}
    for slug, found in values.items():
        lines[slug] = [_figure_line(visit, value) for value in reversed(found[-_LATEST:])]
        if not found:
            lines[slug] = [t("ask.now-nothing")]
        elif len(found) > _LATEST:
            lines[slug].append(t("ask.now-more", count=w.number(len(found) - _LATEST)))
    for kind in sorted(terms.kinds):
        count = 0
        latest: deque[SharedActivity] = deque(maxlen=_LATEST)
        for each in shared_activities(host, own, terms, visit.now, kinds=[kind], start=visit.now - LONGEST_READ):
            count += 1
            latest.append(each)
        lines[kind] = [_activity_line(visit, each) for each in reversed(latest)]
        if not count:
            lines[kind] = [t("ask.now-nothing")]
        elif count > _LATEST:
            lines[kind].append(t("ask.now-more", count=w.number(count - _LATEST)))
    for path in sorted(terms.documents):
        with host.storage.read() as tx:
            document = documents.get(tx, own, path)
        if document is None or document.media_type not in {turtle.MEDIA_TYPE, trig.MEDIA_TYPE}:
            lines[path] = [t("ask.now-no-document")]
        else:
            facts = len(stored.read(document.content, f"{host.base_url}/{own.pod.handle}/").quads)
            lines[path] = [t("ask.now-document", count=w.number(facts), date=w.date(document.modified))]
    return lines


def _figure_line(visit: Visit, value: SharedValue) -> str:
    t, w = visit.words, visit.wording
    unit = value.figure.unit.rpartition("/")[2]
    if value.low is None or value.high is None:
        amount = w.quantity(value.best, unit)
    else:
        amount = t("ask.now-interval", best=w.mass(value.best), interval=w.interval(value.low, value.high))
    return t("ask.now-whole", period=_period(visit, value.period), amount=amount)


def _period(visit: Visit, period: str) -> str:
    """`November 2026`, or `22. november`."""
    if len(period) == len("2026-11"):
        return visit.wording.month(int(period[:4]), int(period[5:]))
    noon = datetime.combine(date.fromisoformat(period), time(12), tzinfo=LOCAL)
    return visit.wording.date(noon, year=False)


def _activity_line(visit: Visit, each: SharedActivity) -> str:
    t, w = visit.words, visit.wording
    kind = load_kinds().by_slug[each.kind]
    words = [w.quantity(each.quantity, kind.unit), *(str(value) for name, value in sorted(each.members.items()))]
    return t("ask.now-whole", period=w.when(each.start), amount=", ".join(words))
