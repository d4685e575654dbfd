"""Web Access Control (https://solidproject.org/TR/wac): who may do what with a resource, as a pure decision.

The effective rules of a resource are those of its own ACL, or else the `acl:default` rules of the nearest container
above it that has an ACL (section 3). Agents are named one by one, by class or by group. Nothing is fetched while
deciding: reading ACL documents and groups is the caller's work. `read_rules` is given the path of an ACL document and
answers its authorizations, `read_group` the IRI of a group's document and answers its graph; each None where there is
none to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from pyoxigraph import BlankNode, NamedNode, Triple

from pod_server.spelling import respelled_iri

if TYPE_CHECKING:
    from pod_server.identifiers import WebId

ACL_SUFFIX = ".acl"
DESCRIPTION_SUFFIX = ".meta"

_ACL = "http://www.w3.org/ns/auth/acl#"
_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
_AUTHORIZATION = _ACL + "Authorization"
_EVERYONE = "http://xmlns.com/foaf/0.1/Agent"
_AUTHENTICATED = _ACL + "AuthenticatedAgent"
_HAS_MEMBER = NamedNode("http://www.w3.org/2006/vcard/ns#hasMember")


class AccessMode(StrEnum):
    """The four modes of section 4.2; Write includes Append."""

    READ = "read"
    APPEND = "append"
    WRITE = "write"
    CONTROL = "control"


class Graph(Protocol):
    """A graph, as far as this module needs one."""

    @property
    def triples(self) -> tuple[Triple, ...]:
        """Each triple once."""
        ...


@dataclass(frozen=True)
class Authorization:
    """One authorization of an ACL document (section 4), in the form in which it is asked.

    Attributes:
        over: (`accessTo` or `default`, IRI of the resource).
        modes: What it gives.
        agents: WebIDs named one by one.
        everyone: Whether it is for everybody (`foaf:Agent`).
        authenticated: Whether it is for everybody who has signed in.
        groups: IRIs of groups.
        origins: Where it names any, a page must come from one of them.
    """

    over: frozenset[tuple[str, str]]
    modes: frozenset[AccessMode]
    agents: frozenset[str]
    everyone: bool
    authenticated: bool
    groups: tuple[str, ...]
    origins: frozenset[str]


def authorizations(graph: Graph) -> tuple[Authorization, ...]:
    """The authorizations of an ACL document; what else it says gives nobody anything."""
    by_subject: dict[NamedNode | BlankNode, list[tuple[str, str]]] = {}
    for triple in graph.triples:
        if isinstance(triple.subject, NamedNode | BlankNode) and isinstance(triple.object, NamedNode):
            by_subject.setdefault(triple.subject, []).append((triple.predicate.value, triple.object.value))
    return tuple(_authorization(said) for said in by_subject.values() if (_TYPE, _AUTHORIZATION) in said)


def _authorization(said: list[tuple[str, str]]) -> Authorization:
    named: dict[str, list[str]] = {}
    for predicate, value in said:
        named.setdefault(predicate, []).append(value)
    classes, modes = named.get(_ACL + "agentClass", []), named.get(_ACL + "mode", [])
    return Authorization(
        over=frozenset(
            (relation, respelled_iri(iri))
            for relation in ("accessTo", "default")
            for iri in named.get(_ACL + relation, [])
        ),
        modes=frozenset(mode for mode in AccessMode if _ACL + mode.value.capitalize() in modes),
        agents=frozenset(named.get(_ACL + "agent", [])),
        everyone=_EVERYONE in classes,
        authenticated=_AUTHENTICATED in classes,
        groups=tuple(named.get(_ACL + "agentGroup", [])),
        origins=frozenset(named.get(_ACL + "origin", [])),
    )


ReadRules = Callable[[str], Sequence[Authorization] | None]
ReadGroup = Callable[[str], Graph | None]


def no_groups(_document_iri: str) -> None:
    """Reads no group: whoever decides with this lets groups give nobody anything."""


@dataclass(frozen=True)
class Asker:
    """Who asks, as far as the rules look.

    Attributes:
        webid: The person; None for an unauthenticated agent.
        origin: The request's `Origin`; None where it has none, and so comes from no other site's page. The empty
            string stands for any site at all, and no rule that names origins holds for it.
    """

    webid: WebId | None
    origin: str | None = None


EVERYONE = Asker(None, "")
"""Whoever asks, from wherever: only rules that hold for all of them count."""


@dataclass(frozen=True)
class Need:
    """One mode that an operation needs on one resource; `path` is relative to the pod's root."""

    path: str
    mode: AccessMode


@dataclass(frozen=True)
class Access:
    """What was decided.

    Attributes:
        user: The modes that the asking agent has on the first need's resource (for `WAC-Allow`).
        public: The modes that everyone has there.
        missing: The needs that are not met; empty means the operation is allowed.
    """

    user: frozenset[AccessMode]
    public: frozenset[AccessMode]
    missing: tuple[Need, ...]


def is_acl(path: str) -> bool:
    """True for the path of an access control document."""
    return path.rpartition("/")[2].endswith(ACL_SUFFIX)


def is_description(path: str) -> bool:
    """True for the path of a description resource (Solid Protocol, section 4.3.2)."""
    return path.rpartition("/")[2].endswith(DESCRIPTION_SUFFIX)


def is_auxiliary(path: str) -> bool:
    """True for what belongs to another resource, its subject, and goes with it (Solid Protocol, section 4.3)."""
    return is_acl(path) or is_description(path)


def subject_of(auxiliary_path: str) -> str:
    """The path of an auxiliary resource's subject."""
    return auxiliary_path.removesuffix(ACL_SUFFIX if is_acl(auxiliary_path) else DESCRIPTION_SUFFIX)


def container_of(path: str) -> str | None:
    """The path of the container that holds a resource; None for the root."""
    if not path:
        return None
    return path.rstrip("/").rpartition("/")[0] + "/" if "/" in path.rstrip("/") else ""


def decide(
    needs: Sequence[Need],
    *,
    asker: Asker,
    owner: WebId,
    root_iri: str,
    read_rules: ReadRules,
    read_group: ReadGroup = no_groups,
) -> Access:
    """Decide whether an agent may do something that needs these modes.

    Args:
        needs: At least one. Needs on an ACL document are read as Control of what it rules over (section 5.1), needs
            on a description as the same needs on what it describes; and the owner always keeps Control, so that
            nobody locks himself out of his own pod.
        asker: Who asks.
        owner: The pod's owner.
        root_iri: Where the pod is reached, with its last slash.
        read_rules: Gives the authorizations of an ACL document.
        read_group: Gives the graph of a group's document.
    """
    found: dict[tuple[str, Asker], frozenset[AccessMode]] = {}
    rules = _Rules(owner, root_iri, read_rules, read_group)

    def modes_on(path: str, who: Asker) -> frozenset[AccessMode]:
        if (path, who) not in found:
            found[path, who] = rules.modes(path, who)
        return found[path, who]

    missing = tuple(need for need in needs if need.mode not in modes_on(need.path, asker))
    first = needs[0].path
    return Access(user=modes_on(first, asker), public=modes_on(first, EVERYONE), missing=missing)


@dataclass(frozen=True)
class _Rules:
    """One pod's rules."""

    owner: WebId
    root_iri: str
    read_rules: ReadRules
    read_group: ReadGroup

    def modes(self, path: str, who: Asker) -> frozenset[AccessMode]:
        if is_acl(path):
            controls = AccessMode.CONTROL in self.modes(subject_of(path), who)
            return frozenset(AccessMode) if controls else frozenset()
        if is_description(path):
            return self.modes(subject_of(path), who)
        granted = self._granted(path, who)
        if who.webid == self.owner:
            granted |= {AccessMode.CONTROL}
        if AccessMode.WRITE in granted:
            granted |= {AccessMode.APPEND}
        return frozenset(granted)

    def _granted(self, path: str, who: Asker) -> set[AccessMode]:
        """The modes in the effective ACL; nothing where no ACL is found, down to the root."""
        place: str | None = path
        while place is not None:
            rules = self.read_rules(place + ACL_SUFFIX)
            if rules is not None:
                return self._given(rules, ("accessTo" if place == path else "default", self.root_iri + place), who)
            place = container_of(place)
        return set()

    def _given(self, rules: Sequence[Authorization], rules_over: tuple[str, str], who: Asker) -> set[AccessMode]:
        """The modes that authorizations with this relation to this resource give the agent."""
        granted: set[AccessMode] = set()
        for one in rules:
            new = rules_over in one.over and not one.modes <= granted
            if new and _comes_from(one, who) and self._names(one, who):
                granted |= one.modes
        return granted

    def _names(self, one: Authorization, who: Asker) -> bool:
        """True when an authorization is for this agent (section 4.1); groups are read only where nothing else does."""
        if one.everyone:
            return True
        if who.webid is None:
            return False
        if one.authenticated or who.webid in one.agents:
            return True
        return any(self._has_member(group, who.webid) for group in one.groups)

    def _has_member(self, group: str, webid: WebId) -> bool:
        document = self.read_group(group.partition("#")[0])
        return document is not None and Triple(NamedNode(group), _HAS_MEMBER, NamedNode(webid)) in document.triples


def _comes_from(one: Authorization, who: Asker) -> bool:
    """True unless an authorization names origins and the request comes from a page of another one."""
    return not one.origins or who.origin is None or bool({who.origin, who.origin + "/"} & one.origins)
