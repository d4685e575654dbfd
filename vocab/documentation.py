"""The documentation of kinds and factors, written from the data: docs/kinds.md is its output.

`python -m vocab.documentation > docs/kinds.md` makes it anew; a test holds the page to the data.
"""

from __future__ import annotations

import sys

from vocab.counting_rules import load_counting_rules
from vocab.factors import load_factors
from vocab.kinds import Kind, Member, load_kinds

_TYPES = {"string": "text", "double": "number", "boolean": "true or false", "dateTime": "time"}


def kinds_page() -> str:
    """The page in Markdown."""
    lines = [
        "# Kinds of activity",
        "",
        "Made from `vocab/` by `python -m vocab.documentation`; change the data, not this page. A record is one flat JSON object; any JSON-LD",
        "reader gets its RDF with the context at `/vocab/context.jsonld`. `@id` is an absolute IRI, or a relative path without colons.",
    ]
    for kind in load_kinds().by_slug.values():
        lines += _kind(kind)
    lines += [
        "",
        "# Factors",
        "",
        "Kilograms of CO2 equivalent per unit. Sources and licences: `vocab/SOURCES.md`.",
        "",
    ]
    lines += ["| For | Low | Mean | High | Unit | Place | From | To |", "|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {factor.label['en']} | {factor.low:g} | {factor.mean:g} | {factor.high:g} | {factor.unit} | {factor.place} "
        f"| {factor.period_start} | {factor.period_end} |"
        for factor in load_factors().factors
    ]
    lines += [
        "",
        "## Counted once",
        "",
        "One event that several records tell of is counted once. The rules, with what a citizen is told: `vocab/counting-rules.ttl`.",
        "",
        "| Rule | Name | Limit | Where the limit comes from |",
        "|---|---|---|---|",
        *(
            f"| `{each.slug}` | {each.titles['en']} | {each.threshold} | {each.threshold_source} |"
            for each in sorted(load_counting_rules().values(), key=lambda rule: rule.slug)
        ),
    ]
    return "\n".join(lines) + "\n"


def _kind(kind: Kind) -> list[str]:
    name, example = next(iter(kind.examples("valid").items()))
    label = kind.labels["en"]
    return [
        "",
        f"## {label.title}: `{kind.slug}`",
        "",
        f"{label.description} Counted under *{kind.category}*"
        + (", divided among the household." if kind.household_level else ".")
        + f" A citizen may choose the granularity: {', '.join(kind.granularities)}.",
        "",
        "| Member | Value | Required | Limits | Term |",
        "|---|---|---|---|---|",
        f"| `@type` | `{kind.type_name}` | yes | | |",
        *(_member(member) for member in kind.members),
        "",
        *(
            f"Unusual above {bound.unlikely:g} {kind.unit}{'' if bound.measure == 'quantity' else ' ' + bound.measure.replace('-', ' ')}, "
            f"refused above {bound.impossible:g}: {bound.source}. Free text, searched for what names a person: "
            f"{', '.join(f'`{name}`' for _, name in kind.free_text)}.\n"
            for bound in kind.bounds
        ),
        f"An example (`{name}`):",
        "",
        "```json",
        example.decode().strip(),
        "```",
    ]


def _member(member: Member) -> str:
    value = " or ".join(f"`{each}`" for each in member.allowed) or _TYPES[member.datatype.rsplit("#", 1)[1]]
    if member.repeated:
        value = f"list of {value}"
    words = {
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minInclusive": "from {}",
        "maxInclusive": "to {}",
    }
    limits = ", ".join(
        words[facet].format(f"{float(bound):g}" if "Inclusive" in facet else bound)
        for facet, bound in member.constraints.items()
        if facet in words
    )
    return f"| `{member.name}` | {value} | {'yes' if member.required else ''} | {limits} | <{member.iri}> |"


if __name__ == "__main__":
    sys.stdout.write(kinds_page())
