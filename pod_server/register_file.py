"""A public register of guardians, delivered as a signed file: the form in which a city's register can reach a host now.

The file is JSON and lies beside its signature (base64url, over the file's very bytes) by a key that the operator was given
another way. It names the day it was made and the day until which it may be used, a week at most, so that an older one
cannot bring back who has been dismissed. It lists every authority that stands now; `delegation.synchronise` takes it over.

    {"register": "folkeregisteret", "made": "2026-11-23T04:00:00Z", "until": "2026-11-25T04:00:00Z", "authorities": [
      {"id": "vm-26-1234", "for": "nora", "by": "ola", "authority": "guardian-of-child", "born": "2016-05-17",
       "begins": "2026-01-02", "evidence": "vergemålsregisteret 26/1234"}]}
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from consent.delegation import ALL_BUT_ERASING, Act, Authority, Representation
from consent.errors import TermsInvalid
from pod_server import delegation
from pod_server.errors import NoSuchPod, PodError, PodMoved
from pod_server.opening import find_pod
from pod_server.signatures import PublicKey, SignatureInvalid, base64url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.storage.ports import Transaction

LONGEST_USE = timedelta(days=7)
MOST_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9-]{1,29}\Z")
_ID = re.compile(r"[A-Za-z0-9._-]{1,60}\Z")
_OURS = frozenset({delegation.OPERATOR_RECORDED, "citizen"})


class RegisterInvalid(PodError):
    """The file is not what it should be; the message says what. Nothing of it was taken over."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    id: str
    represented: str = msgspec.field(name="for")
    representative: str = msgspec.field(name="by")
    authority: Authority
    evidence: str
    begins: str
    ends: str | None = None
    born: str | None = None
    acts: frozenset[Act] = ALL_BUT_ERASING
    purposes: frozenset[str] | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    register: str
    made: datetime
    until: datetime
    authorities: list[_Entry]


class RegisterFile:
    """A delivered register, checked; a `RepresentationRegistry` (delegation.py).

    Attributes:
        name: What the register calls itself: the source in each row.
    """

    def __init__(self, host: Host, content: bytes, signature: bytes, keys: Mapping[str, Any]) -> None:
        """Check signature, time and form, and find who of those named lives here.

        Args:
            host: This host.
            content: The file.
            signature: What lies beside it, base64url.
            keys: The register's public keys, a JWK set; its signature is one key's.

        Raises:
            RegisterInvalid: says what is wrong.
        """
        if len(content) > MOST_BYTES:
            raise RegisterInvalid(f"A register is at most {MOST_BYTES} bytes.")
        _check_signature(content, signature, keys)
        try:
            said = msgspec.json.decode(content, type=_File)
        except msgspec.DecodeError as error:
            raise RegisterInvalid(f"The register cannot be read: {str(error)[:200]}") from error
        if not _NAME.match(said.register) or said.register in _OURS:
            raise RegisterInvalid(
                "The register's name is lower-case letters, digits and hyphens, and none of this host's."
            )
        _check_time(host, said)
        self.name = said.register
        self._over: dict[PodId, list[tuple[PodId, Representation]]] = {}
        self.elsewhere = 0
        """How many entries name somebody who does not live here: another host's, or nobody's yet."""
        names = {entry.id for entry in said.authorities}
        if len(names) != len(said.authorities) or not all(_ID.match(name) for name in names):
            raise RegisterInvalid("Each entry has an id of its own: 1 to 60 letters, digits, dots, hyphens.")
        with host.storage.read() as tx:
            for entry in said.authorities:
                self._add(tx, entry)

    def _add(self, tx: Transaction, entry: _Entry) -> None:
        try:
            terms = Representation(
                id=f"{self.name}:{entry.id}",
                authority=entry.authority,
                acts=entry.acts,
                begins=_moment(entry.begins),
                evidence=entry.evidence,
                ends=None if entry.ends is None else _moment(entry.ends),
                born=None if entry.born is None else date.fromisoformat(entry.born),
                purposes=entry.purposes,
            )
        except (TermsInvalid, ValueError) as error:
            raise RegisterInvalid(f"The entry {entry.id}: {error}") from error
        try:
            represented, representative = (find_pod(tx, each) for each in (entry.represented, entry.representative))
        except (NoSuchPod, PodMoved):
            self.elsewhere += 1
            return
        self._over.setdefault(represented.pod_id, []).append((representative.pod_id, terms))

    def authorities_over(self, pod_id: PodId) -> Iterable[tuple[PodId, Representation]]:
        """All that stands now over one citizen."""
        return self._over.get(pod_id, [])

    def citizens(self) -> set[PodId]:
        """Everybody here over whom somebody has an authority by this register."""
        return set(self._over)


def take_over(host: Host, register: RegisterFile) -> tuple[int, int]:
    """Take a register over, for everybody whom it names or named before; how many authorities began, and how many ended."""
    began = ended = 0
    for pod_id in sorted(register.citizens() | delegation.citizens_of_source(host, register.name)):
        new, gone = delegation.synchronise(host, register, pod_id)
        began, ended = began + new, ended + gone
    return began, ended


def _check_signature(content: bytes, signature: bytes, keys: Mapping[str, Any]) -> None:
    try:
        shown = base64url.read(signature.decode("ascii").strip())
    except (ValueError, SignatureInvalid) as error:
        raise RegisterInvalid("The signature is base64url text.") from error
    for jwk in keys["keys"]:
        try:
            PublicKey(jwk).verify(shown, content)
        except SignatureInvalid:
            continue
        return
    raise RegisterInvalid("The register was not signed by any of these keys, or was changed.")


def _check_time(host: Host, said: _File) -> None:
    if said.made.tzinfo is None or said.until.tzinfo is None:
        raise RegisterInvalid("made and until are times with their zone.")
    now = host.clock.now()
    if not said.made <= now + timedelta(minutes=5) or not said.made < said.until <= said.made + LONGEST_USE:
        raise RegisterInvalid("The register is of the future, or may be used for more than a week.")
    if now >= said.until:
        raise RegisterInvalid("The register may be used no more: fetch the newest.")


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
