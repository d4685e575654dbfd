"""The partners' door: URL to delivery; nothing else."""

from __future__ import annotations

import hashlib
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from flask import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from partner_bridge.answers import answer_right
from partner_bridge.bulk import MOST_BYTES, PIECE_BYTES, KeptDelivery, take_in_lines
from partner_bridge.channels.push import BODY_LIMIT_BYTES, JSON, NDJSON, read_activities, read_payloads
from partner_bridge.channels.webhook import BODY_LIMIT_BYTES as WEBHOOK_LIMIT_BYTES
from partner_bridge.channels.webhook import hear
from partner_bridge.claim_answers import answer_claim
from partner_bridge.connectors import find_connector
from partner_bridge.connectors.normalising import normalise_items
from partner_bridge.delivery import Item, deliver
from partner_bridge.errors import BodyTooLarge, BodyUnreadable, KeyUnusable, LengthRequired, MediaTypeUnknown
from partner_bridge.offers import PATH as OFFERS_PATH
from partner_bridge.offers import answer_of, offers_as
from partner_bridge.read_answers import media_type_for, written
from partner_bridge.reading import read_document, read_figures, read_graph
from partner_bridge.receipts import issue_receipt, list_receipts, read_receipt
from partner_bridge.sealed_deliveries import find_sealed_delivery, inbox_for, take_in
from partner_bridge.sources import find_source
from pod_server import acting, offers
from pod_server.authorization_server.tokens import verify_partner_request
from pod_server.bodies import check_encoding
from pod_server.http_problems import LARGE_BODIES_AT
from pod_server.partner_limits import count_delivered
from pod_server.partner_standing import By
from pod_server.representation import json_ld, turtle
from pod_server.signing_keys import historical_jwks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask

    from pod_server.authorization_server.tokens import AuthenticatedPartner
    from pod_server.bodies import LimitedBody
    from pod_server.host import Host


OFFER_LIMIT_BYTES = 16 * 1024
_OFFSET = re.compile(r"[0-9]{1,12}\Z")


def register(app: Flask, host: Host) -> None:
    """Open the door."""
    app.config.setdefault(LARGE_BODIES_AT, set()).add("/bridge/activities")

    @app.post("/bridge/activities")
    def post_activities() -> Response:
        partner = verify_partner_request(host, request, who_acts_too=True)
        if request.mimetype == NDJSON:
            return _answer_lines(host, partner)
        body = _body()
        items = [
            Item(pushed.grant, pushed.content, error=pushed.error) for pushed in read_activities(body, request.mimetype)
        ]
        return _answer(host, partner, items, body, "activities")

    @app.get("/bridge/deliveries/<path:key>")
    def get_delivery(key: str) -> Response:
        partner = verify_partner_request(host, request, who_acts_too=True)
        kept = KeptDelivery.find(host, partner.whose_deliveries, key)
        progress = kept.progress()
        response = Response(kept.answered().body() if request.method == "GET" else b"", content_type=JSON)
        response.headers["Upload-Offset"] = str(progress.offset_bytes)
        response.headers["Upload-Complete"] = "?1" if progress.complete else "?0"
        if progress.complete:
            _link_receipt(host, response, progress.receipt)
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.post("/bridge/connectors/<name>")
    def post_payloads(name: str) -> Response:
        partner = verify_partner_request(host, request, who_acts_too=True)
        connector = find_connector(name, host.connector_packages)
        body = _body()
        items = normalise_items(connector, read_payloads(body, request.mimetype), host.clock.now())
        return _answer(host, partner, items, body, f"connectors/{name}")

    @app.post("/bridge/webhooks/<slug>")
    def post_webhook(slug: str) -> Response:
        source = find_source(host, slug)
        headers = {name.lower(): value for name, value in request.headers.items()}
        hear(host, source, headers, _body(WEBHOOK_LIMIT_BYTES))
        # Nothing of whom it told of, and who of them is here.
        return Response(status=204, headers={"Cache-Control": "no-store"})

    @app.get("/bridge/grants/<grant>/inbox")
    def get_inbox(grant: str) -> Response:
        return _json(inbox_for(host, verify_partner_request(host, request), grant))

    @app.get("/bridge/grants/<grant>/figures")
    def get_figures(grant: str) -> Response:
        partner = verify_partner_request(host, request, apps_too=True)
        media_type = media_type_for(request.headers.get("Accept"))
        return _rdf(read_figures(host, partner, grant, request.args.getlist("figure")), media_type)

    @app.get("/bridge/grants/<grant>/graph")
    def get_graph(grant: str) -> Response:
        partner = verify_partner_request(host, request, apps_too=True)
        media_type = media_type_for(request.headers.get("Accept"))
        kinds = request.args.getlist("kind")
        document, following = read_graph(host, partner, grant, kinds, request.args)
        answer = _rdf(document, media_type)
        if following is not None:
            more = [("kind", kind) for kind in kinds] + [("from", following.isoformat().replace("+00:00", "Z"))]
            more += [("to", request.args["to"])] if "to" in request.args else []
            answer.headers["Link"] = f'<{host.base_url}/bridge/grants/{grant}/graph?{urlencode(more)}>; rel="next"'
        return answer

    @app.get("/bridge/grants/<grant>/document")
    def get_document(grant: str) -> Response:
        party = verify_partner_request(host, request, apps_too=True)
        media_type = media_type_for(request.headers.get("Accept"))
        graph = read_document(host, party, grant, request.args.get("path", ""))
        # Turtle has no named graphs: a document that has some is JSON-LD whatever is liked better.
        as_turtle = media_type == turtle.MEDIA_TYPE and not graph.named
        body = turtle.write(graph) if as_turtle else json_ld.write(graph)
        answer = Response(body, content_type=turtle.MEDIA_TYPE if as_turtle else json_ld.MEDIA_TYPE)
        answer.headers["Link"] = f'<{host.base_url}/-/oauth/grants/{grant}>; rel="{host.base_url}/vocab/bridge#grant"'
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Vary"] = "Accept"
        return answer

    @app.put("/bridge/grants/<grant>/rectifications/<said>/answer")
    def put_answer(grant: str, said: str) -> Response:
        partner = verify_partner_request(host, request)
        if request.mimetype != JSON:
            raise MediaTypeUnknown("an answer is application/json")
        return _json(answer_right(host, partner, grant, said, _body()))

    @app.put("/bridge/offers/<slug>")
    def put_offer(slug: str) -> Response:
        partner = verify_partner_request(host, request)
        if request.mimetype != JSON:
            raise MediaTypeUnknown("an offer is application/json")
        return _json(answer_of(host, offers.publish(host, partner.client_id, slug, _body(OFFER_LIMIT_BYTES))))

    @app.delete("/bridge/offers/<slug>")
    def delete_offer(slug: str) -> Response:
        partner = verify_partner_request(host, request)
        return _json(answer_of(host, offers.withdraw(host, partner.client_id, slug)))

    @app.put("/bridge/claims/<claim>/answer")
    def put_claim_answer(claim: str) -> Response:
        partner = verify_partner_request(host, request)
        if request.mimetype != JSON:
            raise MediaTypeUnknown("an answer is application/json")
        return _json(answer_claim(host, partner, claim, _body(OFFER_LIMIT_BYTES)))

    @app.get("/vocab/offers")
    @app.get("/vocab/offers.jsonld")
    @app.get("/vocab/offers.ttl")
    def get_offers() -> Response:
        wished = media_type_for(request.headers.get("Accept")) if request.path == OFFERS_PATH else ""
        as_turtle = wished == turtle.MEDIA_TYPE or request.path.endswith(".ttl")
        media_type = turtle.MEDIA_TYPE if as_turtle else json_ld.MEDIA_TYPE
        answer = Response(offers_as(host, media_type), content_type=media_type)
        answer.headers["Cache-Control"] = "public, max-age=60"
        answer.headers["Vary"] = "Accept"
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer

    @app.post("/bridge/sealed-deliveries")
    def post_sealed_delivery() -> Response:
        partner = verify_partner_request(host, request)
        if request.mimetype != "application/json":
            raise MediaTypeUnknown("a sealed delivery is application/json")
        taken = take_in(host, partner, _body())
        answer = _json(taken.to_json())
        answer.status_code = 202 if taken.state == "pending" else 200
        answer.headers["Location"] = f"{host.base_url}/bridge/sealed-deliveries/{taken.grant}/{taken.sequence}"
        return answer

    @app.get("/bridge/sealed-deliveries/<grant>/<int:sequence>")
    def get_sealed_delivery(grant: str, sequence: int) -> Response:
        return _json(find_sealed_delivery(host, verify_partner_request(host, request), grant, sequence).to_json())

    @app.get("/bridge/acting")
    def get_acting() -> Response:
        return _acting(host, verify_partner_request(host, request).client_id)

    @app.put("/bridge/acting/<actor>")
    def put_acting(actor: str) -> Response:
        partner = verify_partner_request(host, request)
        acting.authorise(host, partner.client_id, actor, by=By("partner", partner.name))
        return _acting(host, partner.client_id)

    @app.delete("/bridge/acting/<actor>")
    def delete_acting(actor: str) -> Response:
        partner = verify_partner_request(host, request)
        acting.end(host, partner.client_id, actor, by=By("partner", partner.name))
        return _acting(host, partner.client_id)

    @app.get("/bridge/receipts")
    def get_receipts() -> Response:
        partner = verify_partner_request(host, request)
        found = [f"{host.base_url}/bridge/receipts/{each}" for each in list_receipts(host, partner.client_id)]
        return _json({"receipts": found})

    @app.get("/bridge/receipts/<receipt_id>")
    def get_receipt(receipt_id: str) -> Response:
        partner = verify_partner_request(host, request, who_acts_too=True)
        signed = read_receipt(host, partner.client_id, receipt_id, delivered_by=partner.delivered_by)
        if request.accept_mimetypes.best_match(["application/jose", "application/json"]) == "application/json":
            return _json({"receipt": signed, "issuer_keys": historical_jwks(host)})
        return Response(signed, content_type="application/jose")


def _answer(host: Host, partner: AuthenticatedPartner, items: Sequence[Item], body: bytes, channel: str) -> Response:
    count_delivered(host, partner.client_id, len(items))
    answers = deliver(host, partner, items, only_grant=partner.grant)
    content = msgspec.json.encode([answer.to_json(host.base_url) for answer in answers])
    receipt_id = issue_receipt(
        host,
        partner.client_id,
        items,
        answers,
        request_sha256=hashlib.sha256(body).hexdigest(),
        response_sha256=hashlib.sha256(content).hexdigest(),
        channel=channel,
        delivered_by=(partner.delivered_by, partner.through),
    )
    response = Response(content, content_type=JSON)
    _link_receipt(host, response, receipt_id)
    response.headers["Cache-Control"] = "no-store"
    return response


def _answer_lines(host: Host, partner: AuthenticatedPartner) -> Response:
    """Take lines in as they come, however many."""
    check_encoding(request.headers.get("Content-Encoding"))
    stream: LimitedBody = request.environ["wsgi.input"]
    if request.content_length is None and not request.environ.get("wsgi.input_terminated"):
        raise BodyUnreadable("the delivery holds no item")
    if (request.content_length or 0) > MOST_BYTES:
        raise BodyTooLarge(f"a delivery holds at most {MOST_BYTES} bytes")
    key = request.headers.get("Idempotency-Key")
    if key is not None and request.content_length is None:
        # A body sent in chunks that breaks off cannot be told from one that ends.
        raise LengthRequired("a delivery with an Idempotency-Key says its length (Content-Length)")
    stream.allow(MOST_BYTES)
    offset = request.headers.get("Upload-Offset", "0")
    if not _OFFSET.match(offset):
        raise KeyUnusable("Upload-Offset is a number of bytes")
    is_small = request.content_length is not None and request.content_length <= PIECE_BYTES
    with nullcontext() if is_small else stream.large(partner.client_id):
        answered = take_in_lines(host, partner, stream, key=key, offset=int(offset))
    response = Response(answered.body(), content_type=JSON)
    _link_receipt(host, response, answered.receipt)
    response.headers["Cache-Control"] = "no-store"
    return response


def _acting(host: Host, principal: str) -> Response:
    """Who may deliver for a partner; empty once nobody may."""
    with host.storage.read() as tx:
        held = acting.list_in(tx, principal)
    told = [{"client_id": each.actor, "since": each.since.isoformat(), "given_by": each.given_by} for each in held]
    return _json({"acting": told})


def _link_receipt(host: Host, response: Response, receipt_id: str) -> None:
    response.headers["Link"] = (
        f'<{host.base_url}/bridge/receipts/{receipt_id}>; rel="{host.base_url}/vocab/bridge#receipt"'
    )


def _body(limit: int = BODY_LIMIT_BYTES) -> bytes:
    """The request's body, refused before it is read where it says that it is too large, and while it is read else."""
    message = f"a delivery holds at most {limit} bytes"
    if (request.content_length or 0) > limit:
        raise BodyTooLarge(message)
    # Without a length the stream is cut off silently at the limit (werkzeug 3.1): one byte more tells a cut from an end.
    request.max_content_length = limit + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise BodyTooLarge(message) from error
    if len(body) > limit:
        raise BodyTooLarge(message)
    return body


def _rdf(document: dict[str, Any], media_type: str) -> Response:
    response = Response(written(document, media_type), content_type=media_type)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    return response


def _json(value: object) -> Response:
    response = Response(msgspec.json.encode(value), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
