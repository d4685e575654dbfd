"""What everyone may know without any key: of a pod (Solid Protocol, section 4.1) and of the host it lies on."""

from __future__ import annotations

from pyoxigraph import NamedNode, Triple

from pod_server.representation.graph import Graph

DESCRIPTION_PATH = ".well-known/solid"

_TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
_PIM = "http://www.w3.org/ns/pim/space#"
_SOLID = "http://www.w3.org/ns/solid/terms#"


def describe(root_iri: str, owner: str, issuer: str) -> Graph:
    """The description of one pod: that it is a storage, whose, and which issuer signs its owner in."""
    root = NamedNode(root_iri)
    return Graph.of(
        [
            Triple(root, _TYPE, NamedNode(_PIM + "Storage")),
            Triple(root, NamedNode(_SOLID + "owner"), NamedNode(owner)),
            Triple(NamedNode(root_iri + DESCRIPTION_PATH), NamedNode(_SOLID + "oidcIssuer"), NamedNode(issuer)),
        ],
        {"pim": _PIM, "solid": _SOLID},
    )


_CONFORMS_TO = NamedNode("http://purl.org/dc/terms/conformsTo")
_SPECIFICATIONS = (
    "https://solidproject.org/TR/protocol",
    "https://solidproject.org/TR/notifications-protocol",
    "https://solidproject.org/TR/wac",
    "https://solidproject.org/TR/oidc",
)


def describe_host(base_url: str) -> Graph:
    """The description of the host: its issuer, what its pods conform to, and who sends its webhooks' notifications."""
    host = NamedNode(f"{base_url}/")
    sender = NamedNode(f"{base_url}/{DESCRIPTION_PATH}#notifications")
    return Graph.of(
        [
            Triple(sender, _TYPE, NamedNode("https://www.w3.org/ns/activitystreams#Service")),
            Triple(sender, NamedNode(_SOLID + "oidcIssuer"), NamedNode(base_url)),
            Triple(host, NamedNode(_SOLID + "oidcIssuer"), NamedNode(base_url)),
            *(Triple(host, _CONFORMS_TO, NamedNode(one)) for one in _SPECIFICATIONS),
        ],
        {"dcterms": "http://purl.org/dc/terms/", "solid": _SOLID},
    )
