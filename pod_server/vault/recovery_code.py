"""The recovery code: 128 random bits and a 12-bit checksum, in 28 characters that people can copy by hand.

Crockford's base 32 (no I, L, O, U); small letters, spaces and hyphens are accepted, and I, L, O are read as 1, 1, 0.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pod_server.vault.errors import RecoveryCodeMistyped

if TYPE_CHECKING:
    from pod_server.vault.randomness import RandomBytes

ENTROPY_BYTES = 16
_CHECKSUM_BITS = 12
_CHARACTERS = 28
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}


def _checksum(entropy: bytes) -> int:
    digest = hashlib.sha256(b"tvilling recovery code v1" + entropy).digest()
    return int.from_bytes(digest[:2], "big") >> (16 - _CHECKSUM_BITS)


def write(entropy: bytes) -> str:
    """The code for 16 random bytes: seven groups of four characters."""
    number = int.from_bytes(entropy, "big") << _CHECKSUM_BITS | _checksum(entropy)
    characters = "".join(_ALPHABET[number >> shift & 31] for shift in range(135, -1, -5))
    return "-".join(characters[start : start + 4] for start in range(0, _CHARACTERS, 4))


def new(random: RandomBytes) -> str:
    """A new code."""
    return write(random(ENTROPY_BYTES))


def read(code: str) -> bytes:
    """The 16 bytes of a code as a person typed it.

    Raises:
        RecoveryCodeMistyped: a wrong length, sign or checksum; the message says which.
    """
    characters = [character for character in code.upper() if character not in "- \t\r\n"]
    if len(characters) != _CHARACTERS:
        raise RecoveryCodeMistyped(f"A recovery code has 28 letters and digits; this one has {len(characters)}.")
    number = 0
    for character in characters:
        if character not in _VALUES:
            raise RecoveryCodeMistyped("A recovery code has only digits and the letters A to Z without U.")
        number = number << 5 | _VALUES[character]
    entropy = (number >> _CHECKSUM_BITS).to_bytes(ENTROPY_BYTES, "big")
    if number & ((1 << _CHECKSUM_BITS) - 1) != _checksum(entropy):
        raise RecoveryCodeMistyped("The recovery code's checksum is wrong: one of its characters is mistyped.")
    return entropy
