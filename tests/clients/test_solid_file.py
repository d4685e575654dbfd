"""The solid-file package at a running host: a citizen's files, end to end."""

from __future__ import annotations

import pytest
from solid.auth import Auth
from solid.solid_api import SolidAPI, WriteOptions


@pytest.fixture
def api(running):
    citizen = running.citizen("fil")
    auth = Auth()
    auth.client.close()
    auth.client = citizen.client()
    yield SolidAPI(auth), f"{citizen.pod}private/notes/"
    auth.client.close()


def test_the_solid_file_package_reads_writes_and_deletes(api):
    api, folder = api
    assert api.item_exists(folder) is False
    assert api.create_folder(folder).status_code == 201
    assert api.item_exists(folder) is True
    assert api.put_file(folder + "a.md", "# Hei", "text/markdown").status_code == 201
    assert api.put_file(folder + "a.md", "# Hei igjen", "text/markdown").status_code == 204
    assert api.post_file(folder + "b/c.ttl", "<> <urn:p> 1 .", "text/turtle", WriteOptions()).status_code == 201
    listed = api.read_folder(folder)
    assert [one.url for one in listed.files] == [folder + "a.md"]
    assert [one.url for one in listed.folders] == [folder + "b/"]
    assert api.get(folder + "a.md").text == "# Hei igjen"
    assert api.head(folder + "a.md").headers["Content-Type"] == "text/markdown"
    change = "INSERT DATA { <> <urn:q> 2 }"
    assert api.patch_file(folder + "b/c.ttl", change, "application/sparql-update").status_code == 204
    assert "urn:q" in api.get(folder + "b/c.ttl").text
    for path in ("b/c.ttl", "b/", "a.md", ""):
        assert api.delete(folder + path).status_code == 204
    assert api.item_exists(folder) is False
