"""The process that turns passphrases into keys, one at a time; key_derivation.py starts it and talks to it.

Frames on standard input: salt (16 bytes), u32 memory in KiB, u32 iterations, u32 lanes, u32 length, passphrase.
Frames on standard output: the 32-byte key. It ends itself when nobody has asked for a minute, and at end of input.
It is run by its path, in isolation, so it imports nothing of the house.
"""

from __future__ import annotations

import io
import resource
import select
import struct

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

FRAME = struct.Struct(">16sIIII")
KEY_BYTES = 32
IDLE_SECONDS = 60.0
ADDRESS_SPACE_BYTES = 2 * 1024**3


def main() -> None:
    """Answer requests until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not write a passphrase to disk
    requests, answers = open(0, "rb", buffering=0), open(1, "wb", buffering=0)  # noqa: SIM115
    while select.select([requests], [], [], IDLE_SECONDS)[0]:
        frame = _read_exactly(requests, FRAME.size)
        if frame is None:
            return
        salt, memory_kib, iterations, lanes, length = FRAME.unpack(frame)
        passphrase = _read_exactly(requests, length)
        if passphrase is None:
            return
        kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
        answers.write(kdf.derive(passphrase))


def _read_exactly(stream: io.FileIO, length: int) -> bytes | None:
    data = b""
    while len(data) < length:
        piece = stream.read(length - len(data))
        if not piece:
            return None
        data += piece
    return data


if __name__ == "__main__":
    main()
