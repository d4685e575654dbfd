"""What a request to a pod is known to ask first, asked in one round trip: the pod, the documents, the heads of log and feed.

Where statements wait for a server, three questions one after the other are three waits. Which rows they will be about
follows from the pod's number and keys, and a process that met the pod before can guess those; the questions then travel
together. An answer is used only where the very same question is asked afterwards, in the same transaction: a wrong guess
costs a wait and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server import documents, feed, opening, quota
from pod_server.log import ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction


def ask_ahead(
    host: Host,
    tx: Transaction,
    handle: str,
    paths: Iterable[str] = (),
    *,
    body_of: str | None = None,
    writing: bool = False,
) -> None:
    """Ask for what `find_pod`, `documents.look_up` and those who write will ask; nothing on an engine without waits.

    Args:
        host: The host.
        tx: At its beginning.
        handle: Of the pod, as it stands in the request.
        paths: What will be looked up.
        body_of: What will be got without having been looked up.
        writing: Whether a change and its log entry follow.
    """
    if host.storage.is_embedded:
        return
    question = opening.handle_question(handle)
    met = opening.met_lately(host, handle)
    if question is None or met is None:
        return
    vault, own_scopes = met
    questions = [question]
    names = list(paths)
    if names:
        questions.append(documents.look_up_question(vault, own_scopes, names))
    if body_of is not None:
        questions.append(documents.body_question(vault, own_scopes, body_of))
    if writing:
        questions += [
            ledger.tree_question(vault.pod_id),
            feed.head_question(vault.pod_id),
            *quota.use_questions(vault.pod_id),
        ]
    tx.foresee(questions)
