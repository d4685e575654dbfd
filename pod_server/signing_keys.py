"""The keys this host signs with, now and before: tokens, receipts, messages, claims (RFC 7517, section 5; OpenID Connect Core, 10.1.1).

A new key is published before it signs, since others keep a key set for a while, and an old one stays published until the
last thing it signed has run out. Its private part is destroyed as soon as it signs no more; its public part is told for
ever, because receipts have no end (`historical_jwks`, in the form of OpenID Federation 1.0, section 8.7).
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds, moment
from pod_server.signatures import PublicKey, SignatureInvalid, SigningKey, base64url, issuer_key, verify_jws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pod_server.host import Host
    from pod_server.signatures import VerifiedJws
    from pod_server.storage.ports import Transaction

ES256 = "ES256"
RS256 = "RS256"
ID_TOKEN_ALGORITHMS = (ES256, RS256)
"""What an app may ask its ID tokens to be signed with; everything else is signed with ES256."""

PUBLISHED_AHEAD = timedelta(minutes=15)
"""How long a new key is published before it signs: three times as long as a key set is to be kept (`max-age`)."""

LONGEST_VALID = timedelta(days=90)
"""The longest that anything is good which a key signed (a claim), receipts apart; so long its key stays published."""

ROTATED_EVERY = timedelta(days=90)
_REREAD_SECONDS = 5.0
_REREAD_FOR_UNKNOWN_SECONDS = 1.0
_LABEL = "signing-key"
_COLUMNS = "kid, algorithm, public_jwk, sealed_private, made_at, signs_from, signs_until, published_until, revoked_at"


@dataclass(frozen=True)
class IssuerKey:
    """One of the host's keys.

    Attributes:
        kid: Names it.
        algorithm: `ES256` or `RS256`.
        public: Verifies what it signs.
        private: Signs; None once that is over.
        made_at: When it was made, real time.
        signs_from: When it begins to sign.
        signs_until: When another one took over, or takes over; None where none is named yet.
        published_until: When it leaves the key set; None while that is not known.
        revoked_at: When it was found to be in other hands.
    """

    kid: str
    algorithm: str
    public: PublicKey
    private: SigningKey | None
    made_at: datetime
    signs_from: datetime
    signs_until: datetime | None = None
    published_until: datetime | None = None
    revoked_at: datetime | None = None

    def signs_at(self, at: datetime) -> bool:
        """Whether it is the key of that moment."""
        ended = self.signs_until is not None and self.signs_until <= at
        return self.private is not None and self.revoked_at is None and self.signs_from <= at and not ended

    def is_published_at(self, at: datetime) -> bool:
        """Whether what it signed is taken at that moment."""
        return self.revoked_at is None and (self.published_until is None or at < self.published_until)


class SigningKeys:
    """What one process has read of the keys; read again every few seconds, so that a rotation needs no restart.

    Attributes:
        rotated_every: How old a key may become before another takes its place; None leaves that to the operator.
    """

    def __init__(self, rotated_every: timedelta | None = ROTATED_EVERY) -> None:
        """Begin with nothing read."""
        self.rotated_every = rotated_every
        self._lock = threading.Lock()
        self._keys: tuple[IssuerKey, ...] = ()
        self._read_at = float("-inf")

    def keys(self, host: Host, *, oldest_seconds: float = _REREAD_SECONDS) -> tuple[IssuerKey, ...]:
        """Every key, the newest first; as read no longer than so many seconds ago."""
        if time.monotonic() - self._read_at < oldest_seconds:
            return self._keys
        with host.storage.read() as tx:
            keys = _read(host, tx)
        with self._lock:
            self._keys, self._read_at = keys, time.monotonic()
        return keys

    def forget(self) -> None:
        """Read anew next time."""
        with self._lock:
            self._read_at = float("-inf")


def current(host: Host, algorithm: str = ES256) -> SigningKey:
    """The key to sign with now.

    Raises:
        KeyError: there is no key of this algorithm (`provide` makes one).
    """
    now = host.clock.protocol_now()
    kept = [key for key in host.signing_keys.keys(host) if key.algorithm == algorithm and key.private is not None]
    for key in kept:
        if key.private is not None and key.signs_at(now):
            return key.private
    # The clock was set back to before any key began that is left: the first of those does it, or nothing could be signed.
    for key in reversed(kept):
        if key.private is not None and key.revoked_at is None:
            return key.private
    raise KeyError(algorithm)


def provide(host: Host, algorithm: str) -> None:
    """Make the first key of an algorithm, where there is none: RSA costs time, and most hosts never need it."""
    if any(key.algorithm == algorithm for key in host.signing_keys.keys(host)):
        return
    made = SigningKey.generate(algorithm)
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        if all(key.algorithm != algorithm for key in _read(host, tx)):
            _insert(host, tx, made, made_at=now, signs_from=now)
    host.signing_keys.forget()


def verify(host: Host, token: str, *, typ: str, algorithms: Sequence[str] = (ES256,)) -> VerifiedJws:
    """Check something this host is said to have signed, with the keys that count now.

    Args:
        host: This host.
        token: The compact JWS.
        typ: The `typ` it must have.
        algorithms: Whose keys may have made it.

    Raises:
        SignatureInvalid: wrong form, `typ`, algorithm, key or signature.
    """
    try:
        return verify_jws(token, _verifying(host, algorithms, _REREAD_SECONDS), typ=typ)
    except SignatureInvalid:
        # Perhaps another process changed keys just now; however many forged tokens ask, the table is read once a second.
        before = host.signing_keys.keys(host)
        if host.signing_keys.keys(host, oldest_seconds=_REREAD_FOR_UNKNOWN_SECONDS) is before:
            raise
        return verify_jws(token, _verifying(host, algorithms, _REREAD_SECONDS), typ=typ)


def _verifying(host: Host, algorithms: Sequence[str], oldest_seconds: float) -> list[PublicKey]:
    now = host.clock.protocol_now()
    keys = host.signing_keys.keys(host, oldest_seconds=oldest_seconds)
    return [key.public for key in keys if key.algorithm in algorithms and key.is_published_at(now)]


def published_jwks(host: Host) -> dict[str, list[dict[str, Any]]]:
    """The key set for everybody: the next keys, the present ones and those whose tokens still hold."""
    now = host.clock.protocol_now()
    return {"keys": [key.public.jwk for key in host.signing_keys.keys(host) if key.is_published_at(now)]}


def historical_jwks(host: Host) -> dict[str, Any]:
    """Every key that ever signed here, with its times: for receipts, which are checked years later.

    `exp` is when the key signed for the last time, and `revoked` tells of one that came into other hands.
    """
    keys = []
    for key in host.signing_keys.keys(host):
        entry = {**key.public.jwk, "iat": int(key.made_at.timestamp()), "nbf": int(key.signs_from.timestamp())}
        if key.signs_until is not None:
            entry["exp"] = int(key.signs_until.timestamp())
        if key.revoked_at is not None:
            entry["revoked"] = {"revoked_at": int(key.revoked_at.timestamp()), "reason": "compromised"}
        keys.append(entry)
    return {"iss": host.base_url, "iat": int(host.clock.protocol_now().timestamp()), "keys": keys}


def list_keys(host: Host) -> tuple[IssuerKey, ...]:
    """Every key, the newest first, as the database has them now."""
    return host.signing_keys.keys(host, oldest_seconds=0)


def rotate(host: Host, *, at_once: bool = False, compromised: bool = False) -> tuple[IssuerKey, ...]:
    """Let new keys take the place of those that sign.

    Args:
        host: This host.
        at_once: Sign with the new keys now, though some who keep the old key set will not know them for minutes.
        compromised: The old keys are in other hands: nothing they signed is taken any more, here or in the key set.

    Returns:
        The new keys; none where a rotation is under way already and this is no emergency.
    """
    made = {ES256: SigningKey.generate(ES256)}
    if any(key.algorithm == RS256 for key in list_keys(host)):
        made[RS256] = SigningKey.generate(RS256)
    with host.storage.write() as tx:
        now = host.clock.protocol_now()
        keys = _settled(host, tx, now)
        at_once = at_once or compromised
        begins = now if at_once else now + PUBLISHED_AHEAD
        if not at_once and any(key.signs_from > now for key in keys):
            return ()
        new = []
        for algorithm, key in made.items():
            for old in keys:
                if old.algorithm == algorithm and old.private is not None:
                    _retire(tx, old, begins, revoked_at=now if compromised else None)
            new.append(_insert(host, tx, key, made_at=now, signs_from=begins))
        _destroy_private_parts(tx, now)
    host.signing_keys.forget()
    return tuple(new)


def keep_in_order(host: Host) -> None:
    """What is due now: the first key is written down, an old one gets a successor, an ended one loses its private part."""
    now = host.clock.protocol_now()
    keys = list_keys(host)
    if any(key.private is not None and key.signs_until is not None and key.signs_until <= now for key in keys):
        with host.storage.write() as tx:
            _destroy_private_parts(tx, now)
        host.signing_keys.forget()
    if any(key.algorithm == ES256 and key.made_at.timestamp() == 0 for key in keys):
        with host.storage.write() as tx:
            _settled(host, tx, now)
        host.signing_keys.forget()
        return
    every = host.signing_keys.rotated_every
    newest = max((key.signs_from for key in keys if key.algorithm == ES256), default=now)
    if every is not None and now - newest >= every:
        rotate(host)


def _read(host: Host, tx: Transaction) -> tuple[IssuerKey, ...]:
    keys = [_key(host, row) for row in tx.all(f"SELECT {_COLUMNS} FROM signing_key ORDER BY signs_from DESC, kid", ())]
    if all(key.algorithm != ES256 for key in keys):
        first = issuer_key(host.host_key)
        keys.append(IssuerKey(first.kid, ES256, first.public_key, first, moment(0), moment(0)))
    return tuple(keys)


def _key(host: Host, row: tuple[Any, ...]) -> IssuerKey:
    kid, algorithm, jwk, sealed, made_at, signs_from, signs_until, published_until, revoked_at = row
    private = (
        SigningKey.read(base64url.read(unseal(host.host_key, _LABEL, (kid,), sealed).decode())) if sealed else None
    )
    return IssuerKey(
        kid,
        algorithm,
        _public_key(jwk),
        private,
        moment(made_at),
        moment(signs_from),
        None if signs_until is None else moment(signs_until),
        None if published_until is None else moment(published_until),
        None if revoked_at is None else moment(revoked_at),
    )


@lru_cache(maxsize=256)
def _public_key(jwk: str) -> PublicKey:
    """The same object for the same key, since what it verified is remembered by it."""
    return PublicKey(json.loads(jwk))


def _sealed(host: Host, key: SigningKey) -> str:
    return seal(host.host_key, _LABEL, (key.kid,), base64url.write(key.private_bytes()).encode())


def _insert(host: Host, tx: Transaction, key: SigningKey, *, made_at: datetime, signs_from: datetime) -> IssuerKey:
    tx.execute(
        "INSERT INTO signing_key (kid, algorithm, public_jwk, sealed_private, made_at, signs_from) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            key.kid,
            key.algorithm,
            json.dumps(key.public_jwk),
            _sealed(host, key),
            microseconds(made_at),
            microseconds(signs_from),
        ),
    )
    return IssuerKey(key.kid, key.algorithm, key.public_key, key, made_at, signs_from)


def _settled(host: Host, tx: Transaction, now: datetime) -> tuple[IssuerKey, ...]:
    """Every key; the first one written down from now on, so that it has a beginning and can have an end."""
    if tx.one("SELECT 1 FROM signing_key WHERE algorithm = ? LIMIT 1", (ES256,)) is None:
        _insert(host, tx, issuer_key(host.host_key), made_at=now, signs_from=now)
    return _read(host, tx)


def _retire(tx: Transaction, key: IssuerKey, ends: datetime, *, revoked_at: datetime | None) -> None:
    last = min(ends, key.signs_until) if key.signs_until is not None else ends
    published_until = revoked_at if revoked_at is not None else last + LONGEST_VALID
    tx.execute(
        "UPDATE signing_key SET signs_until = ?, published_until = ?, revoked_at = ? WHERE kid = ?",
        (
            microseconds(max(last, key.signs_from)),
            microseconds(published_until),
            None if revoked_at is None else microseconds(revoked_at),
            key.kid,
        ),
    )


def _destroy_private_parts(tx: Transaction, now: datetime) -> None:
    tx.execute(
        "UPDATE signing_key SET sealed_private = '' WHERE signs_until <= ? AND sealed_private <> ''",
        (microseconds(now),),
    )
