"""Large binaries at the Solid door: kept in sealed files, read in parts, counted, and never half there."""

from __future__ import annotations

import io
import random
from datetime import timedelta

import pytest
from solid_door import KARI, OLA

from pod_server import binaries, documents, quota
from pod_server.authorization.enforcement import require_public
from pod_server.opening import open_pod
from pod_server.pods import close_to_host, remove_pod
from pod_server.vault.chunks import CHUNK_BYTES, PREFIX, SEALED_CHUNK_BYTES, sealed_length
from pod_server.vault.errors import Tampered
from pod_server.vault.key_derivation import Passphrase

VIDEO = "video/mp4"
SIZE = 2 * CHUNK_BYTES + 1234
LARGE = random.Random(7).randbytes(SIZE)
OTHER = random.Random(8).randbytes(SIZE)
PUBLIC_RULES = f"""
@prefix acl: <http://www.w3.org/ns/auth/acl#> .
@prefix foaf: <http://xmlns.com/foaf/0.1/> .
<#owner> a acl:Authorization ; acl:agent <{KARI}> ; acl:accessTo <film.mp4> ; acl:mode acl:Read, acl:Write, acl:Control .
<#all> a acl:Authorization ; acl:agentClass foaf:Agent ; acl:accessTo <film.mp4> ; acl:mode acl:Read .
"""


@pytest.fixture
def files(city, kari):
    """The pod's files on the disk: name and length."""
    return lambda: city.host.binaries.names(kari.pod_id)


@pytest.fixture
def use(city, kari):
    def use() -> quota.Use:
        with city.host.storage.read() as tx:
            now = quota.use_of(tx, kari.pod_id, city.host.quota_bytes)
            assert quota.recount(tx, kari.pod_id) == (now.used_bytes, now.used_bytes), "the running sum has drifted"
        return now

    return use


@pytest.fixture
def allow(city, kari):
    def allow(size_bytes: int | None) -> None:
        with city.host.storage.write() as tx:
            quota.set_quota(tx, kari.pod_id, size_bytes)

    return allow


def slug(answer) -> str:
    return answer.json["type"].rpartition("/")[2]


def stream_to(door, path, stream, size=None, **headers):
    """A body as a server hands it over: with its announced length, or in chunks that end by themselves."""
    ending = {"HTTP_TRANSFER_ENCODING": "chunked"} if size is None else {"CONTENT_LENGTH": str(size)}
    return door.client.put(
        f"/kari/{path}",
        content_type=VIDEO,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        environ_overrides={"wsgi.input": stream, "wsgi.input_terminated": True, **ending},
    )


def put_in_chunks(door, path, stream, **headers):
    door.get("")  # asks as the owner
    return stream_to(door, path, stream, **headers)


class Cut(io.RawIOBase):
    """A body of which only the beginning comes."""

    def __init__(self, size: int, then: Exception | None = None) -> None:
        self.left, self.then = size, then

    def read(self, size: int = -1) -> bytes:
        taken = min(self.left, size if size >= 0 else self.left)
        self.left -= taken
        if not taken and self.then is not None:
            raise self.then
        return b"x" * taken


# Kept and read


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_what_is_put_is_got_whatever_its_size(door, files, chunked):
    for size in (0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, SIZE):
        content, path = LARGE[:size], f"private/film-{size}.mp4"
        before = files()
        made = put_in_chunks(door, path, io.BytesIO(content)) if chunked else door.put(path, content, type_=VIDEO)
        assert made.status_code == 201
        got = door.get(path)
        assert got.data == content
        assert (got.headers["Content-Type"], got.headers["Content-Length"]) == (VIDEO, str(size))
        assert (got.headers["Accept-Ranges"], got.headers["X-Content-Type-Options"]) == ("bytes", "nosniff")
        assert got.headers["Content-Security-Policy"] == "sandbox"
        assert got.headers["ETag"] == made.headers["ETag"]
        lengths = [length for name, length in files().items() if name not in before]
        assert lengths == ([sealed_length(size)] if size > binaries.INLINE_BYTES else [])


def test_a_binary_lies_sealed_and_under_no_name_of_its_own(city, door, kari, files):
    readable = b"a film about Kari " * 40_000
    door.put("private/film-of-kari.mp4", readable, type_=VIDEO)
    (name,) = files()
    path = city.host.binaries.path(kari.pod_id, name)
    assert b"Kari" not in path.read_bytes()
    assert "film" not in str(path.relative_to(city.host.data_folder))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_posting_a_binary_makes_a_member_under_the_name_that_was_wished_for(door, files):
    made = door("POST", "private/", LARGE, type_=VIDEO, Slug="film.mp4")
    again = door("POST", "private/", OTHER, type_=VIDEO, Slug="film.mp4")
    assert (made.status_code, again.status_code) == (201, 201)
    assert made.headers["Location"].endswith("/private/film.mp4")
    assert again.headers["Location"] != made.headers["Location"]
    assert door.get("private/film.mp4").data == LARGE
    assert door.get(again.headers["Location"].partition("/kari/")[2]).data == OTHER
    assert len(files()) == 2
    assert door("POST", "nowhere/", LARGE, type_=VIDEO).status_code == 404


def test_a_listing_tells_a_binarys_size_type_and_time(door):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    text = door.get("private/", Accept="text/turtle").text
    assert f"stat:size {SIZE}" in text
    assert "video/mp4#Resource" in text
    assert "stat:mtime" in text


def test_the_parameters_of_a_media_type_come_back(door):
    for size in (10, SIZE):
        door.put("private/latin.txt", LARGE[:size], type_="text/plain; charset=iso-8859-1")
        got = door.get("private/latin.txt")
        assert got.headers["Content-Type"] == "text/plain; charset=iso-8859-1"
        assert "text/plain#Resource" in door.get("private/", Accept="text/turtle").text


def test_head_is_get_without_the_body(city, door, kari):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    got, head = door.get("private/film.mp4"), door("HEAD", "private/film.mp4", Range="bytes=0-1")
    assert (head.status_code, head.data) == (200, b"")
    for header in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
        assert head.headers[header] == got.headers[header]


def test_rules_and_description_of_a_binary_are_as_of_any_document(door):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    links = ", ".join(door("HEAD", "private/film.mp4").headers.getlist("Link"))
    assert 'film.mp4.acl>; rel="acl"' in links
    assert 'film.mp4.meta>; rel="describedby"' in links
    assert (
        door.put("private/film.mp4.meta", "<film.mp4> <http://purl.org/dc/terms/title> 'A film' .").status_code == 201
    )
    assert door.get("private/film.mp4", as_=OLA).status_code == 403
    assert door.put("private/film.mp4.acl", PUBLIC_RULES).status_code == 201
    assert door.get("private/film.mp4", as_=OLA).data == LARGE
    assert door("DELETE", "private/film.mp4").status_code == 204
    assert door.get("private/film.mp4.meta").status_code == 404


def test_rdf_is_read_whole_and_parsed_however_large(door, files):
    text = "\n".join(f"<#{number}> <urn:p> 'value {number}' ." for number in range(20_000))
    assert len(text) > 2 * binaries.INLINE_BYTES
    assert door.put("private/data", text).status_code == 201
    assert len(door.triples("private/data")) == 20_000
    assert files() == {}
    assert door.put("private/data", "<#a> <urn:p> broken " * 20_000).status_code == 400


# Ranges (RFC 9110, section 14)


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-", 0, SIZE),
    (f"bytes={CHUNK_BYTES - 1}-{CHUNK_BYTES}", CHUNK_BYTES - 1, CHUNK_BYTES + 1),
    (f"bytes={CHUNK_BYTES}-{2 * CHUNK_BYTES - 1}", CHUNK_BYTES, 2 * CHUNK_BYTES),
    ("bytes=-5", SIZE - 5, SIZE),
    (f"bytes=-{10 * SIZE}", 0, SIZE),
    (f"bytes=5-{10 * SIZE}", 5, SIZE),
    (f"Bytes = {SIZE - 1}-", SIZE - 1, SIZE),
]
IGNORED_RANGES = [
    "bytes=0-1,3-4",
    "bytes=" + ",".join(["0-"] * 1000),
    "bytes=5-2",
    "bytes=x-",
    "lines=0-1",
    "bytes 0-1",
    "bytes=-",
]


def test_one_range_is_sent_alone(door):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    for wanted, start, stop in RANGES:
        got = door.get("private/film.mp4", Range=wanted)
        assert (got.status_code, got.data) == (206, LARGE[start:stop]), wanted
        assert got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
        assert got.headers["Content-Length"] == str(stop - start)
        assert "Content-Range" in got.headers["Access-Control-Expose-Headers"]


def test_a_range_beyond_the_end_is_refused_with_the_length(door):
    for size in (10, SIZE):
        door.put("private/film.mp4", LARGE[:size], type_=VIDEO)
        for wanted in (f"bytes={size}-", "bytes=999999999-", "bytes=-0"):
            got = door.get("private/film.mp4", Range=wanted)
            assert (got.status_code, slug(got), got.json["size_bytes"]) == (416, "range-not-satisfiable", size), wanted
            assert got.headers["Content-Range"] == f"bytes */{size}"


def test_several_ranges_and_what_is_none_get_the_whole(door):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    for ignored in IGNORED_RANGES:
        got = door.get("private/film.mp4", Range=ignored)
        assert (got.status_code, got.data) == (200, LARGE), ignored


def test_if_range_sends_the_part_of_this_version_alone(door, clock):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    first = door("HEAD", "private/film.mp4").headers

    def part(validator: str) -> int:
        return door.get("private/film.mp4", Range="bytes=0-9", If_Range=validator).status_code

    assert part(first["ETag"]) == 206
    assert part("W/" + first["ETag"]) == 200, "a weak validator is none (section 13.1.5)"
    assert part('"another"') == 200
    assert part(first["Last-Modified"]) == 200, "within the second a date may stand for two versions"
    clock.advance(timedelta(seconds=2))
    assert part(first["Last-Modified"]) == 206
    assert part("Mon, 01 Jan 2024 00:00:00 GMT") == 200
    assert part("no validator") == 200
    door.put("private/film.mp4", OTHER, type_=VIDEO)
    assert part(first["ETag"]) == 200
    assert part(first["Last-Modified"]) == 200


def test_conditions_come_before_ranges(door):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    tag = door("HEAD", "private/film.mp4").headers["ETag"]
    unchanged = door.get("private/film.mp4", Range="bytes=0-9", If_None_Match=tag)
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert door.get("private/film.mp4", Range="bytes=0-9", If_Match='"another"').status_code == 412


def test_a_graph_has_no_parts(door):
    door.put("private/data", "<#a> <urn:p> 'x' .")
    got = door.get("private/data", Range="bytes=0-3")
    assert (got.status_code, got.headers["Accept-Ranges"]) == (200, "none")


# Replacing, deleting, moving


def test_replacing_is_whole_or_not_at_all_and_frees_the_old_file(door, files):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    (old,) = files()
    answer = door.put("private/film.mp4", OTHER, type_=VIDEO)
    assert answer.status_code == 204
    assert door.get("private/film.mp4").data == OTHER
    assert len(files()) == 1
    assert old not in files()
    door.put("private/film.mp4", b"small now", type_=VIDEO)
    assert (door.get("private/film.mp4").data, files()) == (b"small now", {})


def test_whoever_reads_goes_on_reading_what_was_there(door):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    reading = door.get("private/film.mp4")
    pieces = reading.iter_encoded()
    begun = next(pieces)
    door.put("private/film.mp4", OTHER, type_=VIDEO)
    door("DELETE", "private/film.mp4")
    assert begun + b"".join(pieces) == LARGE


def test_a_file_that_went_between_the_look_and_the_opening_is_looked_for_again(city, door, monkeypatch):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    real, raced = city.host.binaries.open, []

    def open_late(pod_id, name):
        if not raced:
            raced.append(name)
            assert door.put("private/film.mp4", OTHER, type_=VIDEO).status_code == 204
        return real(pod_id, name)

    door.get("")  # the hour's first read is written down: a writer, beside which no other writes
    monkeypatch.setattr(city.host.binaries, "open", open_late)
    assert door.get("private/film.mp4").data == OTHER
    assert raced


def test_deleting_frees_file_and_quota(door, files, use):
    before = use().used_bytes
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    assert use().used_bytes == before + SIZE + quota.DOCUMENT_BYTES
    assert door("DELETE", "private/film.mp4").status_code == 204
    assert (use().used_bytes, files()) == (before, {})


def test_two_writers_on_one_version_only_the_first_wins(door, files):
    made = door.put("private/film.mp4", LARGE, type_=VIDEO)
    tag = made.headers["ETag"]

    class Meanwhile(io.BytesIO):
        """While this body comes, another writer is done."""

        other = None

        def read(self, size: int = -1) -> bytes:
            if self.other is None:
                self.other = door.put("private/film.mp4", OTHER, type_=VIDEO, If_Match=tag)
            return super().read(size)

    body = Meanwhile(LARGE)
    late = put_in_chunks(door, "private/film.mp4", body, If_Match=tag)
    assert (body.other.status_code, late.status_code) == (204, 412)
    assert door.get("private/film.mp4").data == OTHER
    assert len(files()) == 1
    early = Cut(0, AssertionError("the body was read although its version was gone already"))
    refused = stream_to(door, "private/film.mp4", early, SIZE, If_Match=tag)
    assert refused.status_code == 412


def test_access_rules_move_a_binary_between_the_scopes_and_leave_its_file(city, door, kari, files):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    before = files()
    door.put("private/film.mp4.acl", PUBLIC_RULES)
    assert files() == before
    assert door.get("private/film.mp4", as_=None).data == LARGE
    door("DELETE", "private/film.mp4.acl")
    assert door.get("private/film.mp4", as_=None).status_code == 401
    assert files() == before
    stranger = open_pod(city.host, require_public(kari.pod))
    with city.host.storage.read() as tx:
        assert documents.get(tx, stranger, "private/film.mp4") is None


def test_a_locked_pod_still_serves_public_binaries_and_no_others(city, app, monkeypatch):
    from solid_door import Door

    city.citizen("kari", passphrase=Passphrase("correct horse battery"))
    door = Door(app.test_client(), monkeypatch)
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    door.put("private/secret.mp4", OTHER, type_=VIDEO)
    door.put("private/film.mp4.acl", PUBLIC_RULES)
    with city.host.storage.read() as tx:
        (pod_id,) = tx.one("SELECT pod_id FROM pod WHERE handle = 'kari'")
    close_to_host(city.host, pod_id)
    assert door.get("private/film.mp4", as_=None).data == LARGE
    assert door.get("private/secret.mp4", as_=None).status_code == 401
    unread = Cut(0, AssertionError("the body was read although the pod is locked"))
    refused = stream_to(door, "private/x", unread, SIZE)
    assert refused.status_code in {401, 403, 423}


def test_removing_a_pod_removes_its_files(city, door, kari, files):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    remove_pod(city.host, kari.pod_id)
    assert files() == {}
    assert city.host.binaries.pods() == []


# Quota


def test_a_pod_over_its_quota_is_told_what_it_uses_and_may_still_shrink(door, use, allow, files):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    before = use()
    allow(before.used_bytes + 1000)
    unread = Cut(0, AssertionError("the body was read although there is no room for it"))
    refused = stream_to(door, "private/b", unread, SIZE)
    assert (refused.status_code, slug(refused)) == (507, "pod-full")
    assert refused.json["used_bytes"] == before.used_bytes
    assert refused.json["allowed_bytes"] == before.used_bytes + 1000
    assert refused.json["needed_bytes"] == SIZE + quota.DOCUMENT_BYTES
    for body, type_ in ((b"x" * 600, "text/plain"), ("<#a> <urn:p> '" + "x" * 600 + "' .", "text/turtle")):
        assert slug(door.put("private/small", body, type_=type_)) == "pod-full"
    assert door.put("private/tiny", b"x", type_="text/plain").status_code == 201
    patch = "INSERT DATA { <#a> <urn:p> '" + "x" * 1000 + "' }"
    assert slug(door("PATCH", "private/tiny.ttl", patch, type_="application/sparql-update")) == "pod-full"
    allow(1)
    assert door.put("private/film.mp4", LARGE[: SIZE - 1], type_=VIDEO).status_code == 507
    assert door.put("private/film.mp4", b"smaller", type_=VIDEO).status_code == 204
    assert door("DELETE", "private/film.mp4").status_code == 204
    assert files() == {}
    use()


def test_an_upload_without_length_ends_where_the_quota_does(door, use, allow, files):
    allow(use().used_bytes + 3 * CHUNK_BYTES)
    body = Cut(1 << 40)
    refused = put_in_chunks(door, "private/endless", body)
    assert (refused.status_code, slug(refused)) == (507, "pod-full")
    assert (1 << 40) - body.left < 6 * CHUNK_BYTES, "it was read far beyond the quota"
    assert (files(), use().reserved_bytes) == ({}, 0)
    fits = put_in_chunks(door, "private/fits", io.BytesIO(LARGE))
    assert fits.status_code == 201, "a step ahead of the quota is not refused before the quota is reached"


def test_two_uploads_at_once_do_not_pass_the_quota_together(door, use, allow, files):
    allow(use().used_bytes + SIZE + 5000)

    class Meanwhile(io.BytesIO):
        other = None

        def read(self, size: int = -1) -> bytes:
            if self.other is None:
                self.other = door.put("private/b", OTHER, type_=VIDEO)
                self.small = door.put("private/c", b"x" * 5000, type_=VIDEO)
            return super().read(size)

    body = Meanwhile(LARGE)
    door.get("")
    first = stream_to(door, "private/a", body, SIZE)
    assert first.status_code == 201
    assert (body.other.status_code, slug(body.other)) == (507, "pod-full")
    assert body.other.json["reserved_bytes"] == SIZE + quota.DOCUMENT_BYTES
    assert (body.small.status_code, slug(body.small)) == (507, "pod-full")
    assert len(files()) == 1
    assert use().reserved_bytes == 0


def test_a_binary_has_a_largest_size(city, door, files, use):
    object.__setattr__(city.host, "largest_binary_bytes", SIZE)
    assert door.put("private/a", LARGE, type_=VIDEO).status_code == 201
    unread = Cut(0, AssertionError("the body was read although it is too large"))
    refused = stream_to(door, "private/b", unread, SIZE + 1)
    assert (refused.status_code, slug(refused), refused.json["largest_bytes"]) == (413, "binary-too-large", SIZE)
    endless = put_in_chunks(door, "private/b", Cut(1 << 40))
    assert endless.status_code == 413
    assert (len(files()), use().reserved_bytes) == (1, 0)


# Bad input


def test_an_upload_that_was_cut_leaves_nothing_and_what_was_there_stands(door, files, use):
    door.put("private/film.mp4", OTHER, type_=VIDEO)
    before, lying = use(), files()
    for came in (0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, SIZE - 1):
        cut = stream_to(door, "private/film.mp4", Cut(came), SIZE)
        assert (cut.status_code, slug(cut)) == (400, "body-incomplete")
        assert door.get("private/film.mp4").data == OTHER
        assert (use(), files()) == (before, lying)


def test_an_upload_whose_connection_breaks_leaves_nothing(door, files, use):
    before = use()
    door.get("")
    broken = Cut(CHUNK_BYTES + 5, ConnectionResetError())
    assert stream_to(door, "private/a", broken, SIZE).status_code == 500
    assert (use(), files()) == (before, {})


def test_strangers_and_readers_are_refused_before_a_byte_is_read(city, door, files):
    for who in (None, OLA):
        door.get("", as_=who)
        unread = Cut(0, AssertionError("the body of somebody who may not write was read"))
        refused = stream_to(door, "private/a", unread, SIZE)
        assert refused.status_code == (401 if who is None else 403)
    assert files() == {}


def test_a_strangers_small_body_is_not_waited_for_either(door):
    door.get("", as_=None)
    unread = Cut(0, AssertionError("the body of a stranger was waited for"))
    assert stream_to(door, "private/a", unread, 1000).status_code == 401


def test_compressed_bodies_are_refused_unread(door):
    for method in ("PUT", "POST", "PATCH"):
        for encoding in ("gzip", "br", "gzip, gzip, gzip", "GZIP"):
            answer = door(method, "private/", b"x", type_="text/turtle", Content_Encoding=encoding)
            assert (answer.status_code, slug(answer)) == (415, "body-encoded"), (method, encoding)
            assert answer.headers["Accept-Encoding"] == "identity"


def test_a_part_of_a_document_is_not_put(door):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    answer = door.put("private/film.mp4", b"x", type_=VIDEO, Content_Range=f"bytes 0-0/{SIZE}")
    assert (answer.status_code, slug(answer)) == (400, "body-partial")
    assert door.get("private/film.mp4").data == LARGE


def test_long_names_are_refused_and_long_enough_ones_taken(door):
    assert slug(door.put("private/" + "n" * 4096, LARGE, type_=VIDEO)) == "path-not-allowed"
    assert door.put("private/" + "n" * 900, LARGE, type_=VIDEO).status_code == 201
    assert door.get("private/" + "n" * 900).data == LARGE


def test_a_binary_in_place_of_a_container_or_beside_it_is_refused(door, files):
    door.put("private/box/a", b"x", type_="text/plain")
    assert door.put("private/box", LARGE, type_=VIDEO).status_code == 409
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    assert door.put("private/film.mp4/inner", OTHER, type_=VIDEO).status_code == 409
    assert door.put("private/film.mp4.acl", LARGE, type_=VIDEO).status_code in {400, 415}
    assert (
        door(
            "PATCH", "private/film.mp4", "INSERT DATA { <#a> <urn:p> 1 }", type_="application/sparql-update"
        ).status_code
        == 409
    )
    assert len(files()) == 1


# What was changed at rest


def damage(path, change) -> None:
    data = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(data)))


def _swap_chunks(data: bytearray) -> bytearray:
    first, rest = len(PREFIX), len(PREFIX) + SEALED_CHUNK_BYTES
    one, two = data[first:rest], data[rest : rest + SEALED_CHUNK_BYTES]
    return data[:first] + two + one + data[rest + SEALED_CHUNK_BYTES :]


CHANGES = {
    "a byte less": lambda data: data[:-1],
    "a chunk less": lambda data: data[:-SEALED_CHUNK_BYTES],
    "a byte more": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "another version": lambda data: b"TVC\x02" + data[4:],
    "a bit": lambda data: data[:4] + bytes([data[4] ^ 1]) + data[5:],
    "chunks swapped": _swap_chunks,
}


def test_a_changed_file_is_not_given_out(city, door, kari, files):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    (name,) = files()
    path = city.host.binaries.path(kari.pod_id, name)
    whole = path.read_bytes()
    for what, change in CHANGES.items():
        path.write_bytes(bytes(change(bytearray(whole))))
        got = door.get("private/film.mp4")
        assert (got.status_code, slug(got)) == (500, "unreadable-data"), what
        assert LARGE[:64] not in got.data
    path.write_bytes(whole)
    assert door.get("private/film.mp4").data == LARGE


def test_a_change_further_on_cuts_the_answer_and_gives_out_nothing_of_the_chunk(city, door, kari, files):
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    (name,) = files()
    damage(city.host.binaries.path(kari.pod_id, name), lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    given = b""
    pieces = door.get("private/film.mp4").iter_encoded()
    with pytest.raises(Tampered):  # noqa: PT012 - reading is what raises
        for piece in pieces:
            given += piece
    assert given == LARGE[: 2 * CHUNK_BYTES]


def test_files_swapped_between_documents_versions_and_pods_do_not_open(city, door, kari, files, app, monkeypatch):
    door.put("private/a", LARGE, type_=VIDEO)
    (first,) = files()
    old = city.host.binaries.path(kari.pod_id, first).read_bytes()
    door.put("private/b", OTHER, type_=VIDEO)
    (second,) = set(files()) - {first}
    for mine, others in ((first, second), (second, first)):
        path = city.host.binaries.path(kari.pod_id, mine)
        kept = path.read_bytes()
        path.write_bytes(city.host.binaries.path(kari.pod_id, others).read_bytes())
        assert door.get("private/a" if mine == first else "private/b").status_code == 500
        path.write_bytes(kept)
    assert door.get("private/a").data == LARGE

    # The older version's file under the newer one's name, and the row made to name the older file.
    door.put("private/a", OTHER, type_=VIDEO)
    (newer,) = set(files()) - {second}
    city.host.binaries.path(kari.pod_id, newer).write_bytes(old)
    assert door.get("private/a").status_code == 500
    city.host.binaries.path(kari.pod_id, first).write_bytes(old)
    with city.host.storage.write() as tx:
        tx.execute("UPDATE document SET binary_name = ? WHERE binary_name = ?", (first, newer))
    assert door.get("private/a").status_code == 500

    # Another citizen's file.
    ola = city.citizen("ola")
    city.host.binaries.create(ola.pod_id, second).close()
    city.host.binaries.path(ola.pod_id, second).write_bytes(city.host.binaries.path(kari.pod_id, second).read_bytes())
    reference = binaries.ChunkedFile(second, b"k" * 32, SIZE)
    with pytest.raises(Tampered):
        list(binaries.BinaryReader(city.host, ola.pod_id, reference).pieces())


def test_a_row_that_says_its_body_lies_elsewhere_is_not_believed(city, door, kari):
    """The sealed head says whether the body is a reference; the plain column is for those without keys."""
    door.put("private/film.mp4", LARGE, type_=VIDEO)
    with city.host.storage.write() as tx:
        tx.execute("UPDATE document SET binary_name = NULL WHERE binary_name IS NOT NULL")
    assert door.get("private/film.mp4").data == LARGE
