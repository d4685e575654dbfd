"""Partners: organisations that may ask citizens for consent, known by their public keys (RFC 7523, private_key_jwt)."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from pod_server import problems
from pod_server.clock import microseconds, moment
from pod_server.identifiers import ClientId, PodId
from pod_server.organisations import likeness, tidy_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Question, Transaction

APP_PARTY = "c-"
"""How an app is named as a consent's party: by its connection in the one pod (parties.py)."""

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = frozenset({"P-256", "Ed25519"})
_PLACE = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[!-~]*|\?[!-~]*)?\Z")
"""A web address in the characters of RFC 3986; what else a name could hold would speak in headers and policies."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class PartnerError(Exception):
    """The root of this module's errors."""


class PartnerInvalid(PartnerError):
    """What was said about a partner cannot stand; the message says which part, and why."""


class NoSuchPartner(PartnerError):
    """No partner has this client identifier."""


class PartnerSuspended(PartnerError):
    """The municipality, or the partner itself, has stopped all that the partner does, or the partner was turned away.

    Attributes:
        reasons: As in the refusal of a record that was on its way.
    """

    reasons = ("partner-suspended",)


APPLIED = "applied"
ACTIVE = "active"
SUSPENDED = "suspended"
REFUSED = "refused"
REMOVED = "removed"


@dataclass(frozen=True)
class Limits:
    """What the municipality lets a partner do at most; None sets no limit.

    Attributes:
        requests_per_minute: Requests at the bridge and at the authorization server, together.
        records_per_day: Records offered in a day (UTC), whatever becomes of them.
        kinds: The kinds of activity that it may ask for and deliver.
    """

    requests_per_minute: int | None = None
    records_per_day: int | None = None
    kinds: frozenset[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As it is kept; fields are only ever added."""
        return {
            "requests_per_minute": self.requests_per_minute,
            "records_per_day": self.records_per_day,
            "kinds": None if self.kinds is None else sorted(self.kinds),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Limits:
        """The inverse of `to_json`."""
        kinds = value.get("kinds")
        return cls(
            value.get("requests_per_minute"), value.get("records_per_day"), None if kinds is None else frozenset(kinds)
        )


APPLICANTS_LIMITS = Limits(requests_per_minute=120, records_per_day=2000)
"""What a partner that has applied may do in its sandbox."""


@dataclass(frozen=True)
class Partner:
    """One partner.

    Attributes:
        client_id: Its identifier at the authorization server.
        name: What people call it; stands on the consent screen.
        jwks: Its public keys.
        redirect_uris: Where its citizens' browsers may be sent back.
        webhook: Where it hears of withdrawals and claims, or None.
        about: What the consent screen and the receipts tell: `contact`, `address`, `logo`, `privacy_notice`,
            `organisation_number`, `country`.
        state: `applied` (its sandbox citizen alone may be asked), `active`, `suspended` and `refused` (by the
            municipality, for `reason`), or `removed`.
        reason: What the municipality said when it last suspended or refused it.
        stopped: When the partner stopped all it does by its own switch, real time; None where it did not.
        limits: What the municipality lets it do at most.
        sandbox: The pod of its sandbox citizen, once it has one.
        document: Where an app describes itself (parties.py); empty for every organisation that the municipality knows.
    """

    client_id: ClientId
    name: str
    jwks: dict[str, Any] = field(hash=False)
    redirect_uris: tuple[str, ...] = ()
    webhook: str | None = None
    about: dict[str, str] = field(default_factory=dict, hash=False)
    state: str = ACTIVE
    reason: str = ""
    stopped: datetime | None = None
    limits: Limits = field(default_factory=Limits)
    sandbox: PodId | None = None
    document: str = ""

    @property
    def active(self) -> bool:
        """Whether what it holds opens anything now; an applicant's opens its sandbox."""
        return self.state in {APPLIED, ACTIVE} and self.stopped is None

    @property
    def is_admitted(self) -> bool:
        """Whether the municipality has let it in, and nothing stops it now: what it says of itself was read by somebody."""
        return self.state == ACTIVE and self.stopped is None

    @property
    def is_told(self) -> bool:
        """Whether messages go to it: a suspended partner must still hear that a consent was withdrawn."""
        return self.state in {APPLIED, ACTIVE, SUSPENDED}

    def require_active(self) -> None:
        """Hold its standing now.

        Raises:
            NoSuchPartner: it was removed; the same as for one that never was.
            PartnerSuspended: it is stopped, and by whom.
        """
        if self.active:
            return
        if self.state == REMOVED:
            raise NoSuchPartner("No partner has this client identifier.")
        if self.state == SUSPENDED:
            raise PartnerSuspended(
                f"The municipality has stopped this partner for now: {self.reason} Nothing is taken in until it is "
                "let on again; the partner's console tells more."
            )
        if self.state == REFUSED:
            raise PartnerSuspended(
                f"The municipality has turned this application down: {self.reason} It may be mended and sent again in "
                "the partner's console."
            )
        raise PartnerSuspended(
            "The partner has stopped all that it does by its own switch. It may start again in its console."
        )


SELF = Partner(ClientId("self"), "You", {"keys": []})
"""The citizen, as the party who brings their own files; holds grants like any partner, signs in nowhere."""

RESEARCH = Partner(ClientId("research"), "Research releases", {"keys": []})
"""The house's own research releases, as the party of a citizen's consent to research."""

HOUSE_CLIENTS = {client.client_id: client for client in (SELF, RESEARCH)}


def check_keys(jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The key set as it will be kept: public, strong enough, each key named.

    Raises:
        PartnerInvalid: no key, a private key, a weak or unknown one, or one without a `kid` among several.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= 10:
        raise PartnerInvalid('jwks: a JSON object {"keys": [...]} with one to ten public keys')
    for key in keys:
        if not isinstance(key, dict) or _PRIVATE_MEMBERS & key.keys():
            raise PartnerInvalid("jwks: public keys only; a private key must never leave its owner")
        if not all(isinstance(key.get(name), str | None) for name in ("kty", "crv", "kid", "alg", "use")):
            raise PartnerInvalid("jwks: these keys cannot be read")
        if key.get("kty") in {"EC", "OKP"} and key.get("crv") not in _CURVES:
            raise PartnerInvalid("jwks: P-256, Ed25519 or RSA keys")
        if key.get("kty") == "RSA" and len(str(key.get("n", ""))) < 342:  # 2048 bits in base64url
            raise PartnerInvalid("jwks: P-256, Ed25519, or RSA of at least 2048 bits")
        if len(keys) > 1 and not isinstance(key.get("kid"), str):
            raise PartnerInvalid("jwks: where there are several keys, each needs a kid")
    try:
        key_set = KeySet.import_key_set({"keys": keys})
        strong = all(
            isinstance(key, ECKey | OKPKey) or (isinstance(key, RSAKey) and key.public_key.key_size >= 2048)
            for key in key_set.keys
        )
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise PartnerInvalid("jwks: these keys cannot be read") from error
    if not strong:
        raise PartnerInvalid("jwks: P-256, Ed25519, or RSA of at least 2048 bits")
    return {"keys": [{name: value for name, value in key.items() if isinstance(name, str)} for key in keys]}


def check_redirect_uri(uri: str) -> str:
    """A redirect URI that may be registered: https, or http on a loopback address (RFC 8252, section 7.3).

    Raises:
        PartnerInvalid: anything else, a fragment or a user name.
    """
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise PartnerInvalid("redirect_uri: not a URI") from error
    if parts.fragment or "#" in uri or parts.username is not None or not host or len(uri) > 2000:
        raise PartnerInvalid("redirect_uri: an absolute URI without fragment or user name")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise PartnerInvalid("redirect_uri: https, or http on a loopback address")
    if not _PLACE.match(uri):
        raise PartnerInvalid("redirect_uri: a URI in ASCII, its host a name or an address and nothing more")
    return uri


def add_partner(
    host: Host,
    *,
    name: str,
    jwks: Mapping[str, Any] | None,
    redirect_uris: Sequence[str] = (),
    webhook: str | None = None,
    about: Mapping[str, str] | None = None,
    state: str = ACTIVE,
) -> Partner:
    """Register a partner: the operator's act, after reading its contract, or an application that waits for one.

    One without keys is a source: it is asked for data, never comes by itself, and signs in nowhere.

    Raises:
        PartnerInvalid: the name is none or like an admitted partner's, or keys, addresses are not as they must be.
    """
    try:
        name = tidy_name(name)
    except ValueError as error:
        raise PartnerInvalid(str(error)) from error
    partner = Partner(
        client_id=ClientId("p-" + secrets.token_hex(8)),
        name=name,
        jwks={"keys": []} if jwks is None else check_keys(jwks),
        redirect_uris=tuple(check_redirect_uri(uri) for uri in redirect_uris),
        webhook=check_redirect_uri(webhook) if webhook else None,
        about=dict(about or {}),
        state=state,
        limits=APPLICANTS_LIMITS if state == APPLIED else Limits(),
    )
    now = microseconds(host.clock.now())
    with host.storage.write() as tx:
        require_own_name(tx, name)
        tx.execute(
            "INSERT INTO partner (client_id, name, jwks, redirect_uris, webhook, about, state, added_at, changed_at, "
            "limits) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                partner.client_id,
                partner.name,
                json.dumps(partner.jwks),
                json.dumps(partner.redirect_uris),
                partner.webhook,
                json.dumps(partner.about),
                partner.state,
                now,
                now,
                json.dumps(partner.limits.to_json()),
            ),
        )
    return partner


def require_own_name(tx: Transaction, name: str, *, but: str = "") -> None:
    """Hold a name against those of admitted partners; two applicants may share one until one of them is admitted.

    Raises:
        PartnerInvalid: people would take it for another partner's.
    """
    like = likeness(name)
    rows = tx.all("SELECT client_id, name FROM partner WHERE state IN ('active', 'suspended')")
    if any(likeness(other) == like for client_id, other in rows if client_id != but):
        raise PartnerInvalid("name: another partner has it, or one that is read like it")


def thumbprint_of(key: Mapping[str, Any]) -> str:
    """RFC 7638 with SHA-256, base64url.

    Raises:
        PartnerInvalid: no key.
    """
    try:
        return str(KeySet.import_key_set({"keys": [dict(key)]}).keys[0].thumbprint())
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise PartnerInvalid("jwks: these keys cannot be read") from error


def require_own_keys(tx: Transaction, keys: Sequence[Mapping[str, Any]], *, but: str = "") -> None:
    """Hold keys against those of admitted partners: public keys are public, and by them a partner is known to other hosts.

    Raises:
        PartnerInvalid: an admitted partner has one of them.
    """
    wanted = {thumbprint_of(key) for key in keys}
    rows = tx.all("SELECT client_id, jwks FROM partner WHERE state IN ('active', 'suspended')")
    for client_id, jwks in rows:
        if client_id != but and wanted & {thumbprint_of(key) for key in json.loads(jwks)["keys"]}:
            raise PartnerInvalid("jwks: another partner has this key")


_COLUMNS = "client_id, name, jwks, redirect_uris, webhook, about, state, reason, stopped_at, limits, sandbox"


def _partner_of(row: Sequence[Any]) -> Partner:
    return Partner(
        client_id=ClientId(row[0]),
        name=row[1],
        jwks=json.loads(row[2]),
        redirect_uris=tuple(json.loads(row[3])),
        webhook=row[4],
        about=json.loads(row[5]),
        state=row[6],
        reason=row[7],
        stopped=None if row[8] is None else moment(row[8]),
        limits=Limits.from_json(json.loads(row[9])),
        sandbox=None if row[10] is None else PodId(row[10]),
    )


def find_partner(tx: Transaction, client_id: str) -> Partner | None:
    """A partner by its identifier, removed ones included; the house's own clients too."""
    if client_id in HOUSE_CLIENTS:
        return HOUSE_CLIENTS[ClientId(client_id)]
    row = tx.one(*_question(client_id))
    return None if row is None else _partner_of(row)


def _question(client_id: str) -> Question:
    return f"SELECT {_COLUMNS} FROM partner WHERE client_id = ?", (client_id,)


def stop_question(client_id: str) -> Question | None:
    """What `is_stopped` asks about a partner, for whoever asks ahead; None where it asks nothing, or something else."""
    return None if client_id in HOUSE_CLIENTS or client_id.startswith(APP_PARTY) else _question(client_id)


def is_stopped(tx: Transaction, client_id: str) -> bool:
    """Whether nothing of this client's is taken or given out now; an app is stopped when its citizen has ended it."""
    if client_id in HOUSE_CLIENTS:
        return False
    if client_id.startswith(APP_PARTY):
        held = tx.one("SELECT 1 FROM app_connection WHERE connection_id = ? AND ended_at IS NULL", (client_id,))
        return held is None
    partner = find_partner(tx, client_id)
    return partner is None or not partner.active


def list_partners(host: Host) -> list[Partner]:
    """All partners, removed ones included, by name."""
    with host.storage.read() as tx:
        return [_partner_of(row) for row in tx.all(f"SELECT {_COLUMNS} FROM partner ORDER BY name, client_id")]


def rotate_keys(host: Host, client_id: str, jwks: Mapping[str, Any]) -> Partner:
    """Replace a partner's keys; what the old ones signed is refused from the commit on.

    An address that they were fetched from is asked no more: it would bring the old ones back.

    Raises:
        NoSuchPartner: no active partner has this identifier.
        PartnerInvalid: the keys are not as they must be.
    """
    keys = check_keys(jwks)
    with host.storage.write(urgent=True) as tx:
        before = find_partner(tx, client_id)
        about = {} if before is None else {key: value for key, value in before.about.items() if key != "jwks_uri"}
        changed = tx.execute(
            "UPDATE partner SET jwks = ?, about = ?, changed_at = ? WHERE client_id = ? AND state <> 'removed'",
            (json.dumps(keys), json.dumps(about), microseconds(host.clock.now()), client_id),
        )
        tx.execute("DELETE FROM partner_key_set WHERE client_id = ?", (client_id,))
        partner = find_partner(tx, client_id)
    if not changed or partner is None:
        raise NoSuchPartner("No partner has this client identifier.")
    return partner


def remove_partner(host: Host, client_id: str) -> None:
    """Shut a partner out at once: keys, tokens and grants open nothing after the commit. Data already given stays.

    Raises:
        NoSuchPartner: no active partner has this identifier.
    """
    with host.storage.write(urgent=True) as tx:
        changed = tx.execute(
            "UPDATE partner SET state = 'removed', changed_at = ? WHERE client_id = ? AND state <> 'removed'",
            (microseconds(host.clock.now()), client_id),
        )
        tx.execute("DELETE FROM partner_key_set WHERE client_id = ?", (client_id,))
        tx.execute("DELETE FROM refresh_token WHERE client_id = ?", (client_id,))
        tx.execute("DELETE FROM authorization_code WHERE client_id = ?", (client_id,))
        tx.execute("DELETE FROM pushed_request WHERE client_id = ?", (client_id,))
    if not changed:
        raise NoSuchPartner("No partner has this client identifier.")


problems.declare(PartnerInvalid, "partner-invalid", "The partner cannot be registered like this", 400)
problems.declare(PartnerSuspended, "partner-suspended", "The partner is stopped for now", 403, members=("reasons",))
problems.declare(NoSuchPartner, "no-such-partner", "No such partner", 404)
