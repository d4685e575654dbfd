"""A citizen's own files, by the same path as any delivery, under a visible and erasable grant to themselves."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from consent.grant import EVENT, GrantState, GrantTerms
from partner_bridge.channels.file_drop import open_stream, read_content, read_file
from partner_bridge.connectors import find_connector
from partner_bridge.connectors.normalising import Context, Streamed, normalise, to_item
from partner_bridge.delivery import ACCEPTED, DUPLICATE, REFUSED, Item, deliver
from partner_bridge.errors import BodyTooLarge, BodyUnreadable, UnusablePayload
from pod_server import grants
from pod_server.authorization import grant_rows
from pod_server.identifiers import Actor, GrantId, PodId
from pod_server.opening import find_pod
from pod_server.partners import SELF
from pod_server.problems import problem_details

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from partner_bridge.connectors.normalising import Connector
    from pod_server.host import Host
    from pod_server.vault.vault import Vault

BATCH = 2000
PROBLEM_LIMIT = 50
_LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)
_VALID_FOR = timedelta(days=5 * 365)


@dataclass
class ImportReport:
    """What became of the files.

    Attributes:
        accepted: Activities taken in.
        duplicates: Activities that were there already.
        refused: Activities and lines that were not taken, and why in `problems`.
        problems: The first fifty problems (RFC 9457), each with the file's name.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)


def import_files(
    host: Host,
    handle: str,
    connector: str,
    paths: Sequence[str | Path],
    *,
    actor: Actor | None = None,
    vault: Vault | None = None,
) -> ImportReport:
    """Bring files into a citizen's pod.

    Args:
        host: This host.
        handle: Whose pod.
        connector: Which format the files are in.
        paths: The files.
        actor: Who does it, for the log: `operator-assisted` where nothing is said.
        vault: The opened vault, where the citizen has locked the pod.

    Raises:
        UnknownConnector: no connector of that name.
        BodyUnreadable: a file cannot be read; files before it are in.
        PodLocked: the pod is locked and no vault was given.
    """
    chosen = find_connector(connector, host.connector_packages)
    actor = actor or Actor("operator-assisted")
    with host.storage.read() as tx:
        pod_id = find_pod(tx, handle).pod_id
    grant = own_grant(host, pod_id, chosen, actor=actor, vault=vault)
    report = ImportReport()
    for path in map(Path, paths):
        if isinstance(chosen, Streamed):
            try:
                file = path.open("rb")
            except OSError as error:
                raise BodyUnreadable(f"{path.name} cannot be read") from error
            with file:
                _take_in(host, path.name, _streamed(host, chosen, path.name, file, grant), report, actor)
        else:
            _take_in(host, path.name, _items(host, chosen, read_file(path, chosen), grant), report, actor)
    return report


def import_contents(
    host: Host, pod_id: PodId, connector: str, files: Sequence[tuple[str, bytes]], *, actor: Actor, vault: Vault
) -> ImportReport:
    """As `import_files`, of files that are here already; one that cannot be read is its own problem.

    Raises:
        UnknownConnector: no connector of that name.
    """
    chosen = find_connector(connector, host.connector_packages)
    grant = own_grant(host, pod_id, chosen, actor=actor, vault=vault)
    report = ImportReport()
    for name, content in files:
        try:
            if isinstance(chosen, Streamed):
                items = _streamed(host, chosen, name, io.BytesIO(content), grant)
            else:
                items = _items(host, chosen, read_content(name, content, chosen), grant)
            _take_in(host, name, items, report, actor)
        except (BodyUnreadable, BodyTooLarge) as error:
            report.refused += 1
            report.problems.append({"file": name, **problem_details(error, host.base_url)})
    return report


def _take_in(host: Host, name: str, items: Iterator[Item], report: ImportReport, actor: Actor) -> None:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            _deliver(host, batch, report, name, actor)
            batch = []
    _deliver(host, batch, report, name, actor)


def own_grant(host: Host, pod_id: PodId, connector: Connector, *, actor: Actor, vault: Vault | None) -> GrantId:
    """The citizen's grant to themselves for these kinds: the one that stands, or a new one."""
    at = host.clock.now()
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, pod_id, client_id=SELF.client_id)
    for grant in held:
        if grant.state_at(at) is GrantState.ACTIVE and grant.terms.kinds == connector.kinds:
            return GrantId(grant.id)
    terms = GrantTerms(
        client_id=SELF.client_id,
        purpose="personal-footprint",
        kinds=connector.kinds,
        operations=frozenset({"append"}),
        granularity=EVENT,
        history_from=_LONG_AGO,
        expires_at=at + _VALID_FOR,
    )
    return GrantId(grants.give(host, pod_id, terms, actor=actor, vault=vault).id)


def _items(host: Host, connector: Connector, payloads: Iterator[bytes], grant: GrantId) -> Iterator[Item]:
    context = Context(host.clock.now())
    for payload in payloads:
        for made in normalise(connector, payload, context):
            yield to_item(grant, made, None)


def _streamed(host: Host, connector: Streamed, name: str, file: BinaryIO, grant: GrantId) -> Iterator[Item]:
    with open_stream(name, file, connector) as opened:
        try:
            for made in connector.stream(opened, Context(host.clock.now())):
                yield to_item(grant, made, None)
        except UnusablePayload as error:
            yield to_item(grant, error, None)


def _deliver(host: Host, items: Sequence[Item], report: ImportReport, name: str, actor: Actor) -> None:
    if not items:
        return
    for answer in deliver(host, SELF, items, actor=actor):
        report.accepted += answer.status == ACCEPTED
        report.duplicates += answer.status == DUPLICATE
        if answer.status == REFUSED:
            report.refused += 1
            if answer.error is not None and len(report.problems) < PROBLEM_LIMIT:
                report.problems.append({"file": name, **problem_details(answer.error, host.base_url)})
