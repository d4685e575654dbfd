"""The pods of this host: making one, listing, locking and removing them."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pod_server import documents, feed, household, key_epochs, recovery_drill, resealing, settling
from pod_server.authorization import enforcement, mandates
from pod_server.clock import microseconds
from pod_server.errors import HandleMalformed, HandleTaken
from pod_server.household import Household
from pod_server.identifiers import Actor, Handle, PodId, WebId, parse_handle
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.opening import POD_COLUMNS, OpenPod, Pod, custodian_vault, find_pod, open_pod, pod_of_row
from pod_server.resources.seed import seed_documents
from pod_server.storage.errors import StorageError, is_doubled
from pod_server.storage.schema_version import tables_of_pods
from pod_server.vault import rotation
from pod_server.vault.errors import PodLocked
from pod_server.vault.vault import create_vault, unlock_with_recovery_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction
    from pod_server.vault.key_derivation import Argon2Cost, Passphrase
    from pod_server.vault.rotation import RenewedVault
    from pod_server.vault.vault import Vault

__all__ = [
    "NewPod",
    "OpenPod",
    "Pod",
    "catch_up_with_keys",
    "change_passphrase",
    "close_to_host",
    "create_pod",
    "custodian_vault",
    "drop_passphrase",
    "find_pod",
    "leave_pod_open",
    "list_pods",
    "lock_pod",
    "open_pod",
    "recover_pod",
    "remove_pod",
    "renew_keys",
    "renew_recovery_code",
]

_POD_ID_BITS = 63


@dataclass(frozen=True)
class NewPod:
    """A pod just made.

    Attributes:
        pod: The pod.
        webid: Its owner's WebID.
        recovery_code: Shown once, never stored.
        vault: Open, for what the maker does next on the citizen's behalf.
    """

    pod: Pod
    webid: WebId
    recovery_code: str = field(repr=False)
    vault: Vault

    @property
    def pod_id(self) -> PodId:
        """The pod's number."""
        return self.pod.pod_id


def create_pod(
    host: Host,
    handle: str,
    *,
    passphrase: Passphrase | None = None,
    name: str = "",
    household_size: int = 1,
    area: str = "",
    dwelling: str = "",
    language: str = "nb",
    simulated: bool = False,
    custodian: bool = True,
    sandbox: bool = False,
    actor: Actor | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> NewPod:
    """Make a pod: keys, row, feed, log with its first leaf, household, the twin's mandate, profile and access rules.

    Args:
        host: The host that keeps it.
        handle: The public name in its address.
        passphrase: None for a pod that only the host's custodian slot and the recovery code open.
        name: The citizen's name, shown on the public profile card; the handle where empty.
        household_size: Persons in the household.
        area: District code of vocab/areas.ttl, or "".
        dwelling: `flat`, `terraced`, `detached` or "".
        language: `nb`, `nn` or `en`.
        simulated: One of the demo's simulated neighbours.
        custodian: False makes a pod that is locked from the start.
        sandbox: A partner's sandbox citizen (sandbox.py), whose handle no person could have.
        actor: Who makes it; the citizen, where None.
        random: Draws numbers and keys.

    Raises:
        HandleMalformed: not a handle, or a reserved word.
        HandleTaken: in use, or used before.
        StorageFull: the disk is full; nothing of the pod stands.
    """
    try:
        parsed = parse_handle(handle, sandbox=sandbox)
        lives_here = Household(name or handle, language, household_size, area, dwelling)
    except ValueError as error:
        raise HandleMalformed(str(error)) from error
    return create_pods(
        host,
        [NewCitizen(parsed, lives_here, passphrase, simulated, custodian)],
        actor=actor,
        random=random,
    )[0]


@dataclass(frozen=True)
class NewCitizen:
    """Somebody who shall have a pod; the members are as for `create_pod`."""

    handle: Handle
    household: Household
    passphrase: Passphrase | None = None
    simulated: bool = False
    custodian: bool = True


def create_pods(
    host: Host,
    citizens: Sequence[NewCitizen],
    *,
    actor: Actor | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> list[NewPod]:
    """Make pods for many, all of them or none: one commit of the key store, one of the database.

    Fifty at a time are enough to share the commits; a transaction of thousands would hold other writers up.

    Raises:
        HandleTaken: one of the handles is in use, or was used before, or stands twice in the list.
        StorageFull: the disk is full; nothing of any pod stands.
    """
    if len({citizen.handle for citizen in citizens}) < len(citizens):
        raise HandleTaken
    with host.storage.look() as tx:
        for citizen in citizens:
            check_free(tx, citizen.handle)
    at = host.clock.now()
    made: list[tuple[NewPod, NewCitizen]] = []
    with host.key_store.batch():
        for citizen in citizens:
            pod_id = PodId(int.from_bytes(random(8), "big") >> (64 - _POD_ID_BITS))
            vault = create_vault(
                host.host_key,
                host.key_store,
                pod_id,
                passphrase=citizen.passphrase,
                custodian=citizen.custodian,
                random=random,
            )
            state = "open" if citizen.custodian else "locked"
            lives_here = citizen.household
            pod = Pod(pod_id, citizen.handle, at, state, lives_here.area, citizen.simulated, vault.log_public_key)
            made.append((NewPod(pod, pod.webid(host.base_url), vault.recovery_code, vault.vault), citizen))
    made.sort(key=lambda each: each[0].pod_id)
    try:
        with host.storage.write() as tx:
            for new, citizen in made:
                check_free(tx, citizen.handle)
                _write_pod(host, tx, new, citizen, actor, random)
    except BaseException as error:
        # Keys without a pod open nothing and name nobody; they are destroyed all the same, once no pod can need them:
        # where the answer to a commit was lost, the pods may stand.
        if isinstance(error, StorageError):
            with host.storage.write() as tx:
                for new, _ in made:
                    forget_rows(tx, new.pod_id)
        for new, _ in made:
            host.key_store.destroy_vault(new.pod_id)
        if is_doubled(error):
            raise HandleTaken from error  # by somebody who made a pod of this name at the same moment
        raise
    of_handle = {new.pod.handle: new for new, _ in made}
    return [of_handle[citizen.handle] for citizen in citizens]


def forget_rows(tx: Transaction, pod_id: PodId, *, but: frozenset[str] = frozenset()) -> None:
    """Delete every row of a pod, from all tables but those."""
    for table in tables_of_pods():
        if table not in but:
            tx.send(f"DELETE FROM {table} WHERE pod_id = ?", (pod_id,))


def _write_pod(  # noqa: PLR0917 - called in one place
    host: Host,
    tx: Transaction,
    new: NewPod,
    citizen: NewCitizen,
    actor: Actor | None,
    random: Callable[[int], bytes],
) -> None:
    """Everything that a new pod begins with. Its number was drawn just now: nothing of it is there to be asked for."""
    pod, pod_id, at = new.pod, new.pod_id, new.pod.created
    permit = enforcement.require_owner(new.vault)
    opened = OpenPod(pod, permit, new.vault)
    tx.send(
        f"INSERT INTO pod ({POD_COLUMNS}, figures_epoch) VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
        (pod_id, pod.handle, microseconds(at), pod.state, pod.area, int(pod.simulated), pod.log_public_key),
    )
    feed.open_feed(tx, pod_id)
    tree = ledger.create_tree(tx, pod_id, pod.log_public_key, random=random)
    event = LogEvent(at=at, actor=actor or permit.actor, action="create-pod")
    ledger.append(tx, pod_id, event, random=random, tree=tree)
    mandates.give_standing_mandate(tx, pod_id, at)
    key_epochs.note_own_scopes(tx, pod_id, 1, 1)
    head = household.save(tx, opened, citizen.household, at=at, head=0)
    seed = seed_documents(name=citizen.household.name, issuer=host.base_url)
    head = documents.put_first(
        tx, opened, [(each.path, each.media_type, each.content, each.public) for each in seed], after=head, at=at
    )
    feed.go_to(tx, pod_id, head)


def list_pods(host: Host, *, simulated: bool | None = None) -> list[Pod]:
    """Every pod of the host by handle; `simulated` keeps the demo's neighbours alone, or leaves them out."""
    with host.storage.read() as tx:
        if simulated is None:
            rows = tx.all(f"SELECT {POD_COLUMNS} FROM pod ORDER BY handle")
        else:
            rows = tx.all(f"SELECT {POD_COLUMNS} FROM pod WHERE simulated = ? ORDER BY handle", (int(simulated),))
    return [pod_of_row(row) for row in rows]


def remove_pod(host: Host, pod_id: PodId, *, retire_handle: bool = True) -> None:
    """Delete a pod for good: its keys first, then its rows; its handle is never given out again.

    Args:
        host: The host.
        pod_id: Whose.
        retire_handle: False only for a pod that nobody was told of: one whose making failed half-way.

    Raises:
        NoSuchPod: there is none.
    """
    with host.storage.read() as tx:
        pod = find_pod(tx, pod_id)
    # Without its keys the pod is unreadable, whatever happens next; a second call finishes a first that was cut short.
    host.key_store.destroy_vault(pod_id)
    with host.storage.write(urgent=True) as tx:
        if retire_handle:
            tx.send(
                "INSERT INTO retired_handle (handle, retired) VALUES (?, ?) ON CONFLICT (handle) DO NOTHING",
                (pod.handle, microseconds(host.clock.now())),
            )
        forget_rows(tx, pod_id)
    host.binaries.remove_pod(pod_id)


def lock_pod(
    host: Host, vault: Vault, passphrase: Passphrase, *, actor: Actor | None = None, cost: Argon2Cost | None = None
) -> RenewedVault:
    """Lock a pod: new keys for everything and no custodian slot, so that only its citizen opens it; the log says so.

    What is written from now on is sealed under the new keys; history follows when `resealing.reseal` is run with the
    vault returned here, which the caller does in the background.

    Args:
        host: The host.
        vault: Open, from a session.
        passphrase: What opens the pod from now on.
        actor: Who locks it; the citizen, where None.
        cost: Argon2id's, where not the usual.

    Returns:
        The vault under its new root key, and a new recovery code to show once. Sessions of the old root key end.

    Raises:
        PassphraseRefused, SignInBusy, PodLocked: nothing was changed.
    """
    recovery_drill.forget(host, vault.pod_id)
    settling.settle_pod(host, vault)  # from now on strangers are served from the public scope without asking the rules
    locked = rotation.renew_keys(host.host_key, host.key_store, vault, passphrase, custodian=False, cost=cost)
    _note_keys(host, locked.vault, "locked", "lock-pod", actor)
    return locked


def renew_keys(
    host: Host,
    vault: Vault,
    passphrase: Passphrase | None,
    *,
    actor: Actor | None = None,
    cost: Argon2Cost | None = None,
) -> RenewedVault:
    """Give a pod new keys for everything and leave it open or locked as it is; otherwise as `lock_pod`.

    For a citizen who thinks that somebody has a copy of the old ones.

    Raises:
        LastWayIn: a locked pod needs a passphrase.
        PassphraseRefused, SignInBusy, PodLocked: nothing was changed.
    """
    custodian = "custodian" in host.key_store.slot_kinds(vault.pod_id)
    recovery_drill.forget(host, vault.pod_id)
    renewed = rotation.renew_keys(host.host_key, host.key_store, vault, passphrase, custodian=custodian, cost=cost)
    _note_keys(host, renewed.vault, "open" if custodian else "locked", "renew-keys", actor)
    return renewed


def change_passphrase(
    host: Host, vault: Vault, passphrase: Passphrase, *, actor: Actor | None = None, cost: Argon2Cost | None = None
) -> None:
    """Put a new passphrase in place of the old one, or give the pod its first; sessions and the recovery code stand.

    Raises:
        PassphraseRefused, SignInBusy, PodLocked: the old one stands.
    """
    rotation.change_passphrase(host.key_store, vault, passphrase, cost=cost)
    _log_keys(host, vault.pod_id, "change-passphrase", actor)


def drop_passphrase(host: Host, vault: Vault, *, actor: Actor | None = None) -> bool:
    """Take the passphrase away from an open pod; True if it had one.

    Raises:
        LastWayIn: the pod is locked: the recovery code alone would be left.
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    dropped = rotation.remove_slot(host.key_store, vault, "passphrase")
    if dropped:
        _log_keys(host, vault.pod_id, "drop-passphrase", actor)
    return dropped


def renew_recovery_code(host: Host, vault: Vault, *, actor: Actor | None = None) -> str:
    """A new recovery code, shown once; the old one opens nothing from now on.

    Raises:
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    recovery_drill.forget(host, vault.pod_id)
    code = rotation.renew_recovery_code(host.key_store, vault)
    _log_keys(host, vault.pod_id, "renew-recovery-code", actor)
    return code


def recover_pod(
    host: Host,
    handle: str,
    code: str,
    passphrase: Passphrase,
    *,
    actor: Actor | None = None,
    cost: Argon2Cost | None = None,
) -> RenewedVault:
    """Open a pod with its recovery code and give it a new passphrase, new keys and a new code.

    Whoever lost a passphrase does not know who has it: everything gets new keys, and the code, which may have been read
    over a shoulder, is used up.

    Raises:
        NoSuchPod: there is none of this handle.
        RecoveryCodeMistyped, WrongRecoveryCode: about the code; nothing was changed.
        PassphraseRefused, SignInBusy: nothing was changed.
    """
    passphrase.require_length()
    with host.storage.read() as tx:
        pod_id = find_pod(tx, handle).pod_id
    vault = unlock_with_recovery_code(host.host_key, host.key_store, pod_id, code)
    catch_up_with_keys(host, vault)
    _log_keys(host, pod_id, "unlock", actor, means="recovery-code")
    return renew_keys(host, vault, passphrase, actor=actor, cost=cost)


def close_to_host(host: Host, pod_id: PodId, *, actor: Actor | None = None) -> None:
    """Take the host's custodian slot away and keep the root key: the citizen's passphrase goes on opening the pod.

    Weaker than `lock_pod`: sessions go on, and an older copy of the key store, with the host key, also opens what comes
    later. It needs nothing of the citizen's, so that an operator can close a pod at once.

    Raises:
        PodLocked: the pod has no passphrase slot; taking the host's slot would leave the recovery code alone.
    """
    if "passphrase" not in host.key_store.slot_kinds(pod_id):
        raise PodLocked
    with contextlib.suppress(PodLocked):
        # As long as the host can: the inboxes to which deliveries are sealed from now on.
        catch_up_with_keys(host, custodian_vault(host, pod_id))
    host.key_store.remove_slot(pod_id, "custodian")
    _note_state(host, pod_id, "locked", "lock-pod", actor)


def leave_pod_open(host: Host, vault: Vault, *, actor: Actor | None = None) -> None:
    """Give the host its custodian slot back: the twin works and partners are served while the citizen is away.

    What waited is merged by whoever runs `partner_bridge.merging.merge_waiting` next: the caller, or the agent.

    Raises:
        PodLocked: the vault is not open, or its root key is not the pod's any more.
    """
    catch_up_with_keys(host, vault)
    rotation.leave_open(host.host_key, host.key_store, vault)
    _note_state(host, vault.pod_id, "open", "leave-pod-open", actor)


def catch_up_with_keys(host: Host, vault: Vault) -> bool:
    """Let the database follow the key store where a crash came between the two; True if it had to."""
    with host.storage.write() as tx:
        adopted = resealing.adopt(host, tx, vault)
        if adopted:
            state = "open" if "custodian" in host.key_store.slot_kinds(vault.pod_id) else "locked"
            tx.send("UPDATE pod SET state = ? WHERE pod_id = ?", (state, vault.pod_id))
            event = LogEvent(at=host.clock.now(), actor=Actor("host"), action="renew-keys")
            ledger.append(tx, vault.pod_id, event)
    return adopted


def _note_keys(host: Host, vault: Vault, state: str, action: str, actor: Actor | None) -> None:
    """Everything that the database says about a pod's new keys, in one transaction; it may be done again."""
    with host.storage.write(urgent=True) as tx:
        resealing.adopt(host, tx, vault)
        tx.send("UPDATE pod SET state = ? WHERE pod_id = ?", (state, vault.pod_id))
        event = LogEvent(at=host.clock.now(), actor=actor or Actor("citizen"), action=action)
        ledger.append(tx, vault.pod_id, event)
    host.signal.notify([vault.pod_id])


def _log_keys(host: Host, pod_id: PodId, action: str, actor: Actor | None, **detail: str) -> None:
    with host.storage.write() as tx:
        event = LogEvent(at=host.clock.now(), actor=actor or Actor("citizen"), action=action, detail=detail)
        ledger.append(tx, pod_id, event)


def _note_state(host: Host, pod_id: PodId, state: str, action: str, actor: Actor | None) -> None:
    """The row follows the key store, which alone decides whether a pod opens."""
    with host.storage.write(urgent=True) as tx:
        tx.send("UPDATE pod SET state = ? WHERE pod_id = ?", (state, pod_id))
        ledger.append(tx, pod_id, LogEvent(at=host.clock.now(), actor=actor or Actor("citizen"), action=action))
    host.signal.notify([pod_id])


def check_free(tx: Transaction, handle: Handle) -> None:
    """See that nobody has a handle, or had it.

    Two who ask at the same moment may both be told so; the table then gives it to one of them.

    Raises:
        HandleTaken: somebody has, or had.
    """
    taken = tx.one(
        "SELECT 1 FROM pod WHERE handle = ? UNION ALL SELECT 1 FROM retired_handle WHERE handle = ?", (handle, handle)
    )
    if taken is not None:
        raise HandleTaken
