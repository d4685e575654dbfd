"""@inrupt/solid-client with @inrupt/solid-client-authn-node: from signing in to being ended, on a running host."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from ports import free_port


@pytest.fixture(scope="module")
def kari(running):
    return running.citizen("kari", name="Kari Nordmann")


@pytest.fixture(scope="module")
def ola(running):
    return running.citizen("ola", name="Ola Nordmann")


def test_an_app_signs_a_citizen_in_and_does_all_that_its_library_can(running, kari, ola, program):
    redirect = f"http://localhost:{free_port()}/tilbake"
    app = program(
        "inrupt_app.mjs",
        issuer=running.base_url,
        pod=kari.pod,
        other_pod=ola.pod,
        friend=ola.webid,
        redirect=redirect,
    )
    with running.browser(kari) as browser, ola.client() as friend:
        asked = app.next()
        assert urlsplit(asked["go_to"]).path == "/-/oauth/authorize"
        sent_to = browser.answer_app(asked["go_to"], "everything")
        assert sent_to.startswith(f"{redirect}?")
        app.tell(came_back=sent_to)
        picture = app.next()["friend_may_read"]
        read = friend.get(picture)
        app.tell(status=read.status_code)
        assert len(read.content) == 70000
        assert friend.put(picture, content=b"x", headers={"Content-Type": "image/png"}).status_code == 403
        assert "now_end" in app.next()
        assert browser.end_apps() == 1
        app.tell()
        found = app.next()["found"]
    box = f"{kari.pod}private/notisbok/"
    every = {"append": True, "read": True, "write": True, "control": True}
    assert found.pop("my_access")["user"] == every
    assert found == {
        "signed_in": True, "webid": kari.webid, "name": "Kari Nordmann", "pods": [kari.pod],
        "issuers": [running.base_url],
        "text": "Kjøp brød", "about": kari.webid, "things": 2, "posted": f"{box}brev",
        "file": ["image/png", 70000], "saved": f"{box}hilsen.txt",
        "members": [f"{box}{name}" for name in ("bilde.png", "brev", "hilsen.txt", "note.ttl")],
        "access_system": False, "before": 401, "friend": True, "mine_still": True, "in_public": 70000, "after": 401,
        "friend_read": 200, "elsewhere": 403, "missing": 404, "not_empty": 409, "gone": 404, "ended": 401,
    }  # fmt: skip


def test_a_script_signs_in_with_the_credentials_of_its_citizen(running, kari, ola, program):
    script = program(
        "inrupt_script.mjs",
        issuer=running.base_url,
        pod=kari.pod,
        other_pod=ola.pod,
        client_id=kari.client_id,
        client_secret=kari.client_secret,
    )
    found = script.next()["found"]
    assert "invalid_client" in found.pop("wrong_secret")
    assert found == {
        "signed_in": True, "webid": kari.webid, "name": "Kari Nordmann", "text": "første", "stranger": 401,
        "elsewhere": 403, "gone": 404, "wrong_signed_in": False,
    }  # fmt: skip


def test_an_app_goes_as_far_as_its_citizen_said_and_no_further(running, kari, program):
    told = {"issuer": running.base_url, "pod": kari.pod, "redirect": f"http://localhost:{free_port()}/"}
    with running.browser(kari) as browser, kari.client() as script:
        script.put(f"{kari.pod}private/mine.txt", content="kladd", headers={"Content-Type": "text/plain"})
        found = {}
        for modes in (None, "read", "add"):
            app = program("inrupt_limited.mjs", **told)
            app.tell(came_back=browser.answer_app(app.next()["go_to"], modes))
            found[modes] = app.next()["found"]
            browser.end_apps()
        assert script.get(f"{kari.pod}private/mine.txt").text == "kladd"
        script.delete(f"{kari.pod}private/av-en-app.txt")
    nobody = {"read": 401, "add": 401, "change": 401, "rules": 401}
    assert found == {
        None: {"signed_in": False, **nobody},
        "read": {"signed_in": True, "read": 200, "add": 403, "change": 403, "rules": 403},
        "add": {"signed_in": True, "read": 200, "add": 201, "change": 403, "rules": 403},
    }
