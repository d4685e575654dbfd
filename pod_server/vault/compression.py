"""Compression before sealing: zstd, with dictionaries made of the synthetic examples of vocab/ alone.

A dictionary is data that every host has and is named in the envelope's header. It never holds anything of a citizen's.
Segments are compressed per grant, so one partner's text never shares a window with another's.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from importlib import resources

import zstandard

from pod_server.vault.errors import Tampered

LEVEL = 3
ACTIVITIES = "activities-1"
"""The dictionary for segments of activities: a single record becomes a fifth of what it is without."""
MAXIMUM_PLAINTEXT_BYTES = 128 * 1024 * 1024
"""What a sealed body may open to; a guard against a frame that claims more."""

_NAME = re.compile(r"[a-z0-9-]{1,40}\Z")
_of_thread = threading.local()


class UnknownDictionary(ValueError):
    """No dictionary of that name ships with this version."""


@cache
def _dictionary(name: str) -> zstandard.ZstdCompressionDict:
    if not _NAME.match(name):
        raise UnknownDictionary(name)
    file = resources.files("vocab").joinpath("dictionaries", f"{name}.dict")
    try:
        return zstandard.ZstdCompressionDict(file.read_bytes(), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    except OSError as error:
        raise UnknownDictionary(name) from error


def _compressor(dictionary: str) -> zstandard.ZstdCompressor:
    # zstd contexts are reused for speed and are not safe to share between threads.
    compressors: dict[str, zstandard.ZstdCompressor] | None = getattr(_of_thread, "compressors", None)
    if compressors is None:
        compressors = _of_thread.compressors = {}
    compressor = compressors.get(dictionary)
    if compressor is None:
        compressor = compressors[dictionary] = zstandard.ZstdCompressor(
            level=LEVEL,
            dict_data=_dictionary(dictionary) if dictionary else None,
            write_content_size=True,
            write_dict_id=False,
        )
    return compressor


def _decompressor(dictionary: str) -> zstandard.ZstdDecompressor:
    decompressors: dict[str, zstandard.ZstdDecompressor] | None = getattr(_of_thread, "decompressors", None)
    if decompressors is None:
        decompressors = _of_thread.decompressors = {}
    decompressor = decompressors.get(dictionary)
    if decompressor is None:
        decompressor = decompressors[dictionary] = zstandard.ZstdDecompressor(
            dict_data=_dictionary(dictionary) if dictionary else None
        )
    return decompressor


def compress(plaintext: bytes, dictionary: str = "") -> bytes:
    """One zstd frame (RFC 8878) with its content size.

    Raises:
        UnknownDictionary: no such dictionary ships with this version.
    """
    return _compressor(dictionary).compress(plaintext)


def decompress(frame: bytes, dictionary: str = "") -> bytes:
    """The body of a frame made by `compress`.

    Raises:
        Tampered: not such a frame, or one that claims more than the greatest body.
    """
    try:
        if zstandard.frame_content_size(frame) not in range(MAXIMUM_PLAINTEXT_BYTES + 1):
            raise Tampered
        return _decompressor(dictionary).decompress(frame)
    except (zstandard.ZstdError, UnknownDictionary):
        raise Tampered from None
