"""An export that is cut off, by a full disk or by death, is no file at all; the next one is whole."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from deliveries import deliver, granted, owner_permit, readings
from ending import forked, outcome_of
from hosts import make_host

from pod_server.pods import OpenPod, create_pod, find_pod
from pod_server.transfer.errors import PodFileInvalid
from pod_server.transfer.export import export_pod
from pod_server.transfer.move import move_out
from pod_server.transfer.pod_file import PodFileReader, PodFileWriter
from pod_server.vault.key_derivation import Passphrase
from pod_server.vault.moving import MoveWriter
from pod_server.vault.vault import unlock_with_custodian

WAYS = {"rdf": (export_pod, PodFileWriter), "move": (move_out, MoveWriter)}


def opened(host):
    with host.storage.read() as tx:
        pod = find_pod(tx, "kari")
    vault = unlock_with_custodian(host.host_key, host.key_store, pod.pod_id)
    return OpenPod(pod, owner_permit(vault), vault)


@pytest.fixture
def folder(tmp_path, clock):
    host = make_host(tmp_path / "data", clock)
    made = create_pod(host, "kari", passphrase=Passphrase("en lang setning"))
    deliver(host, granted(host, made.pod_id).permit, readings(0, 10))
    host.storage.close()
    host.key_store.close()
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["full disk", "kill -9"])
def test_what_was_cut_off_is_no_file_and_the_next_is_whole(folder, clock, monkeypatch, way, end):
    write, writer = WAYS[way]
    target = folder / "out" / "kari.file"

    def cut(*_: object) -> None:
        if end == "kill -9":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, "No space left on device")

    def export() -> None:
        host = make_host(folder / "data", clock)
        try:
            write(host, opened(host), target)
        finally:
            host.storage.close()
            host.key_store.close()

    monkeypatch.setattr(writer, "finish", cut)
    if end == "kill -9":
        with forked(export) as child:
            assert outcome_of(child) == -signal.SIGKILL
    else:
        with pytest.raises(OSError, match="No space"):
            export()
        assert list((folder / "out").iterdir()) == [], "nothing half is left behind"
    assert not target.exists()
    for half in (folder / "out").iterdir():
        with pytest.raises(PodFileInvalid):
            PodFileReader(half)
    monkeypatch.undo()
    export()
    assert [each.name for each in (folder / "out").iterdir()] == [target.name]
    with pytest.raises(PodFileInvalid, match="there already"):
        export()
    if way == "rdf":
        reader = PodFileReader(target)
        assert len(reader.manifest["files"]) > 5
        reader.close()
