"""A partner's answer to a citizen who says that a record is wrong: it is right as it is, and why (GDPR Art. 12(4), 16).

The reason is a code of a closed list, shown to the citizen in their language: no free text of a partner's enters a pod here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

import partner_bridge.errors  # noqa: F401 - declares the problems
from partner_bridge.errors import BodyUnreadable
from pod_server import rectifications
from pod_server.authorization.enforcement import require_grant
from pod_server.opening import open_pod

if TYPE_CHECKING:
    from pod_server.authorization.enforcement import Client
    from pod_server.host import Host


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    because: rectifications.RightBecause


def answer_right(host: Host, partner: Client, grant_id: str, rectification_id: str, body: bytes) -> dict[str, str]:
    """Take the answer; what stands then.

    Args:
        host: This host.
        partner: Who answers, already authenticated.
        grant_id: The grant as the partner was told it.
        rectification_id: Likewise.
        body: JSON, `{"because": "checked" | "agreed" | "customers-own"}`.

    Raises:
        BodyUnreadable: the body is no answer.
        GrantRefused: the grant does not let its partner deliver now, or is none of its own.
        NoSuchActivity: the partner was told of no such matter under it.
        PodLocked: the citizen has locked the pod.
    """
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError as error:
        raise BodyUnreadable(str(error)) from error
    permit = require_grant(host, partner, grant_id, (), "append", host.clock.now())
    said = rectifications.answer_right(host, open_pod(host, permit), rectification_id, answer.because)
    return {"rectification": said.rectification_id, "state": said.state, "because": said.right_because}
