"""Names as apps write them: reserved letters escaped or not, over the web role as it is run, with signed requests."""

from __future__ import annotations

import httpx
import pytest
from running_host import running_host

NAMES = [
    "me & you.txt", "a+b.txt", "50%.txt", "50%25.txt", "a,b.txt", "a=b.txt", "a@b.txt", "a:b.txt", "a;b.txt", "1$.txt",
    "number #1.txt", "what?.txt", "(a) [b].txt", "it's.txt", "blå bær.txt", "~user!*.txt",
]  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A host as it is run."""
    with running_host(tmp_path_factory.mktemp("names")) as town:
        yield town


def as_javascript_escapes(name: str) -> str:
    """`encodeURIComponent`: everything but letters, digits and -_.!~*'()."""
    plain = "-_.!~*'()"
    return "".join(
        each
        if each.isascii() and (each.isalnum() or each in plain)
        else "".join(f"%{byte:02X}" for byte in each.encode())
        for each in name
    )


def as_few_escapes(name: str) -> str:
    """Only what cannot stand in a path: spaces, percent signs, question and number signs, brackets, non-ASCII."""
    return "".join(
        each if each.isascii() and each not in " %?#[]" else "".join(f"%{byte:02X}" for byte in each.encode())
        for each in name
    )


def test_each_name_is_one_resource_however_it_is_escaped(running):
    kari = running.citizen("kari")
    with kari.client() as client:
        for name in NAMES:
            place, other = (f"{kari.pod}private/{escape(name)}" for escape in (as_javascript_escapes, as_few_escapes))
            made = client.put(place, content=name.encode(), headers={"Content-Type": "text/plain"})
            assert made.status_code == 201, (place, made.text)
            for spelling in (place, other):
                found = client.get(spelling)
                assert (found.status_code, found.content) == (200, name.encode()), spelling
        listed = client.get(f"{kari.pod}private/", headers={"Accept": "text/turtle"}).text
        assert listed.count(".txt>") >= len(NAMES)


def test_a_rule_may_name_its_document_in_either_spelling(running):
    ola = running.citizen("ola")
    with ola.client() as client:
        for number, spelling in enumerate(("shared%26open.txt", "shared&open.txt")):
            folder = f"{ola.pod}private/rules-{number}/"
            place = f"{folder}shared%26open.txt"
            assert client.put(place, content=b"open", headers={"Content-Type": "text/plain"}).status_code == 201
            rule = (
                "@prefix acl: <http://www.w3.org/ns/auth/acl#>. "
                f"<#owner> a acl:Authorization; acl:agent <{ola.webid}>; acl:accessTo <{folder}{spelling}>; "
                "acl:mode acl:Read, acl:Write, acl:Control. "
                f"<#all> a acl:Authorization; acl:agentClass <http://xmlns.com/foaf/0.1/Agent>; "
                f"acl:accessTo <{folder}{spelling}>; acl:mode acl:Read."
            )
            put = client.put(f"{place}.acl", content=rule.encode(), headers={"Content-Type": "text/turtle"})
            assert put.status_code in {200, 201, 204, 205}, put.text
            assert httpx.get(place).content == b"open"
