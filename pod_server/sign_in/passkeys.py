"""Passkeys: a citizen's device signs a challenge after it has seen its owner's finger, face or code (WebAuthn level 3).

A passkey says who is there. That alone opens an open pod, by the host's custodian slot. A locked pod has no such slot;
a passkey opens it only where the citizen let it: its PRF extension gives 32 secret bytes that this host never stores,
and the pod's root key lies sealed under them. Such a slot ends when the pod is locked anew, like every other.

Attestation is not asked for: which make of device a citizen owns is nobody's business here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pod_server.authentication.session import create_session
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, PodId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.opening import find_pod
from pod_server.outbound import origin_of
from pod_server.sign_in import challenges
from pod_server.sign_in.errors import PasskeyInvalid, PasskeyOpensNot, TooManyPasskeys
from pod_server.vault.envelope import EnvelopeKey, Place, Scope, expand
from pod_server.vault.errors import PodLocked, Tampered
from pod_server.vault.vault import unlock_with_custodian, unlock_with_root

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pod_server.authentication.session import Session
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

MOST_PASSKEYS = 20
LONGEST_NAME = 60
LARGEST_ANSWER_BYTES = 32 * 1024
PRF_INPUT = hashlib.sha256(b"tvilling pod root v1").digest()
"""What a passkey's PRF is asked about; the browser mixes in a label of its own, the passkey its own key."""

REGISTER, SIGN_IN, OPEN = "passkey-register", "passkey-sign-in", "passkey-open"
_LABEL = "passkey"
_SECRET_BYTES = 32
_COLUMNS = "pod_id, credential_hash, sealed, sign_count, sealed_root, made_at, last_used_at"


@dataclass(frozen=True)
class Passkey:
    """One of a citizen's passkeys.

    Attributes:
        id: Names it on its page: the SHA-256 of its credential id.
        name: What the citizen calls it.
        made_at: When it was added, real time.
        last_used_at: When it last signed in; None for never.
        opens_locked: Whether it opens the pod also when that is locked.
        is_synced: Whether its maker keeps a copy (a password manager), so that it lives on other devices too.
    """

    id: str
    name: str
    made_at: datetime
    last_used_at: datetime | None
    opens_locked: bool
    is_synced: bool


@dataclass(frozen=True)
class _Stored:
    credential_hash: str
    pod_id: PodId
    details: dict[str, Any]
    sign_count: int
    sealed_root: bytes | None
    made_at: datetime
    last_used_at: datetime | None


def relying_party(host: Host) -> tuple[str, str]:
    """The RP ID and the one origin: both from the base URL, never from a request (WebAuthn, section 13.4.9)."""
    parts = urlsplit(host.base_url)
    return parts.hostname or "", origin_of(parts)


def registration_options(host: Host, session: Session) -> dict[str, Any]:
    """What `navigator.credentials.create` is to be asked, as JSON members.

    Raises:
        SignInTooOld: the citizen signed in too long ago for something that lasts.
        TooManyPasskeys: there are twenty.
    """
    from webauthn import generate_registration_options  # noqa: PLC0415 - workers start without it
    from webauthn.helpers import options_to_json_dict  # noqa: PLC0415
    from webauthn.helpers.structs import (  # noqa: PLC0415
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    session.require_fresh(host.clock.protocol_now())
    with host.storage.read() as tx:
        stored = _of_pod(host, tx, session.pod_id)
        handle = find_pod(tx, session.pod_id).handle
    if len(stored) >= MOST_PASSKEYS:
        raise TooManyPasskeys
    rp_id, _ = relying_party(host)
    options = generate_registration_options(
        rp_id=rp_id,
        rp_name="Tvilling",
        user_name=handle,
        user_id=_user_handle(host, session.pod_id, stored),
        challenge=challenges.give(host, REGISTER, session.csrf_token),
        timeout=int(challenges.LIFETIME.total_seconds() * 1000),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=_read(each.details["id"])) for each in stored],
    )
    members: dict[str, Any] = options_to_json_dict(options)
    return members | {"extensions": {"prf": {}}}


def register(host: Host, session: Session, answer: Mapping[str, Any], name: str) -> Passkey:
    """Add a passkey.

    Args:
        host: This host.
        session: The citizen's.
        answer: What `navigator.credentials.create` gave, in its JSON form.
        name: What the citizen calls it.

    Raises:
        PasskeyInvalid: the answer does not hold, or the passkey is known already.
        SignInTooOld, TooManyPasskeys: as `registration_options`.
    """
    from webauthn import verify_registration_response  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    session.require_fresh(host.clock.protocol_now())
    challenge = _challenge_of(answer)
    if not challenges.take(host, challenge, REGISTER, session.csrf_token):
        raise PasskeyInvalid("its challenge was not given to this page, was used, or has run out")
    rp_id, origin = relying_party(host)
    try:
        verified = verify_registration_response(
            credential=dict(answer),
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PasskeyInvalid("the browser's answer does not hold") from error
    now = host.clock.protocol_now()
    credential_hash = _hashed(verified.credential_id)
    with host.storage.write() as tx:
        stored = _of_pod(host, tx, session.pod_id)
        if len(stored) >= MOST_PASSKEYS:
            raise TooManyPasskeys
        if tx.one("SELECT 1 FROM passkey WHERE credential_hash = ?", (credential_hash,)) is not None:
            raise PasskeyInvalid("it has been added already")
        details: dict[str, Any] = {
            "id": _write(verified.credential_id),
            "key": _write(verified.credential_public_key),
            "user": _write(_user_handle(host, session.pod_id, stored)),
            "name": shown_name(name),
            "synced": verified.credential_backed_up,
        }
        tx.execute(
            "INSERT INTO passkey (pod_id, credential_hash, sealed, sign_count, made_at) VALUES (?, ?, ?, ?, ?)",
            (
                session.pod_id,
                credential_hash,
                _sealed(host, session.pod_id, credential_hash, details),
                verified.sign_count,
                microseconds(now),
            ),
        )
        _log(host, tx, session.pod_id, "add-passkey", {"passkey": details["name"]})
    return Passkey(credential_hash, details["name"], now, None, opens_locked=False, is_synced=details["synced"])


def list_passkeys(host: Host, session: Session) -> list[Passkey]:
    """The citizen's passkeys, the oldest first."""
    with host.storage.read() as tx:
        stored = _of_pod(host, tx, session.pod_id)
    return [
        Passkey(
            each.credential_hash,
            each.details["name"],
            each.made_at,
            each.last_used_at,
            opens_locked=each.sealed_root is not None and each.details.get("root") == _root_name(session.vault()),
            is_synced=bool(each.details["synced"]),
        )
        for each in stored
    ]


def rename(host: Host, session: Session, passkey_id: str, name: str) -> bool:
    """Call a passkey something else; True if it is the citizen's."""
    with host.storage.write() as tx:
        stored = _find(host, tx, passkey_id)
        if stored is None or stored.pod_id != session.pod_id:
            return False
        _keep(host, tx, stored, stored.details | {"name": shown_name(name)})
    return True


def remove(host: Host, session: Session, passkey_id: str) -> bool:
    """Take a passkey away: it signs in no more from this commit on; True if it was the citizen's."""
    with host.storage.write(urgent=True) as tx:
        stored = _find(host, tx, passkey_id)
        if stored is None or stored.pod_id != session.pod_id:
            return False
        tx.execute("DELETE FROM passkey WHERE credential_hash = ?", (passkey_id,))
        _log(host, tx, session.pod_id, "remove-passkey", {"passkey": stored.details["name"]})
    return True


def sign_in_options(host: Host, holder: str) -> dict[str, Any]:
    """What `navigator.credentials.get` is to be asked: any passkey of this host's, its owner verified.

    Args:
        host: This host.
        holder: The asking browser's own secret (its form token).
    """
    return _request_options(host, SIGN_IN, holder, None)


def opening_options(host: Host, holder: str, passkey_id: str) -> dict[str, Any]:
    """As `sign_in_options`, for one passkey and with its PRF: what opens a locked pod, or is to.

    Raises:
        PasskeyInvalid: there is no such passkey.
    """
    with host.storage.read() as tx:
        stored = _find(host, tx, passkey_id)
    if stored is None:
        raise PasskeyInvalid("it is not known here")
    return _request_options(host, OPEN, holder, stored.details["id"])


def sign_in(host: Host, answer: Mapping[str, Any], holder: str, *, device: str = "") -> str:
    """Sign a citizen in; returns the session cookie's value.

    Args:
        host: This host.
        answer: What `navigator.credentials.get` gave, in its JSON form; with `prf`, 32 bytes, where it was asked for.
        holder: The browser's own secret.
        device: Which browser on which system.

    Raises:
        PasskeyInvalid: the answer does not hold.
        PasskeyOpensNot: it holds, and the pod is locked; it says whether the passkey's PRF would open it.
    """
    secret = _secret_of(answer)
    stored = _verified(host, answer, SIGN_IN if secret is None else OPEN, holder)
    vault = _open(host, stored, secret)
    with host.storage.write() as tx:
        _log(host, tx, stored.pod_id, "unlock", {"means": "passkey", "passkey": stored.details["name"]})
    return create_session(host, stored.pod_id, vault, means="passkey", device=device)


def let_open(host: Host, session: Session, answer: Mapping[str, Any]) -> str:
    """Let a passkey open the pod also when it is locked; returns its name.

    Raises:
        PasskeyInvalid: the answer does not hold, lacks the PRF's secret, or the passkey is another citizen's.
        SignInTooOld: the citizen signed in too long ago for something that lasts.
    """
    session.require_fresh(host.clock.protocol_now())
    secret = _secret_of(answer)
    stored = _verified(host, answer, OPEN, session.csrf_token)
    if secret is None or stored.pod_id != session.pod_id:
        raise PasskeyInvalid("it gives no secret (PRF), or it is not one of yours")
    vault = session.vault()
    sealed_root = _slot_key(secret, stored.pod_id).seal(
        _slot_place(stored.credential_hash), vault.root_key, secrets.token_bytes
    )
    with host.storage.write() as tx:
        present = _find(host, tx, stored.credential_hash)
        if present is None:
            raise PasskeyInvalid("it was removed meanwhile")
        _keep(host, tx, present, present.details | {"root": _root_name(vault)})
        tx.execute(
            "UPDATE passkey SET sealed_root = ? WHERE credential_hash = ?", (sealed_root, stored.credential_hash)
        )
        _log(host, tx, stored.pod_id, "let-passkey-open", {"passkey": stored.details["name"]})
    return str(stored.details["name"])


def shown_name(name: str) -> str:
    """A name as it is kept: one line, at most sixty characters, never empty."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    return words[:LONGEST_NAME].strip() or "Passkey"


def _request_options(host: Host, purpose: str, holder: str, credential_id: str | None) -> dict[str, Any]:
    rp_id, _ = relying_party(host)
    options: dict[str, Any] = {
        "challenge": _write(challenges.give(host, purpose, holder)),
        "rpId": rp_id,
        "timeout": int(challenges.LIFETIME.total_seconds() * 1000),
        "userVerification": "required",
        "allowCredentials": [],
    }
    if credential_id is not None:
        options["allowCredentials"] = [{"type": "public-key", "id": credential_id}]
        options["extensions"] = {"prf": {"eval": {"first": _write(PRF_INPUT)}}}
    return options


def _verified(host: Host, answer: Mapping[str, Any], purpose: str, holder: str) -> _Stored:
    """The passkey that made this answer, its counter moved on (WebAuthn, section 7.2)."""
    from webauthn import verify_authentication_response  # noqa: PLC0415
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    challenge = _challenge_of(answer)
    if not challenges.take(host, challenge, purpose, holder):
        raise PasskeyInvalid("its challenge was not given to this page, was used, or has run out")
    credential_hash = _hashed(_read(answer.get("rawId")))
    with host.storage.read() as tx:
        stored = _find(host, tx, credential_hash)
    if stored is None:
        raise PasskeyInvalid("it is not known here")
    response = answer.get("response")
    user = response.get("userHandle") if isinstance(response, dict) else None
    if user != stored.details["user"] and (user is not None or purpose == SIGN_IN):
        # Nobody said who they are before; so the passkey has to (WebAuthn, section 7.2, step 6).
        raise PasskeyInvalid("the browser's answer does not hold")
    rp_id, origin = relying_party(host)
    try:
        verified = verify_authentication_response(
            credential=dict(answer),
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            credential_public_key=_read(stored.details["key"]),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PasskeyInvalid("the browser's answer does not hold") from error
    with host.storage.write() as tx:
        present = _find(host, tx, credential_hash)
        if present is None:
            raise PasskeyInvalid("it was removed meanwhile")
        counts = verified.new_sign_count > 0 or present.sign_count > 0
        goes_back = counts and verified.new_sign_count <= present.sign_count
        if goes_back:
            _log(host, tx, present.pod_id, "passkey-copied", {"passkey": present.details["name"]})
        else:
            tx.execute(
                "UPDATE passkey SET sign_count = ?, last_used_at = ? WHERE credential_hash = ?",
                (verified.new_sign_count, microseconds(host.clock.protocol_now()), credential_hash),
            )
    if goes_back:
        # After the commit: the citizen's log tells of it, and a refusal must not undo that.
        raise PasskeyInvalid("its counter went back: somebody may have a copy of it. Remove it and add it anew")
    return present


def _open(host: Host, stored: _Stored, secret: bytes | None) -> Vault:
    try:
        return unlock_with_custodian(host.host_key, host.key_store, stored.pod_id)
    except PodLocked:
        pass
    if stored.sealed_root is None:
        raise PasskeyOpensNot(stored.credential_hash, has_slot=False)
    if secret is None:
        raise PasskeyOpensNot(stored.credential_hash, has_slot=True)
    try:
        root_key = _slot_key(secret, stored.pod_id).open(_slot_place(stored.credential_hash), stored.sealed_root)
        return unlock_with_root(host.host_key, host.key_store, stored.pod_id, root_key)
    except (Tampered, PodLocked):
        raise PasskeyOpensNot(stored.credential_hash, has_slot=False) from None


def _slot_key(secret: bytes, pod_id: PodId) -> EnvelopeKey:
    return EnvelopeKey(expand(secret, "passkey slot"), pod_id, Scope("slot"))


def _slot_place(credential_hash: str) -> Place:
    return Place("slot", f"passkey {credential_hash}".encode())


def _root_name(vault: Vault) -> str:
    """Names the present root key without telling it, so that a page can say which slots are of an older one."""
    return expand(vault.root_key, "name of the root").hex()[:16]


def _secret_of(answer: Mapping[str, Any]) -> bytes | None:
    if answer.get("prf") is None:
        return None
    secret = _read(answer["prf"])
    if len(secret) != _SECRET_BYTES:
        raise PasskeyInvalid("the secret it gave (PRF) is not 32 bytes")
    return secret


def _challenge_of(answer: Mapping[str, Any]) -> bytes:
    response = answer.get("response")
    try:
        data = json.loads(_read(response["clientDataJSON"] if isinstance(response, dict) else None))
        return _read(data["challenge"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PasskeyInvalid("the browser's answer cannot be read") from error


def _user_handle(host: Host, pod_id: PodId, stored: list[_Stored]) -> bytes:
    """One name of the citizen for all their passkeys; to others it tells nothing (WebAuthn, section 14.6.1)."""
    if stored:
        return _read(stored[0].details["user"])
    return hmac.digest(host.host_key.derive("passkey users"), str(pod_id).encode(), "sha256")


def _of_pod(host: Host, tx: Transaction, pod_id: PodId) -> list[_Stored]:
    rows = tx.all(f"SELECT {_COLUMNS} FROM passkey WHERE pod_id = ? ORDER BY made_at, credential_hash", (pod_id,))
    return [_stored(host, row) for row in rows]


def _find(host: Host, tx: Transaction, credential_hash: str) -> _Stored | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM passkey WHERE credential_hash = ?", (credential_hash,))
    return None if row is None else _stored(host, row)


def _stored(host: Host, row: tuple[Any, ...]) -> _Stored:
    pod_id, credential_hash, sealed, sign_count, sealed_root, made_at, last_used_at = row
    return _Stored(
        credential_hash,
        PodId(pod_id),
        json.loads(unseal(host.host_key, _LABEL, (credential_hash, str(pod_id)), sealed)),
        int(sign_count),
        None if sealed_root is None else bytes(sealed_root),
        moment(made_at),
        None if last_used_at is None else moment(last_used_at),
    )


def _sealed(host: Host, pod_id: PodId, credential_hash: str, details: Mapping[str, Any]) -> str:
    return seal(host.host_key, _LABEL, (credential_hash, str(pod_id)), json.dumps(details).encode())


def _keep(host: Host, tx: Transaction, stored: _Stored, details: Mapping[str, Any]) -> None:
    sealed = _sealed(host, stored.pod_id, stored.credential_hash, details)
    tx.execute("UPDATE passkey SET sealed = ? WHERE credential_hash = ?", (sealed, stored.credential_hash))


def _log(host: Host, tx: Transaction, pod_id: PodId, action: str, detail: dict[str, str]) -> None:
    event = LogEvent(at=host.clock.now(), actor=Actor("citizen"), action=action, detail=detail)
    append_to_log(tx, pod_id, event, random=secrets.token_bytes)


def _hashed(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()


def _write(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) > LARGEST_ANSWER_BYTES:
        raise PasskeyInvalid("the browser's answer cannot be read")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise PasskeyInvalid("the browser's answer cannot be read") from error
