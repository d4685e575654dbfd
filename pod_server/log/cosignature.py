"""Cosignatures: what a witness says of a checkpoint (c2sp.org/tlog-cosignature, version 1, Ed25519).

A cosignature states that, at its time, this was the largest consistent tree that the witness had seen of the log.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

from pod_server.log.checkpoint import COSIGNATURE, VerifierKey, parse_unverified
from pod_server.log.errors import LogBroken
from pod_server.signatures import PublicKey, SignatureInvalid, base64url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pod_server.log.checkpoint import Checkpoint
    from pod_server.signatures import SigningKey

_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_LATEST_TIME = 2**63 - 1


class Cosigned(NamedTuple):
    """A checkpoint that a known witness cosigned.

    Attributes:
        checkpoint: What it states.
        witness: The witness's name.
        at: When it cosigned, seconds since 1970.
    """

    checkpoint: Checkpoint
    witness: str
    at: int


def witness_key(name: str, key: SigningKey) -> VerifierKey:
    """The public side of a witness's key; as text `name+8 hexadecimal digits+base64(0x04 ‖ 32 bytes)`."""
    return VerifierKey(name, base64url.read(key.public_jwk["x"]), COSIGNATURE)


def cosign(checkpoint: Checkpoint, name: str, key: SigningKey, at: int) -> str:
    """A cosignature as a signature line of a note.

    Args:
        checkpoint: Checked before: it is the log's own and continues what was cosigned last.
        name: The witness's.
        key: The witness's, Ed25519.
        at: Seconds since 1970.
    """
    signature = key.sign(_message(checkpoint.body(), at))
    data = witness_key(name, key).key_id + at.to_bytes(_TIME_BYTES, "big") + signature
    return f"— {name} {base64.b64encode(data).decode()}\n"


def verify_cosignatures(note: str, witnesses: Iterable[VerifierKey]) -> list[Cosigned]:
    """Check a note's cosignatures with known witnesses' keys; those of unknown keys are passed over.

    Raises:
        LogBroken: not a checkpoint, or a known witness's cosignature does not verify.
    """
    checkpoint, body, signatures = parse_unverified(note)
    known = {(key.name, key.key_id): key for key in witnesses if key.kind == COSIGNATURE}
    found = []
    for name, data in signatures:
        key = known.get((name, data[:_KEY_ID_BYTES]))
        if key is None:
            continue
        failure = LogBroken(f"The cosignature of {name} does not verify.")
        at = int.from_bytes(data[_KEY_ID_BYTES : _KEY_ID_BYTES + _TIME_BYTES], "big")
        if len(data) != _KEY_ID_BYTES + _TIME_BYTES + _SIGNATURE_BYTES or at > _LATEST_TIME:
            raise failure
        public_key = PublicKey({"kty": "OKP", "crv": "Ed25519", "x": base64url.write(key.public_key)})
        try:
            public_key.verify(data[_KEY_ID_BYTES + _TIME_BYTES :], _message(body, at))
        except SignatureInvalid:
            raise failure from None
        found.append(Cosigned(checkpoint, name, at))
    return found


def _message(body: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{body}".encode()
