"""The document store: versions, scopes, members, and which Permit may do what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from deliveries import granted, owner_permit

from pod_server import documents
from pod_server.authorization import enforcement
from pod_server.errors import PermitExceeded
from pod_server.opening import open_pod
from pod_server.vault.errors import Tampered

TEXT = "text/plain"


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def own(host, kari):
    return open_pod(host, owner_permit(kari.vault), vault=kari.vault)


@pytest.fixture
def stranger(host, kari):
    return open_pod(host, enforcement.require_public(kari.pod))


@pytest.fixture
def put(host, own, clock):
    def put(path: str, content: bytes = b"hei", *, public: bool = False) -> documents.Document:
        with host.storage.write() as tx:
            return documents.put(tx, own, path, TEXT, content, public=public, at=clock.now())

    return put


def get(host, opened, path: str) -> documents.Document | None:
    with host.storage.read() as tx:
        return documents.get(tx, opened, path)


def test_what_is_put_is_got(host, own, put):
    stored = put("notes/a.txt", b"hei " * 1000)
    assert get(host, own, "notes/a.txt") == stored
    assert get(host, own, "notes/b.txt") is None
    with host.storage.read() as tx:
        entry = documents.find_entry(tx, own, "notes/a.txt")
    assert entry is not None
    assert (entry.size_bytes, entry.media_type, entry.public) == (4000, TEXT, False)


def test_a_version_is_never_used_twice_for_one_path(host, own, put, clock):
    versions = [put("a").version, put("a").version]
    with host.storage.write() as tx:
        assert documents.delete(tx, own, "a", at=clock.now())
        assert not documents.delete(tx, own, "a", at=clock.now())
    versions.append(put("a").version)
    assert versions == sorted(set(versions))


def test_a_stranger_finds_public_documents_and_no_sign_of_others(host, stranger, put):
    put("public/open.txt", public=True)
    put("public/closed.txt")
    assert get(host, stranger, "public/open.txt") is not None
    assert get(host, stranger, "public/closed.txt") is None
    with host.storage.read() as tx:
        assert [entry.path for entry in documents.members(tx, stranger, "public/")] == ["public/open.txt"]
        assert documents.count_members(tx, stranger, "public/") == 1


def test_a_document_that_is_made_private_is_gone_for_strangers(host, own, stranger, put):
    put("public/a.txt", public=True)
    put("public/a.txt", b"for me", public=False)
    assert get(host, stranger, "public/a.txt") is None
    found = get(host, own, "public/a.txt")
    assert found is not None
    assert (found.content, found.public) == (b"for me", False)
    with host.storage.read() as tx:
        assert documents.count_members(tx, own, "public/") == 1


def test_members_are_direct_and_without_access_rules(host, own, put):
    for path in ("box/", "box/a", "box/inner/", "box/inner/b", "box/.acl", "box/a.acl"):
        put(path)
    with host.storage.read() as tx:
        assert [entry.path for entry in documents.members(tx, own, "box/")] == ["box/a", "box/inner/"]
        assert documents.count_members(tx, own, "box/") == 2
        at_the_root = [entry.path for entry in documents.members(tx, own, "")]
    assert at_the_root == ["box/", "private/", "profile/", "public/"]


def test_a_container_is_modified_when_a_member_comes_or_goes(host, own, put, clock):
    def modified():
        with host.storage.read() as tx:
            return documents.find_entry(tx, own, "box/").modified

    put("box/")
    times = [modified()]
    clock.advance(timedelta(seconds=1))
    put("box/a")
    times.append(modified())
    clock.advance(timedelta(seconds=1))
    put("box/a", b"changed, not come")
    assert modified() == times[-1]
    with host.storage.write() as tx:
        documents.delete(tx, own, "box/a", at=clock.now())
    times.append(modified())
    assert times == sorted(set(times))


def test_a_permit_for_reading_rules_reads_rules_alone(host, kari, put):
    put("private/a.txt")
    rules = replace(enforcement.require_public(kari.pod), authority="rules")
    opened = open_pod(host, rules)
    assert get(host, opened, ".acl") is not None
    with pytest.raises(PermitExceeded):
        get(host, opened, "private/a.txt")
    with host.storage.read() as tx, pytest.raises(PermitExceeded):
        documents.members(tx, opened, "private/")


def test_neither_strangers_nor_partners_nor_the_twin_write_documents(host, kari, stranger, clock):
    partner = open_pod(host, granted(host, kari.pod_id).permit)
    twin = open_pod(host, enforcement.require_mandate(host, kari.pod_id, "compute"))
    for opened in (stranger, partner, twin):
        with host.storage.write() as tx:
            with pytest.raises(PermitExceeded):
                documents.put(tx, opened, "public/x", TEXT, b"", public=True, at=clock.now())
            with pytest.raises(PermitExceeded):
                documents.delete(tx, opened, "profile/card", at=clock.now())


def test_bodies_swapped_between_two_names_or_versions_do_not_open(host, own, put):
    put("a", b"one")
    put("b", b"two")
    with host.storage.write() as tx:
        rows = tx.all("SELECT name_key, sealed_body FROM document WHERE pod_id = ? AND size_bytes = 3", (own.pod_id,))
        for (name_key, _), (_, body) in zip(rows, reversed(rows), strict=True):
            tx.execute("UPDATE document SET sealed_body = ? WHERE name_key = ?", (body, name_key))
    for path in ("a", "b"):
        with pytest.raises(Tampered):
            get(host, own, path)


@pytest.mark.parametrize(
    ("path", "parent"),
    [("", None), ("a", ""), ("a/", ""), ("a/b", "a/"), ("a/b/", "a/"), ("a/b.acl", "a/"), ("a//b", "a//")],
)
def test_the_parent_of_a_path(path, parent):
    assert documents.parent_of(path) == parent
