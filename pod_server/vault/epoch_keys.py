"""The host's epoch keys: what makes old copies of the key store useless.

Everything in the key store lies under the newest epoch's key. Keys are random, one file each, sealed to the host key's
file, in a folder that is held apart: on another disk, and never in a backup that is kept. A key is destroyed some days
after its epoch ended; from then on no copy of the key store from that epoch or before it opens, whatever else somebody
holds. docs/vault-format.md, section 5.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import os
import re
import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from pod_server.storage.copying import make_folder
from pod_server.vault.envelope import SECRET_BYTES, Place, Scope
from pod_server.vault.errors import EpochKeyDestroyed, EpochKeysMissing, HostKeyMissing, Tampered
from pod_server.vault.host_key import HostKeyFile, sync_folder_of, write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pod_server.clock import Clock
    from pod_server.vault.randomness import RandomBytes

EPOCH_LASTS = timedelta(days=1)
EPOCH_KEPT = timedelta(days=29)
"""After its epoch ended."""

COPIES_DIE_AFTER = EPOCH_LASTS + EPOCH_KEPT
"""N of docs/vault-format.md: no copy of the key store opens when it is older than this."""

_FORM = "tvilling-epoch-key-v1"
_NAME = re.compile(r"epoch-(\d{8})\.key")
_LEFT_BEHIND = re.compile(r"\.epoch-\d{8}\.key\..+")
_REMEMBERED = 4


class Epoch(NamedTuple):
    """An epoch whose key is there.

    Attributes:
        number: 1 and up.
        made: When its key was made, real time.
    """

    number: int
    made: datetime


class EpochKeys:
    """The epoch keys of a host in their folder; safe among threads and processes.

    Attributes:
        folder: Where they lie.
        clock: Dates them, in real time.
    """

    def __init__(
        self, folder: Path, host_key_file: HostKeyFile, clock: Clock, random: RandomBytes = os.urandom
    ) -> None:
        self.folder = folder
        self._file = host_key_file
        self.clock = clock
        self._random = random
        self._known: OrderedDict[int, bytes] = OrderedDict()
        self._guard = threading.Lock()

    @property
    def host_key_path(self) -> Path:
        """Where the host key's file lies, to which the keys are sealed."""
        return self._file.path

    def key(self, number: int) -> bytes:
        """The key of an epoch, 32 bytes.

        Raises:
            EpochKeyDestroyed: it is not there any more.
            EpochKeysMissing: there is no epoch key at all, or it does not open with the host key's file.
        """
        with self._guard:
            known = self._known.get(number)
        if known is not None:
            return known
        if not self._path(number).is_file():
            if not self.epochs():
                raise EpochKeysMissing(
                    "The epoch keys are not in their folder, and without them the key store opens nothing: put them "
                    "back, or name their folder with --epoch-keys."
                )
            raise EpochKeyDestroyed(number)
        opened = self._open(number)
        with self._guard:
            self._known[number] = opened
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return opened

    def epochs(self) -> list[Epoch]:
        """The epochs whose keys are there, the oldest first.

        Raises:
            EpochKeysMissing: a file of the folder is damaged.
        """
        if not self.folder.is_dir():
            return []
        numbers = sorted(int(found[1]) for entry in self.folder.iterdir() if (found := _NAME.fullmatch(entry.name)))
        return [Epoch(number, self._read(number)[0]) for number in numbers]

    def make(self, number: int) -> None:
        """Make an epoch's key, durably; one that is there stays.

        Raises:
            EpochKeysMissing: the folder cannot be written.
        """
        try:
            make_folder(self.folder)
            with self.alone():
                if not self._path(number).exists():
                    self._write(number, self.clock.protocol_now(), self._random(SECRET_BYTES), self._files())
        except OSError as error:
            raise EpochKeysMissing("An epoch key cannot be made: see that the folder can be written.") from error

    def destroy(self, number: int) -> bool:
        """Overwrite and remove an epoch's key; True if it was there."""
        with self._guard:
            self._known.pop(number, None)
        path = self._path(number)
        gone = path.with_name(f".{path.name}.gone")
        try:
            # Under its name a key is whole or not there: a crash must not leave half of one, which nobody could read.
            path.replace(gone)
            sync_folder_of(gone)
            _wipe(gone)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise EpochKeysMissing("An epoch key cannot be destroyed: see that its folder can be written.") from error
        return True

    def clear(self) -> int:
        """Destroy what a crash left of making or destroying keys; how many files.

        A draft is a copy of a key: left lying, it would outlive the key's own end.

        Raises:
            EpochKeysMissing: the folder cannot be written.
        """
        try:
            with self.alone():
                left = [entry for entry in self.folder.iterdir() if _LEFT_BEHIND.fullmatch(entry.name)]
                for entry in left:
                    with contextlib.suppress(FileNotFoundError):
                        _wipe(entry)
        except OSError as error:
            raise EpochKeysMissing(
                "What is left of an epoch key cannot be destroyed: see that its folder can be written."
            ) from error
        return len(left)

    def date_anew(self, number: int) -> None:
        """Say that a key was made now: its file names a time that is still to come, because a clock was ahead."""
        with self.alone():
            self._write(number, self.clock.protocol_now(), self._open(number), self._files())

    def seal_to(self, files: Sequence[HostKeyFile]) -> None:
        """Seal every key to these files of the host key, and to no other; the caller holds `alone`."""
        for epoch in self.epochs():
            self._write(epoch.number, epoch.made, self._open(epoch.number), files)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder against other makers of keys, in any process."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, number: int) -> Path:
        return self.folder / epoch_key_name(number)

    def _files(self) -> list[HostKeyFile]:
        """The host key's file as it is now, and the next one while they are being exchanged."""
        self._file = HostKeyFile.load(self._file.path)
        with contextlib.suppress(HostKeyMissing):
            return [self._file, HostKeyFile.load(next_host_key_path(self._file.path))]
        return [self._file]

    def _read(self, number: int) -> tuple[datetime, dict[str, bytes]]:
        path = self._path(number)
        try:
            (form, found, made), *lines = (line.split(" ") for line in path.read_text("ascii").splitlines())
            at, sealed = datetime.fromisoformat(made), {name: base64.b64decode(text) for name, text in lines}
        except (OSError, ValueError, binascii.Error) as error:
            raise EpochKeysMissing(f"{path.name} in the folder of epoch keys is damaged.") from error
        if form != _FORM or found != str(number):
            raise EpochKeysMissing(f"{path.name} in the folder of epoch keys is not what its name says.")
        return at, sealed

    def _open(self, number: int) -> bytes:
        made, sealed = self._read(number)
        if self._file.fingerprint not in sealed:
            # The host key's file was exchanged since this process read it.
            with contextlib.suppress(HostKeyMissing):
                self._file = HostKeyFile.load(self._file.path)
        failure = EpochKeysMissing("The epoch keys do not open with the host key's file: name the right one.")
        if self._file.fingerprint not in sealed:
            raise failure
        try:
            return self._file.envelope_key("epoch key", Scope("epoch", "", number)).open(
                _place(made), sealed[self._file.fingerprint]
            )
        except Tampered:
            raise failure from None

    def _write(self, number: int, made: datetime, key: bytes, files: Sequence[HostKeyFile]) -> None:
        lines = [f"{_FORM} {number} {made.isoformat()}"]
        for file in files:
            sealed = file.envelope_key("epoch key", Scope("epoch", "", number)).seal(_place(made), key, self._random)
            lines.append(f"{file.fingerprint} {base64.b64encode(sealed).decode()}")
        draft = self.folder / f".{self._path(number).name}.{self._random(8).hex()}"
        write_durably(draft, "\n".join(lines) + "\n")
        draft.replace(self._path(number))
        sync_folder_of(draft)


def _wipe(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_folder_of(path)


def epoch_key_name(number: int) -> str:
    """The name of an epoch key's file."""
    return f"epoch-{number:08}.key"


def is_epoch_key_name(name: str) -> bool:
    """Whether a file's name is an epoch key's."""
    return _NAME.fullmatch(name) is not None


def next_host_key_path(path: Path) -> Path:
    """Where the next file of the host key lies while it is being exchanged."""
    return path.with_name(f"{path.name}.next")


def _place(made: datetime) -> Place:
    return Place("epoch-key", made.isoformat().encode())
