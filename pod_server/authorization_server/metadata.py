"""What this authorization server and its doors can do, for programs to read (RFC 8414, RFC 9728, Solid-OIDC)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pod_server.authorization_server import jose, token_exchange
from pod_server.authorization_server.authorization_details import detail_types
from pod_server.authorization_server.software_statements import trusted
from pod_server.signing_keys import ID_TOKEN_ALGORITHMS

if TYPE_CHECKING:
    from pod_server.host import Host


def authorization_server_with_admitters(host: Host) -> dict[str, Any]:
    """RFC 8414 metadata, and whose signed admissions of partners are taken at the registration endpoint."""
    with host.storage.read() as tx:
        admitters = trusted(tx)
    return authorization_server(host) | {"software_statement_issuers": admitters}


def authorization_server(host: Host) -> dict[str, Any]:
    """RFC 8414 metadata; the OpenID address serves the same members and Solid's.

    Pushed requests are not required of everybody: apps need not push, partners must (their registration's rule).
    """
    oauth = f"{host.base_url}/-/oauth"
    algorithms = list(jose.ALGORITHMS)
    return {
        "issuer": host.base_url,
        "authorization_endpoint": f"{oauth}/authorize",
        "pushed_authorization_request_endpoint": f"{oauth}/par",
        "require_pushed_authorization_requests": False,
        "registration_endpoint": f"{oauth}/register",
        "client_id_metadata_document_supported": True,
        "token_endpoint": f"{oauth}/token",
        "revocation_endpoint": f"{oauth}/revoke",
        "introspection_endpoint": f"{oauth}/introspect",
        "grant_management_endpoint": f"{oauth}/grants",
        "grant_management_actions_supported": ["create", "query", "replace", "merge", "revoke"],
        "jwks_uri": f"{oauth}/jwks",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "jwt", "query.jwt"],
        "authorization_signing_alg_values_supported": ["ES256"],
        "request_object_signing_alg_values_supported": algorithms,
        "introspection_signing_alg_values_supported": ["ES256"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            token_exchange.GRANT_TYPE,
        ],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "none"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": algorithms,
        "authorization_response_iss_parameter_supported": True,
        "authorization_details_types_supported": detail_types(host),
        "scopes_supported": ["openid", "webid", "offline_access"],
        "service_documentation": f"{host.base_url}/problems/oauth-error",
    }


def openid_configuration(host: Host) -> dict[str, Any]:
    """What Solid clients look for at the OpenID address (Solid-OIDC, section 9)."""
    return authorization_server(host) | {
        "solid_oidc_supported": "https://solidproject.org/TR/solid-oidc",
        "claims_supported": ["iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "webid"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(ID_TOKEN_ALGORITHMS),
        "end_session_endpoint": f"{host.base_url}/-/oauth/logout",
        "prompt_values_supported": ["none", "consent"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def protected_resource(host: Host, path: str) -> dict[str, Any]:
    """RFC 9728 metadata of one door: `/bridge`, or a pod's address."""
    return {
        "resource": f"{host.base_url}{path}",
        "authorization_servers": [host.base_url],
        "bearer_methods_supported": [],
        "dpop_signing_alg_values_supported": list(jose.ALGORITHMS),
        "dpop_bound_access_tokens_required": True,
    }
