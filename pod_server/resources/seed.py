"""What a new pod contains: the card that names its owner, who may do what, and the first containers.

Every IRI inside is relative to the pod's root, so that the pod can move to another host (representation/stored.py
says what the stored form is). The profile card carries what the Solid WebID Profile asks for (sections 3 and 4):
the storage, and the issuer that may sign in for the WebID.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyoxigraph import Literal, NamedNode

CARD_PATH = "profile/card"
WEBID_FRAGMENT = "#me"

TURTLE = "text/turtle"


@dataclass(frozen=True)
class SeedDocument:
    """One document or container of a new pod.

    Attributes:
        path: Relative to the pod's root; containers end in `/`, the root container is the empty string.
        media_type: `text/turtle` for all RDF; the stored form is Turtle with IRIs relative to the pod's root.
        content: The bytes to seal; empty for a container without statements of its own.
        public: True where the pod's own access rules let everyone read it: it is then sealed under the public scope,
            so that it can be served while the pod is locked.
    """

    path: str
    media_type: str
    content: bytes
    public: bool

    @property
    def is_container(self) -> bool:
        """True for containers, whose path is empty or ends in a slash."""
        return self.path == "" or self.path.endswith("/")


def seed_documents(*, name: str, issuer: str) -> list[SeedDocument]:
    """The documents of a new pod, parents before their members.

    Args:
        name: The name that the citizen's card shows to everyone.
        issuer: The issuer that may sign in for the WebID, exactly as tokens will name it in `iss`.
    """
    return [
        SeedDocument("", TURTLE, b"", public=False),
        SeedDocument(".acl", TURTLE, _owner_rules("", container=True), public=False),
        SeedDocument("profile/", TURTLE, b"", public=False),
        SeedDocument(CARD_PATH, TURTLE, _card(name, issuer), public=True),
        SeedDocument(f"{CARD_PATH}.acl", TURTLE, _open_to_readers(CARD_PATH, container=False), public=False),
        SeedDocument("public/", TURTLE, b"", public=True),
        SeedDocument("public/.acl", TURTLE, _open_to_readers("public/", container=True), public=False),
        SeedDocument("private/", TURTLE, b"", public=False),
    ]


def _card(name: str, issuer: str) -> bytes:
    return f"""\
@prefix foaf: <http://xmlns.com/foaf/0.1/> .
@prefix pim: <http://www.w3.org/ns/pim/space#> .
@prefix solid: <http://www.w3.org/ns/solid/terms#> .
<{CARD_PATH}> a foaf:PersonalProfileDocument ;
    foaf:maker <{CARD_PATH}{WEBID_FRAGMENT}> ;
    foaf:primaryTopic <{CARD_PATH}{WEBID_FRAGMENT}> .
<{CARD_PATH}{WEBID_FRAGMENT}> a foaf:Person ;
    foaf:name {Literal(name)} ;
    solid:oidcIssuer {NamedNode(issuer)} ;
    pim:storage <> .
""".encode()


def _owner_rules(path: str, *, container: bool) -> bytes:
    """The owner may do everything (Web Access Control, section 4)."""
    default = f" acl:default <{path}> ;" if container else ""
    return f"""\
@prefix acl: <http://www.w3.org/ns/auth/acl#> .
<{path}.acl#owner> a acl:Authorization ;
    acl:agent <{CARD_PATH}{WEBID_FRAGMENT}> ;
    acl:accessTo <{path}> ;{default}
    acl:mode acl:Read, acl:Write, acl:Control .
""".encode()


def _open_to_readers(path: str, *, container: bool) -> bytes:
    """The owner may do everything, everyone may read."""
    default = f" acl:default <{path}> ;" if container else ""
    everyone = f"""\
@prefix foaf: <http://xmlns.com/foaf/0.1/> .
<{path}.acl#public> a acl:Authorization ;
    acl:agentClass foaf:Agent ;
    acl:accessTo <{path}> ;{default}
    acl:mode acl:Read .
""".encode()
    return _owner_rules(path, container=container) + everyone
