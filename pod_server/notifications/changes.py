"""What has become of a resource between two looks, as notifications (Solid Notifications Protocol, section 5.4).

Looks are compared, not changes queued: a lost signal delays a notification and never loses one, and what happened
between two looks travels as one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyoxigraph import Literal, NamedNode, Triple

from pod_server import documents
from pod_server.notifications.subscription_request import ACTIVITY_STREAMS, CONTEXT, NOTIFY
from pod_server.representation import json_ld, negotiation
from pod_server.representation.graph import Graph
from pod_server.resources.path import is_container

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction

_AS = f"{ACTIVITY_STREAMS}#"
_TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
_DATE_TIME = NamedNode("http://www.w3.org/2001/XMLSchema#dateTime")


_MOST_TOLD = 100
"""Members that come or go between two looks and are told of one by one."""


@dataclass(frozen=True)
class State:
    """A resource at one look.

    Attributes:
        mark: Its version, for a container also which members it has; None where the resource is not there. The `state`
            of notifications.
        members: The paths of a container's members; None where the look is only remembered by its mark.
    """

    mark: str | None = None
    members: frozenset[str] | None = frozenset()


@dataclass(frozen=True)
class Change:
    """One thing that happened.

    Attributes:
        kind: The type of activity.
        path: Its object's path.
        mark: The topic's state after it, or None where the topic is gone.
    """

    kind: str
    path: str
    mark: str | None


def look(tx: Transaction, open_pod: OpenPod, path: str) -> State:
    """The state of a resource, as far as the Permit in `open_pod` lets it be seen."""
    entry = documents.find_entry(tx, open_pod, path)
    if entry is None:
        return State()
    if not is_container(path):
        return State(str(entry.version))
    members = frozenset(one.path for one in documents.members(tx, open_pod, path))
    names = hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()
    return State(f"{entry.version}-{names[:16]}", members)


def compare(path: str, before: State, after: State) -> Iterator[Change]:
    """What happened to the resource at `path`; where a look is only remembered, that something did."""
    if before.mark == after.mark:
        return
    if after.mark is None:
        yield Change("Delete", path, None)
        return
    if before.mark is None:
        yield Change("Create", path, after.mark)
    if before.members is None or after.members is None or len(before.members ^ after.members) > _MOST_TOLD:
        # Which members came and went is not known, or too much to tell one by one: the receiver looks for itself.
        if before.mark is not None:
            yield Change("Update", path, after.mark)
        return
    if before.mark is not None and _own_version(before.mark) != _own_version(after.mark):
        yield Change("Update", path, after.mark)
    yield from (Change("Add", member, after.mark) for member in sorted(after.members - before.members))
    yield from (Change("Remove", member, after.mark) for member in sorted(before.members - after.members))


def _own_version(mark: str) -> str:
    return mark.partition("-")[0]


def notification(root_iri: str, topic: str, change: Change, *, at: datetime, identifier: str, media_type: str) -> bytes:
    """One change as an Activity Streams document."""
    said: dict[str, str] = {
        "id": identifier,
        "type": change.kind,
        "object": root_iri + change.path,
        "published": at.isoformat().replace("+00:00", "Z"),
    }
    if change.kind in {"Add", "Remove"}:
        said["target"] = root_iri + topic
    if change.mark is not None:
        said["state"] = change.mark
    if media_type == json_ld.MEDIA_TYPE:
        return json.dumps({"@context": [ACTIVITY_STREAMS, CONTEXT], **said}, ensure_ascii=False).encode()
    return negotiation.write(_graph(said), media_type)


def _graph(said: dict[str, str]) -> Graph:
    activity = NamedNode(said["id"])
    triples = [
        Triple(activity, _TYPE, NamedNode(_AS + said["type"])),
        Triple(activity, NamedNode(_AS + "published"), Literal(said["published"], datatype=_DATE_TIME)),
        *(
            Triple(activity, NamedNode(_AS + name), NamedNode(said[name]))
            for name in ("object", "target")
            if name in said
        ),
    ]
    if "state" in said:
        triples.append(Triple(activity, NamedNode(NOTIFY + "state"), Literal(said["state"])))
    return Graph.of(triples, {"as": _AS, "notify": NOTIFY})
