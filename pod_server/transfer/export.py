"""Taking a whole pod out as one file that any RDF tool reads and another host loads (GDPR Art. 15 and 20)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
import pyoxigraph

from pod_server import activities, documents, grants, household
from pod_server.authorization.grant_rows import terms_to_json
from pod_server.binaries import BinaryReader
from pod_server.errors import PermitExceeded
from pod_server.identifiers import GrantId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.representation import stored, trig, turtle
from pod_server.resources import activity_documents
from pod_server.transfer.pod_file import PodFileWriter
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pod_server.activities import StoredActivity
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.storage.ports import Transaction
    from pod_server.vault.chunks import ChunkedFile


@dataclass(frozen=True)
class Exported:
    """What an export holds."""

    documents: int
    activities: int
    grants: int
    log_entries: int


def export_pod(host: Host, opened: OpenPod, target: Path) -> Exported:
    """Write a pod's file; the log says so, in the exported log too.

    Args:
        host: The host.
        opened: The pod, open under its owner's Permit.
        target: A new file.

    Raises:
        PermitExceeded: somebody else's Permit.
        PodFileInvalid: the target is there already.
        Tampered, LogBroken: something was changed at rest.
    """
    if opened.permit.authority != "owner":
        raise PermitExceeded
    at = host.clock.now()
    root = opened.pod.root(host.base_url)
    with PodFileWriter(target) as file:
        with host.storage.write() as tx:
            ledger.append(tx, opened.pod_id, LogEvent(at=at, actor=opened.permit.actor, action="export-pod"))
        with host.binaries.keep():
            large: dict[str, ChunkedFile] = {}
            with host.storage.read() as tx:
                listed = list(_documents(tx, opened, root, file, large))
                log = ledger.export(tx, host, opened.vault, opened.pod_id)
                lives_here = household.load(tx, opened)
            # Gigabytes are copied after the snapshot, which holds up the database's upkeep for as long as it stands.
            for name, binary in large.items():
                file.add(name, BinaryReader(host, opened.pod_id, binary).pieces(), compress=False)
        held = _grants(host, opened)
        count = sum(_activities(host, opened, root, GrantId(grant["id"]), file) for grant in held)
        file.add("counting.nq", activity_documents.counting_quads(host, opened, root))
        for name, value in (
            ("documents.json", listed),
            ("grants.json", held),
            ("household.json", msgspec.to_builtins(lives_here)),
            ("log.json", log),
        ):
            file.add(name, [json.dumps(value, ensure_ascii=False, indent=1).encode()])
        exported = Exported(len(listed), count, len(held), len(log["events"]))
        file.finish(
            {
                "exported": at.isoformat(),
                "handle": opened.pod.handle,
                "root": root,
                "webid": opened.pod.webid(host.base_url),
                "issuer": host.base_url,
                "counts": msgspec.to_builtins(exported),
            }
        )
    return exported


def _documents(
    tx: Transaction, opened: OpenPod, root: str, file: PodFileWriter, large: dict[str, ChunkedFile]
) -> Iterator[dict[str, Any]]:
    """Every document with its access rules and description, containers before what lies in them.

    Large binaries are noted in `large`, under the names that they get.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        # pyoxigraph writes: rdflib's Turtle cuts doubles to seven digits (rdflib 7, Literal._literal_n3).
        for one in (path, *(path + suffix for suffix in documents.AUXILIARY_SUFFIXES)):
            found = documents.get(tx, opened, one)
            if found is None:
                continue
            name = _file_name(file, large, one, found.media_type)
            if found.binary is None:
                file.add(name, [_file_content(found, root)])
            else:
                large[name] = found.binary
            yield {
                "path": one,
                "file": name,
                "media_type": found.media_type,
                **({"parameters": found.parameters} if found.parameters else {}),
                "public": found.public,
                "modified": found.modified.isoformat(),
            }
        if path == "" or path.endswith("/"):
            waiting += [entry.path for entry in reversed(documents.members(tx, opened, path))]


_ENDINGS = {turtle.MEDIA_TYPE: ".ttl", trig.MEDIA_TYPE: ".trig"}


def _file_content(found: documents.Document, root: str) -> bytes:
    if found.media_type == turtle.MEDIA_TYPE:
        return turtle.write(stored.read(found.content, root))
    return trig.write(stored.read(found.content, root)) if found.media_type == trig.MEDIA_TYPE else found.content


def _file_name(file: PodFileWriter, large: dict[str, ChunkedFile], path: str, media_type: str) -> str:
    name = "documents/" + (f"{path}container" if path == "" or path.endswith("/") else path)
    name += _ENDINGS.get(media_type, "")
    number = 1
    free = name
    while file.has(free) or free in large:
        number += 1
        free = f"{name}~{number}"
    return free


def _grants(host: Host, opened: OpenPod) -> list[dict[str, Any]]:
    return [
        {
            "id": view.grant.id,
            "partner": view.partner_name,
            "subject": view.subject,
            "state": str(view.grant.state_at(host.clock.now())),
            "given": view.grant.given_at.isoformat(),
            "terms": terms_to_json(view.grant.terms),
            "accepted": view.accepted,
            "duplicates": view.duplicates,
            "refused": view.refused,
            "events": [
                {
                    "kind": str(event.kind),
                    "at": event.at.isoformat(),
                    "expires_at": event.expires_at.isoformat() if event.expires_at else None,
                }
                for event in view.events
            ],
        }
        for view in grants.list_grants(host, opened.pod_id)
    ]


def _activities(host: Host, opened: OpenPod, root: str, grant: GrantId, file: PodFileWriter) -> int:
    """One grant's activities, month by month, in both forms; how many."""
    kinds = load_kinds()
    count = 0
    found = activities.read_activities(host, opened, grant=grant)
    for month, group in groupby(found, key=lambda record: record.start.astimezone(UTC).strftime("%Y-%m")):
        records = list(group)
        name = f"activities/{grant}/{month}"
        base = f"{root}{name}"
        file.add(f"{name}.jsonld", _json_ld(records, kinds.context, base))
        file.add(
            f"{name}.nq",
            (
                pyoxigraph.serialize(kinds.quads(record.raw, base), format=pyoxigraph.RdfFormat.N_QUADS) or b""
                for record in records
            ),
        )
        count += len(records)
    return count


def _json_ld(records: Sequence[StoredActivity], context: dict[str, Any], base: str) -> Iterator[bytes]:
    """One document that needs nothing from elsewhere, a record a line."""
    yield b'{"@context":' + json.dumps([context, {"@base": base}]).encode() + b',\n"@graph":['
    for number, record in enumerate(records):
        yield (b",\n" if number else b"\n") + record.raw
    yield b"\n]}\n"
