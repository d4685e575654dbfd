"""Addresses of the pages to the functions that answer them; nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Blueprint, jsonify, redirect, request, send_from_directory

from dashboard import errors
from dashboard.views import (
    apps,
    become_partner,
    calculations,
    challenges,
    check,
    complaint,
    connect,
    consent_request,
    console,
    deliverable,
    delivered,
    demo,
    driving,
    files,
    footprint,
    home,
    keys,
    municipal_offers,
    my_data,
    narrow_grant,
    neighbourhood,
    operator,
    providers,
    public,
    receipt,
    remove,
    representation,
    security,
    sources,
    take_along,
    twin,
    vocabulary,
    why,
)
from dashboard.visits import answered_form
from partner_bridge.catalogue import PATH
from pod_server.authentication.errors import NotSignedIn
from pod_server.authentication.tickets import issue_ticket
from pod_server.console_sessions import NotInConsole
from pod_server.http_problems import LARGE_BODIES_AT, problem_response
from pod_server.representation import json_ld, turtle

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.wrappers import Response as AnyResponse

    from pod_server.console_sessions import Role
    from pod_server.host import Host

STATIC = Path(__file__).parent / "static"
_LARGEST = 2**63 - 1
"""The largest number that the database holds; a page of a larger one is no page."""

_ROLES: tuple[tuple[str, Role], ...] = (("partners", "partner"), ("operator", "operator"))

_KEPT_FOR_EVER = "public, max-age=31536000, immutable"

__all__ = ["errors", "register"]


def register(app: Flask, host: Host) -> None:
    """Add the pages to an application. The pods' catch-all comes after."""
    pages = Blueprint("pages", __name__)
    app.config.setdefault(LARGE_BODIES_AT, set()).add("/-/files/one")
    rule = pages.add_url_rule

    rule("/", "root", lambda: redirect("/-/", code=303))
    rule("/-/", "welcome", lambda: public.welcome(host))
    rule("/-/sign-in", "sign-in", lambda: public.sign_in_page(host))
    rule("/-/sign-in", "sign-in-form", lambda: public.sign_in_form(host), methods=["POST"])
    rule("/-/sign-in/link/<token>", "sign-in-link", lambda token: public.sign_in_link(host, token))
    rule("/-/sign-out", "sign-out", lambda: public.sign_out(host, providers.signed_out_there), methods=["POST"])
    rule("/-/choices", "choices", lambda: public.choose(host), methods=["POST"])
    rule("/-/accessibility", "accessibility", lambda: public.accessibility(host))

    rule("/-/home", "home", lambda: home.home(host))
    rule("/-/home/parts", "home-parts", lambda: home.home_parts(host))
    rule(f"/-/why/<int(max={_LARGEST}):seq>", "why", lambda seq: why.why_page(host, seq))
    rule(f"/-/why/<int(max={_LARGEST}):seq>.json", "why-json", lambda seq: why.why_json(host, seq))
    rule("/-/footprint", "footprint", lambda: footprint.footprint(host))
    rule("/-/footprint/events", "events", lambda: footprint.events(host))
    rule("/-/figures.json", "figures-json", lambda: footprint.figures_json(host))
    rule("/-/recompute", "recompute", lambda: footprint.recompute_page(host))
    rule("/-/recompute.json", "recompute-json", lambda: footprint.recompute_json(host))
    rule("/-/neighbourhood", "neighbourhood", lambda: neighbourhood.neighbourhood(host))
    rule("/-/driving", "driving", lambda: driving.driving(host))
    rule("/-/twin", "twin", lambda: twin.twin(host))
    rule("/-/offers", "offers", lambda: municipal_offers.offers(host))
    rule("/-/offers/look", "offers-look", lambda: municipal_offers.look(host), methods=["POST"])
    for way in ("off", "on"):
        rule(f"/-/twin/{way}", f"twin-{way}", lambda way=way: twin.turn(host, way), methods=["POST"])
    rule("/-/twin/<proposal>/approve", "approve", lambda proposal: twin.approve(host, proposal), methods=["POST"])
    rule("/-/twin/<proposal>/decline", "decline", lambda proposal: twin.decline(host, proposal), methods=["POST"])

    rule("/-/my-data", "my-data", lambda: my_data.my_data(host))
    for verb in ("withdraw", "pause", "resume", "renew", "keep", "confirm", "erase"):
        rule(
            f"/-/grants/<grant>/{verb}",
            f"grant-{verb}",
            lambda grant, verb=verb: my_data.change_grant(host, grant, verb),
            methods=["POST"],
        )
    rule("/-/grants/<grant>/narrow", "narrow", lambda grant: narrow_grant.narrow_page(host, grant))
    rule(
        "/-/grants/<grant>/narrow",
        "narrow-form",
        lambda grant: narrow_grant.narrow_grant(host, grant),
        methods=["POST"],
    )
    rule("/-/representation", "representation", lambda: representation.representation_page(host))
    rule("/-/representation", "offer-power", lambda: representation.offer_power(host), methods=["POST"])
    rule(
        "/-/representation/<authority>/accept",
        "accept-power",
        lambda authority: representation.accept_power(host, authority),
        methods=["POST"],
    )
    rule(
        "/-/representation/<authority>/receipt",
        "power-receipt",
        lambda authority: representation.power_receipt(host, authority),
    )
    rule(
        "/-/representation/<authority>/end",
        "end-authority",
        lambda authority: representation.end_authority(host, authority),
        methods=["POST"],
    )
    rule("/-/for/<authority>", "represented", lambda authority: representation.represented_page(host, authority))
    for verb in ("withdraw", "pause", "resume", "renew", "erase"):
        rule(
            f"/-/for/<authority>/grants/<grant>/{verb}",
            f"represented-{verb}",
            lambda authority, grant, verb=verb: my_data.change_grant(host, grant, verb, authority),
            methods=["POST"],
        )
    for name, narrow_one, methods in (
        ("represented-narrow", narrow_grant.narrow_page, ["GET"]),
        ("represented-narrow-form", narrow_grant.narrow_grant, ["POST"]),
    ):
        rule(
            "/-/for/<authority>/grants/<grant>/narrow",
            name,
            lambda authority, grant, narrow_one=narrow_one: narrow_one(host, grant, authority),
            methods=methods,
        )
    rule("/-/grants/<grant>/receipt", "receipt", lambda grant: receipt.receipt_page(host, grant))
    rule("/-/grants/<grant>/complaint", "complaint", lambda grant: complaint.complaint_page(host, grant))
    rule("/-/grants/<grant>/receipt.jsonld", "receipt-file", lambda grant: receipt.receipt_file(host, grant))
    rule("/-/research/give", "research-give", lambda: my_data.give_to_research(host), methods=["POST"])
    rule("/-/log", "log", lambda: my_data.log(host))
    rule("/-/log/check", "log-check", lambda: check.check(host))
    rule("/-/log.json", "log-json", lambda: my_data.log_json(host))
    rule("/-/download", "download", lambda: take_along.take_along(host))
    rule("/-/download/pod", "download-pod", lambda: take_along.download_pod(host), methods=["POST"])
    rule("/-/move/file", "move-file", lambda: take_along.download_move(host), methods=["POST"])
    rule("/-/move/away", "move-away", lambda: take_along.finish_move(host), methods=["POST"])
    rule("/-/download/activities.ndjson", "download-activities", lambda: my_data.download_activities(host))
    rule("/-/remove", "remove", lambda: remove.remove_page(host))
    rule("/-/remove", "remove-form", lambda: remove.remove_form(host), methods=["POST"])
    rule("/-/lock", "lock", lambda: keys.lock(host))
    rule("/-/lock", "lock-form", lambda: keys.lock_form(host), methods=["POST"])
    rule("/-/lock/open", "leave-open", lambda: keys.leave_open(host), methods=["POST"])
    rule("/-/lock/renew", "renew-keys", lambda: keys.renew_form(host), methods=["POST"])
    rule("/-/lock/passphrase", "change-passphrase", lambda: keys.passphrase_form(host), methods=["POST"])
    rule("/-/lock/passphrase/drop", "drop-passphrase", lambda: keys.drop_passphrase_form(host), methods=["POST"])
    rule("/-/lock/drill", "recovery-drill", lambda: keys.try_recovery_code(host), methods=["POST"])
    rule("/-/lock/recovery-code", "recovery-code", lambda: keys.recovery_code_form(host), methods=["POST"])
    rule("/-/recover", "recover", lambda: keys.recover_page(host))
    rule("/-/recover", "recover-form", lambda: keys.recover_form(host), methods=["POST"])
    rule("/-/connect", "connect_service", lambda: connect.connect_page(host))
    rule("/vocab/connect.js", "connect_script", lambda: connect.connect_script(STATIC))
    rule("/-/consent/<question>", "ask", lambda question: consent_request.consent_request(host, question))
    rule(
        "/-/consent/<question>",
        "answer",
        lambda question: consent_request.answer_consent_request(host, question),
        methods=["POST"],
    )

    rule("/-/apps/questions/<question>", "app-question", lambda question: apps.app_question(host, question))
    rule(
        "/-/apps/questions/<question>",
        "answer-app",
        lambda question: apps.answer_question(host, question),
        methods=["POST"],
    )
    rule("/-/apps/<connection>/end", "end-app", lambda connection: apps.end_app(host, connection), methods=["POST"])
    rule("/-/apps/sign-out/<question>", "app-sign-out", lambda question: apps.sign_out_question(host, question))
    rule(
        "/-/apps/sign-out/<question>",
        "answer-app-sign-out",
        lambda question: apps.answer_sign_out(host, question),
        methods=["POST"],
    )

    rule("/-/sign-in/with/<slug>", "provider", lambda slug: providers.go(host, slug))
    rule("/-/sign-in/with/<slug>/back", "provider-back", lambda slug: providers.back(host, slug))
    rule("/-/sign-in/with/<slug>/link", "provider-link", lambda slug: providers.link(host, slug), methods=["POST"])
    rule(
        "/-/sign-in/with/<slug>/unlink", "provider-unlink", lambda slug: providers.unlink(host, slug), methods=["POST"]
    )
    rule("/-/sign-in/signed-out-there", "front-channel", lambda: providers.front_channel(host))
    rule(
        "/-/sign-in/with/<slug>/signed-out-there",
        "back-channel",
        lambda slug: providers.back_channel(host, slug),
        methods=["POST"],
    )
    rule("/-/files", "files", lambda: files.files(host))
    rule("/-/files", "take-files", lambda: files.take_files(host), methods=["POST"])
    rule("/-/files/one", "take-one-file", lambda: files.take_one_file(host), methods=["POST"])
    rule("/-/delivered/<grant>", "delivered", lambda grant: delivered.delivered(host, grant))
    for claim in delivered.CLAIMS:
        rule(
            f"/-/delivered/<grant>/{claim}",
            f"dispute-{claim}",
            lambda grant, claim=claim: delivered.dispute(host, grant, claim),
            methods=["POST"],
        )
    rule("/-/rectifications/<said>", "rectification", lambda said: delivered.rectification(host, said))
    rule(
        "/-/rectifications/<said>/take-back",
        "take-back",
        lambda said: delivered.take_back(host, said),
        methods=["POST"],
    )
    rule("/-/rectifications/<said>/tell", "tell-partner", lambda said: delivered.tell(host, said), methods=["POST"])
    rule("/-/challenges", "challenges", lambda: challenges.page(host))
    rule(
        "/-/challenges/<slug>/<challenge>/join",
        "challenge-join",
        lambda slug, challenge: challenges.join(host, slug, challenge),
        methods=["POST"],
    )
    rule(
        "/-/challenges/mine/<grant>/tell",
        "challenge-tell",
        lambda grant: challenges.tell(host, grant),
        methods=["POST"],
    )
    rule(
        "/-/challenges/mine/<grant>/leave",
        "challenge-leave",
        lambda grant: challenges.leave(host, grant),
        methods=["POST"],
    )
    rule("/-/calculations", "calculations", lambda: calculations.page(host))
    for name, answer_to in (
        ("agree", calculations.agree),
        ("send", calculations.send),
        ("withdraw", calculations.withdraw),
    ):
        rule(
            f"/-/calculations/<slug>/{name}",
            f"calculation-{name}",
            lambda slug, answer_to=answer_to: answer_to(host, slug),
            methods=["POST"],
        )
    rule(
        "/-/calculations/answers/<name>/drop",
        "calculation-drop",
        lambda name: calculations.drop(host, name),
        methods=["POST"],
    )
    rule("/-/sources", "sources", lambda: sources.sources(host))
    rule("/-/sources/<slug>/back", "source-back", lambda slug: sources.back(host, slug))
    rule("/-/sources/<slug>/connect", "connect", lambda slug: sources.connect(host, slug), methods=["POST"])
    rule("/-/sources/<slug>/pull", "pull", lambda slug: sources.pull_now(host, slug), methods=["POST"])
    rule("/-/sources/<slug>/disconnect", "disconnect", lambda slug: sources.disconnect(host, slug), methods=["POST"])
    rule("/-/security", "security", lambda: security.security(host))
    for address, endpoint, change in (
        ("/-/security/passkeys/options", "passkey-options", security.registration_options),
        ("/-/security/passkeys", "add-passkey", security.add_passkey),
        ("/-/security/passkeys/open", "let-passkey-open", security.let_passkey_open),
        ("/-/security/sessions/end-others", "end-other-sessions", security.end_other_sessions),
        ("/-/sign-in/passkey/options", "sign-in-options", security.sign_in_options),
        ("/-/sign-in/passkey", "sign-in-passkey", security.sign_in_with_passkey),
    ):
        rule(address, endpoint, lambda change=change: change(host), methods=["POST"])
    for address, endpoint, change_one in (
        ("/-/security/passkeys/<each>/rename", "rename-passkey", security.rename_passkey),
        ("/-/security/passkeys/<each>/remove", "remove-passkey", security.remove_passkey),
        ("/-/security/passkeys/<each>/options", "passkey-opening-options", security.opening_options),
        ("/-/security/sessions/<each>/end", "end-session", security.end_one_session),
        ("/-/security/scripts/<each>/end", "end-script", security.end_script),
    ):
        rule(address, endpoint, lambda each, change=change_one: change(host, each), methods=["POST"])

    _consoles(pages, host)
    rule("/-/demo", "demo", lambda: demo.demo(host))
    rule("/-/demo/parts", "demo-parts", lambda: demo.demo_parts(host))
    for action in ("kettle", "beef", "bus", "withdraw", "ask"):
        rule(f"/-/demo/{action}", f"demo-{action}", lambda action=action: demo.press(host, action), methods=["POST"])
    rule("/-/live/ticket", "live-ticket", lambda: _live_ticket(host), methods=["POST"])

    rule("/problems/", "problems", lambda: public.problem_list(host))
    rule("/problems/<slug>", "problem", lambda slug: public.problem_page(host, slug))
    rule("/vocab/", "vocab", lambda: vocabulary.vocabulary(host))
    rule("/vocab/context.jsonld", "context", lambda: vocabulary.context(host))
    rule("/vocab/counting.ttl", "counting", lambda: vocabulary.counting(host))
    rule("/vocab/counting-shape.ttl", "counting-shape", lambda: vocabulary.counting_shape(host))
    rule("/vocab/sum-of-a-pod.rq", "sum-of-a-pod", lambda: vocabulary.sum_of_a_pod(host))
    rule("/vocab/shared-figures.ttl", "shared_figures", lambda: vocabulary.shared_figures(host))
    rule("/vocab/ontology.ttl", "ontology", lambda: vocabulary.ontology(host))
    rule("/vocab/consent/context.jsonld", "consent-context", lambda: receipt.context(host))
    rule("/vocab/consent/shape.ttl", "consent-shape", lambda: receipt.shape(host))
    rule("/vocab/consent/issuer.jsonld", "consent-issuer", lambda: receipt.issuer(host))
    rule("/vocab/consent/notices/<notice>", "consent-notice", lambda notice: receipt.notice(host, notice))
    rule(PATH, "catalogue", lambda: deliverable.catalogue(host))
    rule(f"{PATH}.ttl", "catalogue-turtle", lambda: deliverable.catalogue_as(host, turtle.MEDIA_TYPE))
    rule(f"{PATH}.jsonld", "catalogue-jsonld", lambda: deliverable.catalogue_as(host, json_ld.MEDIA_TYPE))
    rule("/vocab/catalogue-shape.ttl", "catalogue-shape", deliverable.shape)
    rule("/vocab/factors", "factors", lambda: vocabulary.factors_page(host))
    rule("/vocab/kinds/<slug>", "kind", lambda slug: vocabulary.kind_page(host, slug))
    rule("/vocab/kinds/<slug>/shape.ttl", "kind-shape", lambda slug: vocabulary.kind_shape(host, slug))
    rule("/vocab/kinds/<slug>/context.jsonld", "kind-context", lambda slug: vocabulary.kind_context(host, slug))

    rule("/-/static/<folder>/<name>", "static", _static)

    @pages.errorhandler(NotSignedIn)
    def show_the_door(error: NotSignedIn) -> AnyResponse:
        """Somebody who must sign in first is shown where; a program is told."""
        wants_page = request.accept_mimetypes.best_match(["application/problem+json", "text/html"]) == "text/html"
        if wants_page and request.method == "GET":
            return redirect(f"/-/sign-in?next={quote(request.full_path.rstrip('?'), safe='/-')}", code=303)
        return problem_response(app, host, request, error)

    @pages.errorhandler(NotInConsole)
    def show_the_consoles_door(error: NotInConsole) -> AnyResponse:
        """The same for a console: each has a door of its own."""
        wants_page = request.accept_mimetypes.best_match(["application/problem+json", "text/html"]) == "text/html"
        if wants_page and request.method == "GET":
            place = "operator" if request.path.startswith("/-/operator") else "partners"
            return redirect(f"/-/{place}/sign-in", code=303)
        return problem_response(app, host, request, error)

    app.config["PROBLEM_PAGE"] = lambda details: public.error_page(host, details)
    app.register_blueprint(pages)


def _consoles(pages: Blueprint, host: Host) -> None:
    """The pages for partners, their consoles, and the operator's pages; none of them opens a pod."""
    rule = pages.add_url_rule
    rule("/-/partners", "partners", lambda: become_partner.become(host))
    rule("/-/partners/register", "partner-register", lambda: become_partner.register_page(host))
    rule("/-/partners/register", "partner-apply", lambda: become_partner.register_form(host), methods=["POST"])
    for place, role in _ROLES:
        rule(f"/-/{place}/sign-in", f"{place}-sign-in", lambda role=role: become_partner.sign_in_page(host, role))
        rule(
            f"/-/{place}/sign-out",
            f"{place}-sign-out",
            lambda role=role: become_partner.leave(host, role),
            methods=["POST"],
        )
        rule(
            f"/-/{place}/enter/<token>",
            f"{place}-enter",
            lambda token, role=role: become_partner.enter_page(host, token, role),
        )
        rule(
            f"/-/{place}/enter/<token>",
            f"{place}-entered",
            lambda token, role=role: become_partner.enter_form(host, token, role),
            methods=["POST"],
        )
    here = console.HERE
    rule(here, "console", lambda: console.status(host))
    for place, page in (
        ("keys", console.keys),
        ("purposes", console.purposes),
        ("deliveries", console.deliveries),
        ("messages", console.messages),
        ("sandbox", console.sandbox_page),
    ):
        rule(f"{here}/{place}", f"console-{place}", lambda page=page: page(host))
    rule(f"{here}/deliveries/<each>", "console-delivery", lambda each: console.delivery(host, each))
    rule(f"{here}/deliveries/<each>/receipt", "console-receipt", lambda each: console.receipt(host, each))
    rule(f"{here}/stop", "console-stop", lambda: console.switch(host, stop=True), methods=["POST"])
    rule(f"{here}/restart", "console-restart", lambda: console.switch(host, stop=False), methods=["POST"])
    for place, change in (
        ("apply-again", console.apply_again),
        ("keys/add", console.add_key),
        ("keys/retire", console.retire_key),
        ("addresses", console.change_addresses),
        ("purposes/propose", console.propose_notice),
        ("messages/test", console.send_test),
        ("sandbox/open", console.open_sandbox),
        ("sandbox/reset", console.reset_sandbox),
    ):
        rule(
            f"{here}/{place}",
            f"console-{place.replace('/', '-')}-form",
            lambda change=change: change(host),
            methods=["POST"],
        )
    rule(operator.HERE, "operator", lambda: operator.overview(host))
    rule(f"{operator.HERE}/partners/<each>", "operator-partner", lambda each: operator.partner_page(host, each))
    for act in operator.ACTS:
        rule(
            f"{operator.HERE}/partners/<each>/{act}",
            f"operator-{act}",
            lambda each, act=act: operator.decide(host, each, act),
            methods=["POST"],
        )


def _live_ticket(host: Host) -> Response:
    """A one-use ticket for the page's own stream."""
    _, session, _ = answered_form(host)
    answer = jsonify({"url": f"{host.live_url}/stream?ticket={issue_ticket(host, session)}"})
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _static(folder: str, name: str) -> Response:
    """A page asset; the hash in its address lets browsers keep it for ever."""
    place = STATIC / folder if folder in {"built", "own"} else STATIC / "none"
    packed = f"{name}.gz"
    takes_packed = "gzip" in request.headers.get("Accept-Encoding", "") and folder == "built"
    if takes_packed and (place / packed).is_file() and name.endswith((".css", ".js")):
        answer = send_from_directory(place, packed, mimetype="text/css" if name.endswith(".css") else "text/javascript")
        answer.headers["Content-Encoding"] = "gzip"
    else:
        answer = send_from_directory(place, name)
    answer.headers["Cache-Control"] = _KEPT_FOR_EVER if folder == "built" or request.query_string else "no-cache"
    answer.headers["Vary"] = "Accept-Encoding"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
