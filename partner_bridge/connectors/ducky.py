"""Ducky: a footprint of what money was spent on, reckoned by somebody else than the twin.

Format: `POST {api}/calculate/finance?categoryMapping=smn` takes `{id, amount, currency, category}`, behind a token by client
credentials (docs/partners.md). Guessed, because nobody has published it: that several are sent as one list; the words of
the categories; and all of the answer, `{"version", "results": [{"id", "emission": {"value", "low", "high", "unit"}}]}`.

Traps: an answer in grams looks like a thousandfold footprint, so the unit must be kgCO2e and the figure possible; the
service knows what was paid and not what was bought, so its figure stands beside the twin's and is never added to it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from partner_bridge.connectors.calculator import Answer, Estimate, Question, require_whole
from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import decode_as
from partner_bridge.errors import UnusablePayload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from partner_bridge.connectors.calculator import Line

UNIT = "kgCO2e"


class _Emission(msgspec.Struct, gc=False):
    value: float
    unit: str
    low: float | None = None
    high: float | None = None


class _Result(msgspec.Struct, gc=False):
    id: str
    emission: _Emission


class _Answer(msgspec.Struct, gc=False):
    results: list[_Result]
    version: str = ""


class Ducky:
    """The finance calculation."""

    name = "ducky"
    title = "Ducky"
    kinds = frozenset({"payment"})
    form: Literal["json", "text"] = "json"
    categories: Mapping[str, str] = {
        "accommodation": "accommodation",
        "appliances": "appliances",
        "books": "books",
        "clothing": "clothes-and-shoes",
        "culture": "culture-and-leisure",
        "eating-out": "restaurants",
        "electronics": "electronics",
        "furniture": "furniture",
        "garden-and-pets": "garden-and-pets",
        "personal-care": "personal-care",
    }
    declaration = Declaration(
        organisation=Organisation("ducky", "Ducky", "https://www.ducky.eco"),
        channels=("calculation",),
        granularity="P1M",
        frequency="irregular",
        history=timedelta(days=366),
        terms=Words(
            nb="Noe sendes bare når du har sett hva og trykker på Send; ingenting sendes av seg selv. Du kan trekke samtykket når som helst, og da sendes det ikke mer.",
            nn="Noko vert sendt berre når du har sett kva og trykkjer på Send; ingenting vert sendt av seg sjølv. Du kan trekkje samtykket når som helst, og då vert det ikkje sendt meir.",
            en="Something is sent only when you have seen what and press Send; nothing is sent by itself. You can withdraw the consent at any time, and then no more is sent.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb="Hvordan Ducky kaller varegruppene, og hvordan svaret ser ut, er ikke offentlig: det er gjettet.",
                nn="Korleis Ducky kallar varegruppene, og korleis svaret ser ut, er ikkje offentleg: det er gjetta.",
                en="What Ducky calls the groups of goods, and what its answer looks like, is not public: it is guessed.",
            ),
            Words(
                nb="At flere summer sendes i én forespørsel, er gjettet.",
                nn="At fleire summar vert sende i éin førespurnad, er gjetta.",
                en="That several sums go in one request is guessed.",
            ),
        ),
        limits=(
            Words(
                nb="Ducky får summer i hele hundre kroner for hver varegruppe i en måned: ikke hvem, når eller hvor, og ikke mat, strøm, drivstoff eller billetter.",
                nn="Ducky får summar i heile hundre kroner for kvar varegruppe i ein månad: ikkje kven, når eller kvar, og ikkje mat, straum, drivstoff eller billettar.",
                en="Ducky gets sums in whole hundreds of kroner for each group of goods in a month: not who, when or where, and no food, power, fuel or tickets.",
            ),
            Words(
                nb="Svaret bygger på hva du betalte, ikke på hva du kjøpte. Det står ved siden av tvillingens tall og legges aldri til dem.",
                nn="Svaret byggjer på kva du betalte, ikkje på kva du kjøpte. Det står ved sida av tala til tvillingen og vert aldri lagt til dei.",
                en="The answer rests on what you paid, not on what you bought. It stands beside the twin's figures and is never added to them.",
            ),
        ),
    )

    def question(self, lines: Sequence[Line]) -> Question:
        """Each sum with its number in this request, amount, currency and category; nothing else."""
        asked: list[dict[str, Any]] = [
            {"id": line.number, "amount": line.amount, "currency": "NOK", "category": line.category} for line in lines
        ]
        return Question("/calculate/finance?categoryMapping=smn", msgspec.json.encode(asked))

    def read_answer(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """See `Calculator`."""
        said: _Answer = decode_as(body, _Answer)
        if any(each.emission.unit != UNIT for each in said.results):
            raise UnusablePayload(f"a figure in another unit than {UNIT}")
        estimates = (
            Estimate(each.id, each.emission.value, each.emission.low, each.emission.high) for each in said.results
        )
        return require_whole(Answer(said.version, tuple(estimates)), lines)
