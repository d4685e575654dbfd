"""T26: the host, with its key and its whole data folder, reads of a locked pod what the threat model lists, and no more.

Everything that is stored is tried with every key that the host holds or can derive, in every scope and at every place that
the row itself suggests. What opens is compared with the list; what the host can read is searched for what is private.
"""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from deliveries import deliver, granted, owner_permit, permit_again, reading

from pod_server import documents, figures, household, pods, proposals, resealing
from pod_server.authorization import enforcement
from pod_server.household import Household
from pod_server.inboxes import context
from pod_server.opening import open_pod
from pod_server.storage.schema_version import columns_of, schema_statements, tables_of_pods
from pod_server.vault.envelope import EnvelopeKey, Place, Scope, expand
from pod_server.vault.errors import PodLocked, Tampered
from pod_server.vault.inbox import InboxKey
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.scope_keys import unwrap_secret
from pod_server.vault.vault import HOST_HELD, unlock_with_custodian

CANARY = b"kanarifugl"
KINDS = ("public", "own", "grant", "figures", "log", "marks", "identity", "slot", "keyring")
TYPES = (
    "document", "document-head", "document-part", "household", "proposal", "segment", "partial", "figures", "twin-event",
    "log-event", "slot", "scope-secret", "grant-terms", "consent-receipt", "session",
)  # fmt: skip
LABELS = ("grant terms", "consent receipt", "outbox-body", "passkey", "signing-key", "cookie")
OPEN_TO_THE_HOST = {
    ("document", "sealed_head"),
    ("document", "sealed_body"),
    ("consent", "terms"),
    ("consent_receipt", "receipt"),
}
"""docs/threat-model.md: public documents with their own key, each grant's terms and receipts. Nothing else opens."""


@pytest.fixture
def locked(city):
    """A pod with something private in every table, some of it delivered while it was locked."""
    host, clock = city.host, city.clock
    made = city.citizen("kari", name="Kari")
    partner = granted(host, made.pod_id)
    deliver(host, partner.permit, [reading(number, meter="kanarifugl") for number in range(3)])
    own, at = open_pod(host, owner_permit(made.vault), vault=made.vault), clock.now()
    twin = open_pod(host, enforcement.require_mandate(host, made.pod_id, "compute"))
    with host.storage.write() as tx:
        household.save(tx, own, Household("kanarifugl", "nb", 2, "", "flat"), at=at)
        documents.put(tx, own, "private/kanarifugl", "text/plain", CANARY * 9, public=False, at=at)
        documents.put(tx, own, "private/long", "text/plain", CANARY * 2000, public=False, at=at)
        documents.put(tx, own, "open.txt", "text/plain", b"for everybody", public=True, at=at)
        proposals.save(tx, own, "p1", CANARY, state="open", at=at)
        figures.save_partial(tx, twin, partner.grant, "2026-11", CANARY)
        figures.save_figures(tx, twin, CANARY)
        figures.append_event(tx, twin, CANARY, grant=partner.grant)
        figures.append_event(tx, twin, CANARY)
    renewed = pods.lock_pod(host, made.vault, Passphrase("tolv små katter"), cost=Argon2Cost(64, 1, 1))
    resealing.reseal(host, renewed.vault, rest=lambda _: None)
    permit = permit_again(host, partner.partner, partner.grant)
    assert deliver(host, permit, [reading(5, meter="kanarifugl")]) == ["pending"]
    clock.advance(timedelta(minutes=1))
    return host, made.pod_id, partner.grant


def keys_of_the_host(host, pod_id, grant) -> list[EnvelopeKey]:
    """Every key the host has or can make, in every scope it could belong to."""
    scopes = [
        Scope(kind, of, epoch)
        for kind in KINDS
        for of in (("", grant) if kind in {"grant", "marks"} else ("",))
        for epoch in (1, 2)
    ]
    of_grants = [scope for scope in scopes if scope.kind in {"grant", "slot"}]
    secrets: dict[bytes, list[Scope]] = {host.host_key.derive(label): of_grants for label in LABELS}
    for kind in KINDS:
        secrets[host.host_key.derive(f"pod {kind}")] = [scope for scope in scopes if scope.kind == kind]
    for scope, wrapped in host.key_store.keyring(pod_id).items():
        try:
            secret = unwrap_secret(host.host_key.envelope_key(pod_id, scope), wrapped)
        except Tampered:
            continue
        assert scope.kind in HOST_HELD
        secrets[secret] = scopes
    assert len(secrets) == len(LABELS) + len(KINDS) + 2, "the host unwraps the public scope's key and one mark key"
    return [EnvelopeKey(secret, pod_id, scope) for secret, of in secrets.items() for scope in of]


def rows(host, table):
    names = [column.name for column in columns_of(table)]
    with host.storage.read() as tx:
        found = tx.all(f"SELECT {', '.join(names)} FROM {table}")
    return [
        dict(zip(names, (bytes(each) if isinstance(each, memoryview) else each for each in row), strict=True))
        for row in found
    ]


def places(row) -> list[Place]:
    names = {b""} | {
        value if isinstance(value, bytes) else value.encode()
        for value in row.values()
        if isinstance(value, bytes | str) and len(value) <= 64
    }
    versions = {0, 1} | {value for value in row.values() if isinstance(value, int) and 0 <= value < 2**40}
    return [Place(*each) for each in itertools.product(TYPES, names, versions)]


def test_every_key_of_the_host_opens_the_list_and_nothing_else(locked):
    host, pod_id, grant = locked
    keys = keys_of_the_host(host, pod_id, grant)
    opened: dict[tuple[str, str], list[bytes]] = {}
    tried = 0
    for table in tables_of_pods():
        for row in rows(host, table):
            candidates = None
            for column, value in row.items():
                if not isinstance(value, bytes) or not value.startswith(b"TV\x01"):
                    continue
                tried += 1
                candidates = candidates or places(row)
                for key, place in itertools.product(keys, candidates):
                    try:
                        plain = key.open(place, value)
                    except Tampered:
                        continue
                    opened.setdefault((table, column), []).append(plain)
                    break
    assert tried > 20
    assert set(opened) == OPEN_TO_THE_HOST
    everything = b"".join(itertools.chain.from_iterable(opened.values()))
    assert b"for everybody" in everything
    assert b"Kari" in everything
    assert CANARY not in everything
    private = [row for row in rows(host, "document") if row["scope"] == "own"]
    assert len(private) >= 2


def test_nothing_that_was_sealed_to_the_pod_opens_with_any_key_of_the_host(locked):
    """The log's events and what waits: HPKE to keys whose private halves only the opened pod has."""
    host, pod_id, grant = locked
    mark_scope = Scope("marks", grant)
    held = [host.host_key.derive(f"pod {kind}") for kind in KINDS] + [
        unwrap_secret(host.host_key.envelope_key(pod_id, scope), host.key_store.wrapped_secret(pod_id, scope))
        for scope in (Scope("public"), mark_scope)
    ]
    inboxes = [InboxKey(seed) for secret in held for seed in (secret, expand(secret, "inbox"))]
    waiting, leaves = rows(host, "pending_delivery"), rows(host, "log_leaf")
    assert waiting
    assert len(leaves) > 5
    for inbox in inboxes:
        for row in waiting:
            with pytest.raises(Tampered):
                inbox.open(row["sealed"], context("host", grant, row["epoch"], row["number"]))
        for row in leaves:
            info = b"tvilling log v1\x00" + pod_id.to_bytes(8, "big") + row["leaf_index"].to_bytes(8, "big")
            with pytest.raises(Tampered):
                inbox.open(row["sealed"], info)


def test_no_slot_of_a_locked_pod_is_the_hosts(locked):
    host, pod_id, _ = locked
    with pytest.raises(PodLocked):
        unlock_with_custodian(host.host_key, host.key_store, pod_id)
    for kind in ("passphrase", "recovery"):
        slot = host.key_store.slot(pod_id, kind)
        with pytest.raises(Tampered):
            host.host_key.unwrap(pod_id, slot.sealed)


def test_no_file_holds_anything_private_in_plain(locked):
    host, _, _ = locked
    everything = b"".join(path.read_bytes() for path in host.data_folder.rglob("*") if path.is_file())
    assert b"kari" in everything
    assert CANARY not in everything


def test_the_walk_covers_every_table_with_a_pods_rows():
    """A new table that holds sealed bytes is tried by itself; this holds the walk to the schema."""
    assert {"segment", "document", "pending_delivery", "log_leaf", "partial"} <= set(tables_of_pods())
    assert len(list(schema_statements())) > 40
