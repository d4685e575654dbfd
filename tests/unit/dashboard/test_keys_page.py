"""The page of the pod's keys, and what happens beside the pages when a locked pod is opened."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from datetime import timedelta

import pytest
from deliveries import add_partner, deliver, permit_again
from twin_activities import MIDNIGHT, electricity

from dashboard import unlocking
from pod_server import activities, figures, inboxes, pods, resealing
from pod_server.activities import Record
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import open_pod
from pod_server.storage.errors import StorageFull
from pod_server.vault import rotation
from pod_server.vault.key_derivation import Argon2Cost, Passphrase
from pod_server.vault.vault import unlock_with_passphrase
from vocab.kinds import load_kinds

WORDS = "tolv grønne katter"
OTHER = "elleve blå hunder"
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')
CODE = re.compile(r"<code>([0-9A-Z-]{30,})</code>")


class Kari:
    """A citizen with a partner who delivers electricity."""

    def __init__(self, pages) -> None:
        self.pages, self.host = pages, pages.host
        self.browsing = pages.citizen()
        self.pod_id = self.browsing.pod_id
        self.partner = add_partner(self.host, "Grid")
        self.grant = pages.grant(self.browsing, self.partner.client_id, "electricity-reading").id
        self.hours = 0

    def lock(self):
        answer = self.browsing.post("/-/lock", passphrase=WORDS, again=WORDS)
        self.wait()
        return answer

    def vault(self, words=WORDS):
        return unlock_with_passphrase(self.host.host_key, self.host.key_store, self.pod_id, Passphrase(words))

    def deliver(self, count: int = 1) -> list[str]:
        kinds, records = load_kinds(), []
        for _ in range(count):
            self.hours += 1
            start = MIDNIGHT - self.hours * timedelta(hours=1)
            activity = kinds.decode(json.dumps(electricity(f"h{self.hours}", start, 60, 1.0)).encode())
            records.append(Record(activity.id, kinds.encode(activity), activity.kind, activity.start, activity.end))
        return deliver(self.host, permit_again(self.host, self.partner, self.grant), records)

    def wait(self) -> None:
        """Until what was begun beside the pages is done."""
        for worker in list(unlocking._workers._at_work.values()):
            worker.join(timeout=30)
            assert not worker.is_alive()

    def waits(self):
        with self.host.storage.read() as tx:
            return unlocking.what_waits(tx, self.pod_id)

    def kilograms(self) -> bytes | None:
        vault = self.vault()
        own = open_pod(self.host, require_owner(vault), vault=vault)
        with self.host.storage.read() as tx:
            return figures.load_figures(tx, own)

    def stored(self) -> int:
        with self.host.storage.read() as tx:
            return activities.count_records(tx, self.pod_id)


@pytest.fixture(autouse=True)
def cheap_slots(monkeypatch):
    """What Argon2id costs is tested elsewhere."""
    monkeypatch.setattr(rotation, "Argon2Cost", lambda: Argon2Cost(64, 1, 1))


@pytest.fixture
def kari(pages):
    return Kari(pages)


def test_locking_seals_history_anew_beside_the_pages_and_the_page_says_how_far_it_is(kari, monkeypatch):
    kari.deliver(5)
    with monkeypatch.context() as stopped:
        stopped.setattr(resealing, "reseal", lambda *_, **__: False)
        page = kari.lock().text
    assert kari.waits().resealing.done == 0
    page = html.unescape(kari.browsing.get("/-/lock").text)
    total = kari.waits().resealing.total
    assert f'<progress max="{total}" value="' in page
    assert "Poden forsegles på nytt" in page
    kari.wait()
    assert kari.waits().resealing is None
    assert "Poden forsegles på nytt" not in kari.browsing.get("/-/lock").text


def test_nothing_is_computed_while_locked_and_everything_when_the_citizen_signs_in(kari):
    kari.deliver(3)
    kari.lock()
    before = kari.kilograms()
    kari.browsing.client.delete_cookie("tvilling-session")
    assert kari.deliver(4) == ["pending"] * 4
    assert (kari.waits().records, kari.stored(), kari.kilograms()) == (4, 3, before)
    stranger = kari.pages.stranger()
    token = TOKEN.search(stranger.get("/-/sign-in").text).group(1)
    answer = stranger.post("/-/sign-in", data={"csrf": token, "handle": "kari", "passphrase": WORDS})
    assert answer.status_code == 303
    kari.wait()
    assert (kari.waits().records, kari.stored()) == (0, 7)
    assert kari.kilograms() != before
    assert not kari.waits().any


def test_what_comes_in_while_the_citizen_looks_is_merged_with_the_next_page(kari, monkeypatch):
    kari.lock()
    kari.deliver(2)
    with monkeypatch.context() as held:
        held.setattr(unlocking, "begin", lambda *_: None)
        assert "2 poster kom mens poden var låst" in html.unescape(kari.browsing.get("/-/lock").text)
    kari.browsing.get("/-/home")
    kari.wait()
    assert kari.stored() == 2
    assert "mens poden var låst. De" not in html.unescape(kari.browsing.get("/-/lock").text)


def test_a_full_disk_stops_sealing_anew_and_the_next_page_goes_on(kari, monkeypatch):
    kari.deliver(3)

    def full(*_: object, **__: object) -> bool:
        raise StorageFull

    with monkeypatch.context() as broken:
        broken.setattr(resealing, "reseal", full)
        kari.lock()
    assert kari.waits().resealing is not None
    assert kari.browsing.get("/-/home").status_code == 200
    kari.wait()
    assert kari.waits().resealing is None
    assert kari.stored() == 3


def test_the_passphrase_is_changed_and_only_the_new_one_signs_in(kari):
    kari.lock()
    wrong = kari.browsing.post("/-/lock/passphrase", present="noe helt annet", passphrase=OTHER, again=OTHER)
    assert wrong.status_code == 403
    assert "ikke passordet ditt" in wrong.text
    differ = kari.browsing.post("/-/lock/passphrase", present=WORDS, passphrase=OTHER, again=WORDS)
    assert differ.status_code == 422
    done = kari.browsing.post("/-/lock/passphrase", present=WORDS, passphrase=OTHER, again=OTHER)
    assert done.headers["Location"] == "/-/lock?done=passphrase"
    assert "Passordet er byttet" in kari.browsing.get("/-/lock?done=passphrase").text
    assert kari.vault(OTHER)


def test_a_new_recovery_code_is_shown_once_and_opens_the_pod_on_the_page_for_it(kari):
    old = CODE.search(kari.lock().text).group(1)
    page = kari.browsing.post("/-/lock/recovery-code", present=WORDS)
    new = CODE.search(page.text).group(1)
    assert page.headers["Cache-Control"] == "no-store"
    assert new not in kari.browsing.get("/-/lock").text
    stranger = kari.pages.stranger()

    def recover(code, **fields):
        token = TOKEN.search(stranger.get("/-/recover").text).group(1)
        return stranger.post(
            "/-/recover",
            data={"csrf": token, "handle": "Kari ", "code": code, "passphrase": OTHER, "again": OTHER, **fields},
        )

    typo = new[:-1] + ("0" if new[-1] != "0" else "1")
    assert (recover(typo).status_code, "skrivefeil" in recover(typo).text) == (422, True)
    assert recover(old).status_code == 403
    assert recover(new, handle="nobody").status_code == 403
    assert recover(new, again="noe annet her").status_code == 422
    assert recover(new, passphrase="kort", again="kort").status_code == 422
    done = recover(new.lower().replace("-", " "))
    assert done.status_code == 200
    assert CODE.search(done.text).group(1) != new
    kari.wait()
    assert kari.vault(OTHER)
    assert recover(new).status_code == 403


def test_new_keys_end_other_sessions_and_the_pod_stays_open(kari):
    other = kari.pages.signed_in_again(kari.pages.citizen("ola"))
    mine = kari.browsing.client
    page = kari.browsing.post("/-/lock/renew", passphrase=WORDS, again=WORDS)
    assert "nye nøkler" in page.text
    kari.wait()
    assert "custodian" in kari.host.key_store.slot_kinds(kari.pod_id)
    assert mine.get("/-/home").status_code == 200
    assert other.get("/-/home").status_code == 200
    with kari.host.storage.read() as tx:
        assert resealing.progress(tx, kari.pod_id).finished is not None


def test_the_last_way_in_is_not_dropped(kari):
    kari.lock()
    refused = kari.browsing.post("/-/lock/passphrase/drop", present=WORDS)
    assert refused.status_code == 409
    kari.browsing.post("/-/lock/open")
    kari.wait()
    assert kari.browsing.post("/-/lock/passphrase/drop", present=WORDS).status_code == 303
    assert kari.host.key_store.slot_kinds(kari.pod_id) == {"custodian", "recovery"}


def test_leaving_the_pod_open_merges_what_waited(kari):
    kari.lock()
    kari.deliver(3)
    kari.browsing.post("/-/lock/open")
    kari.wait()
    assert (kari.waits().records, kari.stored()) == (0, 3)


def test_the_agents_process_does_what_waits_for_open_pods(kari):
    vault = pods.renew_keys(kari.host, open_vault(kari), None).vault
    assert unlocking.tend_open_pods(kari.host) == 1
    assert unlocking.tend_open_pods(kari.host) == 0
    with kari.host.storage.read() as tx:
        assert resealing.progress(tx, kari.pod_id).finished is not None
        assert inboxes.inboxes_of(tx, kari.pod_id)
    assert vault.newest_scopes()


def open_vault(kari):
    from pod_server.vault.vault import unlock_with_custodian

    return unlock_with_custodian(kari.host.host_key, kari.host.key_store, kari.pod_id)


@pytest.mark.parametrize("words", ["", " " * 7, "x" * 100_000, "x" * 4097, "ﷺ" * 125, "x" * 4096, "\x00" * 9, "é" * 8])
def test_odd_passphrases_are_refused_or_good_for_ever(kari, words):
    """Empty, short and enormous ones are refused with a reason; such with odd characters open the pod again.

    The letter of the fifth is eighteen letters of 33 bytes in NFKC: what counts is what goes into the key.
    """
    answer = kari.browsing.post("/-/lock", passphrase=words, again=words)
    kari.wait()
    long = len(unicodedata.normalize("NFKC", words).encode()) > 4096
    if len(words) < 8 or long:
        assert answer.status_code == 422
        assert ("4096" in answer.text) == long
        assert "custodian" in kari.host.key_store.slot_kinds(kari.pod_id)
    else:
        assert answer.status_code == 200
        assert kari.vault(words)


def test_a_passphrase_typed_on_another_keyboard_is_the_same(kari):
    """NFKC: composed, decomposed and full-width letters."""
    composed, decomposed, wide = "blåbær på fjellet", "bla\u030abær pa\u030a fjellet", "ｂlåbær på fjellet"
    kari.browsing.post("/-/lock", passphrase=composed, again=composed)
    kari.wait()
    assert kari.vault(decomposed)
    assert kari.vault(wide)
