"""Finding a pod, and opening it under a Permit: the step between a decision and any reading or writing."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pod_server import key_epochs
from pod_server.clock import moment
from pod_server.errors import NoSuchPod, PermitExceeded, PodMoved
from pod_server.identifiers import Handle, PodId, WebId
from pod_server.vault.envelope import PUBLIC, Scope
from pod_server.vault.errors import PodLocked
from pod_server.vault.vault import public_vault, unlock_with_custodian

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.storage.ports import Question, Row, Transaction
    from pod_server.vault.key_store import Covers, KeyStore
    from pod_server.vault.vault import Vault

POD_COLUMNS = "pod_id, handle, created, state, area, simulated, log_public_key"

_CACHED_VAULTS = 4096
_CACHED_SECONDS = 10.0
"""How long a process may go on with a vault's keys in memory after they were destroyed in the key store. What is
written is safe from the first moment: the grant's state is read again in each writing transaction."""


@dataclass(frozen=True)
class Pod:
    """One pod, as far as the host may know it without any key.

    Attributes:
        pod_id: Its immutable number.
        handle: Its public name in addresses.
        created: When, city's time.
        state: `open` (the host's custodian slot is there) or `locked`.
        area: A public district code of vocab/areas.ttl, or "".
        simulated: Whether it is one of the demo's simulated neighbours.
        log_public_key: To which log events are sealed, also while the pod is locked.
    """

    pod_id: PodId
    handle: Handle
    created: datetime
    state: str
    area: str
    simulated: bool
    log_public_key: bytes

    def root(self, base_url: str) -> str:
        """The pod's root container."""
        return f"{base_url}/{self.handle}/"

    def webid(self, base_url: str) -> WebId:
        """The IRI that names the pod's owner."""
        return WebId(f"{base_url}/{self.handle}/profile/card#me")


@dataclass(frozen=True)
class OpenPod:
    """A pod, the leave to act in it, and the keys to do so."""

    pod: Pod
    permit: Permit
    vault: Vault

    @property
    def pod_id(self) -> PodId:
        """The pod's number."""
        return self.pod.pod_id


def pod_of_row(row: Row) -> Pod:
    """A row of `POD_COLUMNS` as a Pod."""
    pod_id, handle, created, state, area, simulated, log_public_key = row
    return Pod(PodId(pod_id), Handle(handle), moment(created), state, area, bool(simulated), log_public_key)


def find_pod(tx: Transaction, name: Handle | PodId | str) -> Pod:
    """The pod of a handle (text) or of a pod's number.

    Raises:
        PodMoved: it lives on another host now.
        NoSuchPod: there is none.
    """
    row = tx.one(*pod_question(PodId(name))) if isinstance(name, int) else _row_of_handle(tx, name)
    if row is None:
        moved = tx.one("SELECT moved_to FROM retired_handle WHERE handle = ? AND moved_to <> ''", (str(name),))
        if moved is not None:
            raise PodMoved(moved[0])
        raise NoSuchPod
    *columns, own_epoch, own_oldest_epoch = row
    pod = pod_of_row(tuple(columns))
    own_scopes = key_epochs.note_own_scopes(tx, pod.pod_id, own_epoch, own_oldest_epoch)
    if _MET_LATELY.get(pod.handle) != (pod.pod_id, own_scopes):
        if len(_MET_LATELY) >= _REMEMBERED_HANDLES:
            _MET_LATELY.clear()
        _MET_LATELY[pod.handle] = pod.pod_id, own_scopes
    return pod


_FOUND_COLUMNS = f"{POD_COLUMNS}, own_epoch, own_oldest_epoch"
_REMEMBERED_HANDLES = 100_000
_MET_LATELY: dict[str, tuple[PodId, list[Scope]]] = {}
"""Which pod a handle led to lately, and its citizen's scopes then. A guess: the database confirms it each time, in the
question that reads the pod."""


def pod_question(pod_id: PodId) -> Question:
    """What `find_pod` asks about a pod's number; for whoever asks ahead."""
    return f"SELECT {_FOUND_COLUMNS} FROM pod WHERE pod_id = ?", (pod_id,)


def handle_question(handle: str) -> Question | None:
    """What `find_pod` asks first about a handle that was met before; for whoever asks ahead."""
    met = _MET_LATELY.get(handle)
    if met is None:
        return None
    return f"SELECT {_FOUND_COLUMNS} FROM pod WHERE pod_id = ? AND handle = ?", (met[0], handle)


def met_lately(host: Host, handle: str) -> tuple[Vault, list[Scope]] | None:
    """The vault that a handle led to lately, and its scopes then, where this process has them in memory.

    For asking ahead alone: nothing may be opened or told on such a guess.
    """
    met = _MET_LATELY.get(handle)
    vaults = _of_store.get(host.key_store)
    if met is None or vaults is None:
        return None
    vault = vaults.guess(met[0])
    return None if vault is None else (vault, met[1])


def _row_of_handle(tx: Transaction, handle: str) -> Row | None:
    """A pod's row by its handle. It is the pod's number that a writing transaction takes the pod by."""
    question = handle_question(handle)
    row = None if question is None else tx.one(*question)
    if row is not None:
        return row
    found = tx.one("SELECT pod_id FROM pod WHERE handle = ?", (handle,))
    return None if found is None else tx.one(*pod_question(PodId(found[0])))


def open_pod(host: Host, permit: Permit, *, vault: Vault | None = None, pod: Pod | None = None) -> OpenPod:
    """Open the Permit's pod.

    Args:
        host: The host.
        permit: For this one pod. Under the authority `public` only the public scope opens.
        pod: The pod, where the caller's own transaction has found it already.
        vault: The citizen's own, from a session; without it the custodian slot is tried.

    Raises:
        NoSuchPod: the pod is gone.
        PodLocked: the citizen has locked it and `vault` is None.
        PermitExceeded: `vault` or `pod` is another's.
    """
    if pod is None:
        with host.storage.look() as tx:
            pod = find_pod(tx, permit.pod_id)
    if pod.pod_id != permit.pod_id:
        raise PermitExceeded
    if vault is not None and vault.pod_id != permit.pod_id:
        raise PermitExceeded
    if vault is None:
        if permit.authority == "public":
            vault = _public_vault(host, permit.pod_id)
        else:
            vault = custodian_vault(host, permit.pod_id)
    return OpenPod(pod, permit, vault)


class _Vaults:
    """The vaults that this process opened lately, each valid only for that with which it was opened."""

    def __init__(self) -> None:
        self._vaults: OrderedDict[tuple[PodId, str], tuple[object, float, Vault]] = OrderedDict()
        self._guard = threading.Lock()

    def find(self, pod_id: PodId, kind: str, opened_with: object) -> Vault | None:
        with self._guard:
            found = self._vaults.get((pod_id, kind))
            if found is None or found[0] != opened_with or time.monotonic() - found[1] > _CACHED_SECONDS:
                return None
            return found[2]

    def guess(self, pod_id: PodId) -> Vault | None:
        found = self._vaults.get((pod_id, "custodian"))
        return None if found is None or time.monotonic() - found[1] > _CACHED_SECONDS else found[2]

    def keep(self, pod_id: PodId, kind: str, opened_with: object, vault: Vault) -> None:
        with self._guard:
            self._vaults[pod_id, kind] = (opened_with, time.monotonic(), vault)
            self._vaults.move_to_end((pod_id, kind))
            while len(self._vaults) > _CACHED_VAULTS:
                self._vaults.popitem(last=False)


_of_store: WeakKeyDictionary[KeyStore, _Vaults] = WeakKeyDictionary()


def custodian_vault(host: Host, pod_id: PodId) -> Vault:
    """The pod's vault, opened with its custodian slot, or lately opened with that same slot.

    Raises:
        PodLocked: there is no custodian slot: the citizen removed it.
    """
    mark = host.key_store.slot_mark(pod_id, "custodian")
    if mark is None:
        raise PodLocked
    vaults = _of_store.setdefault(host.key_store, _Vaults())
    vault = vaults.find(pod_id, "custodian", mark)
    if vault is None:
        vault = unlock_with_custodian(host.host_key, host.key_store, pod_id)
        vaults.keep(pod_id, "custodian", mark, vault)
    return vault


def custodian_vaults(host: Host, wanted: Mapping[PodId, Collection[Scope]]) -> dict[PodId, Vault]:
    """Many pods' vaults, as `custodian_vault` opens each, by two questions to the key store instead of some for each.

    Args:
        host: The host.
        wanted: The pods, with the scopes whose keys shall be in memory then, where they can be.

    Returns:
        Each open pod's vault; pods without a custodian slot are left out.
    """
    store = host.key_store
    covers: Covers = {}
    opened: dict[PodId, Vault] = {}
    vaults = _of_store.setdefault(store, _Vaults())
    for pod_id, covered in store.slots_of(list(wanted), "custodian").items():
        vault = vaults.find(pod_id, "custodian", covered.mark)
        if vault is None:
            slot = store.open_slot(pod_id, "custodian", covered, covers)
            vault = unlock_with_custodian(host.host_key, store, pod_id, slot=slot)
            vaults.keep(pod_id, "custodian", covered.mark, vault)
        opened[pod_id] = vault
    unknown = [
        (pod_id, scope) for pod_id, vault in opened.items() for scope in wanted[pod_id] if not vault.knows(scope)
    ]
    for (pod_id, scope), wrapped in store.wrapped_secrets(unknown, covers).items():
        opened[pod_id].learn(scope, wrapped)
    return opened


def _public_vault(host: Host, pod_id: PodId) -> Vault:
    """The pod's public scope, opened, or lately opened with that same key; without it nothing opens."""
    mark = host.key_store.secret_mark(pod_id, PUBLIC)
    vaults = _of_store.setdefault(host.key_store, _Vaults())
    vault = vaults.find(pod_id, "public", mark)
    if vault is None:
        vault = public_vault(host.host_key, host.key_store, pod_id)
        vaults.keep(pod_id, "public", mark, vault)
    return vault
