"""The Permit is the only way to a pod's contents: an opened vault alone, under a Permit for something else, reads nothing."""

from __future__ import annotations

import ast
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deliveries import deliver, granted, readings

from pod_server import calculations, documents, figures, household, participations, proposals, rectifications
from pod_server.activities import read_activities, read_segments
from pod_server.authorization import enforcement
from pod_server.errors import PermitExceeded
from pod_server.household import Household
from pod_server.opening import OpenPod

ROOT = Path(__file__).parents[3]
CONTENTS = {
    f"pod_server/{name}.py"
    for name in (
        "activities",
        "calculations",
        "documents",
        "figures",
        "household",
        "participations",
        "proposals",
        "rectifications",
    )
} | {
    # These open what lies there and give it to nobody: to seal it anew, to pack it, to say whether it is as written.
    "pod_server/resealing.py",
    "pod_server/compaction.py",
    "pod_server/integrity.py",
    # No contents of the pod: the keys to a source that its citizen signed in to, for the channel that asks there.
    "pod_server/pulls.py",
}
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def kari(city, host):
    made = city.citizen("kari")
    deliver(host, granted(host, made.pod_id).permit, readings(0, 3))
    owned = OpenPod(made.pod, enforcement.require_owner(made.vault), made.vault)
    with host.storage.write() as tx:
        proposals.save(tx, owned, "p1", b"{}", state="waiting", at=AT)
        documents.put(tx, owned, "private/x", "text/plain", b"secret", public=False, at=AT)
    return made


READING = {
    "activities": lambda host, _, opened: list(read_activities(host, opened)),
    "segments": lambda host, _, opened: list(read_segments(host, opened)),
    "household": lambda _, tx, opened: household.load(tx, opened),
    "proposals": lambda _, tx, opened: proposals.list_proposals(tx, opened),
    "rectifications": lambda _, tx, opened: rectifications.listed(tx, opened),
    "participations": lambda _, tx, opened: participations.listed(tx, opened),
    "calculations": lambda _, tx, opened: calculations.listed(tx, opened),
    "figures": lambda _, tx, opened: figures.load_figures(tx, opened),
    "partials": lambda _, tx, opened: figures.load_partials(tx, opened),
    "events": lambda _, tx, opened: figures.events_after(tx, opened),
    "document": lambda _, tx, opened: documents.get(tx, opened, "private/x"),
}
WRITING = {
    "household": lambda tx, opened: household.save(tx, opened, Household("x", "nb", 1, "", "flat"), at=AT),
    "proposals": lambda tx, opened: proposals.save(tx, opened, "p2", b"{}", state="waiting", at=AT),
    "figures": lambda tx, opened: figures.save_figures(tx, opened, b"{}"),
    "document": lambda tx, opened: documents.put(tx, opened, "private/y", "text/plain", b"", public=False, at=AT),
}


@pytest.mark.parametrize("contents", sorted(READING))
@pytest.mark.parametrize("permit_of", [enforcement.require_public, enforcement.require_rules])
def test_a_permit_for_something_else_reads_nothing(host, kari, contents, permit_of):
    """The vault is open here, and still nothing is read."""
    opened = OpenPod(kari.pod, permit_of(kari.pod), kari.vault)
    with host.storage.read() as tx:
        try:
            found = READING[contents](host, tx, opened)
        except PermitExceeded:
            return
    assert found is None, "only a document that is not public may simply not be there"
    assert contents == "document"


@pytest.mark.parametrize("contents", sorted(WRITING))
@pytest.mark.parametrize("permit_of", [enforcement.require_public, enforcement.require_rules])
def test_a_permit_for_something_else_writes_nothing(host, kari, contents, permit_of):
    opened = OpenPod(kari.pod, permit_of(kari.pod), kari.vault)
    with pytest.raises(PermitExceeded), host.storage.write() as tx:
        WRITING[contents](tx, opened)


def test_a_grant_reads_its_own_deliveries_and_nobody_elses(host, kari, city):
    other = granted(host, kari.pod_id, name="Naboen AS")
    opened = OpenPod(kari.pod, other.permit, kari.vault)
    with contextlib.suppress(PermitExceeded):
        assert list(read_activities(host, opened)) == []
    for contents in (
        "household",
        "proposals",
        "figures",
        "partials",
        "rectifications",
        "calculations",
        "participations",
    ):
        with host.storage.read() as tx, pytest.raises(PermitExceeded):
            READING[contents](host, tx, opened)


def test_contents_are_unsealed_in_the_modules_that_hold_them_alone():
    """Whoever else wants contents asks these modules, and they ask for the Permit."""
    found = set()
    for package in ("pod_server", "partner_bridge", "twin_agent", "research_views", "dashboard", "tvilling"):
        for path in (ROOT / package).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if name.startswith(("pod_server/vault/", "pod_server/log/")):
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if node.func.attr in {"open", "seal"} and ast.unparse(node.func.value).removesuffix("()").endswith(
                    "vault"
                ):
                    found.add(name)
    assert found == CONTENTS
