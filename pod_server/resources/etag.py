"""Versions as entity tags, and the conditions that requests put on them (RFC 9110, sections 8.8.3 and 13).

A tag names the resource's version and the representation: `"41.ttl"`. A condition on a write compares versions only,
so that a client that read Turtle may write with the tag it got.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

from werkzeug.datastructures import ETags

from pod_server.resources.errors import PreconditionFailed

_SHORT_NAMES = {
    "text/turtle": "ttl",
    "application/ld+json": "jsonld",
    "application/n-triples": "nt",
    "application/trig": "trig",
    "application/n-quads": "nq",
}


def version_tag(version: str, media_type: str) -> str:
    """The opaque part of an entity tag, without quotes."""
    return f"{version}.{_SHORT_NAMES.get(media_type, 'raw')}"


def container_version(version: int, members: Iterable[tuple[str, int]]) -> str:
    """The version of a container's listing: its own, and that of every member (path, version)."""
    digest = hashlib.sha256()
    for path, member_version in members:
        digest.update(f"{path}\n{member_version}\n".encode())
    return f"{version}-{digest.hexdigest()[:16]}"


def check_conditions(if_match: ETags, if_none_match: ETags, version: str | None) -> None:
    """Carry out the conditions of a request that would change something.

    Args:
        if_match: The If-Match header.
        if_none_match: The If-None-Match header.
        version: The resource's version now; None when there is none.

    Raises:
        PreconditionFailed: a condition does not hold; nothing may be changed.
    """
    if if_match and (version is None or not _names(if_match, version)):
        raise PreconditionFailed("the resource is not in the version that If-Match names")
    if if_none_match and version is not None and _names(if_none_match, version, weak=True):
        raise PreconditionFailed("the resource exists already, in a version that If-None-Match rules out")


def check_unmodified_since(since: datetime, modified: datetime | None) -> None:
    """Carry out If-Unmodified-Since, which counts whole seconds (RFC 9110, section 13.1.4).

    Args:
        since: What the client saw last.
        modified: When the resource changed last; None when there is none.

    Raises:
        PreconditionFailed: it has changed since, or is not there; nothing may be changed.
    """
    if modified is None or modified.replace(microsecond=0) > since:
        raise PreconditionFailed("the resource has changed since the time that If-Unmodified-Since names")


def _names(tags: ETags, version: str, *, weak: bool = False) -> bool:
    return tags.star_tag or any(tag.rpartition(".")[0] == version for tag in tags.as_set(include_weak=weak))
