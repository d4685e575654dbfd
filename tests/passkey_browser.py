"""A browser with the pages' script of passkeys, made by hand."""

from __future__ import annotations

import re

from pod_server.vault.key_derivation import Passphrase


class Browser:
    """A browser with the pages' script, made by hand."""

    def __init__(self, town, client):
        self.town, self.client = town, client

    def csrf(self, page="/-/sign-in"):
        shown = self.client.get(page, headers={"Accept": "text/html"})
        return re.search(r'data-csrf="([^"]+)"', shown.text).group(1)

    def page(self):
        return self.client.get("/-/security", headers={"Accept": "text/html"})

    def ask(self, address, fields=None, *, csrf=None):
        return self.client.post(address, data=fields or {}, headers={"X-CSRF-Token": csrf or self.csrf()})

    def tell(self, address, members, *, csrf=None):
        return self.client.post(address, json=members, headers={"X-CSRF-Token": csrf or self.csrf()})

    def options(self):
        return self.ask("/-/security/passkeys/options").json

    def add(self, passkey, name="Telefonen", **changes):
        return self.tell("/-/security/passkeys", {"answer": passkey.create(self.options(), **changes), "name": name})

    def sign_in(self, passkey, **changes):
        csrf = self.csrf()
        options = self.ask("/-/sign-in/passkey/options", csrf=csrf).json
        return self.tell(
            "/-/sign-in/passkey", {"answer": passkey.get(options, **changes), "next": "/-/my-data"}, csrf=csrf
        )

    def sign_in_with_secret(self, passkey, passkey_id, **changes):
        csrf = self.csrf()
        options = self.ask("/-/sign-in/passkey/options", {"passkey": passkey_id}, csrf=csrf).json
        return self.tell("/-/sign-in/passkey", {"answer": passkey.get(options, **changes)}, csrf=csrf)

    def let_open(self, passkey, passkey_id, **changes):
        options = self.ask(f"/-/security/passkeys/{passkey_id}/options").json
        return self.tell("/-/security/passkeys/open", {"answer": passkey.get(options, **changes)})

    def lock(self, passphrase="langt passord"):
        """Lock the citizen's pod, from her session."""
        from pod_server.authentication.session import cookie_settings, create_session, load_session
        from pod_server.pods import lock_pod
        from pod_server.vault.key_derivation import Argon2Cost

        key = cookie_settings(self.town.host).key
        session = load_session(self.town.host, self.client.get_cookie(key).value)
        cost = Argon2Cost(memory_kib=8 * 1024, iterations=1)
        locked = lock_pod(self.town.host, session.vault(), Passphrase(passphrase), cost=cost)
        self.client.set_cookie(key, create_session(self.town.host, session.pod_id, locked.vault))


def problem(answer):
    """A refusal's slug."""
    assert answer.status_code >= 400, answer.text
    return answer.json["type"].rpartition("/")[2]
