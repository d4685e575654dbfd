"""Only authorization/enforcement.py makes a Permit: a walk over every syntax tree of the house proves it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "tvilling",
    "dashboard",
    "partner_bridge",
    "twin_agent",
    "research_views",
    "pod_server",
    "consent",
    "vocab",
)
MAKER = Path("pod_server/authorization/enforcement.py")


def modules():
    found = [
        path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts
    ]
    assert len(found) > 50
    return found


def makes_a_permit(tree):
    """Calls of `Permit(…)` by whatever name it was imported, `replace(permit, …)`, and unchecked construction."""
    names = {"Permit"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pod_server.authorization.permit":
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "Permit"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        if name in names:
            yield node.lineno
        mentions_a_permit = any(
            isinstance(part, ast.Name) and part.id.lower().endswith("permit") for part in node.args[:1]
        )
        if name in {"replace", "__new__", "object.__new__"} and mentions_a_permit:
            yield node.lineno


def test_only_the_enforcement_module_makes_a_permit():
    makers = {path.relative_to(ROOT) for path in modules() if list(makes_a_permit(ast.parse(path.read_text("utf-8"))))}
    assert makers == {MAKER}


def test_the_walk_sees_the_tricks():
    for trick in (
        "from pod_server.authorization.permit import Permit as P\nP()",
        "import pod_server.authorization.permit as m\nm.Permit(authority='owner')",
        "import dataclasses\ndataclasses.replace(permit, pod_id=7)",
        "replace(owner_permit, pod_id=7)",
    ):
        assert list(makes_a_permit(ast.parse(trick))), trick
