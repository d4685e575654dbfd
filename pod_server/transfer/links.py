"""Where another server's Link headers lead (RFC 8288)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

_LINK = re.compile(r"<([^>]*)>([^<]*)")


def linked(links: list[str], iri: str, relation: str) -> str | None:
    """The first target of a relation among a resource's Link headers, or None.

    >>> linked(['<.acl>; rel="acl", <.meta>; rel="describedby"'], "https://pod.example/a/", "describedby")
    'https://pod.example/a/.meta'
    """
    for each in links:
        for address, parameters in _LINK.findall(each):
            if re.search(rf';\s*rel="?{relation}"?(?:[\s;,]|$)', parameters):
                return urljoin(iri, str(address))
    return None
