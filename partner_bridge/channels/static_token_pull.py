"""The channel of sources that give their users a token to copy: it is kept like any other and shown with each request.

There is nothing to renew it with: when the source takes it no more, its citizen is asked for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from partner_bridge.channels.oauth_pull import fetch
from partner_bridge.errors import SourceInvalid
from partner_bridge.token_vault import Tokens

if TYPE_CHECKING:
    from partner_bridge.sources import Source
    from pod_server.host import Host

LONGEST_TOKEN = 4000


def read_token(pasted: str) -> Tokens:
    """The token that a citizen pasted.

    Raises:
        SourceInvalid: it is no token: empty, too long, or not one line of visible characters.
    """
    token = pasted.strip()
    if not token or len(token) > LONGEST_TOKEN or not all("!" <= character <= "~" for character in token):
        raise SourceInvalid("a token is one line of visible characters; copy it anew from the source's own page")
    return Tokens(token)


def get(host: Host, source: Source, tokens: Tokens, path: str, accept: str) -> bytes:
    """One request to a source's interface.

    Raises:
        SignInAgain: it does not take the token.
        SourceBusy, SourceUnreachable: it does not answer as it should.
    """
    import requests  # noqa: PLC0415 - only who pulls needs it

    from partner_bridge.outbound_adapter import guard  # noqa: PLC0415

    with requests.Session() as client:
        guard(client, host.outbound)
        headers = {"Accept": accept, "Authorization": f"Bearer {tokens.access}"}
        return fetch(host, client, source.api.rstrip("/") + path, headers)
