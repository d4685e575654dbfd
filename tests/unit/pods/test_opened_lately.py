"""What a process remembers of opened documents is right for one version, within limits, and not for those without keys."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from pod_server import documents, opened_lately
from pod_server.authorization.enforcement import require_owner, require_public, require_rules
from pod_server.errors import PermitExceeded
from pod_server.opened_lately import OVERHEAD_BYTES, OpenedLately
from pod_server.opening import OpenPod, open_pod
from pod_server.vault.errors import PodLocked


@pytest.fixture
def kari(city):
    new = city.citizen("kari")
    return OpenPod(new.pod, require_owner(new.vault), new.vault)


def body_of(tx, pod, path="private/diary"):
    """The body by way of the memory, and how often it was opened for that."""
    opened = []

    def make(document):
        opened.append(path)
        return document.content, len(document.content)

    return documents.recall(tx, pod, path, "test", make), len(opened)


def write(host, pod, content: bytes, path="private/diary"):
    with host.storage.write() as tx:
        documents.put(tx, pod, path, "text/plain", content, public=False, at=host.clock.now())


def test_a_version_is_opened_once_and_the_next_version_anew(host, kari):
    write(host, kari, b"snow")
    with host.storage.read() as tx:
        assert body_of(tx, kari) == (b"snow", 1)
        assert body_of(tx, kari) == (b"snow", 0)
    write(host, kari, b"rain")
    with host.storage.read() as tx:
        assert body_of(tx, kari) == (b"rain", 1)


def test_what_was_read_and_rolled_back_is_not_taken_for_the_version_that_has_its_number_next(host, kari):
    def attempt(content: bytes, *, fail: bool):
        with host.storage.write() as tx:
            made = documents.put(tx, kari, "private/diary", "text/plain", content, public=False, at=host.clock.now())
            seen = body_of(tx, kari)
            if fail:
                raise LookupError(made.version, seen)
            return made.version, seen

    with pytest.raises(LookupError) as failed:
        attempt(b"never was", fail=True)
    version, seen = attempt(b"is", fail=False)
    assert failed.value.args == (version, (b"never was", 1))  # the same version number, twice
    assert seen == (b"is", 1)


def test_a_permit_for_rules_recalls_rules_alone_and_a_strangers_nothing_private(host, kari):
    write(host, kari, b"snow")
    with host.storage.read() as tx:
        assert body_of(tx, kari)[0] == b"snow"
        with pytest.raises(PermitExceeded):
            body_of(tx, OpenPod(kari.pod, require_rules(kari.pod), kari.vault))
        assert body_of(tx, open_pod(host, require_public(kari.pod)))[0] is None


def test_a_locked_pod_is_closed_to_the_memory_at_once(host, kari):
    write(host, kari, b"snow")
    deciding = require_rules(kari.pod)
    with host.storage.read() as tx:
        assert body_of(tx, kari)[0] == b"snow"
        assert documents.exists(tx, open_pod(host, deciding, pod=kari.pod), "private/diary")
    host.key_store.remove_slot(kari.pod_id, "custodian")
    with pytest.raises(PodLocked):
        open_pod(host, deciding, pod=kari.pod)


def test_another_pods_permit_opens_nothing(host, city, kari):
    ola = city.citizen("ola")
    with pytest.raises(PermitExceeded):
        open_pod(host, require_rules(ola.pod), pod=kari.pod)


def test_the_memory_keeps_within_its_bytes_and_forgets_what_was_unused_for_longest():
    memory = OpenedLately(most_bytes=3 * (100 + OVERHEAD_BYTES))
    for name in (b"a", b"b", b"c"):
        memory.keep("use", name, name, 100)
    assert memory.find("use", b"a") == b"a"
    memory.keep("use", b"d", b"d", 100)
    assert [memory.find("use", name) for name in (b"a", b"b", b"c", b"d")] == [b"a", None, b"c", b"d"]
    memory.keep("use", b"large", b"large", opened_lately.LARGEST_BYTES + 1)
    assert memory.find("use", b"large") is None
    assert len(memory) == 3


def test_the_memory_forgets_some_time_after_the_last_use(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(opened_lately, "time", SimpleNamespace(monotonic=lambda: now[0]))
    memory = OpenedLately(kept_seconds=10)
    memory.keep("use", b"a", b"a", 1)
    memory.keep("use", b"b", b"b", 1)
    for _ in range(3):
        now[0] += 9
        assert memory.find("use", b"a") == b"a"
    assert len(memory) == 1  # b was not asked for, and is gone all the same
    now[0] += 10.1
    assert memory.find("use", b"a") is None


def test_what_nobody_asks_for_any_more_goes_by_itself():
    memory = OpenedLately(kept_seconds=0.05)
    memory.keep("use", b"a", b"a", 1)
    assert len(memory) == 1
    until = time.monotonic() + 60
    while len(memory):
        assert time.monotonic() < until
        time.sleep(0.01)
