"""Large binaries and sudden ends: kill -9 at each step, a disk that fills, and what the sweeper leaves alone."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from binary_documents import content_of, opened, put_large, read_large
from ending import forked, outcome_of
from hosts import make_host

from pod_server import binaries, documents, quota
from pod_server.binaries import seal_file, sweep
from pod_server.pods import create_pod
from pod_server.storage.errors import StorageFull
from pod_server.vault.chunks import CHUNK_BYTES

OLD, NEW = content_of(1), content_of(2)
STEPS = ("reserved", "first chunk", "sealed", "written", "committed", "freed")
AFTER_THE_COMMIT = {"committed", "freed"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def pod_id(folder, clock):
    host = make_host(folder, clock)
    made = create_pod(host, "kari")
    host.storage.close()
    host.key_store.close()
    return made.pod_id


def in_a_child(work) -> tuple[int, bytes]:
    """Run `work(tell)` in a forked child until it dies: the signal it died of, what it told."""
    listening, telling = os.pipe()
    with forked(lambda: work(lambda text: os.write(telling, text))) as child:
        os.close(telling)
        with os.fdopen(listening, "rb") as pipe:
            told = pipe.read()
        return max(0, -outcome_of(child)), told


def use_of(host, pod_id) -> quota.Use:
    with host.storage.read() as tx:
        use = quota.use_of(tx, pod_id, host.quota_bytes)
        assert quota.recount(tx, pod_id) == (use.used_bytes, use.used_bytes)
    return use


class Dying(io.BytesIO):
    """A body in the middle of which the process dies."""

    def read(self, size: int = -1) -> bytes:
        if self.tell() >= CHUNK_BYTES:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(size)


@pytest.mark.parametrize("step", STEPS)
def test_death_at_each_step_leaves_the_old_document_or_the_new_one_and_the_sweeper_the_rest(
    folder, pod_id, clock, step
):
    def die(at: str) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def work(tell) -> None:
        host = make_host(folder, clock)
        put_large(host, pod_id, "film", OLD)
        tell(b"old")
        if step == "reserved":
            upload = binaries.Upload(host, pod_id, len(NEW))
            with host.storage.write() as tx:
                upload.reserve(tx)
            die("reserved")
        if step == "first chunk":
            seal_file(host, pod_id, Dying(NEW), len(NEW))
        put_large(host, pod_id, "film", NEW, at_step=die)
        tell(b"new")

    assert in_a_child(work) == (signal.SIGKILL, b"old")
    host = make_host(folder, clock)
    expected = NEW if step in AFTER_THE_COMMIT else OLD
    assert read_large(host, pod_id, "film") == expected
    lying = len(host.binaries.names(pod_id))
    assert lying == (1 if step == "freed" else 2)

    swept = sweep(host)
    assert swept.files == lying - 1
    assert swept.reservations == (0 if step in AFTER_THE_COMMIT else 1)
    assert read_large(host, pod_id, "film") == expected
    assert len(host.binaries.names(pod_id)) == 1
    assert use_of(host, pod_id).reserved_bytes == 0
    assert sweep(host) == binaries.Swept(0, 0, 0)
    put_large(host, pod_id, "film", OLD)
    assert read_large(host, pod_id, "film") == OLD


def test_the_sweeper_leaves_alone_what_is_on_its_way(folder, pod_id, clock):
    host = make_host(folder, clock)
    upload, binary = seal_file(host, pod_id, io.BytesIO(NEW), len(NEW))
    assert sweep(host) == binaries.Swept(0, 0, 0)
    assert use_of(host, pod_id).reserved_bytes == quota.count_document(len(NEW))
    upload.give_up()
    assert host.binaries.names(pod_id) == {}
    assert use_of(host, pod_id).reserved_bytes == 0
    assert binary.size_bytes == len(NEW)


def test_an_upload_whose_commit_went_through_is_not_taken_back(folder, pod_id, clock):
    """The commit's answer may be lost: then giving up looks before it removes."""
    host = make_host(folder, clock)
    upload, binary = seal_file(host, pod_id, io.BytesIO(NEW), len(NEW))
    own = opened(host, pod_id)
    with host.storage.write() as tx:
        upload.finish(tx)
        documents.put(tx, own, "film", "video/mp4", b"", public=False, at=host.clock.now(), binary=binary)
    upload.give_up()
    assert read_large(host, pod_id, "film") == NEW
    assert sweep(host).files == 0


def test_the_sweeper_asks_again_about_what_was_committed_after_its_look(folder, pod_id, clock, monkeypatch):
    host = make_host(folder, clock)
    put_large(host, pod_id, "film", NEW)
    monkeypatch.setattr(binaries, "named_files", lambda _tx, _pod_id: {})
    assert sweep(host) == binaries.Swept(0, 0, 0)
    assert read_large(host, pod_id, "film") == NEW


def test_nothing_is_removed_while_somebody_copies(folder, pod_id, clock):
    host = make_host(folder, clock)
    old = put_large(host, pod_id, "film", OLD)
    with host.binaries.keep():
        put_large(host, pod_id, "film", NEW)
        assert old in host.binaries.names(pod_id)
        assert sweep(host).files == 0
    assert sweep(host).files == 1
    assert old not in host.binaries.names(pod_id)


def test_files_of_a_pod_that_nobody_knows_are_swept(folder, pod_id, clock):
    host = make_host(folder, clock)
    put_large(host, pod_id, "film", OLD)
    with host.storage.write() as tx:
        tx.execute("DELETE FROM document WHERE pod_id = ?", (pod_id,))
    assert sweep(host).files == 1


def test_a_file_size_limit_counts_as_full_and_leaves_nothing(folder, pod_id, clock):
    def work(tell) -> None:
        host = make_host(folder, clock)
        put_large(host, pod_id, "film", OLD)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES + 100_000, hard))
        try:
            seal_file(host, pod_id, io.BytesIO(content_of(3, 3 * CHUNK_BYTES)), 3 * CHUNK_BYTES)
        except StorageFull:
            tell(b"full")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        tell(b"%d" % len(host.binaries.names(pod_id)))

    assert in_a_child(work) == (0, b"full1")
    host = make_host(folder, clock)
    assert read_large(host, pod_id, "film") == OLD
    assert use_of(host, pod_id).reserved_bytes == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root; the test above need not")
def test_a_real_disk_that_fills_mid_upload_refuses_frees_and_recovers(tmp_path, clock):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        host = make_host(disk / "data", clock)
        pod_id = create_pod(host, "kari").pod_id
        put_large(host, pod_id, "film", OLD)
        with pytest.raises(StorageFull):
            put_large(host, pod_id, "long", content_of(3, 8 << 20))
        assert read_large(host, pod_id, "film") == OLD
        assert len(host.binaries.names(pod_id)) == 1
        assert sweep(host).files == 0
        assert use_of(host, pod_id).reserved_bytes == 0
        put_large(host, pod_id, "film", NEW)
        assert read_large(host, pod_id, "film") == NEW
        host.storage.close()
        host.key_store.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_removal_that_was_cut_off_is_finished(folder, pod_id, clock, monkeypatch):
    host = make_host(folder, clock)
    put_large(host, pod_id, "film", OLD)

    def fail(_path, **_named):
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", fail)
        with pytest.raises(OSError):  # noqa: PT011 - the one raised above
            put_large(host, pod_id, "film", NEW)
    place = host.binaries.path(pod_id, b"x").parent
    assert len(list(place.iterdir())) == 2
    sweep(host)
    assert len(list(place.iterdir())) == 1
    assert read_large(host, pod_id, "film") == NEW


def test_many_large_files_are_removed_at_once(folder, pod_id, clock):
    host = make_host(folder, clock)
    names = [put_large(host, pod_id, f"film-{number}", OLD) for number in range(6)]
    with ThreadPoolExecutor(6) as removing:
        list(removing.map(lambda name: host.binaries.remove(pod_id, [name]), names))
    assert host.binaries.names(pod_id) == {}


def test_between_full_sweeps_only_changed_folders_and_those_of_dead_uploads_are_looked_at(folder, pod_id, clock):
    host = make_host(folder, clock)
    put_large(host, pod_id, "film", OLD)
    place = host.binaries.path(pod_id, b"x").parent
    host.binaries.create(pod_id, b"l" * 16).close()
    os.utime(place, (1000, 1000))
    assert sweep(host, changed_since=2000) == binaries.Swept(0, 0, 0)
    with host.storage.write() as tx:
        quota.reserve(tx, pod_id, b"l" * 16, 10, host.quota_bytes)
    assert sweep(host, changed_since=2000) == binaries.Swept(1, 0, 1)
    host.binaries.create(pod_id, b"m" * 16).close()
    assert sweep(host, changed_since=2000).files == 1
    assert read_large(host, pod_id, "film") == OLD
