"""`/{handle}/sparql`: one query over what the asker may read, told in the steps of a request (lifecycle.py).

The named graphs are the pod's RDF documents under their own IRIs, each only if the access rules let the asker read it;
for the owner also the documents of activities. Without GRAPH or a chosen data set, all of them are asked together. Rules,
descriptions and containers are not in it. What the asker may not read does not exist for the query: FROM and GRAPH find
nothing there, as if the document were not.

Source: SPARQL 1.1 Query Language and SPARQL 1.1 Protocol (W3C Recommendations 2013).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from flask import Response

from pod_server import documents, settling
from pod_server.access_rules import AccessRules
from pod_server.authorization.enforcement import require_public, require_rules
from pod_server.authorization.errors import AccessDenied, Unauthenticated
from pod_server.authorization.wac import AccessMode, Need
from pod_server.authorization_server.tokens import verify_solid_request
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.opening import OpenPod, Pod, find_pod, open_pod
from pod_server.queries.errors import QueryTooExpensive
from pod_server.queries.process import DataSet, Limits, QueryGraph, Turns, run_query
from pod_server.queries.protocol import accepted_formats, read_query
from pod_server.queries.text import check_query, chooses_data_set
from pod_server.representation import n_triples, stored, trig
from pod_server.resources import activity_documents, calculation_documents
from pod_server.resources.rdf_source import STORED_MEDIA_TYPE
from pod_server.vault.errors import PodLocked

if TYPE_CHECKING:
    from flask import Request

    from pod_server.authorization.enforcement import Agent
    from pod_server.host import Host
    from pod_server.identifiers import Actor
    from pod_server.lifecycle import ReadGroups
    from pod_server.queries.protocol import AskedQuery
    from pod_server.storage.ports import Transaction

MOST_BYTES = 64 * 1024 * 1024
"""Of statements in one query; more would not fit into the child's memory."""

LIMITS = Limits()
_turns = Turns(at_once=2)


class _Collected:
    """The graphs that a query may see, in whose name they were read."""

    def __init__(self) -> None:
        self.graphs: list[QueryGraph] = []
        self.actor: Actor | None = None
        self._bytes = 0

    def add(self, graph: QueryGraph) -> None:
        self._bytes += len(graph.content)
        if self._bytes > MOST_BYTES:
            raise QueryTooExpensive(f"What you may read here is over {MOST_BYTES // 2**20} MB; query it in parts.")
        self.graphs.append(graph)


def answer_query(host: Host, request: Request, handle: str, read_groups: ReadGroups) -> Response:
    """Carry out one query.

    Raises:
        Any exception that is declared as a problem: the boundary answers with it.
    """
    # 1. Receive
    asked = read_query(request, may_choose_data_set=True)
    check_query(asked.text, may_choose_data_set=True)
    data_set = _data_set(asked)

    # 2. Authenticate
    agent = verify_solid_request(host, request)

    with host.storage.read() as tx:
        # 3. Locate
        pod = find_pod(tx, handle)

        # 4. Authorise, and 5. open: document by document
        collected = _collect(host, tx, pod, agent)

    # 6. Represent
    root_iri = pod.root(host.base_url)
    result = run_query(
        asked.text,
        collected.graphs,
        data_set=data_set,
        base=f"{root_iri}sparql",
        formats=accepted_formats(request),
        limits=LIMITS,
        turns=_turns,
    )

    # 7. Record: before the answer leaves; if it cannot be written, there is no answer
    _record(host, pod, agent, collected, read_groups)

    # 8. Respond
    response = Response(result.body, content_type=result.media_type)
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Security-Policy"] = "sandbox"
    response.vary.update(("Accept", "Authorization", "Origin"))
    return response


def _data_set(asked: AskedQuery) -> DataSet:
    """What the request names has precedence over what the query names (SPARQL 1.1 Protocol, section 2.1.4)."""
    if asked.default_graphs or asked.named_graphs:
        return DataSet(asked.default_graphs, asked.named_graphs)
    return DataSet(None if chooses_data_set(asked.text) else "union")


def _collect(host: Host, tx: Transaction, pod: Pod, agent: Agent) -> _Collected:
    """Everything in the pod that the agent may read.

    Raises:
        PodLocked: the citizen has locked the pod, and the caller is somebody who may know.
        QueryTooExpensive: it is more than a query may see.
    """
    collected = _Collected()
    try:
        for_deciding = open_pod(host, require_rules(pod))
    except PodLocked:
        if agent.webid is not None:
            raise
        if settling.is_settled(tx, pod.pod_id):
            _collect_public(host, tx, pod, collected)
        return collected
    rules = AccessRules(host, tx, for_deciding, remember=True)
    for path in documents.document_paths(tx, for_deciding):
        try:
            permit, _ = rules.require(agent, Need(path, AccessMode.READ))
        except (AccessDenied, Unauthenticated):
            continue
        collected.actor = permit.actor
        _add_document(tx, OpenPod(pod, permit, for_deciding.vault), path, rules.root_iri, collected)
    root = activity_documents.ROOT
    try:
        # As in the lifecycle: no rule that opens the pod to others opens the activities; they ask for a grant.
        permit, _ = rules.require(agent, Need(root, AccessMode.READ), Need(root, AccessMode.CONTROL))
    except (AccessDenied, Unauthenticated):
        return collected
    collected.actor = permit.actor
    own = OpenPod(pod, permit, for_deciding.vault)
    for path, content in activity_documents.documents_of(host, own, rules.root_iri).items():
        collected.add(QueryGraph(rules.root_iri + path, content))
    for path, content in calculation_documents.documents_of(tx, own, rules.root_iri).items():
        collected.add(QueryGraph(rules.root_iri + path, content))
    return collected


def _collect_public(host: Host, tx: Transaction, pod: Pod, collected: _Collected) -> None:
    opened = open_pod(host, require_public(pod))
    for path in documents.document_paths(tx, opened):
        _add_document(tx, opened, path, pod.root(host.base_url), collected)


def _add_document(tx: Transaction, opened: OpenPod, path: str, root_iri: str, collected: _Collected) -> None:
    found = documents.get(tx, opened, path)
    if found is None:
        return
    if found.media_type == trig.MEDIA_TYPE:
        # A query's named graphs are the pod's documents: of one that has named graphs itself, the default graph is seen.
        graph = stored.read(found.content, root_iri)
        collected.add(QueryGraph(root_iri + path, n_triples.write(graph)))
    elif found.media_type == STORED_MEDIA_TYPE:
        # Stored as Turtle relative to the pod's root (representation/stored.py): the child reads it as it lies.
        collected.add(QueryGraph(root_iri + path, found.content, "text/turtle", root_iri))


def _record(host: Host, pod: Pod, agent: Agent, collected: _Collected, read_groups: ReadGroups) -> None:
    """One leaf a query; the owner's are grouped by the hour with the owner's other reads, strangers' are only counted."""
    if agent.webid is None or collected.actor is None:
        return
    at = host.clock.now()
    if agent.webid == pod.webid(host.base_url):
        group = (pod.handle, agent.client_id, int(at.timestamp() // 3600))
        if not read_groups.is_first(*group):
            return
        event = LogEvent(at=at, actor=collected.actor, action="read-own-documents", detail={"grouped": "hour"})
    else:
        group = None
        event = LogEvent(at=at, actor=collected.actor, action="query-documents", count=len(collected.graphs))
    with host.storage.write() as tx:
        append_to_log(tx, pod.pod_id, event, random=secrets.token_bytes)
    if group is not None:
        read_groups.note(*group)
