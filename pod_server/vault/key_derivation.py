"""From a passphrase to a slot's key: Argon2id (RFC 9106), in a bounded process of its own.

One derivation takes 64 MiB and a tenth of a second. In a request's thread that would let a handful of strangers fill
the memory and stop the pages; so one child process a worker derives one key at a time, a few may wait for it, and the
rest are told to try again.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import subprocess
import sys
import threading
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from pod_server.vault.argon2_process import FRAME, KEY_BYTES
from pod_server.vault.errors import PassphraseTooLong, PassphraseTooShort, SignInBusy, Tampered

MINIMUM_CHARACTERS = 8
MAXIMUM_BYTES = 4096
WAITING_AT_MOST = 8
ANSWER_SECONDS = 20.0


class Passphrase:
    """A passphrase as typed, normalised (NFKC) so that every keyboard gives the same bytes. It prints as `***`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = unicodedata.normalize("NFKC", text)

    def __repr__(self) -> str:
        return "Passphrase(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passphrase) and self._text == other._text

    __hash__ = None  # type: ignore[assignment]

    def encoded(self) -> bytes:
        """UTF-8; of what is typed to open a pod the first 4096 bytes, so that nobody makes the derivation work on megabytes.

        A new passphrase is never longer (`require_length`); slots from before that rule hold the beginning of theirs.
        """
        return self._text.encode()[:MAXIMUM_BYTES]

    def require_length(self) -> None:
        """Check a new passphrase.

        Raises:
            PassphraseTooShort: fewer than eight characters.
            PassphraseTooLong: more than 4096 bytes of UTF-8, normalised.
        """
        if len(self._text) < MINIMUM_CHARACTERS:
            raise PassphraseTooShort(
                f"A passphrase has at least {MINIMUM_CHARACTERS} characters; four words are better."
            )
        if len(self._text.encode()) > MAXIMUM_BYTES:
            raise PassphraseTooLong(
                f"A passphrase has at most {MAXIMUM_BYTES:,} bytes, since more would protect nothing; choose a shorter one."
            )


@dataclass(frozen=True)
class Argon2Cost:
    """What one derivation costs; written into the slot, bounded when read back.

    Attributes:
        memory_kib: KiB of memory, 8 to 1 048 576.
        iterations: Passes, 1 to 32.
        lanes: 1 to 4.
    """

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 1

    def encoded(self) -> str:
        """`argon2id m=65536,t=3,p=1`; part of what the slot's key is bound to."""
        return f"argon2id m={self.memory_kib},t={self.iterations},p={self.lanes}"

    @staticmethod
    def decode(text: str) -> Argon2Cost:
        """Read `encoded()` back.

        Raises:
            Tampered: another form, or a cost outside the bounds.
        """
        try:
            algorithm, _, numbers = text.partition(" ")
            memory, iterations, lanes = (
                int(part.removeprefix(name)) for part, name in zip(numbers.split(","), ("m=", "t=", "p="), strict=True)
            )
        except ValueError:
            raise Tampered from None
        cost = Argon2Cost(memory, iterations, lanes)
        in_bounds = 8 * lanes <= memory <= 1024 * 1024 and 1 <= iterations <= 32 and 1 <= lanes <= 4
        if algorithm != "argon2id" or not in_bounds or cost.encoded() != text:
            raise Tampered
        return cost


class KeyDerivation:
    """The bounded process: started at the first need, restarted when it has gone to sleep."""

    def __init__(self, waiting_at_most: int = WAITING_AT_MOST, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._room = threading.BoundedSemaphore(waiting_at_most)
        self._turn = threading.Lock()
        self._answer_seconds = answer_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def derive(self, passphrase: Passphrase, salt: bytes, cost: Argon2Cost) -> bytes:
        """32 bytes by Argon2id.

        Raises:
            SignInBusy: too many wait already, or the process gave no answer in time.
        """
        if not self._room.acquire(blocking=False):
            raise SignInBusy
        try:
            with self._turn:
                encoded = passphrase.encoded()
                frame = FRAME.pack(salt, cost.memory_kib, cost.iterations, cost.lanes, len(encoded)) + encoded
                # A process that fell asleep between two questions looks like a closed pipe: ask a new one, once.
                answer = self._ask(frame) or self._ask(frame)
                if answer is None:
                    raise SignInBusy
                return answer
        finally:
            self._room.release()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()

    def _ask(self, frame: bytes) -> bytes | None:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(frame)
            answer = b""
            while len(answer) < KEY_BYTES:
                if not _readable_within(process.stdout.fileno(), self._answer_seconds):
                    break
                piece = os.read(process.stdout.fileno(), KEY_BYTES - len(answer))
                if not piece:
                    break
                answer += piece
        except OSError:
            answer = b""
        if len(answer) == KEY_BYTES:
            return answer
        self.close()
        return None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid():
            return self._process
        # -I: neither the caller's folder nor its environment chooses what this process imports.
        self._process = subprocess.Popen(  # noqa: S603 (a fixed command of our own)
            [sys.executable, "-I", str(Path(__file__).with_name("argon2_process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the parent, whose end closes the pipe and so ends this process
        )
        self._owner = os.getpid()
        return self._process


def _readable_within(descriptor: int, seconds: float) -> bool:
    poll = select.poll()  # select() itself refuses descriptors from 1024 on, which a busy server has
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


SHARED = KeyDerivation()
"""The one process of this worker."""

atexit.register(SHARED.close)
