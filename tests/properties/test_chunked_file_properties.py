"""Chunked files: however a body comes in and whatever part is asked for, the plaintext is the same; nothing else opens."""

from __future__ import annotations

import io
import random

import pytest
from binary_documents import opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pod_server import binaries
from pod_server.binaries import BinaryReader, Upload
from pod_server.resources.byte_ranges import RangeNotSatisfiable, choose_range
from pod_server.vault import chunks
from pod_server.vault.chunks import ChunkKey, count_chunks, sealed_length
from pod_server.vault.errors import Tampered

POD = 7
SMALL_CHUNK = 64
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Dribble(io.BytesIO):
    """A body that comes in pieces of any length."""

    def __init__(self, content: bytes, seed: int) -> None:
        super().__init__(content)
        self._random = random.Random(seed)

    def read(self, size: int = -1) -> bytes:
        return super().read(self._random.randint(1, max(1, size)))


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 64 bytes, so that a few hundred bytes are many of them."""
    sealed = SMALL_CHUNK + chunks.TAG_BYTES
    for module in (chunks, binaries):
        monkeypatch.setattr(module, "CHUNK_BYTES", SMALL_CHUNK)
        monkeypatch.setattr(module, "SEALED_CHUNK_BYTES", sealed)


@pytest.fixture
def pod_id(city):
    return city.citizen("kari").pod_id


@FEW
@given(content=st.binary(max_size=400), begun=st.integers(0, 200), seed=st.integers(), data=st.data())
def test_the_chunking_of_a_body_never_changes_its_plaintext(city, pod_id, small_chunks, content, begun, seed, data):
    host = city.host
    upload = Upload(host, pod_id, None)
    with host.storage.write() as tx:
        upload.reserve(tx)
    file = upload.seal(Dribble(content[begun:], seed), content[:begun])
    assert host.binaries.names(pod_id)[file.name] == sealed_length(len(content))
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, len(content) + 50))
    assert b"".join(BinaryReader(host, pod_id, file).pieces(start, stop)) == content[start:stop]
    assert b"".join(BinaryReader(host, pod_id, file).pieces()) == content
    upload.give_up()
    assert opened(host, pod_id).pod_id == pod_id


@FEW
@given(
    number=st.integers(0, 5),
    other=st.integers(0, 5),
    last=st.booleans(),
    other_last=st.booleans(),
    pod=st.integers(0, 2**63 - 1),
    name=st.binary(min_size=16, max_size=16),
    plaintext=st.binary(min_size=1, max_size=64),
)
def test_a_chunk_opens_as_itself_alone(number, other, last, other_last, pod, name, plaintext):
    if not last:
        plaintext = plaintext[:1] * chunks.CHUNK_BYTES
    key = ChunkKey(b"n" * 16, b"s" * 32, POD)
    sealed = key.seal(number, plaintext, last=last)
    assert key.open(number, sealed, last=last) == plaintext
    for reader, at, flag, is_the_same in (
        (key, other, other_last, (other, other_last) == (number, last)),
        (ChunkKey(b"n" * 16, b"s" * 32, pod), number, last, pod == POD),
        (ChunkKey(name, b"s" * 32, POD), number, last, name == b"n" * 16),
    ):
        if not is_the_same:
            with pytest.raises(Tampered):
                reader.open(at, sealed, last=flag)


@given(size=st.integers(0, 10**9), first=st.integers(0, 2 * 10**9), length=st.integers(0, 10**9))
def test_a_range_lies_within_the_document_or_is_refused(size, first, length):
    for header in (f"bytes={first}-{first + length}", f"bytes={first}-", f"bytes=-{length}"):
        try:
            chosen = choose_range(header, size)
        except RangeNotSatisfiable as error:
            assert error.headers["Content-Range"] == f"bytes */{size}"  # noqa: PT017 - either way is right
        else:
            assert chosen is not None
            assert 0 <= chosen[0] < chosen[1] <= size


@given(text=st.text(max_size=40))
def test_no_range_header_breaks_anything(text):
    try:
        chosen = choose_range(text, 1000)
    except RangeNotSatisfiable:
        return
    assert chosen is None or 0 <= chosen[0] < chosen[1] <= 1000


@given(size=st.integers(0, 2**40))
def test_a_files_length_tells_its_plaintexts(size):
    assert sealed_length(size) < sealed_length(size + 1)
    assert (count_chunks(size) - 1) * chunks.CHUNK_BYTES <= max(0, size - 1) < count_chunks(size) * chunks.CHUNK_BYTES


@pytest.mark.parametrize(("number", "size", "last"), [(0, 1, False), (1, 0, True), (0, chunks.CHUNK_BYTES + 1, True)])
def test_only_the_last_chunk_is_short_and_none_is_long(number, size, last):
    with pytest.raises(ValueError, match="chunk"):
        ChunkKey(b"n" * 16, b"s" * 32, POD).seal(number, b"x" * size, last=last)
