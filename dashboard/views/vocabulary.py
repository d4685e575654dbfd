"""The vocabulary by its own addresses: contexts, shapes, kinds with their examples, factors; for people and machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flask import Response, jsonify, request
from markupsafe import Markup

from dashboard import frame
from dashboard.visits import visit
from pod_server import offers
from pod_server.http_problems import NoSuchPage
from vocab.factors import load_factors
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes
from vocab.queries import counting_vocabulary
from vocab.shared_figures import load_shared_figures
from vocab.terms import FOLDER

if TYPE_CHECKING:
    from dashboard.frame import Visit
    from pod_server.host import Host
    from vocab.kinds import Kind

_TURTLE = "text/turtle; charset=utf-8"
_JSON_LD = "application/ld+json"
_KEPT = "public, max-age=3600"
_MESSAGES = (
    "consent-given",
    "consent-paused",
    "consent-resumed",
    "consent-withdrawn",
    "consent-expired",
    "consent-erased",
    "activity-disputed",
    "dispute-taken-back",
    "claim",
)


def _file(path: Path, content_type: str) -> Response:
    answer = Response(path.read_bytes(), content_type=content_type)
    answer.headers["Cache-Control"] = _KEPT
    answer.headers["Vary"] = "Accept"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def public_file(path: Path, content_type: str) -> Response:
    """A file of the house's that any page may read."""
    return _file(path, content_type)


def _wants_turtle() -> bool:
    best = request.accept_mimetypes.best_match(["text/html", "text/turtle"], default="text/html")
    return best == "text/turtle"


def context(_host: Host) -> Response:
    """The one JSON-LD context that every record is read by."""
    answer = jsonify({"@context": load_kinds().context})
    answer.content_type = _JSON_LD
    answer.headers["Cache-Control"] = _KEPT
    return answer


def _kind(slug: str) -> Kind:
    found = load_kinds().by_slug.get(slug)
    if found is None:
        raise NoSuchPage("There is no such kind of activity.")
    return found


def kind_shape(_host: Host, slug: str) -> Response:
    """A kind's SHACL shape.

    Raises:
        NoSuchPage: no such kind.
    """
    return _file(_kind(slug).folder / "shape.ttl", _TURTLE)


def kind_context(_host: Host, slug: str) -> Response:
    """A kind's own part of the context.

    Raises:
        NoSuchPage: no such kind.
    """
    return _file(_kind(slug).folder / "context.jsonld", _JSON_LD)


def kind_page(host: Host, slug: str) -> Response:
    """A kind: what it says, its members, examples that hold and examples that do not; or its Turtle.

    Raises:
        NoSuchPage: no such kind.
    """
    kind = _kind(slug)
    if _wants_turtle():
        return _file(kind.folder / "kind.ttl", _TURTLE)
    seen = visit(host)
    t, label = seen.words, kind.labels[seen.language]
    members = Markup("").join(
        Markup("<tr><th scope=row><code>{}</code></th><td>{}</td><td><code>{}</code></td><td>{}</td></tr>").format(
            member.name,
            t("vocab.required") if member.required else t("vocab.optional"),
            member.iri,
            ", ".join(member.allowed) or member.datatype.rsplit("#", 1)[-1],
        )
        for member in kind.members
    )
    examples = Markup("").join(
        Markup("<h3>{}</h3><pre tabindex=0><code>{}</code></pre>").format(name, raw.decode())
        for verdict in ("valid", "invalid")
        for name, raw in [(t(f"vocab.{verdict}-named", name=name), raw) for name, raw in kind.examples(verdict).items()]
    )
    body = Markup(
        "<h1>{title}</h1><p>{words}</p><p><code>{type}</code> · <a href='/vocab/kinds/{slug}/shape.ttl'>{shape}</a> · "
        "<a href='/vocab/kinds/{slug}/context.jsonld'>{context}</a></p>"
        "<h2>{members_title}</h2><div class='table-wrap' tabindex=0 role=region aria-label='{members_title}'>"
        "<table class=figures><tbody>{members}</tbody></table></div><h2>{examples_title}</h2>{examples}"
    ).format(
        title=label.title, words=label.description, type=kind.type_name, slug=kind.slug, shape=t("vocab.shape"),
        context=t("vocab.context"), members_title=t("vocab.members"), members=members,
        examples_title=t("vocab.examples"), examples=examples,
    )  # fmt: skip
    return _page(seen, label.title, body, ("/vocab/", t("vocab.title")))


def factors_page(host: Host) -> Response:
    """Every emission factor with its bounds and its source; or all of them as Turtle."""
    table = load_factors()
    if _wants_turtle():
        parts = [file.read_bytes() for file in sorted((FOLDER / "factors").glob("*.ttl"))]
        answer = Response(b"\n".join(parts), content_type=_TURTLE)
        answer.headers["Vary"] = "Accept"
        return answer
    seen = visit(host)
    t, w = seen.words, seen.wording
    rows = Markup("").join(
        Markup(
            "<tr><th scope=row>{}<br><span class='small soft'>{}</span></th><td class=r>{}</td><td class=r>{}–{}</td>"
            "<td>{}</td><td>{}–{}</td></tr>"
        ).format(
            w.of(factor.label),
            factor.citation,
            w.number(factor.mean, 3),
            w.number(factor.low, 3),
            w.number(factor.high, 3),
            factor.place,
            factor.period_start,
            factor.period_end,
        )
        for factor in table.factors
    )
    columns = Markup("").join(
        Markup("<th scope=col{}>{}</th>").format(
            Markup(" class=r") if name in {"mean", "bounds"} else "", t(f"vocab.column-{name}")
        )
        for name in ("factor", "mean", "bounds", "place", "period")
    )
    body = Markup(
        "<h1>{title}</h1><p>{words}</p><div class='table-wrap' tabindex=0 role=region aria-label='{title}'>"
        "<table class=figures><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div>"
    ).format(title=t("vocab.factors"), words=t("vocab.factors-words"), columns=columns, rows=rows)
    return _page(seen, t.plain("vocab.factors"), body, ("/vocab/", t("vocab.title")))


def counting(_host: Host) -> Response:
    """What one needs beside a pod's documents to come to its figures: reasons, kinds, factors for the place, its clock."""
    answer = Response(counting_vocabulary(), content_type=_TURTLE)
    answer.headers["Cache-Control"] = _KEPT
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def counting_shape(_host: Host) -> Response:
    """The shape of what documents of activities say beside their records."""
    return _file(FOLDER / "counting-shape.ttl", _TURTLE)


def sum_of_a_pod(_host: Host) -> Response:
    """The query that adds a pod's documents up to its figures."""
    return _file(FOLDER / "queries" / "sum-of-a-pod.rq", "application/sparql-query")


def vocabulary(host: Host) -> Response:
    """What the words of this house mean, with the way to each; or the ontology as Turtle."""
    if _wants_turtle():
        return _file(FOLDER / "ontology" / "tvilling.ttl", _TURTLE)
    seen = visit(host)
    t, w = seen.words, seen.wording
    kinds = Markup("").join(
        Markup("<li><a href='/vocab/kinds/{}'>{}</a> <span class=soft>{}</span></li>").format(
            kind.slug, kind.labels[seen.language].title, kind.type_name
        )
        for kind in load_kinds().by_slug.values()
    )
    purposes = Markup("").join(
        Markup("<li id='purpose-{}'><strong>{}</strong> {}</li>").format(
            each.slug, w.of(each.titles), w.of(each.descriptions)
        )
        for each in load_purposes().values()
    )
    figures = Markup("").join(
        Markup("<li id='figure-{}'><strong>{}</strong> <code>{}</code> {}</li>").format(
            each.slug, w.of(each.titles), each.slug, w.of(each.descriptions)
        )
        for each in load_shared_figures().values()
    )
    with host.storage.read() as tx:
        offered = offers.standing(tx, host.clock.now())
    programmes = Markup("").join(
        Markup("<li id='programme-{}'><strong>{}</strong> {}</li>").format(
            each.slug, w.of(each.titles), w.of(each.descriptions)
        )
        for each in (published.programme for published in offered)
    )
    messages = Markup("").join(
        Markup("<li><code>{}/vocab/events#{}</code> {}</li>").format(host.base_url, kind, t(f"notice.{kind}"))
        for kind in _MESSAGES
    )
    body = Markup(
        "<h1>{}</h1><p>{}</p><p><a href='/vocab/context.jsonld'>{}</a> · <a href='/vocab/ontology.ttl'>{}</a> · "
        "<a href='/vocab/factors'>{}</a></p><h2>{}</h2><ul>{}</ul><h2>{}</h2><ul>{}</ul><h2>{}</h2><ul>{}</ul>"
        "<h2><a href='/vocab/shared-figures.ttl'>{}</a></h2><ul>{}</ul><h2>{}</h2><p>{}</p><p><a href='/vocab/counting.ttl'>{}</a> · "
        "<a href='/vocab/sum-of-a-pod.rq'>{}</a> · <a href='/vocab/counting-shape.ttl'>{}</a></p><h2>{}</h2><p>{}</p><ul>{}</ul>"
    ).format(
        t("vocab.title"), t("vocab.words"), t("vocab.context"), t("vocab.ontology"), t("vocab.factors"), t("vocab.kinds"),
        kinds, t("vocab.purposes"), purposes, Markup("<a href='/vocab/offers.ttl'>{}</a>").format(t("vocab.programmes")), programmes,
        t("vocab.figures"), figures, t("vocab.counting"), t("vocab.counting-words"), t("vocab.counting-reasons"),
        t("vocab.counting-query"), t("vocab.shape"), t("vocab.messages"), t("vocab.messages-words"), messages,
    )  # fmt: skip
    return _page(seen, t.plain("vocab.title"), body, None)


def shared_figures(_host: Host) -> Response:
    """The figures that a citizen may let somebody read, as Turtle."""
    return _file(FOLDER / "shared-figures.ttl", _TURTLE)


def ontology(_host: Host) -> Response:
    """The ontology as Turtle."""
    return _file(FOLDER / "ontology" / "tvilling.ttl", _TURTLE)


def _page(seen: Visit, heading: str, body: Markup, back: tuple[str, str] | None) -> Response:
    answer = frame.page("prose.html.jinja", seen, heading=heading, body=body, back=back, request_path="/-/")
    answer.headers["Vary"] = "Accept, Cookie, Accept-Language"
    return answer
