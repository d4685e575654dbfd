"""A municipality: it brings nothing into a pod, and publishes what it offers to whoever meets a rule.

Format: the house's own, since nobody has published one (docs/partners.md, "A municipality's offers"): JSON whose members are
linked data (vocab/programmes.py). Public data of the city's; whom an offer fits is judged in the pod.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from vocab.kinds import load_kinds
from vocab.programmes import Programme, read_programme


class Municipality:
    """What it offers, and to which rules."""

    name = "municipality"
    title = "Kommunen"
    kinds = frozenset(load_kinds().by_slug)
    """What its rules may measure; none of it comes from it, or goes to it."""

    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("municipality", "Kommunen"),
        channels=("offers",),
        granularity="P1M",
        frequency="irregular",
        history=timedelta(0),
        terms=Words(
            nb="Kommunen får ikke vite hva som passer for deg. Bare når du har sett bekreftelsen og sier ja, får den svaret ja, og et eget navn på deg.",
            nn="Kommunen får ikkje vite kva som passar for deg. Berre når du har sett stadfestinga og seier ja, får han svaret ja, og eit eige namn på deg.",
            en="The municipality does not learn what fits you. Only when you have seen the claim and say yes does it get the answer yes, and a name of its own for you.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb="Ingen kommune har lagt ut slike ordninger som data ennå: formen er vår egen.",
                nn="Ingen kommune har lagt ut slike ordningar som data enno: forma er vår eiga.",
                en="No municipality has published such programmes as data yet: the form is our own.",
            ),
        ),
        limits=(
            Words(
                nb="Reglene måler hele måneder av én slags aktivitet. Hvem du er og hvor du bor, inngår ikke.",
                nn="Reglane måler heile månader av éin slags aktivitet. Kven du er og kvar du bur, inngår ikkje.",
                en="The rules measure whole months of one kind of activity. Who you are and where you live is no part of them.",
            ),
        ),
    )

    def read_offer(self, content: bytes, slug: str) -> Programme:
        """What is offered, from the body in which it is published.

        Raises:
            NotAProgramme: it names the member at fault.
        """
        return read_programme(content, slug)
