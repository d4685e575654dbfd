"""Bits that flip, pages that are zeroed, files that are cut short: what comes out is what was written, or a named problem.

Whatever file of the data folder is damaged, and wherever: nothing that was damaged is served as if it were true, what
fails fails by a declared problem, and where anything fails `tvilling doctor` says what is wrong. A pod whose own bytes
are whole is served as ever, and so are the neighbours of one whose are not.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass

import pytest
from binary_documents import content_of, put_large, read_large
from deliveries import deliver, granted, owner_permit, reading
from hosts import City, make_host

from pod_server import documents, problems
from pod_server.activities import read_activities
from pod_server.clock import SetClock
from pod_server.log import ledger
from pod_server.log.verification import verify_stored
from pod_server.opening import custodian_vault, open_pod
from pod_server.storage.errors import StorageError
from pod_server.vault.chunks import CHUNK_BYTES
from pod_server.vault.errors import VaultError
from tvilling.doctor import examine
from tvilling.settings import Listen, Settings

RUNS = int(os.environ.get("TVILLING_FAULT_RUNS", "24"))
FIRST_SEED = int(os.environ.get("TVILLING_FAULT_SEED", "1"))
RUNS_A_TEST = 8
HANDLES = ("kari", "ola", "per")
SECTOR = 4096


@dataclass
class Filled:
    """A data folder with three citizens, stopped, and what each of them has in it."""

    folder: object
    clock: SetClock
    pods: dict[str, int]
    truth: dict[str, dict[str, object]]

    def settings(self, folder) -> Settings:
        return Settings(
            data_folder=str(folder),
            base_url="http://localhost:8080",
            live_url="http://localhost:8081",
            listen=Listen("127.0.0.1", 8080),
            live_listen=Listen("127.0.0.1", 8081),
        )


def parts_of(host, pod_id):
    """Each thing that a citizen can read, by name, as a function that reads it."""

    def own():
        return open_pod(host, owner_permit(custodian_vault(host, pod_id)))

    def activities():
        return sorted(one.raw for one in read_activities(host, own()))

    def texts():
        opened = own()
        with host.storage.read() as tx:
            return {
                path: documents.get(tx, opened, path).content
                for path in documents.document_paths(tx, opened)
                if "film" not in path
            }

    def log():
        opened = own()
        with host.storage.read() as tx:
            verify_stored(tx, pod_id)
            return [(entry.index, entry.event.action) for entry in ledger.all_events(tx, opened.vault, pod_id)]

    return {"activities": activities, "texts": texts, "log": log, "film": lambda: read_large(host, pod_id, "film")}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    from hosts import NOON

    folder, clock = tmp_path_factory.mktemp("filled") / "data", SetClock(NOON)
    host = make_host(folder, clock)
    city, pods, truth = City(host, clock), {}, {}
    for number, handle in enumerate(HANDLES):
        made = city.citizen(handle)
        pods[handle] = made.pod_id
        partner = granted(host, made.pod_id, name=f"Partner of {handle}")
        for hour in range(20):
            deliver(host, partner.permit, [reading(hour, meter=handle)])
        own = open_pod(host, owner_permit(made.vault), vault=made.vault)
        with host.storage.write() as tx:
            for note in range(12):
                documents.put(
                    tx,
                    own,
                    f"notes/{note}",
                    "text/plain",
                    f"{handle} {note} ".encode() * 60,
                    public=False,
                    at=clock.now(),
                )
        put_large(host, made.pod_id, "film", content_of(number, CHUNK_BYTES + 5000))
        truth[handle] = {name: read() for name, read in parts_of(host, made.pod_id).items()}
    host.storage.close()
    host.key_store.close()
    return Filled(folder, clock, pods, truth)


def damage(path, draw: random.Random) -> str:
    """Hurt one file somewhere; says how."""
    content = bytearray(path.read_bytes())
    how = draw.choice(("flip", "flip", "zero", "cut"))
    at = draw.randrange(len(content))
    if how == "flip":
        content[at] ^= 1 << draw.randrange(8)
    elif how == "zero":
        start = at - at % SECTOR
        content[start : start + SECTOR] = bytes(len(content[start : start + SECTOR]))
    else:
        del content[at:]
    path.write_bytes(content)
    return f"{how} {path.name} at {at}"


def read_again(filled, folder):
    """What each citizen reads now: the truth, or which problem; anything else is an answer that is not true."""
    try:
        host = make_host(folder, filled.clock)
    except (StorageError, VaultError) as error:
        # The command line's errors at a start: each says what to put back.
        return {(handle, "everything"): error for handle in HANDLES}
    failed = {}
    try:
        for handle, pod_id in filled.pods.items():
            for name, read in parts_of(host, pod_id).items():
                try:
                    found = read()
                except Exception as error:
                    if problems.problem_type_of(error) is None:
                        raise
                    failed[handle, name] = error
                else:
                    if found != filled.truth[handle][name]:
                        failed[handle, name] = "untrue"
    finally:
        host.storage.close()
        host.key_store.close()
    return failed


def wrong(filled, folder):
    """What `tvilling doctor` says is wrong with the folder, every pod looked at."""
    said = examine(filled.settings(folder), sample=lambda pods, _: pods)
    return [finding for finding in said if finding.level == "wrong"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + max(1, RUNS // RUNS_A_TEST)))
def test_damage_anywhere_is_never_served_as_truth_and_always_named(filled, tmp_path, seed):
    draw, told = random.Random(seed), {}
    for run in range(RUNS_A_TEST):
        folder = tmp_path / f"{run}"
        shutil.copytree(filled.folder, folder)
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and "run" not in path.parts
        )
        large = [path for path in files if path.name == "tvilling.sqlite"]
        what = damage(draw.choice(files + 3 * large), draw)
        failed = read_again(filled, folder)
        assert "untrue" not in failed.values(), f"seed {seed}, run {run}: {what}: {failed}"
        if failed:
            told[what] = wrong(filled, folder)
            assert told[what], f"seed {seed}, run {run}: {what}: {failed}, and the doctor finds nothing"
        shutil.rmtree(folder)


def test_a_damaged_row_is_its_own_pods_trouble_alone(filled, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(filled.folder, folder)
    with closing(sqlite3.connect(folder / "tvilling.sqlite")) as rows, rows:
        for table, column in (("segment", "sealed"), ("document", "sealed_body"), ("log_leaf", "sealed")):
            for number, content in rows.execute(
                f"SELECT rowid, {column} FROM {table} WHERE pod_id = ?", (filled.pods["ola"],)
            ).fetchall():
                hurt = content[:-1] + bytes([content[-1] ^ 1])
                rows.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (hurt, number))
    (film,) = (folder / "binaries" / f"{filled.pods['ola']:016x}").iterdir()
    film.write_bytes(film.read_bytes()[:-1])
    failed = read_again(filled, folder)
    assert {key: type(error).__name__ for key, error in failed.items()} == {
        ("ola", "activities"): "Tampered",
        ("ola", "texts"): "Tampered",
        ("ola", "log"): "LogBroken",
        ("ola", "film"): "Tampered",
    }
    said = " ".join(finding.what for finding in wrong(filled, folder))
    assert "ola" in said
    assert "kari" not in said
    assert "per" not in said.split()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            "UPDATE document SET epoch = epoch + 1 WHERE rowid = (SELECT MAX(rowid) FROM document WHERE pod_id = ?)",
            "texts",
        ),
        ("UPDATE document SET scope = 'owm' WHERE rowid = (SELECT MAX(rowid) FROM document WHERE pod_id = ?)", "texts"),
        ("UPDATE segment SET received = 1154716939806846976 WHERE pod_id = ?", "activities"),
    ],
)
def test_a_number_that_the_house_never_wrote_is_named_and_not_passed_over(filled, tmp_path, change, part):
    """Found with flipped bits: a document was left out of the list, and a time beyond every calendar ended in a failure of ours."""
    folder = tmp_path / "data"
    shutil.copytree(filled.folder, folder)
    with closing(sqlite3.connect(folder / "tvilling.sqlite")) as rows, rows:
        assert rows.execute(change, (filled.pods["ola"],)).rowcount
    failed = read_again(filled, folder)
    assert {key: type(error).__name__ for key, error in failed.items()} == {("ola", part): "StorageDamaged"}
    assert wrong(filled, folder)


@pytest.mark.parametrize(
    "file", ["tvilling.sqlite", "keys/keys.sqlite", "keys/host.key", "keys/epochs/epoch-00000001.key"]
)
def test_a_file_of_nothing_but_zeros_stops_the_start_by_name(filled, tmp_path, file):
    folder = tmp_path / "data"
    shutil.copytree(filled.folder, folder)
    path = folder / file
    path.write_bytes(bytes(path.stat().st_size))
    failed = read_again(filled, folder)
    assert failed
    assert "untrue" not in failed.values()
    assert wrong(filled, folder)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + max(3, RUNS // 50)))
def test_a_flipped_bit_in_the_write_ahead_log_is_a_rollback_that_whoever_kept_the_logs_head_sees(tmp_path, clock, seed):
    """SQLite takes its log to end before the bit. What is left is a state that was, whole, and its log is shorter."""
    host = make_host(tmp_path / "data", clock)
    pod = City(host, clock).citizen("kari")
    partner = granted(host, pod.pod_id)
    heads = []
    for hour in range(12):
        deliver(host, partner.permit, [reading(hour)])
        with host.storage.read() as tx:
            heads.append(ledger.load_tree(tx, pod.pod_id).frontier)
    after = tmp_path / "after"
    shutil.copytree(tmp_path / "data", after)
    host.storage.close()
    host.key_store.close()
    wal = after / "tvilling.sqlite-wal"
    content, draw = bytearray(wal.read_bytes()), random.Random(seed)
    content[draw.randrange(len(content) // 2, len(content))] ^= 1 << draw.randrange(8)
    wal.write_bytes(content)
    left = make_host(after, clock)
    parts = parts_of(left, pod.pod_id)
    found, log = parts["activities"](), parts["log"]()
    assert found == sorted(reading(hour).raw for hour in range(len(found))), "a state that was"
    with left.storage.read() as tx:
        tree = ledger.load_tree(tx, pod.pod_id).frontier
    assert tree in heads
    assert len(log) == tree.size
    assert (tree == heads[-1]) == (len(found) == 12), "a shorter log tells that something is gone"
    left.storage.close()
    left.key_store.close()
