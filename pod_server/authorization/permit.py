"""The Permit: the proof that somebody may do something in one pod. Only enforcement.py makes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from consent.decision import Refused, decide_record

if TYPE_CHECKING:
    from datetime import datetime

    from consent.grant import GrantTerms
    from pod_server.identifiers import Actor, GrantId, PodId, WebId

Authority = Literal["owner", "app", "script", "grant", "mandate", "release", "public", "rules"]


@dataclass(frozen=True)
class Permit:
    """Leave to act in one pod, from exactly one authority.

    Attributes:
        authority: On whose word: the owner (a page's session, a command with the citizen's passphrase), an app or
            script under the pod's access rules, a partner's grant, the twin's mandate, a research release, everybody
            (public documents only), or `rules` (reading the access rules themselves in order to decide).
        pod_id: The one pod.
        actor: Who acts, as the log will tell it.
        operations: Of `read`, `append`, `write`, `control`; for a mandate the act's own name.
        purpose: A slug of vocab/purposes.ttl, or empty for the owner's own doings.
        kinds: The kinds of activity under a grant; None where it makes no difference.
        grant: The grant's id, under the authorities `grant` and `release`.
        epoch: Which of the grant's keys is in force.
        state_version: The version of the grant's state that was decided on; storage reads it again when writing.
        terms: The grant's terms, for the decision about each record.
        webid: The person, under `owner`, `app` and `script`.
        scope: The paths below which it holds, under the access rules; None for the whole pod.
        accepted_at: When a delivery was acknowledged that waited for a locked pod: the grant held then, and only an
            erasure since stands against it. None for everything that is decided now.
        delivered_by: The integrator who delivers for the grant's holder; empty where the holder came itself.
    """

    authority: Authority
    pod_id: PodId
    actor: Actor
    operations: frozenset[str]
    purpose: str = ""
    kinds: frozenset[str] | None = None
    grant: GrantId | None = None
    epoch: int = 0
    state_version: int = 0
    terms: GrantTerms | None = None
    webid: WebId | None = None
    scope: tuple[str, ...] | None = None
    accepted_at: datetime | None = None
    delivered_by: str = ""

    @property
    def reads_as_owner(self) -> bool:
        """Whether all of a pod's activities, and what their owner said of them, may be read.

        By the owner, or a program of theirs that may change the access rules there.
        """
        return self.authority == "owner" or (self.authority in {"app", "script"} and self.allows("control"))

    def refusal_for(self, kind: str, start: datetime, end: datetime, at: datetime) -> Refused | None:
        """Whether the grant's terms refuse one record (kind, window, granularity, future); None when they do not.

        Pure and cheap: no database. The state and the quota are read again in the writing transaction.
        """
        if self.terms is None:
            return None
        return decide_record(self.terms, kind, start, end, at)

    def allows(self, operation: str) -> bool:
        """Whether the operation is among those permitted."""
        return operation in self.operations
