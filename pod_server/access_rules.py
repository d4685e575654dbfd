"""The access rules of one pod as they stand in a transaction: ACL documents, and the groups that they name.

A group is a vCard group in a document on this host: in the same pod, where the owner may read it, or in another pod,
where everyone may. Documents of other hosts are not fetched while deciding, so their groups give nobody anything
(Web Access Control, section 4.1, leaves it to the server which groups it reads).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pod_server import documents
from pod_server.authorization.enforcement import require_public, require_wac, webid_of
from pod_server.authorization.errors import AuthorizationError
from pod_server.authorization.wac import EVERYONE, AccessMode, Need, authorizations, decide
from pod_server.errors import NoSuchPod
from pod_server.identifiers import HANDLE_PATTERN
from pod_server.opening import OpenPod, find_pod, open_pod
from pod_server.representation import negotiation, stored
from pod_server.resources.errors import PathNotAllowed
from pod_server.resources.path import canonical_path

if TYPE_CHECKING:
    from pod_server.authorization.enforcement import Agent
    from pod_server.authorization.permit import Permit
    from pod_server.authorization.wac import Access, Authorization
    from pod_server.host import Host
    from pod_server.identifiers import WebId
    from pod_server.representation.graph import Graph
    from pod_server.storage.ports import Transaction


@dataclass(frozen=True)
class _OwnerForGroups:
    """The owner, as far as the owner's rules may look at groups in the owner's pod."""

    webid: WebId
    client_id: str = "access-rules"
    origin: str | None = None


@dataclass
class AccessRules:
    """Reads access rules in one transaction.

    Attributes:
        host: This host.
        tx: The transaction.
        for_deciding: The pod, opened under a Permit that reads access rules (or more).
        remember: Read each ACL document and group once only; for a transaction that changes none of them.
    """

    host: Host
    tx: Transaction
    for_deciding: OpenPod
    remember: bool = False
    _rules: dict[str, tuple[Authorization, ...] | None] = field(default_factory=dict)
    _groups: dict[str, Graph | None] = field(default_factory=dict)

    @property
    def root_iri(self) -> str:
        """Where the pod is reached."""
        return self.for_deciding.pod.root(self.host.base_url)

    @property
    def owner(self) -> WebId:
        """Whose pod it is."""
        return self.for_deciding.pod.webid(self.host.base_url)

    def require(self, agent: Agent, *needs: Need) -> tuple[Permit, Access]:
        """Leave under these rules; see `enforcement.require_wac` for what it raises."""
        return require_wac(
            self.host,
            agent=agent,
            pod=self.for_deciding.pod,
            needs=needs,
            read_rules=lambda _permit, acl_path: self.read(acl_path),
            read_group=self.read_group,
            in_public_scope=self._lies_in_public,
        )

    def _lies_in_public(self, path: str) -> bool:
        """False for what the rules opened to everyone and settling.py has not moved yet."""
        known = documents.exists(self.tx, self.for_deciding, path)
        return not known or documents.lies_in_public(self.tx, self.for_deciding, path)

    def is_public(self, path: str) -> bool:
        """Whether everyone may read a path."""
        access = decide(
            [Need(path, AccessMode.READ)],
            asker=EVERYONE,
            owner=self.owner,
            root_iri=self.root_iri,
            read_rules=self.read,
        )
        return AccessMode.READ in access.public

    def read(self, acl_path: str) -> tuple[Authorization, ...] | None:
        """The authorizations of an ACL document, or None where there is none."""
        if acl_path not in self._rules or not self.remember:
            self._rules[acl_path] = documents.recall(
                self.tx, self.for_deciding, acl_path, f"rules of {self.root_iri}", self._authorizations
            )
        return self._rules[acl_path]

    def _authorizations(self, document: documents.Document) -> tuple[tuple[Authorization, ...], int]:
        return authorizations(stored.read(document.content, self.root_iri)), len(document.content)

    def read_group(self, document_iri: str) -> Graph | None:
        """The graph of a group's document, or None where it is none of this host's or may not be read."""
        if document_iri not in self._groups or not self.remember:
            self._groups[document_iri] = self._find_group(document_iri)
        return self._groups[document_iri]

    def _find_group(self, document_iri: str) -> Graph | None:
        base = f"{self.host.base_url}/"
        handle, slash, rest = document_iri.removeprefix(base).partition("/")
        if not document_iri.startswith(base) or not slash or not HANDLE_PATTERN.match(handle):
            return None
        try:
            path = canonical_path(unquote(rest, errors="strict"))
            group_pod = self._open_for_group(handle, path)
            found = documents.get(self.tx, group_pod, path)
        except (AuthorizationError, NoSuchPod, PathNotAllowed, UnicodeDecodeError):
            return None
        if found is None or not negotiation.is_rdf(found.media_type):
            return None
        return stored.read(found.content, group_pod.pod.root(self.host.base_url))

    def _open_for_group(self, handle: str, path: str) -> OpenPod:
        if handle != self.for_deciding.pod.handle:
            # Everyone may read what lies in the public scope; it opens also while that pod is locked.
            return open_pod(self.host, require_public(find_pod(self.tx, handle)))
        pod = self.for_deciding.pod
        permit, _ = require_wac(
            self.host,
            agent=_OwnerForGroups(webid_of(self.host, pod.handle)),
            pod=pod,
            needs=[Need(path, AccessMode.READ)],
            read_rules=lambda _permit, acl_path: self.read(acl_path),
        )
        return OpenPod(pod, permit, self.for_deciding.vault)
