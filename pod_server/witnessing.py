"""Having the logs witnessed: each log's checkpoint goes to each witness, and what they cosign is kept.

A witness is told the log's random name, its size and its root; no citizen, no event. One that refuses because it has
seen another history is written down, so that the doctor and the citizen hear of it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import structlog

from pod_server.clock import microseconds
from pod_server.identifiers import PodId
from pod_server.log import ledger
from pod_server.log.checkpoint import COSIGNATURE, Checkpoint, VerifierKey, verifier_key
from pod_server.log.cosignature import verify_cosignatures
from pod_server.log.errors import LogBroken, LogError
from pod_server.log.tree import consistency_proof
from pod_server.log.witness import Request
from pod_server.outbound import OutboundError

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.outbound import Response
    from pod_server.storage.ports import Transaction

WITNESSED_EVERY = timedelta(days=1)
"""Oftener would tell a witness at which hours something happens in a log."""

_LOGS_AT_ONCE = 500
_CONFLICT = 409
_log = structlog.get_logger("tvilling.witnessing")


class Sent(NamedTuple):
    """What a round of witnessing did.

    Attributes:
        cosigned: How many cosignatures came.
        refused: How many logs were refused for what the witness had seen.
        failed: How many requests were not answered.
    """

    cosigned: int
    refused: int
    failed: int


def parse_witness(text: str) -> tuple[str, VerifierKey]:
    """A witness as the operator names it: its address, a space, its key.

    Raises:
        ValueError: it is not that.
    """
    url, _, key = text.strip().partition(" ")
    if not url.startswith(("https://", "http://")):
        raise ValueError("a witness is named by its address, a space and its key: 'https://… name+…+…'")
    try:
        parsed = VerifierKey.decode(key.strip())
    except LogBroken as error:
        raise ValueError(f"the witness's key is none: {error}") from error
    if parsed.kind != COSIGNATURE:
        raise ValueError("the key is a log's, not a witness's")
    return url.rstrip("/"), parsed


def logs_key(host: Host) -> VerifierKey:
    """What a witness is given to know every log of this host by."""
    return verifier_key(ledger.origins_of(host), ledger.log_signer(host))


def have_witnessed(host: Host, *, at_once: bool = False) -> Sent:
    """Send each log that has grown to each witness, at most once a day; one round of at most 500 logs a witness.

    Args:
        host: The host.
        at_once: Also those that were sent less than a day ago.
    """
    counts = [0, 0, 0]
    before = microseconds(host.clock.protocol_now() - (timedelta(0) if at_once else WITNESSED_EVERY))
    for url, key in host.witnesses:
        with host.storage.read() as tx:
            waiting = tx.all(
                "SELECT log_tree.pod_id FROM log_tree LEFT JOIN log_cosignature "
                "ON log_cosignature.pod_id = log_tree.pod_id AND log_cosignature.witness = ? "
                "WHERE log_cosignature.size IS NULL OR (log_cosignature.asked_at <= ? "
                "AND (log_cosignature.size <> log_tree.size OR log_cosignature.refused <> '')) "
                "ORDER BY log_tree.pod_id LIMIT ?",
                (key.name, before, _LOGS_AT_ONCE),
            )
        for (pod_id,) in waiting:
            try:
                done = _submit(host, url, key, PodId(pod_id))
            except OutboundError as error:
                counts[2] += 1
                _log.warning("witness.unreachable", witness=key.name, problem=type(error).__name__)
                break  # it is away; the next round tries again
            except LogError as error:
                # The log itself is broken, or the witness's answer is; the doctor names the first.
                counts[2] += 1
                _log.warning("witness.not_cosigned", witness=key.name, reason=str(error))
            else:
                counts[0 if done else 1] += 1
    return Sent(*counts)


def refusals(tx: Transaction) -> list[tuple[PodId, str, str, int]]:
    """Every log that a witness refuses: whose, which witness, why, and how many entries it has seen."""
    rows = tx.all("SELECT pod_id, witness, refused, refused_size FROM log_cosignature WHERE refused <> '' LIMIT 1000")
    return [(PodId(pod_id), witness, refused, size) for pod_id, witness, refused, size in rows]


def _submit(host: Host, url: str, key: VerifierKey, pod_id: PodId) -> bool:
    """Have one log cosigned by one witness; False where it refuses.

    Raises:
        OutboundError: the witness did not answer.
        LogBroken: it answered what is no cosignature, or the log is damaged.
    """
    with host.storage.read() as tx:
        tree = ledger.load_tree(tx, pod_id)
        leaves = ledger.leaf_hashes(tx, pod_id)
        row = tx.one("SELECT size FROM log_cosignature WHERE pod_id = ? AND witness = ?", (pod_id, key.name))
    checkpoint = Checkpoint(ledger.origin_of(host, tree), tree.frontier.size, tree.frontier.root())
    known = 0 if row is None else int(row[0])
    answer = _ask(host, url, checkpoint, leaves, min(known, checkpoint.size))
    if answer.status == _CONFLICT:
        told = _told_size(answer)
        if told is None:
            raise LogBroken("The witness's answer is no size.")
        if told > checkpoint.size:
            return _note_refusal(host, key, pod_id, "shorter", told)
        # It has cosigned more, or less, than is written here: this host was restored, or the answer was lost.
        answer = _ask(host, url, checkpoint, leaves, told)
        if answer.status in {_CONFLICT, 422}:
            return _note_refusal(host, key, pod_id, "other", told)
    if answer.status == 422:
        return _note_refusal(host, key, pod_id, "other", known)
    if answer.status == 403 and _tell_of_new_keys(host, url):
        answer = _ask(host, url, checkpoint, leaves, min(known, checkpoint.size))
        if answer.status == _CONFLICT and (told := _told_size(answer)) is not None and told <= checkpoint.size:
            answer = _ask(host, url, checkpoint, leaves, told)
    if answer.status in {403, 404}:
        raise LogBroken("The witness does not know this host's logs: it is to be given what tvilling log key prints.")
    if answer.status != 200:
        raise LogBroken(f"The witness answered {answer.status}.")
    own = ledger.own_note(host, checkpoint)
    try:
        lines = answer.body.decode()
        (cosigned,) = verify_cosignatures(own + lines, [key])[:1] or (None,)
    except UnicodeDecodeError:
        cosigned = None
    if cosigned is None:
        raise LogBroken("The witness's answer holds no cosignature of its key.")
    line = next(each for each in lines.splitlines() if each.startswith(f"— {key.name} ")) + "\n"
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO log_cosignature "
            "(pod_id, witness, size, root, cosigned_at, line, asked_at, refused, refused_size) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, '', 0) ON CONFLICT (pod_id, witness) DO UPDATE SET size = excluded.size, "
            "root = excluded.root, cosigned_at = excluded.cosigned_at, line = excluded.line, "
            "asked_at = excluded.asked_at, refused = '', refused_size = 0",
            (pod_id, key.name, checkpoint.size, checkpoint.root, cosigned.at * 1_000_000, line, _now(host)),
        )
    return True


def _tell_of_new_keys(host: Host, url: str) -> bool:
    """Give a witness that does not know the key the chain of hand-overs; True if it followed.

    Raises:
        OutboundError: the witness did not answer.
    """
    notes = ledger.hand_overs(host)
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return bool(notes) and all(
        host.outbound.post(f"{url}/hand-over", note.encode(), headers).status == 200 for note in notes
    )


def _ask(host: Host, url: str, checkpoint: Checkpoint, leaves: list[bytes], old_size: int) -> Response:
    proof = consistency_proof(leaves[: checkpoint.size], old_size) if old_size else []
    request = Request(old_size, tuple(proof), ledger.own_note(host, checkpoint))
    return host.outbound.post(f"{url}/add-checkpoint", request.encoded(), {"Content-Type": "text/plain; charset=utf-8"})


def _now(host: Host) -> int:
    return microseconds(host.clock.protocol_now())


def _told_size(answer: Response) -> int | None:
    text = answer.body.decode("ascii", "replace").removesuffix("\n")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _note_refusal(host: Host, key: VerifierKey, pod_id: PodId, why: str, size: int) -> bool:
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO log_cosignature "
            "(pod_id, witness, size, root, cosigned_at, line, asked_at, refused, refused_size) "
            "VALUES (?, ?, 0, ?, 0, '', ?, ?, ?) ON CONFLICT (pod_id, witness) DO UPDATE SET "
            "asked_at = excluded.asked_at, refused = excluded.refused, refused_size = excluded.refused_size",
            (pod_id, key.name, b"", _now(host), why, size),
        )
    return False
