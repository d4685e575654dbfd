"""What happens to large binaries over a host's life: backups, restores, the doctor, exports, removal."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zipfile
from contextlib import closing

import pytest
from binary_documents import SIZE, content_of, opened, put_large, read_large
from click.testing import CliRunner
from hosts import make_host

from pod_server import documents, quota
from pod_server.binaries import BinaryTooLarge
from pod_server.identifiers import Actor
from pod_server.pods import create_pod, find_pod, list_pods, renew_keys
from pod_server.resealing import reseal
from pod_server.transfer.errors import PodFileInvalid
from pod_server.transfer.export import export_pod
from pod_server.transfer.load import load_pod
from pod_server.transfer.pod_file import MANIFEST
from pod_server.vault.vault import unlock_with_custodian
from tvilling.cli import main

FILM, SONG = content_of(1), content_of(2)


@pytest.fixture
def tvilling(tmp_path):
    def run(*arguments: str, stdin: str = "", code: int = 0, data: str = "data"):
        done = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / data), "--json"], input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


@pytest.fixture
def host(tmp_path, clock):
    host = make_host(tmp_path / "data", clock)
    yield host
    host.storage.close()
    host.key_store.close()


@pytest.fixture
def kari(host):
    made = create_pod(host, "kari")
    put_large(host, made.pod_id, "private/film.mp4", FILM)
    return made.pod_id


def close(host) -> None:
    host.storage.close()
    host.key_store.close()


def test_a_restore_brings_the_binaries_back_as_they_were(tvilling, host, kari, tmp_path, clock):
    backup = tmp_path / "saved"
    tvilling("backup", str(backup), "--with-host-key")
    (name,) = host.binaries.names(kari)
    put_large(host, kari, "private/film.mp4", SONG)
    put_large(host, kari, "private/later.mp4", SONG)
    close(host)
    tvilling("restore", str(backup), "--force")
    again = make_host(tmp_path / "data", clock)
    assert read_large(again, kari, "private/film.mp4") == FILM
    assert read_large(again, kari, "private/later.mp4") is None
    assert list(again.binaries.names(kari)) == [name]
    aside = tmp_path / "data" / "replaced-1" / "binaries"
    assert len(list(aside.glob("*/*"))) == 2, "what was there is moved aside"
    assert oct((tmp_path / "data" / "binaries").stat().st_mode)[-3:] == "700"
    close(again)
    fresh = tvilling("restore", str(backup), data="fresh")
    assert fresh["pods"] == 1
    there = make_host(tmp_path / "fresh", clock)
    assert read_large(there, kari, "private/film.mp4") == FILM
    close(there)


def test_a_second_backup_copies_what_is_new_and_drops_what_is_gone(tvilling, host, kari, tmp_path):
    backup = tmp_path / "saved"
    tvilling("backup", str(backup))
    (first,) = (backup / "data" / "binaries").glob("*/*")
    kept = first.stat().st_ino
    put_large(host, kari, "private/song.mp3", SONG)
    tvilling("backup", str(backup))
    assert first.stat().st_ino == kept, "a file that is there already is not copied again"
    assert len(list((backup / "data" / "binaries").glob("*/*"))) == 2
    put_large(host, kari, "private/film.mp4", SONG)
    tvilling("backup", str(backup))
    assert not first.exists()
    assert len(list((backup / "data" / "binaries").glob("*/*"))) == 2


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "list"])
def test_a_backup_with_a_damaged_binary_is_refused_and_the_folder_stays(tvilling, host, kari, tmp_path, clock, damage):
    backup = tmp_path / "saved"
    tvilling("backup", str(backup), "--with-host-key")
    (copied,) = (backup / "data" / "binaries").glob("*/*")
    content = copied.read_bytes()
    if damage == "changed":
        copied.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        copied.write_bytes(content[:-1])
    elif damage == "missing":
        copied.unlink()
    else:
        (backup / "data" / "binaries.txt").write_text("")
    close(host)
    assert "binaries" in tvilling("restore", str(backup), data="other", code=1)
    # Where the present folder still holds the file unchanged, it is taken from there.
    tvilling("restore", str(backup), "--force", code=1 if damage == "list" else 0)
    again = make_host(tmp_path / "data", clock)
    assert read_large(again, kari, "private/film.mp4") == FILM
    close(again)


def test_a_backup_says_so_where_a_document_has_lost_its_file(tvilling, host, kari, tmp_path):
    (name,) = host.binaries.names(kari)
    host.binaries.path(kari, name).unlink()
    assert "missing" in tvilling("backup", str(tmp_path / "saved"), code=1)
    assert not (tmp_path / "saved" / "backup.json").exists()


def test_a_file_that_goes_while_the_backup_runs_is_in_it_all_the_same(
    tvilling, host, kari, tmp_path, monkeypatch, clock
):
    from tvilling import binary_copies

    real = binary_copies.copy_out

    def slowly(*arguments):
        put_large(host, kari, "private/film.mp4", SONG)
        real(*arguments)

    monkeypatch.setattr(binary_copies, "copy_out", slowly)
    tvilling("backup", str(tmp_path / "saved"), "--with-host-key")
    tvilling("restore", str(tmp_path / "saved"), data="other")
    other = make_host(tmp_path / "other", clock)
    assert read_large(other, kari, "private/film.mp4") == FILM
    close(other)


def doctor(tvilling, code):
    answer = tvilling("doctor", code=code)
    findings = answer if isinstance(answer, list) else answer["findings"]
    return {finding["check"] for finding in findings}


def test_the_doctor_finds_lost_files_leftovers_and_a_sum_that_drifted(tvilling, host, kari):
    (name,) = host.binaries.names(kari)
    path = host.binaries.path(kari, name)
    assert not {"binaries", "binaries-left", "quota"} & doctor(tvilling, 1)
    with path.open("ab") as file:
        file.write(b"x")
    assert "binaries" in doctor(tvilling, 1)
    os.truncate(path, path.stat().st_size - 1)
    host.binaries.create(kari, b"l" * 16).close()
    assert "binaries-left" in doctor(tvilling, 1)
    writing = host.binaries.create(kari, b"w" * 16)
    host.binaries.path(kari, b"l" * 16).unlink()
    assert "binaries-left" not in doctor(tvilling, 1), "what is being written is not left behind"
    writing.discard()
    with closing(sqlite3.connect(host.data_folder / "tvilling.sqlite")) as database, database:
        database.execute("UPDATE storage_use SET used_bytes = used_bytes + 1")
    assert "quota" in doctor(tvilling, 1)
    before = tvilling("citizen", "quota", "kari")["used_bytes"]
    assert tvilling("citizen", "quota", "kari", "--recount")["used_bytes"] == before - 1
    assert not {"binaries", "binaries-left", "quota"} & doctor(tvilling, 1)
    path.unlink()
    assert "binaries" in doctor(tvilling, 1)


def test_the_operator_gives_a_pod_a_quota_of_its_own(tvilling, host, kari):
    with host.storage.read() as tx:
        used = quota.use_of(tx, kari, host.quota_bytes).used_bytes
    assert used > SIZE
    assert tvilling("citizen", "quota", "kari") == {
        "used_bytes": used,
        "reserved_bytes": 0,
        "allowed_bytes": quota.DEFAULT_QUOTA_BYTES,
    }
    assert tvilling("citizen", "quota", "kari", "--set", "20GiB")["allowed_bytes"] == 20 << 30
    assert tvilling("citizen", "quota", "kari", "--default")["allowed_bytes"] == quota.DEFAULT_QUOTA_BYTES
    assert "no size" in tvilling("citizen", "quota", "kari", "--set", "much", code=2)
    assert "either" in tvilling("citizen", "quota", "kari", "--set", "1", "--default", code=1)


@pytest.fixture
def there(tmp_path, clock):
    host = make_host(tmp_path / "there", clock, base_url="https://elsewhere.example")
    yield host
    close(host)


@pytest.fixture
def exported(host, kari, tmp_path):
    """Kari's pod with a film of zeros, which shrinks to nothing, and a song for everyone, described."""
    put_large(host, kari, "public/zeros.bin", bytes(3 << 20), public=True)
    own = opened(host, kari)
    with host.storage.write() as tx:
        at = host.clock.now()
        documents.put(tx, own, "private/film.mp4.meta", "text/turtle", b"", public=False, at=at)
        documents.put(
            tx, own, "private/latin.txt", "text/plain", b"\xe5", public=False, at=at, parameters="charset=iso-8859-1"
        )
    target = tmp_path / "kari.zip"
    export_pod(host, own, target)
    return target


def test_binaries_travel_with_an_exported_pod(host, exported, there):
    with zipfile.ZipFile(exported) as file:
        assert file.read("documents/private/film.mp4") == FILM
        assert file.getinfo("documents/private/film.mp4").compress_type == zipfile.ZIP_STORED
    load_pod(there, exported, actor=Actor("operator-assisted"))
    with there.storage.read() as tx:
        pod = find_pod(tx, "kari")
    assert read_large(there, pod.pod_id, "private/film.mp4") == FILM
    assert read_large(there, pod.pod_id, "public/zeros.bin") == bytes(3 << 20)
    own = opened(there, pod.pod_id)
    with there.storage.read() as tx:
        assert documents.find_entry(tx, own, "public/zeros.bin").public
        assert documents.exists(tx, own, "private/film.mp4.meta")
        assert documents.get(tx, own, "private/latin.txt").parameters == "charset=iso-8859-1"
        use = quota.use_of(tx, pod.pod_id, there.quota_bytes)
        assert quota.recount(tx, pod.pod_id) == (use.used_bytes, use.used_bytes)
    assert use.reserved_bytes == 0


def test_a_pod_that_does_not_fit_is_not_loaded_at_all(exported, there):
    for limit, error in (("quota_bytes", quota.PodFull), ("largest_binary_bytes", BinaryTooLarge)):
        allowed = getattr(there, limit)
        object.__setattr__(there, limit, 1 << 20)
        with pytest.raises(error):
            load_pod(there, exported, actor=Actor("operator-assisted"))
        object.__setattr__(there, limit, allowed)
    assert list_pods(there) == []
    assert there.binaries.pods() == []


def test_a_load_that_fails_half_way_leaves_no_files(exported, there, monkeypatch):
    from pod_server.transfer import load

    def fail(*_arguments, **_named):
        raise OSError

    monkeypatch.setattr(load.household, "save", fail)
    with pytest.raises(OSError):  # noqa: PT011 - the one raised above
        load_pod(there, exported, actor=Actor("operator-assisted"))
    assert list_pods(there) == []
    assert there.binaries.pods() == []


def test_a_directory_that_promises_more_than_the_file_holds_is_refused(exported, tmp_path, there):
    """Unpacked files may be of any size, so their size must be their own: overlapping entries are an old bomb."""
    content = b"x" * 1000
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as file:
        for number in range(50):
            file.writestr(f"documents/{number}", content)
        # Fifty names for the same bytes.
        for entry in file.filelist:
            entry.header_offset = file.filelist[0].header_offset
            entry.file_size = entry.compress_size = 5_000
        sha = hashlib.sha256(content).hexdigest()
        names = {f"documents/{number}": {"bytes": 1000, "sha256": sha} for number in range(50)}
        file.writestr(MANIFEST, json.dumps({"format": "tvilling-pod-1", "files": names}))
    with pytest.raises(PodFileInvalid, match="promises more"):
        load_pod(there, tmp_path / "bomb.zip", actor=Actor("operator-assisted"))


def test_removing_a_citizen_leaves_neither_keys_nor_files(tvilling, host, kari):
    film = host.binaries.path(kari, next(iter(host.binaries.names(kari))))
    copy = film.read_bytes()
    tvilling("citizen", "remove", "kari", "--yes")
    assert not film.exists()
    assert not film.parent.exists()
    assert FILM[:64] not in copy


def test_new_keys_seal_the_references_to_binaries_anew_and_leave_their_files(host, kari):
    """An older copy of the key store opens no row of today, and so no file; nothing of gigabytes is written again."""
    vault = unlock_with_custodian(host.host_key, host.key_store, kari)
    (name,) = host.binaries.names(kari)
    file = host.binaries.path(kari, name)
    before = (file.stat().st_ino, file.stat().st_mtime_ns)

    def reference() -> bytes:
        with host.storage.read() as tx:
            return bytes(tx.one("SELECT sealed_body FROM document WHERE binary_name IS NOT NULL")[0])

    sealed = reference()
    reseal(host, renew_keys(host, vault, None).vault)
    assert reference() != sealed
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == before
    assert read_large(host, kari, "private/film.mp4") == FILM
