"""The interaction model that a request asks for what it makes, by `Link` with rel="type" (LDP, section 5.2.3.4)."""

from __future__ import annotations

import re

from pod_server.resources.container import LDP
from pod_server.resources.errors import ResourceConflict

_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^\s;,=]+\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]+))*)")
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)


def types_of(link_header: str) -> set[str]:
    """The targets of the links with the relation `type` (RFC 8288, section 3)."""
    types: set[str] = set()
    for target, parameters in _LINK.findall(link_header):
        relation = _RELATION.search(parameters)
        if relation is not None and "type" in (relation[1] or relation[2] or "").lower().split():
            types.add(target)
    return types


def asks_for_container(link_header: str) -> bool:
    """Whether a request's Link header asks for a container.

    Raises:
        ResourceConflict: it asks for a kind of container that there is none of here.
    """
    types = types_of(link_header)
    if types & {f"{LDP}DirectContainer", f"{LDP}IndirectContainer"}:
        raise ResourceConflict("containers here are LDP Basic Containers (Solid Protocol, section 4.2)")
    return bool(types & {f"{LDP}BasicContainer", f"{LDP}Container"})
