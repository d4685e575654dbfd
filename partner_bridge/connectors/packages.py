"""Connectors of other packages: which are loaded, and why one is not.

A package names its connectors by entry points of the group `tvilling.connectors`, as the house's own are named in a list
(docs/adr/0096). What a package holds runs with everything a host can do; therefore nothing of a package is imported unless
whoever runs the host named it (`--connector-package`), and what looks wrong is looked at before it is imported. One that is
broken is told and left out; the host goes on without it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, cast

from partner_bridge.connectors.declaration import require_sound
from partner_bridge.errors import DeclarationInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from partner_bridge.connectors.normalising import Connector

GROUP = "tvilling.connectors"
"""The group of entry points."""

HOUSE = frozenset(
    {"tvilling", "dashboard", "partner_bridge", "twin_agent", "research_views", "pod_server", "consent", "vocab"}
)
"""The house's own import names, which no other package brings files into."""

_LONGEST_REASON = 300


@dataclass(frozen=True)
class NotLoaded:
    """A connector, or a whole package of them, that was left out.

    Attributes:
        package: As the operator named it.
        why: What is wrong, for whoever runs the host.
        mend: What to do about it.
    """

    package: str
    why: str
    mend: str


@dataclass(frozen=True)
class Registry:
    """The connectors of a host.

    Attributes:
        connectors: By name: the house's own, then those of packages.
        packages: Of a connector's name, the package it came in; the house's own are not here.
        not_loaded: What was left out.
    """

    connectors: Mapping[str, Connector]
    packages: Mapping[str, str]
    not_loaded: tuple[NotLoaded, ...] = ()


def load(own: Iterable[Connector], allowed: Iterable[str]) -> Registry:
    """The house's own connectors and those of the packages that the operator allowed.

    Args:
        own: The house's own; they are right, or the house does not start.
        allowed: Names of installed packages, in the order in which they may take names.

    Raises:
        DeclarationInvalid: one of the house's own is not right.
    """
    connectors: dict[str, Connector] = {}
    for connector in own:
        require_sound(connector)
        _require_its_own_names(connector, connectors)
        connectors[connector.name] = connector
    packages: dict[str, str] = {}
    not_loaded: list[NotLoaded] = []
    for package in dict.fromkeys(allowed):
        try:
            distribution = metadata.distribution(package)
        except (metadata.PackageNotFoundError, ValueError):
            not_loaded.append(
                NotLoaded(package, "it is not installed here", f"pip install {package}, or allow it no longer")
            )
            continue
        entries = [each for each in distribution.entry_points if each.group == GROUP]
        if suspicion := _suspicion(distribution, entries):
            not_loaded.append(NotLoaded(package, suspicion, "look at what it is before it stays installed"))
            continue
        for entry in entries:
            try:
                connector = _loaded(entry)
                require_sound(connector)
                _require_its_own_names(connector, connectors)
            # Another's code: whatever it raises, an end of the process included, ends nothing but itself.
            except (Exception, SystemExit) as error:  # noqa: BLE001
                why = f"{entry.name}: {_reason(error)}"
                not_loaded.append(NotLoaded(package, why, "tell its maker (docs/connectors.md), or allow it no longer"))
                continue
            connectors[connector.name] = connector
            packages[connector.name] = package
    return Registry(connectors, packages, tuple(not_loaded))


def packages_at_hand() -> Iterator[str]:
    """The names of installed packages that bring connectors, allowed or not; nothing of them is imported."""
    for entry in metadata.entry_points(group=GROUP):
        if entry.dist is not None:
            yield entry.dist.name


def _suspicion(distribution: metadata.Distribution, entries: list[metadata.EntryPoint]) -> str:
    """What in a package is wrong before any of it runs; empty where nothing is."""
    if not entries:
        return f"it brings no connector: no entry point of the group {GROUP}"
    reserved = HOUSE | sys.stdlib_module_names
    for file in distribution.files or ():
        first = file.parts[0]
        if first.removesuffix(".py") in reserved:
            return f"it brings {file}, in a place that is the house's, or Python's own"
        if first.endswith(".pth") and not first.startswith("__editable__"):
            return f"it brings {file}, which Python would run at every start, allowed or not"
    for entry in entries:
        if entry.module.split(".")[0] in reserved:
            return f"{entry.name}: {entry.value} is not its own, but the house's, or Python's"
    return ""


def _loaded(entry: metadata.EntryPoint) -> Connector:
    found = entry.load()
    return cast("Connector", found() if isinstance(found, type) else found)


def _require_its_own_names(connector: Connector, connectors: Mapping[str, Connector]) -> None:
    """A connector bears no other's name, and looks like no other to a citizen.

    Raises:
        DeclarationInvalid: it does.
    """
    if connector.name in connectors:
        raise DeclarationInvalid(f"another connector is named {connector.name}")
    if connector.title.casefold() in {each.title.casefold() for each in connectors.values()}:
        raise DeclarationInvalid(f"another connector calls itself {connector.title}")
    mine = connector.declaration.organisation
    for each in connectors.values():
        other = each.declaration.organisation
        if (other.slug == mine.slug) is not (other.name.casefold() == mine.name.casefold()):
            raise DeclarationInvalid(f"its organisation {mine.slug} ({mine.name}) is not {other.slug} ({other.name})")


def _reason(error: BaseException) -> str:
    if isinstance(error, DeclarationInvalid):
        return str(error)[:_LONGEST_REASON]
    told = " ".join(str(error).split())[:_LONGEST_REASON]
    return f"it cannot be loaded: {type(error).__name__}{': ' if told else ''}{told}"
