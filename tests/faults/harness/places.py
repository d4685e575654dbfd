"""The folders of a life: the host's own, the one that its backup is put back into, and the host where the pod moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deliveries import CITIZEN
from hosts import make_host

from pod_server.outbound import Response
from pod_server.transfer.arrival import move_in
from tvilling.data_folder import make_folders_of, migrate_data_folder
from tvilling.restore import restore
from tvilling.settings import Listen, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from pod_server.clock import SetClock


class Partner:
    """Where messages to partners go: always there, remembers nothing."""

    def post(self, url: str, _body: bytes, _headers: Any) -> Response:
        return Response(202, {}, b"", url)


def settings_of(folder: Path) -> Settings:
    """The settings of a host in a data folder."""
    return Settings(
        data_folder=str(folder),
        base_url="http://localhost:8080",
        live_url="http://localhost:8081",
        listen=Listen("127.0.0.1", 8080),
        live_listen=Listen("127.0.0.1", 8081),
    )


def put_back(folder: Path) -> None:
    """Restore the backup into a folder of its own, whatever lies there."""
    settings = settings_of(folder / "restored")
    make_folders_of(settings)
    restore(settings, folder / "backup", keys=None, host_key_file=None, epoch_keys=None, force=True)


def arrive(folder: Path, file: Path, code: str, clock: SetClock) -> None:
    """Bring a pod that moves to another host, which is made if it is not there."""
    migrate_data_folder(settings_of(folder / "there"))
    there = make_host(folder / "there", clock, base_url="http://there.example")
    try:
        move_in(there, file, recovery_code=code, actor=CITIZEN)
    finally:
        there.storage.close()
        there.key_store.close()
