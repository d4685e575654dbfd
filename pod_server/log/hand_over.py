"""How one key of a host's logs hands over to the next: a note that both sign, and a leaf in each log.

    tvilling log key hand-over v1
    <what the names of the host's logs begin with>
    <number of the new key>
    <old public key, base64>
    <new public key, base64>
    <when, ISO 8601>
                                                       an empty line, then two signature lines (c2sp.org/signed-note): by
                                                       the old key, which says who comes next, and by the new one, which
                                                       says whom it follows

Whoever knows one key of such a chain knows all of it: forwards to the key that signs now, backwards to those under old
checkpoints. The leaf `log-key-changed` binds it to a place in each log: no checkpoint that holds the leaf is good under the old key,
so that a stolen one extends nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
from typing import TYPE_CHECKING, NamedTuple

from pod_server.log.checkpoint import VerifierKey, canonical_base64
from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent
from pod_server.signatures import PublicKey, SignatureInvalid, base64url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pod_server.identifiers import Actor
    from pod_server.signatures import SigningKey

ACTION = "log-key-changed"
_TITLE = "tvilling log key hand-over v1"
_LINES = 6
_PUBLIC_BYTES = 32
_LONGEST = 2048


class HandOver(NamedTuple):
    """A hand-over whose two signatures hold.

    Attributes:
        name: What the logs' names began with.
        number: Of the new key.
        old: 32 bytes, Ed25519.
        new: 32 bytes, Ed25519.
        at: When, as stated.
        note: The whole text.
    """

    name: str
    number: int
    old: bytes
    new: bytes
    at: str
    note: str

    @property
    def sha256(self) -> str:
        """Of the note's text before its signatures, hexadecimal: what the logs' leaves name it by."""
        return hashlib.sha256(self.note.rpartition("\n\n")[0].encode() + b"\n").hexdigest()


def make_hand_over(name: str, number: int, old: SigningKey, new: SigningKey, at: datetime) -> str:
    """The note, signed by both.

    Args:
        name: What the logs' names begin with.
        number: Of the new key.
        old: Signs for the last time.
        new: Signs for the first time.
        at: Now, real time.
    """
    keys = [base64url.read(key.public_jwk["x"]) for key in (old, new)]
    texts = [base64.b64encode(key).decode() for key in keys]
    body = "\n".join((_TITLE, name, str(number), *texts, at.isoformat())) + "\n"
    lines = ""
    for key, public in zip((old, new), keys, strict=True):
        signature = VerifierKey(name, public).key_id + key.sign(body.encode())
        lines += f"— {name} {base64.b64encode(signature).decode()}\n"
    return f"{body}\n{lines}"


def read_hand_over(note: str) -> HandOver:
    """Check a note: its form, and both signatures by the keys that it names.

    Raises:
        LogBroken: it is no hand-over, or a signature does not hold.
    """
    failure = LogBroken("The text is no hand-over from one key of a log to the next.")
    body, blank, signatures = note.rpartition("\n\n")
    lines = body.split("\n")
    if len(note) > _LONGEST or not blank or len(lines) != _LINES or lines[0] != _TITLE:
        raise failure
    _, name, number, old, new, at = lines
    try:
        keys = [canonical_base64(text) for text in (old, new)]
        found = [line.split(" ") for line in signatures.removesuffix("\n").split("\n")]
        signed = [(words[1], canonical_base64(words[2])) for words in found if words[0] == "—"]
        if len(found) != 2 or [words for words, _ in signed] != [name, name] or int(number) < 2:
            raise failure
        for public, (_, signature) in zip(keys, signed, strict=True):
            if len(public) != _PUBLIC_BYTES or signature[:4] != VerifierKey(name, public).key_id:
                raise failure
            key = PublicKey({"kty": "OKP", "crv": "Ed25519", "x": base64url.write(public)})
            key.verify(signature[4:], f"{body}\n".encode())
    except (ValueError, IndexError, binascii.Error, SignatureInvalid):
        raise failure from None
    return HandOver(name, int(number), keys[0], keys[1], at, note)


def read_chain(notes: Sequence[str]) -> list[HandOver]:
    """Hand-overs in their order, each from the key to which the one before handed over.

    Raises:
        LogBroken: one is none, or they do not follow each other.
    """
    chain = [read_hand_over(note) for note in notes]
    for one, following in itertools.pairwise(chain):
        if following.old != one.new or following.number != one.number + 1:
            raise LogBroken("The hand-overs from key to key do not follow each other.")
    return chain


def leaf_event(hand_over: HandOver, actor: Actor, at: datetime) -> LogEvent:
    """What a log tells of it."""
    return LogEvent(
        at=at,
        actor=actor,
        action=ACTION,
        detail={
            "number": hand_over.number,
            "old": base64url.write(hand_over.old),
            "new": base64url.write(hand_over.new),
            "sha256": hand_over.sha256,
        },
    )


class KeysOfLog:
    """Which keys are good for a log's checkpoints of which sizes."""

    def __init__(
        self, origin: str, trusted: bytes, notes: Sequence[str], leaves: Sequence[tuple[int, Mapping[str, object]]]
    ) -> None:
        """Follow the chain to and from a key that one knows.

        Args:
            origin: The log's name.
            trusted: A key that one knows, 32 bytes.
            notes: The hand-overs that came with the log.
            leaves: Index and detail of each leaf `log-key-changed` of the log.

        Raises:
            LogBroken: the chain is broken, does not hold the known key, or the log tells of a hand-over that is not shown.
        """
        chain = read_chain(notes)
        self._origin = origin
        self.keys = [chain[0].old, *(each.new for each in chain)] if chain else [trusted]
        if trusted not in self.keys:
            raise LogBroken(
                "The log is signed with another key than the one you know, and none of its keys hands over to it."
            )
        shown = {each.sha256: self.keys.index(each.new) for each in chain}
        self._from: list[tuple[int, int]] = []
        for index, detail in leaves:
            place = shown.get(str(detail.get("sha256")))
            if place is not None:
                self._from.append((index, place))
            elif str(detail.get("old")) in {base64url.write(key) for key in self.keys}:
                raise LogBroken(f"Entry {index} of the log tells of a new key whose hand-over is not shown.")
            # Else it is of another host, where this log was before.

    def of_size(self, size: int) -> list[VerifierKey]:
        """The keys that may sign a checkpoint of this size: not those that had handed over before it."""
        first = max((place for index, place in self._from if index < size), default=0)
        return [VerifierKey(self._origin, key) for key in self.keys[first:]]
