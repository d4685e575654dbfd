"""The pages' answers: who sees what, what a form may do, what an answer carries."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from dashboard.views.public import own_path
from dashboard.wording import LANGUAGES
from pod_server import grants
from pod_server.authentication.accounts import create_sign_in_link

OWN_PAGES = [
    "/-/home", "/-/home/parts", "/-/footprint", "/-/footprint/events", "/-/neighbourhood", "/-/twin", "/-/my-data", "/-/log",
    "/-/download", "/-/lock", "/-/security", "/-/representation",
]  # fmt: skip
PUBLIC_PAGES = ["/-/", "/-/sign-in", "/-/accessibility", "/problems/", "/problems/consent-withdrawn", "/vocab/", "/vocab/factors",
                "/vocab/kinds/grocery-line", "/vocab/catalogue"]  # fmt: skip


@pytest.mark.parametrize("address", OWN_PAGES)
def test_a_stranger_is_shown_where_to_sign_in_and_nothing_else(pages, address):
    answer = pages.stranger().get(address, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/-/sign-in?next=")


@pytest.mark.parametrize(
    "address", ["/-/figures.json", "/-/log.json", "/-/recompute.json", "/-/download/activities.ndjson"]
)
def test_a_program_without_a_session_is_told_so(pages, address):
    answer = pages.stranger().get(address, headers={"Accept": "application/json"})
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("address", [*OWN_PAGES, *PUBLIC_PAGES])
def test_every_page_renders_in_each_language_under_the_strict_policy(pages, address, language):
    kari = pages.citizen()
    answer = kari.get(address, **{"Accept-Language": language})
    assert answer.status_code == (303 if address == "/-/" else 200)
    if answer.status_code == 303:
        return
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "no-store" in answer.headers["Cache-Control"]
    if not address.endswith("parts"):
        assert f'<html lang="{language}"' in answer.text
    assert not re.search(r"\sstyle\s*=", answer.text)


def test_the_live_origin_alone_may_be_spoken_to_besides(pages):
    policy = pages.citizen().get("/-/home").headers["Content-Security-Policy"]
    assert "connect-src 'self' http://localhost:8081;" in policy
    assert "form-action 'self';" in policy


@pytest.mark.parametrize(
    "address", ["//evil.example", "https://evil.example/", "/kari/private", "/-//evil.example", "/-/\r\nX: y", ""]
)
def test_a_sign_in_leads_on_to_our_own_pages_only(address):
    assert own_path(address) == "/-/home"


def test_a_wrong_passphrase_is_told_alike_for_everyone(pages):
    pages.city.citizen("ola")
    stranger = pages.stranger()
    texts = []
    for handle in ("ola", "nobody"):
        page = stranger.get("/-/sign-in", headers={"Accept": "text/html"})
        token = re.search(r'name="csrf" value="([^"]+)"', page.text).group(1)
        answer = stranger.post("/-/sign-in", data={"csrf": token, "handle": handle, "passphrase": "not the one"})
        assert answer.status_code == 403
        texts.append(re.sub(r'value="[^"]*"', "", answer.text))
    assert texts[0] == texts[1]


def test_a_sign_in_link_works_once_and_leads_home(pages):
    made = pages.city.citizen("kari", name="Kari")
    link = create_sign_in_link(pages.host, made.vault.pod_id)
    stranger = pages.stranger()
    first = stranger.get(link, headers={"Accept": "text/html"})
    assert (first.status_code, first.headers["Location"]) == (303, "/-/home")
    assert "HttpOnly" in first.headers["Set-Cookie"]
    assert "SameSite=Lax" in first.headers["Set-Cookie"]
    assert stranger.get("/-/home", headers={"Accept": "text/html"}).status_code == 200
    assert pages.stranger().get(link, headers={"Accept": "text/html"}).status_code == 403


@pytest.mark.parametrize("address", ["/-/sign-in", "/-/choices"])
def test_a_stranger_s_form_without_its_token_does_nothing(pages, address):
    answer = pages.stranger().post(address, data={"language": "en", "handle": "kari", "passphrase": "x"})
    assert answer.status_code == 403


def test_a_form_without_the_session_s_token_withdraws_nothing(pages):
    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner().partner.client_id)
    for token in ("", "0" * 64):
        answer = kari.client.post(f"/-/grants/{grant.id}/withdraw", data={"csrf": token})
        assert answer.status_code == 403
    assert grants.find_grant(pages.host, kari.pod_id, grant.id).state == "active"


def test_withdrawing_is_one_step_from_the_consent_centre(pages):
    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner().partner.client_id)
    assert f'action="/-/grants/{grant.id}/withdraw"' in kari.get("/-/my-data").text
    answer = kari.post(f"/-/grants/{grant.id}/withdraw")
    assert answer.status_code == 303
    assert grants.find_grant(pages.host, kari.pod_id, grant.id).state == "withdrawn"
    assert "trukket" in kari.get(answer.headers["Location"]).text


def test_nobody_touches_another_citizen_s_consent(pages):
    kari, ola = pages.citizen("kari"), pages.citizen("ola", "Ola")
    grant = pages.grant(kari, pages.partner().partner.client_id)
    assert ola.get(f"/-/grants/{grant.id}/narrow").status_code == 404
    for verb in ("withdraw", "pause", "resume", "renew", "narrow", "erase"):
        assert ola.post(f"/-/grants/{grant.id}/{verb}", sure="yes").status_code == 404
    assert grants.find_grant(pages.host, kari.pod_id, grant.id).state == "active"
    assert grant.id not in ola.get("/-/my-data").text


def test_giving_a_partner_less_takes_one_form_that_shows_what_holds_now(pages):
    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner().partner.client_id)
    page = kari.get(f"/-/grants/{grant.id}/narrow")
    assert page.status_code == 200
    assert f'href="/-/grants/{grant.id}/narrow"' in kari.get("/-/my-data").text
    answer = kari.post(f"/-/grants/{grant.id}/narrow", kind="grocery-line", granularity="P1D", duration="P3M")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/-/my-data?done=narrow")
    terms = grants.find_grant(pages.host, kari.pod_id, grant.id).terms
    assert terms.granularity_of("grocery-line") == "P1D"
    assert terms.expires_at < grant.terms.expires_at


def test_after_the_text_changed_a_renewal_shows_it_first(pages):
    kari = pages.citizen()
    client_id = pages.partner().partner.client_id
    old = pages.grant(kari, client_id, notice_version="0 nb", notice_hash="a" * 64)
    page = kari.post(f"/-/grants/{old.id}/renew")
    assert page.status_code == 200
    assert "er endret" in page.text
    assert grants.find_grant(pages.host, kari.pod_id, old.id) == old
    assert kari.post(f"/-/grants/{old.id}/renew", read="0").status_code == 200
    assert kari.post(f"/-/grants/{old.id}/renew", read="1").status_code == 303
    renewed = grants.find_grant(pages.host, kari.pod_id, old.id).terms
    assert renewed.expires_at > old.terms.expires_at
    assert renewed.notice_version == "1 nb"
    shown = kari.get(f"/vocab/consent/notices/{renewed.notice_hash}")
    assert shown.status_code == 200
    assert "Rema 1000" in shown.text


def test_a_reminder_stands_first_until_it_is_answered(pages):
    from pod_server import reminders

    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner().partner.client_id)
    assert 'id="reminders"' not in kari.get("/-/my-data").text
    pages.city.clock.advance(timedelta(days=180))
    kari = pages.signed_in_again(kari)
    assert reminders.remind_due(pages.host) == 1
    assert 'id="reminders"' in kari.get("/-/my-data").text
    assert "/-/my-data#reminders" in kari.get("/-/twin").text
    assert kari.post(f"/-/grants/{grant.id}/keep").headers["Location"] == "/-/my-data?done=keep"
    assert 'id="reminders"' not in kari.get("/-/my-data").text


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"kind": "waste-collection"},
        {"kind": "grocery-line"},
        {"kind": "grocery-line", "granularity": "PT1S"},
        {"kind": "grocery-line", "duration": "P99Y"},
    ],
)
def test_a_form_that_gives_nothing_or_more_changes_nothing(pages, form):
    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner().partner.client_id)
    answer = kari.post(f"/-/grants/{grant.id}/narrow", **form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert grants.find_grant(pages.host, kari.pod_id, grant.id) == grant


def test_pausing_resuming_and_renewing_do_what_they_say(pages):
    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner().partner.client_id)
    for verb, state in (("pause", "paused"), ("resume", "active"), ("renew", "active")):
        assert kari.post(f"/-/grants/{grant.id}/{verb}").status_code == 303
        assert grants.find_grant(pages.host, kari.pod_id, grant.id).state == state
    assert grants.find_grant(pages.host, kari.pod_id, grant.id).terms.expires_at > grant.terms.expires_at


def test_erasing_asks_once_more_and_then_erases(pages):
    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner().partner.client_id)
    asked = kari.post(f"/-/grants/{grant.id}/erase")
    assert asked.status_code == 200
    assert grants.find_grant(pages.host, kari.pod_id, grant.id).state == "active"
    assert kari.post(f"/-/grants/{grant.id}/erase", sure="yes").status_code == 303
    assert grants.find_grant(pages.host, kari.pod_id, grant.id).state == "erased"


def test_the_log_tells_what_was_done_and_says_that_it_holds(pages):
    kari = pages.citizen()
    grant = pages.grant(kari, pages.partner("AtB").partner.client_id)
    kari.post(f"/-/grants/{grant.id}/withdraw")
    page = kari.get("/-/log").text
    assert "Verifisert 23. november 2026" in page
    assert "Du trakk samtykket til AtB" in page
    assert "Du trakk samtykket til AtB" not in kari.get("/-/log?show=partner").text


def test_a_log_that_was_tampered_with_says_so(pages):
    kari = pages.citizen()
    with pages.host.storage.write() as tx:
        tx.execute("UPDATE log_leaf SET leaf_hash = ? WHERE pod_id = ? AND leaf_index = 0", (bytes(32), kari.pod_id))
    assert "Loggen stemmer ikke" in kari.get("/-/log").text


def test_the_research_consent_is_given_by_its_own_form(pages):
    kari = pages.citizen()
    assert "du er ikke med" in kari.get("/-/my-data").text
    assert kari.post("/-/research/give").status_code == 303
    assert "du er med" in kari.get("/-/my-data").text


def test_a_pod_is_locked_from_its_page_and_the_session_goes_on(pages):
    kari = pages.citizen()
    answer = kari.post("/-/lock", passphrase="tolv grønne katter", again="tolv grønne katter")
    assert answer.status_code == 200
    assert re.search(r"<code>[^<]{20,}</code>", answer.text), "the new recovery code is shown"
    assert pages.host.key_store.slot_kinds(kari.pod_id) == {"passphrase", "recovery"}
    assert kari.get("/-/home").status_code == 200
    assert kari.post("/-/lock/open").status_code == 303
    assert "custodian" in pages.host.key_store.slot_kinds(kari.pod_id)


def test_a_browser_left_open_cannot_shut_its_owner_out(pages):
    from pod_server.vault.key_derivation import Passphrase

    kari = pages.citizen(passphrase=Passphrase("seks røde hester"))
    new = {"passphrase": "tolv grønne katter", "again": "tolv grønne katter"}
    for guess in ({}, {"present": "feil gjetning her"}):
        answer = kari.post("/-/lock", **new, **guess)
        assert answer.status_code == 403
        assert "ikke passordet ditt" in answer.text
        pages.host.clock.advance(timedelta(minutes=10))
    assert "custodian" in pages.host.key_store.slot_kinds(kari.pod_id)
    assert kari.post("/-/lock", **new, present="seks røde hester").status_code == 200
    assert "custodian" not in pages.host.key_store.slot_kinds(kari.pod_id)


@pytest.mark.parametrize(("one", "other"), [("kort", "kort"), ("tolv grønne katter", "elleve blå hunder")])
def test_a_bad_passphrase_locks_nothing(pages, one, other):
    kari = pages.citizen()
    assert kari.post("/-/lock", passphrase=one, again=other).status_code == 422
    assert "custodian" in pages.host.key_store.slot_kinds(kari.pod_id)


def test_choices_of_language_and_theme_stay(pages):
    kari = pages.citizen()
    kari.post("/-/choices", language="en", back="/-/home")
    kari.post("/-/choices", theme="dark", back="/-/home")
    page = kari.get("/-/home").text
    assert '<html lang="en" data-color-scheme="dark"' in page
    assert "Hello, Kari" in page


def test_signing_out_ends_the_session(pages):
    kari = pages.citizen()
    assert kari.post("/-/sign-out").status_code == 303
    assert kari.get("/-/home").status_code == 303


def test_the_demo_is_no_page_of_an_ordinary_host(pages):
    kari = pages.citizen()
    assert kari.get("/-/demo").status_code == 404
    assert kari.post("/-/demo/kettle").status_code == 404


def test_a_person_gets_a_page_and_a_program_gets_a_problem(pages):
    kari = pages.citizen()
    person = kari.get("/-/why/999")
    assert (person.status_code, person.mimetype) == (404, "text/html")
    program = kari.client.get("/-/why/999", headers={"Accept": "application/json"})
    assert (program.status_code, program.mimetype) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("address", "accept", "mimetype"),
    [
        ("/vocab/context.jsonld", "*/*", "application/ld+json"), ("/vocab/", "text/turtle", "text/turtle"),
        ("/vocab/kinds/grocery-line", "text/turtle", "text/turtle"), ("/vocab/kinds/grocery-line", "text/html", "text/html"),
        ("/vocab/kinds/grocery-line/shape.ttl", "*/*", "text/turtle"), ("/vocab/factors", "text/turtle", "text/turtle"),
    ],
)  # fmt: skip
def test_the_vocabulary_speaks_to_people_and_machines(pages, address, accept, mimetype):
    answer = pages.stranger().get(address, headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (200, mimetype)


def test_the_served_context_is_the_one_that_records_are_read_by(pages):
    from vocab.kinds import load_kinds

    assert pages.stranger().get("/vocab/context.jsonld").get_json(force=True) == {"@context": load_kinds().context}


def test_assets_are_kept_for_ever_and_nothing_else_is_served(pages):
    stranger = pages.stranger()
    page = stranger.get("/-/sign-in", headers={"Accept": "text/html"}).text
    assets = re.findall(r'(?:href|src)="(/-/static/[^"]+)"', page)
    assert len(assets) >= 8
    for address in assets:
        answer = stranger.get(address, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["Cache-Control"]
    for address in ("/-/static/own/../../frame.py", "/-/static/built/..%2f..%2fframe.py", "/-/static/other/x"):
        assert stranger.get(address).status_code in {400, 404}


def test_a_citizen_s_page_weighs_little(pages):
    """The budget: at most 120 kB compressed for a page with all it loads; fragments at most 20 kB."""
    import gzip

    kari = pages.citizen()
    page = kari.get("/-/home").text
    weight = len(gzip.compress(page.encode()))
    for address in set(re.findall(r'(?:href|src)="(/-/static/[^"]+)"', page)):
        if not address.endswith(".woff2"):
            content = kari.client.get(address, headers={"Accept-Encoding": "gzip"})
            weight += len(
                content.data if content.headers.get("Content-Encoding") == "gzip" else gzip.compress(content.data)
            )
    assert weight < 120_000
    assert len(gzip.compress(kari.get("/-/home/parts").data)) < 20_000


def test_the_citizen_sees_how_much_room_is_used_and_is_told_when_little_is_left(pages):
    from pod_server import quota

    kari = pages.citizen()
    with pages.host.storage.read() as tx:
        used = quota.use_of(tx, kari.pod_id, pages.host.quota_bytes).used_bytes
    page = kari.get("/-/my-data").text
    assert f"bruker {-(-used // 1000)} kB av 10,7 GB" in page
    assert "snart fullt" not in page
    with pages.host.storage.write() as tx:
        quota.set_quota(tx, kari.pod_id, used + 10)
    assert "snart fullt" in kari.get("/-/my-data").text


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 kB"), (1, "1 kB"), (994_999, "995 kB"), (1_420_000, "1,42 MB"), (10 << 30, "10,7 GB")]
)
def test_sizes_read_as_people_buy_them(size, words):
    from dashboard import wording

    assert wording.storage_size(size, "nb") == words
