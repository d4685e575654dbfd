"""The page on which a citizen takes everything along, and moves."""

from __future__ import annotations

import html
import io
import json
import re
import threading
import zipfile

import pytest
from hosts import make_host

from dashboard.views import take_along
from pod_server import removal
from pod_server.identifiers import Actor
from pod_server.pods import find_pod, list_pods
from pod_server.signing_keys import historical_jwks
from pod_server.transfer.arrival import move_in
from pod_server.vault.key_derivation import Passphrase

WORDS = "fire ord om katten"


@pytest.fixture
def there(tmp_path, clock):
    host = make_host(tmp_path / "there", clock, base_url="https://elsewhere.example")
    yield host
    host.storage.close()
    host.key_store.close()


@pytest.fixture
def kari(pages):
    return pages.citizen(passphrase=Passphrase(WORDS))


def files_left(pages):
    return [path for path in (pages.host.data_folder / "run").iterdir() if path.is_dir()]


def test_the_whole_pod_is_one_file_after_the_passphrase(pages, kari):
    refused = kari.post("/-/download/pod", passphrase="not this one")
    assert refused.status_code == 403
    assert "passordet ditt" in refused.text
    answer = kari.post("/-/download/pod", passphrase=WORDS)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == "attachment; filename=tvilling-kari.zip"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as file:
        assert "documents/profile/card.ttl" in file.namelist()
        assert json.loads(file.read("manifest.json"))["handle"] == "kari"
    assert files_left(pages) == []


def test_one_file_at_a_time_and_the_next_is_told_to_wait(pages, kari, monkeypatch):
    monkeypatch.setattr(take_along, "_making", threading.BoundedSemaphore(1))
    take_along._making.acquire()
    busy = kari.client.post("/-/move/file", data={"csrf": kari.token()}, headers={"Accept": "application/problem+json"})
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "10")
    assert busy.json["type"].endswith("/problems/export-busy")
    take_along._making.release()
    assert kari.post("/-/move/file").status_code == 200
    assert files_left(pages) == []


def test_a_pod_moves_by_its_citizen_s_own_hand(pages, kari, there, tmp_path):
    file = tmp_path / "kari.move"
    file.write_bytes(kari.post("/-/move/file").data)
    arrived = move_in(there, file, passphrase=Passphrase(WORDS), actor=Actor("operator-assisted"))
    statement = json.dumps(arrived.arrival).encode()

    def away(content=statement, **fields):
        return kari.post("/-/move/away", arrival=(io.BytesIO(content), "arrival.json"), **fields)

    assert away(handle="ola", passphrase=WORDS).status_code == 422
    assert away(handle="kari", passphrase="not this one").status_code == 403
    for content in (b"", b"{", b"[]", b"x" * 70_000, statement.replace(b"/kari/", b"/karx/", 1)[:-2], b"[" * 60_000):
        refused = away(content, handle="kari", passphrase=WORDS)
        assert refused.status_code == 422
        assert "gyldig kvittering" in refused.text
    assert [pod.handle for pod in list_pods(pages.host)] == ["kari"]

    answer = away(handle="kari", passphrase=WORDS)
    assert answer.status_code == 200
    assert "https://elsewhere.example/kari/" in answer.text
    receipt = html.unescape(re.search(r"<textarea[^>]*>([^<]+)</textarea>", answer.text).group(1))
    assert removal.verify_receipt(receipt, historical_jwks(pages.host))["sub"].endswith("/kari/profile/card#me")
    assert answer.headers["Cache-Control"] == "no-store"
    assert kari.get("/-/my-data").status_code in {302, 303, 401}
    assert list_pods(pages.host) == []
    with there.storage.read() as tx:
        assert find_pod(tx, "kari").state == "open"


def test_what_was_written_since_stops_the_move(pages, kari, there, tmp_path):
    from deliveries import deliver, granted

    file = tmp_path / "kari.move"
    file.write_bytes(kari.post("/-/move/file").data)
    arrived = move_in(there, file, passphrase=Passphrase(WORDS), actor=Actor("operator-assisted"))
    from deliveries import readings

    deliver(pages.host, granted(pages.host, kari.pod_id).permit, readings(0, 1))
    statement = (io.BytesIO(json.dumps(arrived.arrival).encode()), "arrival.json")
    refused = kari.post("/-/move/away", arrival=statement, handle="kari", passphrase=WORDS)
    assert refused.status_code == 409
    assert "Lag en ny fil" in refused.text
    assert [pod.handle for pod in list_pods(pages.host)] == ["kari"]
