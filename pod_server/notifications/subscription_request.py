"""A request for a channel as it is sent: JSON-LD with a type, a topic and, for webhooks, an address (section 4.2.2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from werkzeug.http import parse_options_header

from pod_server.notifications.errors import SubscriptionMalformed, SubscriptionNotProcessable
from pod_server.representation.errors import UnsupportedMediaType
from pod_server.resources.errors import PathNotAllowed
from pod_server.resources.operations import is_virtual
from pod_server.resources.path import canonical_path, check_raw_target

if TYPE_CHECKING:
    from flask import Request

NOTIFY = "http://www.w3.org/ns/solid/notifications#"
CONTEXT = "https://www.w3.org/ns/solid/notification/v1"
ACTIVITY_STREAMS = "https://www.w3.org/ns/activitystreams"

_KNOWN_CONTEXTS = frozenset(
    {
        CONTEXT,
        # The Protocol's version of 2024-05-12 writes the name so in its examples.
        "https://www.w3.org/ns/solid/notifications-context/v1",
        ACTIVITY_STREAMS,
    }
)
_MEDIA_TYPES = ("application/ld+json", "application/json")
_PROFILES = _KNOWN_CONTEXTS | {"http://www.w3.org/ns/json-ld#compacted"}
_LONGEST_ADDRESS = 2000


def read_request(request: Request, name: str) -> dict[str, Any]:
    """The members of a request for a channel of one type; `topic` is there, as a text.

    Raises:
        UnsupportedMediaType: not JSON-LD, or of a profile that is not known here.
        SubscriptionMalformed: not one JSON object.
        SubscriptionNotProcessable: another type, no topic, or a context that is not known here.
    """
    media_type, options = parse_options_header(request.headers.get("Content-Type"))
    if media_type.lower() not in _MEDIA_TYPES:
        raise UnsupportedMediaType("a subscription is asked for in JSON-LD", accepted=_MEDIA_TYPES)
    if not set(options.get("profile", "").split()) <= _PROFILES:
        raise UnsupportedMediaType("this profile of JSON-LD is not known here", accepted=_MEDIA_TYPES)
    try:
        asked = json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise SubscriptionMalformed("The body is not JSON.") from None
    if not isinstance(asked, dict):
        raise SubscriptionMalformed("The body is not one JSON object.")
    contexts = asked.get("@context", [])
    for context in contexts if isinstance(contexts, list) else [contexts]:
        if context not in list(_KNOWN_CONTEXTS):
            raise SubscriptionNotProcessable(f"The one context that is needed is {CONTEXT}; others are not known here.")
    type_ = _one(asked.get("type", asked.get("@type")))
    if type_ not in {name, NOTIFY + name, "notify:" + name}:
        raise SubscriptionNotProcessable(f"The type of a channel asked for here is {name}.")
    return {**asked, "topic": _iri(asked.get("topic"), "topic: the IRI of one resource")}


def path_of(topic: str, root_iri: str) -> str:
    """A topic's path in the pod.

    Raises:
        SubscriptionNotProcessable: it is no resource of this pod that could change.
    """
    wrong = SubscriptionNotProcessable("The topic is no resource of this pod.")
    if not topic.startswith(root_iri) or "?" in topic or "#" in topic:
        raise wrong
    raw = topic.removeprefix(root_iri)
    try:
        check_raw_target(raw)
        path = canonical_path(unquote(raw, errors="strict"))
    except (PathNotAllowed, UnicodeDecodeError):
        raise wrong from None
    if is_virtual(path):
        raise SubscriptionNotProcessable("What the server makes itself sends no notifications.")
    return path


def send_to_of(asked: dict[str, Any]) -> str:
    """Where a webhook's notifications are to go.

    Raises:
        SubscriptionNotProcessable: it is not named.
    """
    return _iri(asked.get("sendTo"), "sendTo: the https address that takes notifications")


def _iri(value: object, what: str) -> str:
    named = _one(value)
    if isinstance(named, dict):
        named = named.get("id", named.get("@id"))
    if not isinstance(named, str) or not 0 < len(named) <= _LONGEST_ADDRESS:
        raise SubscriptionNotProcessable(f"There is no {what}.")
    return named


def _one(value: object) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
