"""A partner whose keys are at an address of its own, which answers as a test says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from oauth_client import REDIRECT, PartnerClient, doors
from solid_app import Elsewhere

from pod_server import partners
from pod_server.outbound import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import Key

    from pod_server.host import Host

ADDRESS = "https://keys.example/jwks"


@dataclass
class KeyAddress(Elsewhere):
    """The address; whoever is asked while a transaction is being written would find the host waiting for itself."""

    host: Host | None = None

    def publish(self, *keys: Key, cache_control: str = "") -> None:
        self.put(ADDRESS, {"keys": [key.as_dict(private=False) for key in keys]})
        headers = {"cache-control": cache_control} if cache_control else {}
        self.documents[ADDRESS] = replace(self.documents[ADDRESS], headers=headers)

    def answer(self, status: int, body: bytes = b"") -> None:
        self.documents[ADDRESS] = Response(status, {}, body, ADDRESS)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Response:
        assert self.host is not None
        with self.host.storage.write():
            pass
        return super().get(url, headers)


@dataclass
class Publisher(PartnerClient):
    """A partner with such an address."""

    address: str = ADDRESS
    keys: KeyAddress = field(default_factory=KeyAddress)

    def __post_init__(self) -> None:
        self.host = replace(self.host, outbound=self.keys)  # type: ignore[arg-type]
        self.keys.host = self.host
        self.keys.publish(self.key)
        self.partner = partners.add_partner(
            self.host, name=self.name, jwks={"keys": [self.key.as_dict(private=False)]}, redirect_uris=[REDIRECT],
            about={"jwks_uri": self.address},
        )  # fmt: skip
        self.client = doors(self.host)

    def signs_in(self, key: Key | None = None, kid: str | None = None) -> bool:
        """Whether an assertion with this key, which it calls by this name, signs in."""
        key = key or self.key
        assertion = self.assertion(key=key, header={"kid": kid or key.kid})
        return bool(self.token_request(grant_type="client_credentials", assertion=assertion).status_code == 200)

    def stored(self) -> dict[str, Any]:
        with self.host.storage.read() as tx:
            found = partners.find_partner(tx, self.partner.client_id)
        assert found is not None
        return found.jwks
