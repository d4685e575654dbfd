"""Two writers on one ETag: whoever comes second is told, and nothing that was written is lost (RFC 9110, section 13.1.1)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

WRITERS = 6


def test_of_many_writers_with_one_etag_one_writes_and_the_others_are_told(door):
    door.put("private/a", "<> <urn:p> 0 .")
    tag = door.get("private/a").headers["ETag"]
    together = Barrier(WRITERS)

    def write(number):
        client = door.client.application.test_client()
        together.wait()
        headers = {"If-Match": tag, "Content-Type": "text/turtle"}
        return client.put("/kari/private/a", data=f"<> <urn:p> {number} .", headers=headers).status_code

    with ThreadPoolExecutor(WRITERS) as writers:
        told = list(writers.map(write, range(1, WRITERS + 1)))
    assert sorted(told) == [204] + [412] * (WRITERS - 1)
    (kept,) = door.triples("private/a")
    assert int(kept.object.value) == told.index(204) + 1


def test_of_many_who_make_one_name_one_makes_it(door):
    door.get("private/")
    together = Barrier(WRITERS)

    def make(number):
        client = door.client.application.test_client()
        together.wait()
        headers = {"If-None-Match": "*", "Content-Type": "text/turtle"}
        return client.put("/kari/private/new", data=f"<> <urn:p> {number} .", headers=headers).status_code

    with ThreadPoolExecutor(WRITERS) as writers:
        told = list(writers.map(make, range(WRITERS)))
    assert sorted(told) == [201] + [412] * (WRITERS - 1)


def test_what_many_add_at_once_is_all_there(door):
    door.put("private/a", "<> <urn:p> 0 .")
    together = Barrier(WRITERS)

    def add(number):
        client = door.client.application.test_client()
        together.wait()
        body = f"INSERT DATA {{ <> <urn:q> {number} }}"
        return client.patch(
            "/kari/private/a", data=body, headers={"Content-Type": "application/sparql-update"}
        ).status_code

    with ThreadPoolExecutor(WRITERS) as writers:
        assert set(writers.map(add, range(WRITERS))) == {204}
    assert len(door.triples("private/a")) == 1 + WRITERS
