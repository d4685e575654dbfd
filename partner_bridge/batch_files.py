"""The channel of batch files: a partner, or an integrator for it, hands over many citizens' payloads as one signed file.

    {"record": "header", "format": "tvilling-batch-1", "principal": …, "connector": …}
    {"record": "item", "grant": …, "payload": …}
    …
    {"record": "trailer", "count": …, "signature": …}

UTF-8, one JSON object a line. The signature is a JWS of type `batch+jwt` by whoever hands the file over, with one of the keys
that it is registered with: `iss` and `sub` itself, `aud` this host, a week at most from `iat` to `exp`, `principal` and `count`
as in the file, and `sha256` of every byte before the trailer's line. So a folder, a courier and the operator need not be
trusted, and half a file is no file.

Nothing is taken in before the whole file holds; then each item is delivered as if it had come by the partners' door, under its
own grant, with its own answer. The same file again is all duplicates. Leave to act is read again in each writing transaction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from partner_bridge.channels.push import PushedItem
from partner_bridge.connectors import find_connector
from partner_bridge.connectors.normalising import normalise_items
from partner_bridge.delivery import ACCEPTED, DUPLICATE, PENDING, REFUSED, deliver
from partner_bridge.errors import BatchRefused, BrokenItem, UnknownConnector
from partner_bridge.receipts import issue_receipt
from pod_server import acting, partners
from pod_server.authorization_server.errors import OAuthError
from pod_server.authorization_server.token_exchange import verify_word
from pod_server.problems import problem_details

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from partner_bridge.connectors.normalising import Connector
    from pod_server.host import Host
    from pod_server.identifiers import ClientId
    from pod_server.partners import Partner

FORMAT = "tvilling-batch-1"
SIGNATURE_TYPE = "batch+jwt"
LONGEST_LIFE = timedelta(days=7)
LONGEST_LINE_BYTES = 1024 * 1024
MOST_ITEMS = 1_000_000
PIECE_ITEMS = 500
PROBLEMS_TOLD = 200


class _Header(msgspec.Struct, tag_field="record", tag="header", forbid_unknown_fields=True, gc=False):
    format: Literal["tvilling-batch-1"]
    principal: str
    connector: str
    created: str = ""


class _Item(msgspec.Struct, tag_field="record", tag="item", forbid_unknown_fields=True, gc=False):
    grant: str
    payload: msgspec.Raw


class _Trailer(msgspec.Struct, tag_field="record", tag="trailer", forbid_unknown_fields=True, gc=False):
    count: int
    signature: str


_DECODER: msgspec.json.Decoder[_Header | _Item | _Trailer] = msgspec.json.Decoder(_Header | _Item | _Trailer)


@dataclass(frozen=True)
class Bringer:
    """Under whose grants a file is delivered, and who brought it; what `require_grant` and the log need of a client."""

    client_id: ClientId
    name: str
    kinds: frozenset[str] | None
    delivered_by: str
    through: str


@dataclass
class BatchReport:
    """What became of a file.

    Attributes:
        principal: Under whose consents.
        delivered_by: Who signed the file.
        items: How many the trailer counts.
        accepted, duplicates, pending, refused: Activities.
        problems: The first two hundred (RFC 9457), each with its line.
        receipts: Ids, one for each piece that was delivered.
    """

    principal: str = ""
    delivered_by: str = ""
    items: int = 0
    accepted: int = 0
    duplicates: int = 0
    pending: int = 0
    refused: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Whole:
    """A file that holds from its first byte to its last; `pieces`: the SHA-256 of each piece's lines."""

    header: _Header
    count: int
    bringer: Bringer
    connector: Connector
    pieces: list[bytes]


def take_in_batch(
    host: Host, path: Path, *, piece_items: int = PIECE_ITEMS, after_piece: Callable[[BatchReport], None] | None = None
) -> BatchReport:
    """Check a file as a whole, then deliver it.

    Args:
        host: This host.
        path: The file.
        piece_items: How many items make one delivery with a receipt of its own.
        after_piece: Called after each piece with what became of the file so far.

    Raises:
        BatchRefused: the file does not hold; says what of it, and where. Nothing of it was taken in.
        StorageFull: what was not answered may be delivered again without harm.
    """
    whole = _check(host, path, piece_items)
    report = BatchReport(whole.bringer.client_id, whole.bringer.delivered_by or whole.bringer.client_id, whole.count)
    piece: list[tuple[int, PushedItem, bytes]] = []
    for number, line in _lines(path):
        record = _record(line)
        if isinstance(record, _Trailer):
            break
        if isinstance(record, _Header):
            continue
        pushed = (
            PushedItem(record.grant, bytes(record.payload))
            if isinstance(record, _Item)
            else PushedItem("", b"", BrokenItem("an item of a batch holds record, grant and payload, and nothing else"))
        )
        piece.append((number, pushed, line))
        if len(piece) == piece_items:
            _deliver(host, whole, piece, report)
            piece = []
            if after_piece is not None:
                after_piece(report)
    _deliver(host, whole, piece, report)
    return report


def _check(host: Host, path: Path, piece_items: int) -> _Whole:
    """Header, count, checksum, signature, leave: in this order, so that the first thing that is wrong is told."""
    digest = hashlib.sha256()
    header: _Header | None = None
    trailer: _Trailer | None = None
    of_piece, pieces = hashlib.sha256(), []
    count = 0
    for number, line in _lines(path):
        if trailer is not None:
            raise BatchRefused(f"line {number}: something stands after the trailer")
        record = _record(line)
        if isinstance(record, _Trailer):
            trailer = record
            continue
        digest.update(line)
        if isinstance(record, _Header) is not (number == 1):
            raise BatchRefused(
                f'line {number}: a file begins with {{"record": "header", "format": "{FORMAT}", …}}, once'
            )
        if isinstance(record, _Header):
            header = record
            continue
        count += 1
        of_piece.update(line)
        if count % piece_items == 0:
            pieces.append(of_piece.digest())
            of_piece = hashlib.sha256()
        if count > MOST_ITEMS:
            raise BatchRefused(f"a file holds at most {MOST_ITEMS} items; bring it in parts")
    if header is None:
        raise BatchRefused("the file is empty")
    if trailer is None:
        raise BatchRefused(
            f"the file ends after line {count + 1} without a trailer: it was cut, or is still being written"
        )
    if trailer.count != count:
        raise BatchRefused(f"the trailer counts {trailer.count} items, the file holds {count}")
    sha256 = digest.hexdigest()
    try:
        word = verify_word(host, trailer.signature, SIGNATURE_TYPE, LONGEST_LIFE)
    except OAuthError as error:
        raise BatchRefused(
            "the trailer's signature does not hold: whoever signs is a partner, for this host, this week"
        ) from error
    told = {name: word.claims.get(name) for name in ("principal", "count", "sha256")}
    for name, found in (("sha256", sha256), ("count", count), ("principal", header.principal)):
        if told[name] != found:
            raise BatchRefused(
                f"the signature is over another {name}: the file was changed, or another's trailer put to it"
            )
    try:
        connector = find_connector(header.connector, host.connector_packages)
    except UnknownConnector as error:
        raise BatchRefused(f"line 1: {error}") from error
    return _Whole(
        header, count, _bringer(host, header.principal, word.principal), connector, [*pieces, of_piece.digest()]
    )


def _bringer(host: Host, principal_id: str, signer: Partner) -> Bringer:
    with host.storage.read() as tx:
        principal = partners.find_partner(tx, principal_id)
        allowed = principal_id == signer.client_id or acting.may_act(tx, principal_id, signer.client_id)
    if principal is None or not allowed or not principal.is_admitted or not signer.is_admitted:
        raise BatchRefused("neither that partner nor the municipality lets whoever signed deliver in its name now")
    limits = [each.limits.kinds for each in (principal, signer) if each.limits.kinds is not None]
    kinds = frozenset.intersection(*limits) if limits else None
    acts = principal.client_id != signer.client_id
    return Bringer(
        principal.client_id, principal.name, kinds, signer.client_id if acts else "", signer.name if acts else ""
    )


def _deliver(host: Host, whole: _Whole, piece: list[tuple[int, PushedItem, bytes]], report: BatchReport) -> None:
    if not piece:
        return
    lines = hashlib.sha256(b"".join(line for _, _, line in piece))
    if lines.digest() != whole.pieces[len(report.receipts)]:
        # What was checked and what is read a second time must be one file, whoever else may write in the folder.
        raise BatchRefused("the file was changed while it was read; only what stood in the signed file was taken in")
    items = normalise_items(whole.connector, [pushed for _, pushed, _ in piece], host.clock.now())
    answers = deliver(host, whole.bringer, items)
    told = msgspec.json.encode([answer.to_json(host.base_url) for answer in answers])
    report.receipts.append(
        issue_receipt(
            host,
            whole.bringer.client_id,
            items,
            answers,
            request_sha256=lines.hexdigest(),
            response_sha256=hashlib.sha256(told).hexdigest(),
            channel="batch",
            delivered_by=(whole.bringer.delivered_by, whole.bringer.through),
        )
    )
    for answer in answers:
        report.accepted += answer.status == ACCEPTED
        report.duplicates += answer.status == DUPLICATE
        report.pending += answer.status == PENDING
        report.refused += answer.status == REFUSED
        if answer.error is not None and answer.payload is not None and len(report.problems) < PROBLEMS_TOLD:
            line = piece[answer.payload][0]
            report.problems.append({"line": line, **problem_details(answer.error, host.base_url)})


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines with their ends and numbers, from 1, as they lie; of any file, never more than one in memory."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE_BYTES + 1):
                number += 1
                if len(line) > LONGEST_LINE_BYTES:
                    raise BatchRefused(f"line {number}: longer than {LONGEST_LINE_BYTES} bytes")
                if number == 1 and line[:2] in {b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"PK"}:
                    raise BatchRefused("the file is packed, or not in UTF-8; its checksum is over plain lines in UTF-8")
                yield number, line
    except OSError as error:
        raise BatchRefused(f"{path.name} cannot be read") from error


def _record(line: bytes) -> _Header | _Item | _Trailer | None:
    """One line; None for one that is none of the three: an item's own problem, once the file holds."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def write_batch(
    path: Path,
    *,
    principal: str,
    connector: str,
    items: list[tuple[str, Any]],
    sign: Callable[[dict[str, Any]], str],
) -> None:
    """Write a file, whole or not at all; for integrators and tests.

    Args:
        path: Where.
        principal: Under whose consents.
        connector: Whose format the payloads are in.
        items: Grants and payloads.
        sign: Makes a JWS of type `batch+jwt` over `principal`, `count` and `sha256`, adding who, for whom and how long.
    """
    lines = [{"record": "header", "format": FORMAT, "principal": principal, "connector": connector}]
    lines += [{"record": "item", "grant": grant, "payload": payload} for grant, payload in items]
    body = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    claims = {"principal": principal, "count": len(items), "sha256": hashlib.sha256(body).hexdigest()}
    trailer = {"record": "trailer", "count": len(items), "signature": sign(claims)}
    draft = path.with_name(f"{path.name}.part")
    draft.write_bytes(body + json.dumps(trailer).encode() + b"\n")
    draft.replace(path)
