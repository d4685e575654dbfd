"""What can go wrong at the authorization server, in OAuth's words, and at the doors that take its tokens."""

from __future__ import annotations

from pod_server import problems


class AuthorizationServerError(Exception):
    """The root of this folder's errors."""


class OAuthError(AuthorizationServerError):
    """An error that a client reads as JSON (RFC 6749, section 5.2).

    Attributes:
        error: The registered code: `invalid_request`, `invalid_client`, `invalid_grant`, …
        status: The HTTP status.
        headers: What the answer carries besides.
    """

    def __init__(self, error: str, description: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(description)
        self.error = error
        self.status = status
        self.headers = headers or {}


class ProofInvalid(AuthorizationServerError):
    """A DPoP proof that does not hold (RFC 9449, section 4.3)."""


class NonceNeeded(ProofInvalid):
    """A proof without a nonce of this time, where one is needed or an old one came (RFC 9449, sections 8 and 9).

    Attributes:
        nonce: The one to use.
    """

    def __init__(self, nonce: str) -> None:
        super().__init__("the proof needs the nonce that this answer's DPoP-Nonce header holds")
        self.nonce = nonce


class AuthorizationRequestInvalid(AuthorizationServerError):
    """The browser arrived with no pushed request that holds: nothing to redirect to."""


class InteractionGone(AuthorizationServerError):
    """The question to the citizen was answered, has run out, or was never asked."""

    def __init__(self) -> None:
        super().__init__(
            "This request has been answered, or it waited too long. Go back to the partner and start again."
        )


class QuestionElsewhere(AuthorizationServerError):
    """The question was opened in another browser."""

    def __init__(self) -> None:
        super().__init__(
            "This question was opened in another browser first. If somebody sent you the link, do not answer it: "
            "begin at the partner or the app yourself."
        )


class TokenRefused(AuthorizationServerError):
    """A request came to a door with a token that does not open it (RFC 6750, section 3; RFC 9449, section 7.1).

    Attributes:
        www_authenticate: The challenge to send along.
    """

    error = "invalid_token"

    def __init__(self, description: str) -> None:
        super().__init__(description)
        quoted = description.replace("\\", "").replace('"', "'")
        self.www_authenticate = (
            f'DPoP error="{self.error}", error_description="{quoted}", algs="ES256 PS256 EdDSA Ed25519"'
        )


class ProofRefused(TokenRefused):
    """The token would do, its proof does not."""

    error = "invalid_dpop_proof"


class NonceRefused(TokenRefused):
    """The token would do; its proof needs a nonce of this time.

    Attributes:
        dpop_nonce: The one to use.
    """

    error = "use_dpop_nonce"

    def __init__(self, needed: NonceNeeded) -> None:
        super().__init__(str(needed))
        self.dpop_nonce = needed.nonce


class TokenMissing(TokenRefused):
    """No token came."""

    def __init__(self) -> None:
        super().__init__("This address needs an access token and a DPoP proof.")
        self.www_authenticate = 'DPoP algs="ES256 PS256 EdDSA Ed25519"'


problems.declare(OAuthError, "oauth-error", "The authorization server refuses the request", 400, members=("error",))
problems.declare(AuthorizationRequestInvalid, "authorization-request", "The request to sign in does not hold", 400)
problems.declare(InteractionGone, "interaction-gone", "The request has been answered or has run out", 410)
problems.declare(QuestionElsewhere, "question-elsewhere", "This question belongs to another browser", 403)
problems.declare(TokenRefused, "invalid-token", "The access token does not open this door", 401)
problems.declare(ProofRefused, "invalid-dpop-proof", "The DPoP proof does not hold", 401)
problems.declare(NonceRefused, "use-dpop-nonce", "The DPoP proof needs a nonce", 401)
problems.declare(TokenMissing, "token-missing", "An access token is needed", 401)
