"""Figures, events and proposals: sealed under the right key, gone with the grant, changed by one at a time."""

from __future__ import annotations

import pytest
from deliveries import CITIZEN, granted, owner_permit

from pod_server import figures, grants, household, proposals
from pod_server.authorization import enforcement
from pod_server.errors import PermitExceeded, VersionMoved
from pod_server.household import Household
from pod_server.opening import open_pod
from pod_server.vault.errors import Tampered


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def own(host, kari):
    return open_pod(host, owner_permit(kari.vault), vault=kari.vault)


def as_twin(host, pod):
    return open_pod(host, enforcement.require_mandate(host, pod.pod_id, "compute"))


def test_sums_are_kept_by_grant_and_month(host, kari):
    twin = as_twin(host, kari)
    one, two = granted(host, kari.pod_id), granted(host, kari.pod_id, name="AtB")
    with host.storage.write() as tx:
        figures.save_partial(tx, twin, one.grant, "2026-10", b"october")
        figures.save_partial(tx, twin, one.grant, "2026-11", b"first")
        figures.save_partial(tx, twin, one.grant, "2026-11", b"second")
        figures.save_partial(tx, twin, two.grant, "2026-11", b"bus")
    with host.storage.read() as tx:
        assert figures.load_partial(tx, twin, one.grant, "2026-11") == b"second"
        assert figures.load_partial(tx, twin, one.grant, "2026-12") is None
        assert {partial.content for partial in figures.load_partials(tx, twin)} == {b"october", b"second", b"bus"}
        assert [partial.month for partial in figures.load_partials(tx, twin, one.grant)] == ["2026-10", "2026-11"]
        assert len(figures.load_partials(tx, twin, from_month="2026-11")) == 2


def test_an_earlier_version_of_the_figures_does_not_open_as_the_latest(host, kari):
    """A row put back from an old copy: the version is authenticated."""
    twin = as_twin(host, kari)
    with host.storage.write() as tx:
        figures.save_figures(tx, twin, b"old")
        (old,) = tx.one("SELECT sealed FROM figures")
        figures.save_figures(tx, twin, b"new")
        assert figures.load_figures(tx, twin) == b"new"
        tx.execute("UPDATE figures SET sealed = ?", (old,))
        with pytest.raises(Tampered):
            figures.load_figures(tx, twin)


def test_events_are_numbered_and_the_last_three_hundred_kept(host, kari, own):
    twin = as_twin(host, kari)
    partner = granted(host, kari.pod_id)
    count = figures.EVENTS_KEPT + 100
    with host.storage.write() as tx:
        for number in range(1, count + 1):
            assert figures.append_event(tx, twin, b"%d" % number, grant=partner.grant) == number
    with host.storage.read() as tx:
        assert figures.last_event_seq(tx, kari.pod_id) == count
        newest = figures.events_after(tx, own, newest_first=True, limit=3)
        assert [(event.seq, event.content) for event in newest] == [
            (n, b"%d" % n) for n in (count, count - 1, count - 2)
        ]
        assert [event.seq for event in figures.events_after(tx, own, count - 2)] == [count - 1, count]
        (rows,) = tx.one("SELECT COUNT(*) FROM twin_event")
    assert figures.EVENTS_KEPT <= rows <= figures.EVENTS_KEPT + 32


def test_erasing_a_partner_takes_its_sums_its_events_and_the_combined_figures(host, kari):
    twin = as_twin(host, kari)
    one, two = granted(host, kari.pod_id), granted(host, kari.pod_id, name="AtB")
    with host.storage.write() as tx:
        figures.save_partial(tx, twin, one.grant, "2026-11", b"power")
        figures.save_partial(tx, twin, two.grant, "2026-11", b"bus")
        figures.append_event(tx, twin, b"power", grant=one.grant)
        figures.append_event(tx, twin, b"bus", grant=two.grant)
        figures.append_event(tx, twin, b"both")
        figures.save_figures(tx, twin, b"both")
        (combined,) = tx.one("SELECT sealed FROM figures")
    grants.erase(host, kari.pod_id, one.grant, actor=CITIZEN)
    fresh = as_twin(host, kari)
    with host.storage.write() as tx:
        assert [partial.content for partial in figures.load_partials(tx, fresh)] == [b"bus"]
        assert [event.content for event in figures.events_after(tx, fresh)] == [b"bus"]
        assert figures.load_figures(tx, fresh) is None
        figures.save_figures(tx, fresh, b"bus alone")
        assert figures.load_figures(tx, fresh) == b"bus alone"
        assert figures.append_event(tx, fresh, b"after") == 4
        # A copy of the old figures, from a backup, opens with no key that is left.
        tx.execute("UPDATE figures SET sealed = ?, epoch = 1, version = 1", (combined,))
    from pod_server.opening import OpenPod
    from pod_server.vault.vault import unlock_with_custodian

    vault = unlock_with_custodian(host.host_key, host.key_store, kari.pod_id)
    with host.storage.read() as tx:
        assert figures.load_figures(tx, OpenPod(kari.pod, fresh.permit, vault)) is None


def test_only_the_twin_writes_figures_and_partners_do_not_read_them(host, kari, own):
    partner = open_pod(host, granted(host, kari.pod_id).permit)
    with host.storage.write() as tx:
        for opened in (own, partner):
            with pytest.raises(PermitExceeded):
                figures.save_figures(tx, opened, b"")
            with pytest.raises(PermitExceeded):
                figures.save_partial(tx, opened, "g-1", "2026-11", b"")
        for read in (figures.load_figures, figures.load_partials, figures.events_after, household.load):
            with pytest.raises(PermitExceeded):
                read(tx, partner)
        with pytest.raises(PermitExceeded):
            proposals.list_proposals(tx, partner)


def test_a_proposal_is_decided_once(host, own, clock):
    with host.storage.write() as tx:
        first = proposals.save(tx, own, "p1", b'{"a":1}', state="waiting", at=clock.now())
    with host.storage.write() as tx:
        proposals.save(tx, own, "p1", b'{"a":1}', state="approved", at=clock.now(), if_version=first)
    for if_version in (first, None):
        with pytest.raises(VersionMoved), host.storage.write() as tx:
            proposals.save(tx, own, "p1", b"{}", state="declined", at=clock.now(), if_version=if_version)
    with host.storage.read() as tx:
        stored = proposals.load(tx, own, "p1")
        assert stored is not None
        assert (stored.state, stored.body) == ("approved", b'{"a":1}')
        assert proposals.list_proposals(tx, own) == [stored]
        assert proposals.load(tx, own, "p2") is None


def test_only_the_owner_changes_the_household_and_the_agent_is_woken(host, kari, own, clock):
    from pod_server import feed

    (claim,) = feed.claim(host, "worker", 1)
    with host.storage.write() as tx:
        feed.advance(tx, kari.pod_id, claim.head, after=claim.cursor)
        household.save(tx, own, Household("Kari", "en", 4), at=clock.now())
        with pytest.raises(PermitExceeded):
            household.save(tx, as_twin(host, kari), Household("Kari"), at=clock.now())
    with host.storage.read() as tx:
        assert household.load(tx, own).household_size == 4
    assert len(feed.claim(host, "worker", 1)) == 1
