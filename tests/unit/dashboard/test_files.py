"""A citizen's own files, brought by the page: the form alone, and as its script sends them."""

from __future__ import annotations

import io

import pytest

CSV = b"start,value\n2026-11-20T00:00:00Z,1.5\n2026-11-20T01:00:00Z,2.5\n"


@pytest.fixture
def kari(pages):
    return pages.citizen()


def bring(kari, *files, connector="hourly-csv", accept="text/html", **more):
    fields = {"csrf": kari.token(), "connector": connector, "file": [(io.BytesIO(each), name) for name, each in files]}
    return kari.client.post(
        "/-/files",
        data=fields | more,
        content_type="multipart/form-data",
        headers={"Accept": accept, "Accept-Language": "en"},
    )


def test_the_page_offers_the_forms_that_files_have(kari):
    page = kari.get("/-/files").text
    assert 'value="elhub-csv"' in page
    assert 'value="han"' not in page
    assert 'enctype="multipart/form-data"' in page


def test_files_come_in_and_again_they_are_known(kari):
    assert "2 new records" in bring(kari, ("a.csv", CSV)).text
    again = bring(kari, ("a.csv", CSV), ("b.csv", CSV.replace(b"20T", b"21T"))).text
    assert "2 new records, 2 already there" in again


def test_the_script_is_told_in_json(kari):
    answer = bring(kari, ("a.csv", CSV), ("empty.csv", b""), accept="application/json")
    assert answer.json["accepted"] == 2
    assert answer.json["problems"] == ["empty.csv: empty.csv is empty"]


def test_another_sources_file_is_named_as_such_and_brings_nothing(kari):
    answer = bring(kari, ("receipt.json", b'{"heads": {}}'), connector="elhub-csv", accept="application/json")
    assert answer.json["accepted"] == 0
    assert answer.json["problems"]


def test_a_name_from_outside_is_text_and_nothing_more(kari):
    answer = bring(kari, ("<script>alert(1)</script>.csv", b""))
    assert "<script>alert" not in answer.text


def test_without_its_form_or_with_an_unknown_one_nothing_comes_in(kari):
    assert bring(kari, ("a.csv", CSV), csrf="wrong").status_code == 403
    assert bring(kari, ("a.csv", CSV), connector="none").status_code == 404
    assert "No file came along" in bring(kari).text
