"""Keys of the host that others hold it to for years: those of its logs' checkpoints and of its consent receipts.

The first of each use is made of the host key. A rotation makes the next at random, writes down the statement by which the
old one hands over (log/hand_over.py; none for receipts), and destroys the old one's private part: all in one commit of the
key store, which is the newest there is also after a restore. Public parts stay for ever.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pod_server.clock import microseconds, moment
from pod_server.identifiers import PodId
from pod_server.signatures import SigningKey, base64url, consent_receipt_key, log_checkpoint_key
from pod_server.vault.envelope import EnvelopeKey, Place, Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pod_server.vault.host_key import HostKey
    from pod_server.vault.key_store import KeyStore
    from pod_server.vault.randomness import RandomBytes

Use = Literal["log", "receipts"]

_SEED_BYTES = 32
_LABEL = "lasting key"


@dataclass(frozen=True)
class LastingKey:
    """One key of one use.

    Attributes:
        use: What it signs.
        number: 1, 2, 3 …; the greatest signs.
        public: Ed25519, 32 bytes.
        made_at: When it was made, real time; None for the first, which was there from the beginning.
        hand_over: The signed note by which the one before handed over to it, or "".
        revoked_at: When it was found to be in other hands, or None.
    """

    use: Use
    number: int
    public: bytes
    made_at: datetime | None = None
    hand_over: str = ""
    revoked_at: datetime | None = None


def list_lasting(host_key: HostKey, store: KeyStore, use: Use) -> list[LastingKey]:
    """Every key of this use there was, the first first; the last one signs."""
    rows = [
        LastingKey(
            use,
            number,
            bytes(public),
            None if made_at is None else moment(made_at),
            hand_over,
            None if revoked_at is None else moment(revoked_at),
        )
        for number, public, made_at, hand_over, revoked_at, _ in store.lasting_keys(use)
    ]
    return rows or [LastingKey(use, 1, _public(_first(host_key, use)))]


def lasting_signer(host_key: HostKey, store: KeyStore, use: Use) -> SigningKey:
    """The key that signs now.

    Raises:
        Tampered: the key store's row was changed.
    """
    rows = store.lasting_keys(use)
    if not rows:
        return _first(host_key, use)
    number, *_, sealed = rows[-1]
    if sealed is None:
        return _first(host_key, use)
    return SigningKey.ed25519(_envelope(host_key).open(_place(use, number), bytes(sealed)))


def rotate_lasting(
    host_key: HostKey,
    store: KeyStore,
    use: Use,
    *,
    at: datetime,
    compromised: bool = False,
    hand_over: Callable[[int, SigningKey, SigningKey], str] | None = None,
    random: RandomBytes = os.urandom,
) -> LastingKey:
    """Let a new key sign from now on, and destroy the private part of the one that did.

    Args:
        host_key: Seals it.
        store: Keeps it.
        use: What it signs.
        at: Now, real time.
        compromised: The old key is in other hands.
        hand_over: Makes the statement of: the new number, the old key, the new one.
        random: Draws it.

    Raises:
        KeyStoreUnavailable: nothing was changed.
    """
    with store.batch():
        old, present = lasting_signer(host_key, store, use), list_lasting(host_key, store, use)[-1]
        if present.number == 1:
            # From now on it has a row, by which it is known for ever.
            store.add_lasting_key(use, (1, present.public, None, "", None, None))
        seed = random(_SEED_BYTES)
        new, number = SigningKey.ed25519(seed), present.number + 1
        note = hand_over(number, old, new) if hand_over else ""
        if compromised:
            store.revoke_lasting_key(use, present.number, microseconds(at))
        sealed = _envelope(host_key).seal(_place(use, number), seed, random)
        store.add_lasting_key(use, (number, _public(new), microseconds(at), note, None, sealed))
    return LastingKey(use, number, _public(new), at, note)


def _first(host_key: HostKey, use: Use) -> SigningKey:
    return log_checkpoint_key(host_key) if use == "log" else consent_receipt_key(host_key)


def _public(key: SigningKey) -> bytes:
    return base64url.read(key.public_jwk["x"])


def _envelope(host_key: HostKey) -> EnvelopeKey:
    return EnvelopeKey(host_key.derive(_LABEL), PodId(0), Scope("host"))


def _place(use: Use, number: int) -> Place:
    return Place("lasting-key", use.encode(), number)
