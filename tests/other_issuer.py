"""Another host's citizen and her issuer, made by hand so that tests can get each part of them wrong."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oauth_client import Prover, new_key, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import Key
    from solid_app import Elsewhere

WEBID = "https://pods.example/anna/card#me"
ISSUER = "https://login.example"


@dataclass
class OtherIssuer(Prover):
    """Somebody else's Solid-OIDC provider, and the app that Anna uses."""

    elsewhere: Elsewhere = field(kw_only=True)
    key: Key = field(default_factory=lambda: new_key("other-1"))

    def publish(
        self, *, issuers: tuple[str, ...] = (ISSUER,), keys: list[dict[str, Any]] | None = None, **configuration: Any
    ) -> None:
        """Let Anna's document name her issuers, and the issuer its keys."""
        names = ", ".join(f"<{issuer}>" for issuer in issuers)
        card = f"@prefix solid: <http://www.w3.org/ns/solid/terms#>. <#me> solid:oidcIssuer {names} ."
        self.elsewhere.put(WEBID.partition("#")[0], card, "text/turtle")
        members = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"} | configuration
        self.elsewhere.put(f"{ISSUER}/.well-known/openid-configuration", members)
        self.elsewhere.put(f"{ISSUER}/keys", {"keys": keys or [self.key.as_dict(private=False)]})

    def token(
        self,
        *,
        key: Key | None = None,
        header: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        now = int(self.host.clock.protocol_now().timestamp())
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "aud": "solid",
            "sub": WEBID,
            "webid": WEBID,
            "client_id": "https://app.example/id",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_urlsafe(12),
            "cnf": {"jkt": self.thumbprint},
        } | claims
        heading = {"alg": "ES256", "typ": "at+jwt", "kid": "other-1"} | dict(header or {})
        return signed({name: value for name, value in payload.items() if name not in without}, key or self.key, heading)
