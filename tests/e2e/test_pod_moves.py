"""A pod moves to another host with its keys, its log and its consents; what it leaves behind leads there."""

from __future__ import annotations

import base64
import io
import json
import random
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import pytest
import rdflib
from click.testing import CliRunner
from deliveries import deliver, granted, owner_permit, reading, readings
from hosts import make_host
from joserfc.jwk import ECKey
from rdflib.compare import isomorphic
from whole_house import whole_app

from consent.grant import GrantState
from pod_server import activities, binaries, documents, grants, household, integrity, partners, removal
from pod_server.consent_receipts import find_notice, keep_notice
from pod_server.errors import HandleTaken, PermitExceeded, PodMoved
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.log.checkpoint import verify_checkpoint
from pod_server.log.tree import verify_consistency, verify_inclusion
from pod_server.log.verification import verify_log, verify_segments, verify_stored
from pod_server.outbox import messages
from pod_server.pods import OpenPod, create_pod, find_pod, list_pods, lock_pod
from pod_server.representation import stored, turtle
from pod_server.signing_keys import historical_jwks
from pod_server.storage.schema_version import tables_of_pods
from pod_server.transfer import arrival, move
from pod_server.transfer.arrival import move_in
from pod_server.transfer.errors import ArrivalRefused, PodFileInvalid
from pod_server.transfer.move import move_away, move_out
from pod_server.upkeep import tend
from pod_server.vault.errors import PodLocked, WrongPassphrase, WrongRecoveryCode
from pod_server.vault.key_derivation import Passphrase
from pod_server.vault.vault import unlock_with_custodian, unlock_with_passphrase
from tvilling.cli import main
from twin_agent.recompute import differences, recompute
from twin_agent.worker import run_until_idle

HERE, THERE = "http://localhost:8080", "https://elsewhere.example"
MOVER = Actor("operator-assisted")
PHRASE = "en lang setning om høst"
LARGE = random.Random(7).randbytes(2 * 1024 * 1024 + 11)
NOTES = b"""@prefix ex: <https://example.org/> .
<#mine> ex:weight 70.123456789012345E0, 007, "http://localhost:8080/kari/x" ; ex:knows [ ex:name "Ola" ] ; ex:card <../profile/card#me> .
"""


@pytest.fixture
def there(tmp_path, clock):
    host = make_host(tmp_path / "there", clock, base_url=THERE)
    yield host
    host.storage.close()
    host.key_store.close()


@pytest.fixture
def kari(city):
    """A pod with documents of all sizes, three partners (one of them erased), corrections, figures and a locked-in past."""
    host = city.host
    made = create_pod(
        host, "kari", passphrase=Passphrase(PHRASE), name="Kari Nordmann", household_size=3, area="500102"
    )
    given = {}
    for name in ("Strømmen AS", "Butikken AS", "Gammel AS"):
        key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
        keys = {"keys": [key.as_dict(private=False)]}
        partner = partners.add_partner(host, name=name, jwks=keys, webhook="https://partner.example/hook")
        given[name] = granted(host, made.pod_id, partner=partner)
        deliver(host, given[name].permit, readings(0, 30, quantity=0.1 + 0.2))
    deliver(host, given["Butikken AS"].permit, [reading(3, 9.5, correction=True)])
    grants.erase(host, made.pod_id, given["Gammel AS"].grant, actor=Actor("citizen"))
    run_until_idle(host)
    opened = OpenPod(made.pod, owner_permit(made.vault), made.vault)
    root = made.pod.root(HERE)
    upload, binary = binaries.seal_file(host, opened.pod_id, io.BytesIO(LARGE), len(LARGE))
    with host.storage.write() as tx:
        at = host.clock.now()
        for path in ("private/notes", "private/notes.meta"):
            notes = stored.write(turtle.read(NOTES, root + path), root)
            documents.put(tx, opened, path, "text/turtle", notes, public=False, at=at)
        documents.put(tx, opened, "public/%C3%A5.png", "image/png", bytes(range(256)), public=True, at=at)
        documents.put(tx, opened, "private/film.mp4", "video/mp4", b"", public=False, at=at, binary=binary)
        upload.finish(tx)
    upload.keep()
    return opened, given, made.recovery_code


def known_there(there, given, name):
    """The same partner at the other host, where it has an id of its own and one of the same keys."""
    return partners.add_partner(
        there, name=name, jwks=given[name].partner.jwks, webhook="https://partner.example/hook"
    ).client_id


def opened_pod(host, handle="kari"):
    with host.storage.read() as tx:
        pod = find_pod(tx, handle)
    vault = unlock_with_custodian(host.host_key, host.key_store, pod.pod_id)
    return OpenPod(pod, owner_permit(vault), vault)


def everything(host, opened, base):
    """All documents as graphs or bytes, by path, and all activities."""
    from pod_server.transfer.walk import body_of, walk

    root = opened.pod.root(base)
    found = {}
    with host.storage.read() as tx:
        for each in walk(tx, opened):
            if each.media_type == "text/turtle":
                text = turtle.write(stored.read(each.content, root)).decode()
                found[each.path] = rdflib.Graph().parse(data=text.replace(f"<{base}", "<urn:host"), format="turtle")
            else:
                found[each.path] = b"".join(body_of(host, opened, each))
    return found, sorted((each.grant, each.raw) for each in activities.read_activities(host, opened))


def events(host, opened):
    with host.storage.read() as tx:
        return [entry.event for entry in ledger.all_events(tx, opened.vault, opened.pod_id)][::-1]


def test_a_pod_on_another_host_is_the_same_pod(city, kari, there, tmp_path):
    opened, given, _ = kari
    here = city.host
    known = known_there(there, given, "Strømmen AS")
    with here.storage.read() as tx:
        old_note = ledger.checkpoint(tx, here, opened.pod_id)
        old_tree = ledger.load_tree(tx, opened.pod_id)
        old_key = ledger.log_verifier_key(here, old_tree)
        old_proof = ledger.prove_inclusion(tx, opened.pod_id, 2)
        old_leaf = ledger.leaf_hashes(tx, opened.pod_id)[2]
        lives = household.load(tx, opened)
    old_documents, old_activities = everything(here, opened, HERE)
    file = tmp_path / "kari.move"
    out = move_out(here, opened, file)
    assert (out.binaries, out.grants) == (1, 3)
    assert file.stat().st_mode & 0o077 == 0
    for plain in (b"Kari", b"example.org", b"electricity", given["Strømmen AS"].grant.encode(), LARGE[:64]):
        assert plain not in file.read_bytes()

    arrived = move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
    assert (arrived.webid, arrived.state) == (f"{THERE}/kari/profile/card#me", "open")
    assert arrived.paused == (given["Strømmen AS"].grant,)
    assert arrived.withdrawn == (given["Butikken AS"].grant,)
    run_until_idle(there)

    # The same RDF, files and activities, under the new address.
    now = opened_pod(there)
    new_documents, new_activities = everything(there, now, THERE)
    receipts = {path for path in old_documents if path.startswith("consents/") and path != "consents/"}
    assert old_documents.keys() == new_documents.keys()
    for path, was in old_documents.items():
        if path in receipts:
            continue  # what became of the consents stands in a newer receipt
        same = isomorphic(was, new_documents[path]) if isinstance(was, rdflib.Graph) else was == new_documents[path]
        assert same, path
    assert new_documents["private/film.mp4"] == LARGE
    assert old_activities == new_activities
    with there.storage.read() as tx:
        assert household.load(tx, now) == lives
        assert verify_segments(tx, now.vault, now.pod_id) > 0
        assert verify_stored(tx, now.pod_id).size == arrived.log_entries
    assert integrity.examine(there, now.vault, now.pod_id).damages == ()
    assert differences(json.loads(figures_of(there, now))["months"], recompute(there, now)) == []

    # The log goes on: what the old host signed holds, and the new host's head begins with it.
    old = verify_checkpoint(old_note, [old_key])
    with there.storage.read() as tx:
        new_key = ledger.log_verifier_key(there, ledger.load_tree(tx, now.pod_id))
        new = verify_checkpoint(ledger.checkpoint(tx, there, now.pod_id), [new_key])
        verify_consistency(old.size, old.root, new.size, new.root, ledger.prove_consistency(tx, now.pod_id, old.size))
        verify_log(ledger.export(tx, there, now.vault, now.pod_id))
    verify_inclusion(old_leaf, 2, old.size, old_proof, old.root)
    told = events(there, now)
    arrival = next(each for each in told if each.action == "move-in")
    assert arrival.detail["from"] == old.origin
    assert arrival.detail["size"] == old.size + 1  # the leaf of the file that was made
    assert told[old.size].action == "move-out"

    # The consents: who is known goes on when the citizen says so; nobody delivers before.
    held = {view.grant.id: view for view in grants.list_grants(there, now.pod_id)}
    states = {name: held[given[name].grant].grant.state for name in given}
    assert states == {
        "Strømmen AS": GrantState.PAUSED,
        "Butikken AS": GrantState.WITHDRAWN,
        "Gammel AS": GrantState.ERASED,
    }
    assert held[given["Strømmen AS"].grant].grant.terms.client_id == known
    grants.resume(there, now.pod_id, given["Strømmen AS"].grant, actor=Actor("citizen"))
    with there.storage.read() as tx:
        partner = partners.find_partner(tx, known)
        kinds = [message.kind for message in messages(tx, client_id=known, limit=10)]
    assert {"consent-paused", "consent-resumed"} <= set(kinds)
    from pod_server.authorization.enforcement import require_grant

    permit = require_grant(there, partner, given["Strømmen AS"].grant, (), "append", there.clock.now())
    (again,) = activities.append(there, [activities.Delivery(permit, readings(0, 30, quantity=0.1 + 0.2))], actor=MOVER)
    assert again.count("duplicate") == 30  # the marks came along: nothing is counted twice
    deliver(there, permit, readings(40, 5))
    grants.erase(there, now.pod_id, given["Butikken AS"].grant, actor=Actor("citizen"))
    assert {grant for grant, _ in everything(there, opened_pod(there), THERE)[1]} == {given["Strømmen AS"].grant}
    # The erased one's key did not come along, and never comes again.
    assert there.key_store.newest_epoch(now.pod_id, "grant", given["Gammel AS"].grant)[1] is False
    # Both of the citizen's ways in open it there; the old host's key does not.
    unlock_with_passphrase(there.host_key, there.key_store, now.pod_id, Passphrase(PHRASE))
    assert there.key_store.slot_kinds(now.pod_id) == {"passphrase", "recovery", "custodian"}


def figures_of(host, opened):
    from pod_server import figures

    with host.storage.read() as tx:
        return figures.load_figures(tx, opened)


def test_the_old_addresses_lead_to_the_new_ones_and_nothing_else_is_left(city, kari, there, tmp_path):
    opened, given, _ = kari
    here = city.host
    move_out(here, opened, tmp_path / "kari.move")
    arrived = move_in(there, tmp_path / "kari.move", handle="kari-n", passphrase=Passphrase(PHRASE), actor=MOVER)
    away = move_away(here, opened.pod, json.loads(json.dumps(arrived.arrival)), actor=MOVER)
    assert (away.root, away.told) == (f"{THERE}/kari-n/", 3)
    assert removal.verify_receipt(away.receipt, historical_jwks(here))["sub"] == opened.pod.webid(HERE)

    client = whole_app(here).test_client()
    for method, path, expected in (
        ("GET", "/kari/profile/card", "profile/card"),
        ("GET", "/kari/", ""),
        ("PUT", "/kari/private/bl%C3%A5%20b%C3%A6r.txt", "private/bl%C3%A5%20b%C3%A6r.txt"),
        ("GET", "/kari/sparql?query=ASK%20%7B%7D", "sparql?query=ASK%20%7B%7D"),
        ("DELETE", "/kari/a", "a"),
    ):
        sent = {"data": b"x", "content_type": "text/plain"} if method == "PUT" else {}
        answer = client.open(path, method=method, environ_overrides={"REQUEST_URI": path}, **sent)
        assert answer.status_code == 308, (path, answer.text)
        assert answer.headers["Location"] == f"{THERE}/kari-n/{expected}"
        assert f'<{THERE}/kari-n/{expected}>; rel="canonical"' in answer.headers.getlist("Link")
        assert answer.json["type"] == f"{HERE}/problems/pod-moved"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    with pytest.raises(PodMoved), here.storage.read() as tx:
        find_pod(tx, "kari")
    with here.storage.read() as tx:
        left = {
            table for table in tables_of_pods() if tx.one(f"SELECT 1 FROM {table} WHERE pod_id = ?", (opened.pod_id,))
        }
        told = [message.kind for message in messages(tx, client_id=given["Butikken AS"].partner.client_id, limit=10)]
    assert left == set()
    assert told.count("consent-withdrawn") == 1
    assert here.key_store.slot_kinds(opened.pod_id) == frozenset()
    assert here.binaries.names(opened.pod_id) == {}
    with pytest.raises(HandleTaken):
        create_pod(here, "kari")

    # And home again, under the handle that it left: the addresses here are addresses again.
    back = tmp_path / "back.move"
    move_out(there, opened_pod(there, "kari-n"), back)
    returned = move_in(here, back, handle="kari", passphrase=Passphrase(PHRASE), actor=MOVER)
    assert returned.webid == f"{HERE}/kari/profile/card#me"
    assert client.get("/kari/profile/card").status_code == 200
    move_away(there, opened_pod(there, "kari-n").pod, returned.arrival, actor=MOVER)
    assert [event.action for event in events(here, opened_pod(here))].count("move-in") == 2


def test_what_was_written_since_is_not_lost(city, kari, there, tmp_path):
    opened, given, _ = kari
    move_out(city.host, opened, tmp_path / "kari.move")
    arrived = move_in(there, tmp_path / "kari.move", passphrase=Passphrase(PHRASE), actor=MOVER)
    deliver(city.host, given["Strømmen AS"].permit, readings(50, 1))
    with pytest.raises(ArrivalRefused, match="written here since"):
        move_away(city.host, opened.pod, arrived.arrival, actor=MOVER)
    assert find_here(city.host) == opened.pod.pod_id


def find_here(host):
    with host.storage.read() as tx:
        return find_pod(tx, "kari").pod_id


def test_a_statement_of_arrival_that_does_not_hold_changes_nothing(city, kari, there, tmp_path):
    opened, _, _ = kari
    ola = create_pod(city.host, "ola", passphrase=Passphrase(PHRASE))
    move_out(city.host, opened, tmp_path / "kari.move")
    arrived = move_in(there, tmp_path / "kari.move", passphrase=Passphrase(PHRASE), actor=MOVER)
    changes = (
        lambda a: a.update(format="x"),
        lambda a: a.update(root="http://elsewhere.example/kari/"),
        lambda a: a.update(root="https://elsewhere.example/kari"),
        lambda a: a.update(root="https://user@elsewhere.example/kari/"),
        lambda a: a.update(root='https://elsewhere.example/"><script>/'),
        lambda a: a.update(root=f"{HERE}/ola/"),
        lambda a: a.pop("consistency"),
        lambda a: a.update(consistency=[]),
        lambda a: a.update(checkpoint="x"),
        lambda a: a["left"].update(size=3),
        lambda a: a["left"].update(root=base64.b64encode(bytes(32)).decode()),
        lambda a: a["left"].update(feed="x"),
    )
    for change in changes:
        arrival = json.loads(json.dumps(arrived.arrival))
        change(arrival)
        with pytest.raises(ArrivalRefused):
            move_away(city.host, opened.pod, arrival, actor=MOVER)
    with pytest.raises(ArrivalRefused):
        move_away(city.host, opened.pod, [], actor=MOVER)
    with pytest.raises(ArrivalRefused, match="not of this pod"):
        move_away(city.host, ola.pod, arrived.arrival, actor=MOVER)
    assert find_here(city.host) == opened.pod.pod_id
    assert everything(city.host, opened, HERE)[1]


def test_a_locked_pod_stays_locked_and_its_recovery_code_opens_it(city, there, tmp_path):
    made = create_pod(city.host, "kari")
    locked = lock_pod(city.host, made.vault, Passphrase(PHRASE))
    with city.host.storage.read() as tx:
        pod = find_pod(tx, "kari")
    opened = OpenPod(pod, owner_permit(locked.vault), locked.vault)
    file = tmp_path / "kari.move"
    move_out(city.host, opened, file)
    with pytest.raises(WrongPassphrase):
        move_in(there, file, passphrase=Passphrase("en annen setning"), actor=MOVER)
    with pytest.raises(WrongRecoveryCode):
        move_in(there, file, recovery_code=made.recovery_code, actor=MOVER)
    assert list_pods(there) == []
    arrived = move_in(there, file, recovery_code=locked.recovery_code, actor=MOVER)
    assert arrived.state == "locked"
    with there.storage.read() as tx:
        there_pod = find_pod(tx, "kari")
    with pytest.raises(PodLocked):
        unlock_with_custodian(there.host_key, there.key_store, there_pod.pod_id)
    with pytest.raises(PodFileInvalid, match="already"):
        move_in(there, file, handle="kari-two", passphrase=Passphrase(PHRASE), actor=MOVER)


def test_a_file_that_was_cut_or_changed_makes_no_pod(city, kari, there, tmp_path):
    opened, _, _ = kari
    whole = tmp_path / "kari.move"
    move_out(city.host, opened, whole)
    with pytest.raises(PodFileInvalid, match="is there already"):
        move_out(city.host, opened, whole)
    content = whole.read_bytes()
    header_end = 8 + int.from_bytes(content[4:8], "big")
    broken = {
        "empty": b"",
        "zip": b"PK\x03\x04" + bytes(100),
        "header": content[:50],
        "cut": content[: len(content) // 2],
        "last chunk gone": content[: header_end + 4 + (256 * 1024 + 16) * 2],
        "one byte": content[:-1],
        "more": content + b"x",
        "changed": content[: header_end + 5000]
        + bytes([content[header_end + 5000] ^ 1])
        + content[header_end + 5001 :],
        "huge header": b"TVM\x01\xff\xff\xff\xff" + content,
        "deep header": b"TVM\x01\x00\x00\xff\x00" + b"[" * 0xFF00,
        "other schema": rewritten(content, schema=1),
        "other form": rewritten(content, format="tvilling-move-9"),
        "other pod": rewritten(content, pod=7),
        "no ways in": rewritten(content, slots=[]),
        "custodian": rewritten(content, slots=[["custodian", "host x", "", ""]]),
    }
    for name, bad in broken.items():
        (tmp_path / "bad.move").write_bytes(bad)
        with pytest.raises((PodFileInvalid, WrongPassphrase)):
            move_in(there, tmp_path / "bad.move", passphrase=Passphrase(PHRASE), actor=MOVER)
        assert list_pods(there) == [], name
        assert there.key_store.pods_with_keys() == frozenset(), name


def rewritten(content, **members):
    end = 8 + int.from_bytes(content[4:8], "big")
    header = json.dumps(json.loads(content[8:end]) | members).encode()
    return content[:4] + len(header).to_bytes(4, "big") + header + content[end:]


def left_of(host, pod_id):
    with host.storage.read() as tx:
        return {table for table in tables_of_pods() if tx.one(f"SELECT 1 FROM {table} WHERE pod_id = ?", (pod_id,))}


def test_a_pod_is_here_with_its_consents_at_rest_or_not_at_all(city, kari, there, tmp_path, monkeypatch):
    opened, given, _ = kari
    known_there(there, given, "Strømmen AS")
    file = tmp_path / "kari.move"
    move_out(city.host, opened, file)
    with monkeypatch.context() as patch:
        # The last step before the commit fails, and nothing clears up.
        patch.setattr(arrival.grants, "settle_arrival", Mock(side_effect=KeyboardInterrupt))
        patch.setattr(arrival, "_clear", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
    assert list_pods(there) == []
    with there.storage.read() as tx:
        assert tx.one("SELECT 1 FROM consent WHERE pod_id = ?", (opened.pod_id,)) is None
    with monkeypatch.context() as patch:
        # Killed after the commit: nobody got the statement.
        patch.setattr(arrival, "_arrived", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
    again = move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
    assert again.paused == (given["Strømmen AS"].grant,)
    assert again.withdrawn == (given["Butikken AS"].grant,)
    move_away(city.host, opened.pod, again.arrival, actor=MOVER)
    assert list_pods(city.host) == []


def test_two_who_bring_in_the_same_pod_at_once_make_one(city, kari, there, tmp_path, monkeypatch):
    opened, _, _ = kari
    file = tmp_path / "kari.move"
    move_out(city.host, opened, file)
    verify, ran = arrival.verify_stored, []

    def meanwhile(tx, pod_id):
        if not ran:
            ran.append(1)
            there.clock.advance(timedelta(seconds=1))
            move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
        return verify(tx, pod_id)

    with monkeypatch.context() as patch:
        patch.setattr(arrival, "verify_stored", meanwhile)
        with pytest.raises(PodFileInvalid, match="another command"):
            move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
    # Who came first leaves what the other made alone.
    assert len(list(activities.read_activities(there, opened_pod(there)))) == 60


def test_the_texts_that_were_answered_come_along(city, kari, there, tmp_path):
    opened, given, _ = kari
    text = "Strømmen AS ber om målingene dine, for regnskapet ditt."
    shown = ("1 nb", keep_notice(city.host, "1 nb", text))
    until = city.clock.now() + timedelta(days=200)
    grants.renew(city.host, opened.pod_id, given["Strømmen AS"].grant, actor=MOVER, expires_at=until, notice=shown)
    file = tmp_path / "kari.move"
    move_out(city.host, opened, file)
    move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
    assert find_notice(there, shown[1]) == text


def test_a_move_that_fails_half_way_leaves_nothing_and_can_be_done_again(
    city, kari, there, tmp_path, monkeypatch, clock
):
    from pod_server.storage.errors import StorageFull

    opened, _, _ = kari
    file = tmp_path / "kari.move"
    move_out(city.host, opened, file)

    def full(*_arguments, **_options):
        raise StorageFull

    with monkeypatch.context() as patch:
        patch.setattr(arrival.grant_rows, "insert_grant", full)
        # A process that is killed clears nothing up: the next try does.
        patch.setattr(arrival, "_clear", lambda *_: None)
        with pytest.raises(StorageFull):
            move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
        assert there.key_store.pods_with_keys() == {opened.pod_id}
    # Nor does the host while the arrival might go on; a day later it does.
    tend(there)
    assert there.key_store.pods_with_keys() == {opened.pod_id}
    clock.advance(timedelta(days=1, seconds=1))
    tend(there)
    assert there.key_store.pods_with_keys() == frozenset()
    assert left_of(there, opened.pod_id) == set()
    with monkeypatch.context() as patch:
        patch.setattr(arrival.grant_rows, "insert_grant", full)
        with pytest.raises(StorageFull):
            move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
    assert list_pods(there) == []
    assert left_of(there, opened.pod_id) == set()
    assert there.binaries.names(opened.pod_id) == {}
    assert move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER).documents > 3


def test_what_a_pod_with_its_own_keys_can_make_up_is_refused(city, kari, there, tmp_path):
    """The file's maker holds the keys, and may write anything: rows of other pods, other tables, values of other types."""
    opened, _, _ = kari
    original = move.write_record
    ola = create_pod(there, "ola")
    assert set(tables_of_pods()) == set(move.CARRIED) | move.TRANSLATED | move.LEFT_BEHIND

    def forged(change):
        def write(target, kind, value):
            for one in change(kind, value):
                original(target, *one)

        return write

    def row(kind, value, table, change):
        if kind == "row" and value[0] == table:
            return [(kind, [table, value[1], change(dict(zip(value[1], value[2], strict=True)))])]
        return [(kind, value)]

    def with_row(table, **members):
        return lambda kind, value: row(kind, value, table, lambda found: list((found | members).values()))

    cases = {
        "another pod's row": with_row("document", pod_id=ola.pod_id),
        "a text for a number": with_row("feed", head="1; DROP TABLE pod"),
        "a number too great": with_row("feed", head=1 << 63),
        "nothing where something must be": with_row("log_leaf", leaf_hash=None),
        "another table": lambda kind, value: [(kind, value), *([("row", ["session", [], []])] if kind == "end" else [])],
        "another leaf": with_row("log_leaf", leaf_hash=bytes(32)),
        "no such kind": lambda kind, value: [(kind, value), *([("sql", "x")] if kind == "pod" else [])],
        "after the end": lambda kind, value: [(kind, value), *([("pod", value)] if kind == "end" else [])],
        "no pod": lambda kind, value: [] if kind == "pod" else [(kind, value)],
        "a piece of no file": lambda kind, value: [("piece", b"x"), (kind, value)] if kind == "grant" else [(kind, value)],
        "a grant of another": lambda kind, value: [(kind, value | {"id": taken})] if kind == "grant" else [(kind, value)],
        "another root": lambda kind, value: (
            [(kind, [value[0], value[1], value[2], bytes(len(value[3]))])] if kind == "secret" and value[3] else [(kind, value)]
        ),
    }  # fmt: skip
    cases["a row twice"] = lambda kind, value: [(kind, value)] * (2 if kind == "row" and value[0] == "feed" else 1)
    taken = granted(there, ola.pod_id).grant
    for number, (name, change) in enumerate(cases.items()):
        file = tmp_path / f"{number}.move"
        move.write_record = forged(change)
        try:
            move_out(city.host, opened, file)
        finally:
            move.write_record = original
        with pytest.raises(PodFileInvalid):
            move_in(there, file, passphrase=Passphrase(PHRASE), actor=MOVER)
        assert [pod.handle for pod in list_pods(there)] == ["ola"], name
    assert everything(there, opened_pod(there, "ola"), THERE)[0].keys() >= {"profile/card"}


def test_only_the_owner_moves_a_pod(city, kari, tmp_path):
    opened, _, _ = kari
    for authority in ("app", "script", "grant", "public"):
        with pytest.raises(PermitExceeded):
            move_out(city.host, replace(opened, permit=replace(opened.permit, authority=authority)), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_pod_moves_by_three_commands(city, kari, tmp_path):
    def run(*arguments, code=0):
        done = CliRunner().invoke(main, [*arguments, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if code == 0 else done.stderr

    words = tmp_path / "passphrase.txt"
    words.write_text(PHRASE)
    here = ("--data", str(tmp_path / "data"), "--base-url", HERE)
    other = ("--data", str(tmp_path / "other"), "--base-url", THERE)
    file, arrival = str(tmp_path / "kari.move"), str(tmp_path / "arrival.json")
    out = run("pod", "move-out", "kari", "--out", file, *here)
    assert "nothing else" in out["note"]
    assert "give one of them" in run("pod", "move-in", file, "--arrival", arrival, *other, code=1)
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("en annen setning")
    refused = run("pod", "move-in", file, "--passphrase-file", str(wrong), "--arrival", arrival, *other, code=1)
    assert "annen" not in refused
    arrived = run("pod", "move-in", file, "--passphrase-file", str(words), "--arrival", arrival, *other)
    assert arrived["webid"] == f"{THERE}/kari/profile/card#me"
    assert "already" in run(
        "pod", "move-in", file, "--passphrase-file", str(words), "--arrival", arrival, *other, code=1
    )
    assert run("log", "verify", "kari", *other)["size"] >= arrived["log_entries"]
    (tmp_path / "no.json").write_text("{")
    assert "no statement" in run("pod", "move-away", "kari", "--arrival", str(tmp_path / "no.json"), *here, code=1)
    assert run("pod", "move-away", "kari", "--arrival", arrival, *here)["root"] == f"{THERE}/kari/"
    assert "moved" in run("pod", "export", "kari", "--out", str(tmp_path / "x.zip"), *here, code=1)
