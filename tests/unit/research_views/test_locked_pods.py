"""Research views leave locked pods out, whatever their citizens consented to, and take them in when they are open again."""

from __future__ import annotations

from datetime import timedelta

from deliveries import CITIZEN

from consent.grant import GrantTerms
from pod_server import figures, grants, pods
from pod_server.authorization import enforcement
from pod_server.opening import open_pod
from pod_server.partners import RESEARCH
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from research_views import release
from vocab.kinds import load_kinds


def counted(host, monkeypatch) -> list[bytes]:
    """The figures that a release would read, before they are bounded."""
    read = []
    load = figures.load_figures
    monkeypatch.setattr(release, "load_figures", lambda tx, opened: read.append(load(tx, opened)))
    assert list(release._participants(host, "2026-10", host.clock.now())) == []
    monkeypatch.undo()
    return read


def test_a_locked_pod_is_left_out_of_a_release(city, host, monkeypatch):
    kari = city.citizen("kari")
    now = host.clock.now()
    terms = GrantTerms(
        client_id=RESEARCH.client_id,
        purpose="research-statistics",
        kinds=frozenset(load_kinds().by_slug),
        operations=frozenset({"read"}),
        granularity="P1M",
        history_from=now - timedelta(days=366),
        expires_at=now + timedelta(days=300),
    )
    grants.give(host, kari.pod_id, terms, actor=CITIZEN)
    twin = open_pod(host, enforcement.require_mandate(host, kari.pod_id, "compute"))
    with host.storage.write() as tx:
        figures.save_figures(tx, twin, b"{}")
    assert counted(host, monkeypatch) == [b"{}"]
    locked = pods.lock_pod(host, kari.vault, Passphrase("tolv små katter"), cost=Argon2Cost(64, 1, 1))
    assert counted(host, monkeypatch) == []
    pods.leave_pod_open(host, locked.vault)
    assert counted(host, monkeypatch) == [b"{}"]
