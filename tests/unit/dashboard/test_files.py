"""A citizen's own files, brought by the page: the form alone, and as its script sends them."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from partner_bridge.channels.file_drop import FILE_LIMIT_BYTES
from pod_server.bodies import MAX_BODY_BYTES

SAMPLES = Path(__file__).parents[2] / "samples"
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


# As the page's script sends them: one file after the other, each as its bytes


def send(kari, content, name="a.csv", connector="hourly-csv", **headers):
    return kari.client.post(
        "/-/files/one",
        query_string={"connector": connector, "name": name},
        data=content,
        headers={
            "Accept": "application/json", "Accept-Language": "en", "Content-Type": "application/octet-stream",
            "X-CSRF-Token": kari.token(), **headers,
        },
    )  # fmt: skip


def test_a_file_by_itself_comes_in_like_one_of_a_form(kari):
    assert send(kari, CSV).json["accepted"] == 2
    assert "2 already there" in send(kari, gzip.compress(CSV)).json["words"]
    assert send(kari, CSV, **{"X-CSRF-Token": "wrong"}).status_code == 403
    assert send(kari, CSV, connector="none").status_code == 404
    assert send(kari, CSV, **{"Content-Type": "text/csv"}).status_code == 415


def test_a_file_that_is_larger_than_an_ordinary_body_comes_in_whole(kari):
    sample = (SAMPLES / "oss-telemetry.json").read_bytes()
    answer = send(kari, sample + b" " * MAX_BODY_BYTES, connector="oss")
    assert answer.status_code == 200, answer.text
    assert answer.json["accepted"] > 0


def test_a_file_of_two_gigabytes_is_refused_before_any_of_it_is_read(kari):
    class Unread(io.RawIOBase):
        def readinto(self, _):
            raise AssertionError("some of it was read")

    answer = kari.client.post(
        "/-/files/one?connector=hourly-csv&name=year.csv",
        headers={
            "X-CSRF-Token": kari.token(), "Accept": "application/json", "Content-Type": "application/octet-stream",
        },
        environ_overrides={"wsgi.input": Unread(), "CONTENT_LENGTH": str(2 * 1024**3)},
    )  # fmt: skip
    assert answer.status_code == 413
    assert answer.json["detail"] == "year.csv is larger than 100 MiB, packed or unpacked; bring it in parts"


def test_what_unpacks_to_more_than_a_file_may_hold_is_told_without_holding_it(kari):
    bomb = gzip.compress(b"\n" * (FILE_LIMIT_BYTES + 1), 1)
    tracemalloc.start()
    try:
        answer = send(kari, bomb, name="bomb.gz")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.json["problems"] == ["bomb.gz: bomb.gz is larger than 100 MiB, packed or unpacked; bring it in parts"]
    assert most < 3 * FILE_LIMIT_BYTES


@pytest.mark.parametrize(
    ("content", "connector", "told"),
    [
        (b"", "hourly-csv", "is empty"),
        (b" \n\t\n", "hourly-csv", "is empty"),
        (b"PK\x03\x04 and no more", "hourly-csv", "is packed, and cannot be unpacked"),
        (b"\x1f\x8b and no more", "hourly-csv", "is packed, and cannot be unpacked"),
        (b"\xff\xfex", "hourly-csv", "begins as UTF-16"),
        ("start,value\nmåndag,æ\n".encode("latin-1"), "hourly-csv", "line 2"),
        ("start,v\u00e5lue\n".encode("cp1252"), "hourly-csv", "the first line is not start,value"),
        (CSV, "elhub-csv", "the first line is not Elhub's"),
        (b'{"heads": {}}', "hourly-csv", "the first line is not start,value"),
        (CSV, "rema1000", "not well-formed JSON"),
        (b"%PDF-1.7", "rema1000", "not well-formed JSON"),
    ],
)
def test_each_wrong_file_is_told_what_is_wrong_with_it(kari, content, connector, told):
    answer = send(kari, content, connector=connector)
    assert (answer.status_code, answer.json["accepted"]) == (200, 0), answer.text
    assert told in answer.json["problems"][0]


def test_a_zip_of_two_files_is_told_and_one_of_one_comes_in(kari):
    def packed(*names):
        into = io.BytesIO()
        with zipfile.ZipFile(into, "w") as archive:
            for name in names:
                archive.writestr(name, CSV)
        return into.getvalue()

    assert "holds 2 files" in send(kari, packed("a.csv", "b.csv")).json["problems"][0]
    assert send(kari, packed("a.csv")).json["accepted"] == 2
