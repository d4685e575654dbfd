"""WebAuthn level 3, sections 7.1 and 7.2: passkeys are added, sign in, and are taken away again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from authenticator import PRESENT, VERIFIED, Authenticator, write
from passkey_browser import Browser, problem

from pod_server.authentication.session import FRESH
from pod_server.sign_in import challenges, passkeys


def test_a_passkey_signs_in(kari, stranger, passkey):
    assert kari.add(passkey).status_code == 200
    answer = stranger.sign_in(passkey)
    assert answer.status_code == 200, answer.text
    assert answer.json == {"next": "/-/my-data"}
    assert stranger.client.get("/-/my-data").status_code == 200


def test_section_7_1_a_citizen_is_known_to_their_device_by_a_name_that_tells_nothing(kari, passkey):
    options = kari.options()
    assert options["rp"] == {"name": "Tvilling", "id": "localhost"}
    assert options["user"]["name"] == "kari"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["attestation"] == "none"
    assert len(options["user"]["id"]) == 43
    kari.add(passkey)
    again = kari.options()
    assert again["user"]["id"] == options["user"]["id"]
    assert [each["id"] for each in again["excludeCredentials"]] == [write(passkey.credential_id)]


def test_several_passkeys_are_listed_named_and_removed(town, kari, stranger, passkey):
    second = Authenticator()
    first_id = kari.add(passkey, "Telefonen").json["id"]
    kari.add(second, "  Nøkkelen\n på   ringen ")
    page = kari.page().text
    assert "Telefonen" in page
    assert "Nøkkelen på ringen" in page
    csrf = kari.csrf("/-/security")
    renamed = kari.client.post(f"/-/security/passkeys/{first_id}/rename", data={"csrf": csrf, "name": "<b>Gammel</b>"})
    assert renamed.status_code == 303
    assert "&lt;b&gt;Gammel&lt;/b&gt;" in kari.page().text
    removed = kari.client.post(f"/-/security/passkeys/{first_id}/remove", data={"csrf": csrf})
    assert removed.status_code == 303
    assert "Gammel" not in kari.page().text
    assert problem(stranger.sign_in(passkey)) == "passkey-invalid"
    assert stranger.sign_in(second).status_code == 200


def test_another_citizens_passkey_can_neither_be_named_nor_removed(town, kari, stranger, passkey):
    mine = kari.add(passkey).json["id"]
    ola = Browser(town, town.citizen("ola"))
    csrf = ola.csrf("/-/security")
    for change in ("rename", "remove"):
        ola.client.post(f"/-/security/passkeys/{mine}/{change}", data={"csrf": csrf, "name": "Min"})
    assert "Telefonen" in kari.page().text
    assert stranger.sign_in(passkey).status_code == 200


def test_the_log_tells_of_passkeys(town, kari, stranger, passkey):
    made = kari.add(passkey).json["id"]
    stranger.sign_in(passkey)
    kari.client.post(f"/-/security/passkeys/{made}/remove", data={"csrf": kari.csrf("/-/security")})
    shown = kari.client.get("/-/log.json").text
    for action in ("add-passkey", "unlock", "remove-passkey"):
        assert f'"{action}"' in shown


def test_adding_one_needs_a_fresh_sign_in(town, kari, passkey):
    options = kari.options()
    town.city.clock.advance(FRESH + timedelta(seconds=1))
    assert problem(kari.ask("/-/security/passkeys/options")) == "sign-in-too-old"
    sent = {"answer": passkey.create(options), "name": "Min"}
    assert problem(kari.tell("/-/security/passkeys", sent)) == "sign-in-too-old"
    assert "Logg inn på nytt" in kari.page().text


def test_there_are_twenty_at_most(kari, monkeypatch):
    monkeypatch.setattr(passkeys, "MOST_PASSKEYS", 2)
    for _ in range(2):
        assert kari.add(Authenticator()).status_code == 200
    assert problem(kari.ask("/-/security/passkeys/options")) == "too-many-passkeys"


def test_a_passkey_is_added_once(kari, passkey):
    kari.add(passkey)
    assert problem(kari.add(passkey)) == "passkey-invalid"


@pytest.mark.parametrize(
    "change",
    [{"type": "webauthn.get"}, {"challenge": write(bytes(40))}, {"challenge": ""}, {"challenge": "A" * 4000}],
)
def test_section_7_1_what_does_not_hold_adds_nothing(kari, passkey, change):
    assert problem(kari.add(passkey, **change)) == "passkey-invalid"
    assert "Du har ingen passnøkkel" in kari.page().text


@pytest.mark.parametrize(
    "device",
    [
        {"origin": "https://localhost:8080"}, {"origin": "http://localhost:8081"}, {"origin": "http://evil.example"},
        {"rp_id": "evil.example"}, {"flags": PRESENT}, {"flags": VERIFIED}, {"flags": 0},
    ],
)  # fmt: skip
def test_section_7_1_another_origin_or_an_owner_who_was_not_verified_adds_nothing(kari, device):
    assert problem(kari.add(Authenticator(**device))) == "passkey-invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "webauthn.create"}, {"challenge": write(bytes(40))}, {"user": write(bytes(32))}, {"user": ""},
        {"origin": "http://evil.example"}, {"rp_id": "evil.example"}, {"flags": PRESENT}, {"flags": VERIFIED},
    ],
)  # fmt: skip
def test_section_7_2_what_does_not_hold_signs_nobody_in(kari, stranger, passkey, change):
    kari.add(passkey)
    told = {name: change[name] for name in ("type", "challenge", "user") if name in change}
    for name in ("origin", "rp_id", "flags"):
        setattr(passkey, name, change.get(name, getattr(passkey, name)))
    assert problem(stranger.sign_in(passkey, **told)) == "passkey-invalid"
    assert stranger.client.get("/-/my-data").status_code != 200


def test_section_7_2_another_key_under_a_known_name_signs_nobody_in(kari, stranger, passkey):
    kari.add(passkey)
    thief = Authenticator(credential_id=passkey.credential_id, user=passkey.user)
    assert problem(stranger.sign_in(thief)) == "passkey-invalid"


def test_section_7_2_a_passkey_nobody_added_signs_nobody_in(stranger, passkey):
    passkey.user = write(bytes(32))
    assert problem(stranger.sign_in(passkey)) == "passkey-invalid"


def test_section_6_1_1_a_counter_that_goes_back_is_refused_and_told(kari, stranger, passkey):
    kari.add(passkey)
    assert stranger.sign_in(passkey).status_code == 200
    passkey.counter -= 1
    refused = stranger.sign_in(passkey)
    assert problem(refused) == "passkey-invalid"
    assert "counter went back" in refused.json["detail"]
    assert "passkey-copied" in kari.client.get("/-/log.json").text
    passkey.counter += 5
    assert stranger.sign_in(passkey).status_code == 200


def test_section_6_1_1_a_passkey_without_a_counter_is_taken(kari, stranger):
    synced = Authenticator(counts=False)
    kari.add(synced)
    assert stranger.sign_in(synced).status_code == 200
    assert stranger.sign_in(synced).status_code == 200


def test_section_13_4_3_a_challenge_is_good_once(town, kari, stranger, passkey):
    """The replay comes from the very browser that asked: the same form token, no session."""
    kari.add(passkey)
    csrf = stranger.csrf()
    options = stranger.ask("/-/sign-in/passkey/options", csrf=csrf).json
    again = Browser(town, town.stranger())
    again.client.set_cookie("tvilling_form", stranger.client.get_cookie("tvilling_form").value)
    assert again.csrf() == csrf
    sent = {"answer": passkey.get(options)}
    assert stranger.tell("/-/sign-in/passkey", sent, csrf=csrf).status_code == 200
    for answer in (sent, {"answer": passkey.get(options)}):
        refused = again.tell("/-/sign-in/passkey", answer, csrf=csrf)
        assert problem(refused) == "passkey-invalid"
        assert "was used" in refused.json["detail"]


def test_section_13_4_3_a_challenge_belongs_to_the_browser_that_asked(town, kari, stranger, passkey):
    kari.add(passkey)
    options = stranger.ask("/-/sign-in/passkey/options").json
    elsewhere = Browser(town, town.stranger())
    assert problem(elsewhere.tell("/-/sign-in/passkey", {"answer": passkey.get(options)})) == "passkey-invalid"


def test_section_13_4_3_a_challenge_runs_out_and_is_for_one_thing(town, host, kari, stranger, passkey):
    kari.add(passkey)
    csrf = stranger.csrf()
    options = stranger.ask("/-/sign-in/passkey/options", csrf=csrf).json
    town.city.clock.advance(challenges.LIFETIME + timedelta(seconds=1))
    late = stranger.tell("/-/sign-in/passkey", {"answer": passkey.get(options)}, csrf=csrf)
    assert problem(late) == "passkey-invalid"
    given = challenges.give(town.host, "one", "me")
    for challenge, purpose, holder in (
        (given, "two", "me"),
        (given, "one", "you"),
        (given[:-1], "one", "me"),
        (bytes(40), "one", "me"),
        (given[:20] + bytes((given[20] ^ 1,)) + given[21:], "one", "me"),
    ):
        assert not challenges.take(town.host, challenge, purpose, holder)
    assert challenges.take(town.host, given, "one", "me")
    assert not challenges.take(town.host, given, "one", "me")


GARBAGE = [
    {}, {"answer": None}, {"answer": []}, {"answer": {}}, {"answer": {"response": 7}}, {"answer": {"rawId": 7}}, 7,
    {"answer": {"rawId": "AA", "response": {"clientDataJSON": "e30"}}}, {"answer": {"rawId": "A" * 33_000}},
    {"answer": {"id": "AA", "rawId": "AA", "type": "x", "response": {"clientDataJSON": "W10"}, "prf": "AA"}},
]  # fmt: skip


def test_garbage_is_a_clear_problem(kari):
    csrf = kari.csrf()
    for address in ("/-/sign-in/passkey", "/-/security/passkeys", "/-/security/passkeys/open"):
        for body in GARBAGE:
            answer = kari.tell(address, body, csrf=csrf)
            assert answer.status_code in {400, 403}, (address, body)
            assert problem(answer) in {"bad-request", "passkey-invalid"}


def test_a_row_moved_or_made_by_hand_signs_nobody_in(town, kari, stranger, passkey):
    """T2: who edits the database gives themselves no way in."""
    kari.add(passkey)
    ola = town.city.citizen("ola")
    with town.host.storage.write() as tx:
        tx.execute("UPDATE passkey SET pod_id = ?", (ola.pod_id,))
    refused = stranger.sign_in(passkey)
    assert refused.status_code == 500
    assert problem(refused) == "sealed-text-broken"
    assert stranger.client.get("/-/my-data").status_code != 200


# What a passkey unlocks


def test_a_locked_pod_stays_shut_and_the_page_says_what_is_needed(kari, stranger, passkey):
    kari.add(passkey)
    kari.lock()
    refused = stranger.sign_in(passkey)
    assert problem(refused) == "passkey-opens-not"
    assert refused.json["has_slot"] is False
    assert "passphrase" in refused.json["detail"]
    assert stranger.client.get("/-/my-data").status_code != 200


def test_a_passkey_that_was_let_opens_a_locked_pod_with_its_own_secret(kari, stranger, passkey):
    made = kari.add(passkey).json["id"]
    kari.lock()
    opened = kari.let_open(passkey, made)
    assert opened.status_code == 200, opened.text
    assert "Åpner også en låst pod" in kari.page().text
    first = stranger.sign_in(passkey)
    assert problem(first) == "passkey-opens-not"
    assert first.json["has_slot"] is True
    assert first.json["passkey"] == made
    assert stranger.sign_in_with_secret(passkey, made).status_code == 200
    assert stranger.client.get("/-/my-data").status_code == 200


def test_a_wrong_secret_opens_no_locked_pod(kari, stranger, passkey):
    made = kari.add(passkey).json["id"]
    kari.lock()
    kari.let_open(passkey, made)
    passkey.prf_key = bytes(32)
    assert problem(stranger.sign_in_with_secret(passkey, made)) == "passkey-opens-not"
    assert stranger.client.get("/-/my-data").status_code != 200


def test_the_secret_without_the_passkeys_signature_opens_nothing(kari, stranger, passkey):
    made = kari.add(passkey).json["id"]
    kari.lock()
    kari.let_open(passkey, made)
    thief = Authenticator(credential_id=passkey.credential_id, user=passkey.user, prf_key=passkey.prf_key)
    assert problem(stranger.sign_in_with_secret(thief, made)) == "passkey-invalid"


def test_locking_anew_ends_the_passkeys_slot(kari, stranger, passkey):
    made = kari.add(passkey).json["id"]
    kari.let_open(passkey, made)
    assert "Åpner også en låst pod" in kari.page().text
    kari.lock()
    assert "Åpner også en låst pod" not in kari.page().text
    refused = stranger.sign_in_with_secret(passkey, made)
    assert problem(refused) == "passkey-opens-not"
    assert refused.json["has_slot"] is False
    kari.let_open(passkey, made)
    assert stranger.sign_in_with_secret(passkey, made).status_code == 200


def test_a_passkey_without_a_secret_is_not_let_open(kari, passkey):
    made = kari.add(passkey).json["id"]
    assert problem(kari.let_open(passkey, made, secret=False)) == "passkey-invalid"


def test_the_database_holds_neither_the_secret_nor_the_root_key(town, kari, passkey):
    made = kari.add(passkey).json["id"]
    kari.let_open(passkey, made)
    with town.host.storage.read() as tx:
        (row,) = tx.all("SELECT sealed, sealed_root FROM passkey", ())
    assert "Telefonen" not in str(row)
    assert write(passkey.credential_id) not in str(row)
    assert len(row[1]) > 80
