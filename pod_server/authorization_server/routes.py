"""Addresses of the authorization server to what answers them; nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify, redirect, request

from pod_server import signing_keys
from pod_server.authentication.session import cookie_settings, load_session
from pod_server.authorization_server import (
    app_questions,
    grant_management,
    introspection,
    metadata,
    pushed_requests,
    registration,
    revocation,
    sandbox_answers,
    sign_out,
    token_endpoint,
)
from pod_server.authorization_server.dpop import nonce_headers
from pod_server.authorization_server.errors import OAuthError
from pod_server.authorization_server.tokens import verify_partner_request

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response as AnyResponse

    from pod_server.host import Host


def register(app: Flask, host: Host) -> None:
    """Give an application this host's authorization server."""
    routes = Blueprint("authorization_server", __name__)

    @routes.errorhandler(OAuthError)
    def oauth_error(error: OAuthError) -> Response:
        response = _private(jsonify({"error": error.error, "error_description": str(error)}))
        response.status_code = error.status
        response.headers.update(error.headers)
        if error.status == 401:
            response.headers["WWW-Authenticate"] = f'Basic realm="{host.base_url}"'
        return response

    @routes.get("/.well-known/oauth-authorization-server")
    def authorization_server_metadata() -> Response:
        return _public(jsonify(metadata.authorization_server_with_admitters(host)))

    @routes.get("/.well-known/openid-configuration")
    def openid_configuration() -> Response:
        return _public(jsonify(metadata.openid_configuration(host)))

    @routes.get("/.well-known/oauth-protected-resource", defaults={"path": ""})
    @routes.get("/.well-known/oauth-protected-resource/<path:path>")
    def protected_resource_metadata(path: str) -> Response:
        return _public(jsonify(metadata.protected_resource(host, f"/{path}" if path else "")))

    @routes.get("/-/oauth/jwks")
    def jwks() -> Response:
        return _public(jsonify(signing_keys.published_jwks(host)))

    @routes.get("/-/oauth/historical-keys")
    def historical_keys() -> Response:
        return _public(jsonify(signing_keys.historical_jwks(host)))

    @routes.post("/-/oauth/par")
    def par() -> tuple[Response, int]:
        return _private(jsonify(pushed_requests.push_request(host, request))), 201

    @routes.post("/-/oauth/sandbox-answer")
    def sandbox_answer() -> Response:
        return _private(jsonify(sandbox_answers.answer_in_sandbox(host, request)))

    @routes.post("/-/oauth/console-link")
    def console_link() -> tuple[Response, int]:
        return _private(jsonify(sandbox_answers.link_to_console(host, request))), 201

    @routes.get("/-/oauth/authorize")
    def authorize() -> AnyResponse:
        parameters = request.args.to_dict(flat=False)
        if "request_uri" not in parameters and app_questions.comes_from_app(parameters):
            session = load_session(host, request.cookies.get(cookie_settings(host).key))
            return _onwards(app_questions.begin_app_question(host, parameters, session))
        interaction_id = pushed_requests.begin_interaction(host, parameters)
        return _onwards(f"{host.base_url}/-/consent/{interaction_id}")

    @routes.post("/-/oauth/register")
    def register_app() -> tuple[Response, int]:
        return _private(jsonify(registration.register(host, request))), 201

    @routes.route("/-/oauth/logout", methods=["GET", "POST"])
    def logout() -> AnyResponse:
        return _onwards(sign_out.begin_sign_out(host, request.values.to_dict(flat=False)))

    @routes.post("/-/oauth/token")
    def token() -> Response:
        response = _private(jsonify(token_endpoint.exchange(host, request)))
        response.headers.update(nonce_headers(host, request.headers.getlist("DPoP")))
        return response

    @routes.post("/-/oauth/revoke")
    def revoke() -> tuple[str, int]:
        revocation.revoke(host, request)
        return "", 200

    @routes.post("/-/oauth/introspect")
    def introspect() -> Response:
        partner, answer = introspection.introspect(host, request)
        if request.accept_mimetypes.best_match(["application/json", introspection.SIGNED]) == introspection.SIGNED:
            return _private(Response(introspection.signed(host, partner, answer), content_type=introspection.SIGNED))
        return _private(jsonify(answer))

    @routes.get("/-/oauth/grants/<grant_id>")
    def query_grant(grant_id: str) -> Response:
        partner = verify_partner_request(host, request, apps_too=True)
        return _private(jsonify(grant_management.query(host, partner, grant_id)))

    @routes.delete("/-/oauth/grants/<grant_id>")
    def give_up_grant(grant_id: str) -> tuple[str, int]:
        partner = verify_partner_request(host, request, apps_too=True)
        grant_management.give_up(host, partner, grant_id)
        return "", 204

    app.register_blueprint(routes)


def _onwards(address: str) -> AnyResponse:
    response = redirect(address, 303)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _private(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _public(response: Response) -> Response:
    """Metadata that any page may read."""
    response.headers["Cache-Control"] = "public, max-age=300"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response
