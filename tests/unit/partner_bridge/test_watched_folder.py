"""A folder that is watched: whole files only, moved where their fate is seen; packed, empty, huge and foreign ones."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile

import pytest

from partner_bridge.channels import file_drop, watched_folder
from partner_bridge.channels.watched_folder import WatchedFolder
from partner_bridge.errors import BodyUnreadable
from pod_server import activities
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import open_pod

CSV = "start,value\n" + "".join(f"2026-11-2{day}T{hour:02d}:00:00Z,1.5\n" for day in (0, 1) for hour in range(24))


class Watching:
    """Kari's folder, and somebody who looks into it."""

    def __init__(self, city, folder):
        self.host, self.kari, self.folder = city.host, city.citizen("kari"), folder
        folder.mkdir()
        self.watched, self.now = WatchedFolder(folder), 100.0

    def put(self, name, content):
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def look(self, after=2.0, connector="hourly-csv"):
        self.now += after
        return self.watched.look(self.host, "kari", connector, self.now)

    def look_twice(self, **options):
        assert self.look(**options) == []
        return self.look(**options)

    def records(self):
        own = open_pod(self.host, require_owner(self.kari.vault), vault=self.kari.vault)
        return len(list(activities.read_activities(self.host, own)))


@pytest.fixture
def watching(city, tmp_path):
    return Watching(city, tmp_path / "drop")


def test_a_file_is_taken_in_once_and_moved(watching):
    watching.put("hours.csv", CSV)
    (taken,) = watching.look_twice()
    assert (taken.moved_to, taken.report.accepted, watching.records()) == ("done/hours.csv", 48, 48)
    assert not (watching.folder / "hours.csv").exists()
    assert watching.look_twice() == []


def test_a_file_that_grows_is_left_until_it_stands_still(watching):
    watching.put("hours.csv", CSV[:200])
    assert watching.look() == []
    watching.put("hours.csv", CSV)
    assert watching.look() == []
    assert len(watching.look()) == 1
    assert watching.records() == 48


def test_half_written_hidden_and_linked_files_and_folders_are_left_alone(watching, tmp_path):
    (tmp_path / "secret.csv").write_text(CSV)
    for name in ("a.csv.part", "b.tmp", ".hidden.csv", "c.crdownload", "d~"):
        watching.put(name, CSV)
    (watching.folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (watching.folder / "folder.csv").mkdir()
    os.mkfifo(watching.folder / "pipe.csv")
    assert watching.look_twice() == []
    assert watching.look() == []
    assert watching.records() == 0


def test_killed_between_taking_in_and_moving_nothing_is_twice(watching, monkeypatch):
    watching.put("hours.csv", CSV)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(WatchedFolder, "_move", killed)
    with pytest.raises(KeyboardInterrupt):
        watching.look_twice()
    monkeypatch.undo()
    watching.watched = WatchedFolder(watching.folder)
    (taken,) = watching.look_twice()
    assert (taken.report.accepted, taken.report.duplicates, watching.records()) == (0, 48, 48)


def test_a_second_file_of_the_same_name_covers_nothing(watching):
    watching.put("hours.csv", CSV)
    watching.look_twice()
    watching.put("hours.csv", "start,value\n2026-11-22T00:00:00Z,2\n")
    (taken,) = watching.look_twice()
    assert taken.moved_to != "done/hours.csv"
    assert (watching.folder / "done" / "hours.csv").read_text() == CSV
    assert watching.records() == 49


def zipped(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_what_is_packed_or_written_otherwise_is_read_all_the_same(watching):
    ways = {
        "gzip": gzip.compress(CSV.encode()), "zip": zipped(hours=CSV), "utf-16": CSV.encode("utf-16"), "bom": CSV.encode("utf-8-sig"),
        "crlf": CSV.replace("\n", "\r\n").encode(),
    }  # fmt: skip
    for name, content in ways.items():
        watching.put(name, content)
    for taken in watching.look_twice():
        assert taken.report.accepted + taken.report.duplicates == 48, taken.name
    assert watching.records() == 48


def test_what_cannot_be_used_is_moved_aside_with_the_reason(watching):
    unusable = {
        "empty": (b"", "is empty"), "blank": (b" \n\t\n", "is empty"), "bom": (b"\xef\xbb\xbf", ""),
        "cut-gzip": (gzip.compress(CSV.encode())[:60], "cannot be unpacked"), "two": (zipped(a=CSV, b=CSV), "holds 2 files"),
        "cut-zip": (zipped(a=CSV)[:-30], "cannot be unpacked"), "no-zip": (b"PK\x03\x04" + b"\x00" * 90, "cannot be unpacked"),
        "utf-16": (b"\xff\xfea", "UTF-16"), "another-partners": (b'{"heads": {}, "rows": []}', ""), "binary": (b"\x00\x01\x02" * 99, ""),
    }  # fmt: skip
    for name, (content, _) in unusable.items():
        watching.put(name, content)
    assert {each.moved_to for each in watching.look_twice()} == {f"refused/{name}" for name in unusable}
    for name, (_, words) in unusable.items():
        told = json.loads((watching.folder / "refused" / f"{name}.problems.json").read_text())
        assert words in told["problems"][0]["detail"], name
    assert watching.records() == 0


def test_two_gigabytes_are_refused_by_their_size_with_the_limit_named(watching, monkeypatch):
    path = watching.folder / "huge.csv"
    with path.open("wb") as file:
        file.truncate(2 * 1024**3)
    (taken,) = watching.look_twice()
    assert "100 MiB" in taken.report.problems[0]["detail"]
    assert taken.moved_to == "refused/huge.csv"


def test_a_bomb_is_cut_off_at_the_limit(watching, monkeypatch):
    monkeypatch.setattr(file_drop, "FILE_LIMIT_BYTES", 50_000)
    for name, content in (("a.gz", gzip.compress(b"0" * 10**6)), ("b.zip", zipped(a="0" * 10**6))):
        watching.put(name, content)
    assert all("MiB" in each.report.problems[0]["detail"] for each in watching.look_twice())


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(BodyUnreadable, match="no folder"):
        WatchedFolder(tmp_path / "none")
    assert watched_folder.STANDS_STILL_SECONDS >= 1
