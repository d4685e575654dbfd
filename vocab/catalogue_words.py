"""What the catalogue calls itself, its doors and the way to the data, in the three languages of the pages."""

from __future__ import annotations

LANGUAGES = ("nb", "nn", "en")
MADE_BY = "Tvilling ({host})"

Pair = tuple[dict[str, str], dict[str, str]]
"""A title and a description, each by language."""


def _pair(titles: tuple[str, str, str], descriptions: tuple[str, str, str]) -> Pair:
    return dict(zip(LANGUAGES, titles, strict=True)), dict(zip(LANGUAGES, descriptions, strict=True))


CATALOGUE_WORDS = _pair(
    ("Hva som kan komme inn i podden din", "Kva som kan kome inn i podden din", "What can come into your pod"),
    (
        "Alt som leverandørene kan levere til innbyggernes private lagre på denne verten: hva, hvor fint, hvor ofte, hvor langt tilbake og på hvilke vilkår. Selve opplysningene er ikke her; de kommer bare til innbyggeren selv, etter samtykke.",
        "Alt som leverandørane kan levere til dei private lagra til innbyggjarane på denne verten: kva, kor fint, kor ofte, kor langt tilbake og på kva vilkår. Sjølve opplysningane er ikkje her; dei kjem berre til innbyggjaren sjølv, etter samtykke.",
        "All that suppliers can deliver to citizens' private stores on this host: what, how fine, how often, how far back and on what terms. The data themselves are not here; they come to the citizen alone, upon consent.",
    ),
)
ACCESS_WORDS = _pair(
    ("I innbyggerens egen pod", "I podden til innbyggjaren sjølv", "In the citizen's own pod"),
    (
        "Bare innbyggeren selv, og de innbyggeren gir lov, leser det.",
        "Berre innbyggjaren sjølv, og dei innbyggjaren gir lov, les det.",
        "Only the citizen, and those whom the citizen permits, read it.",
    ),
)
ANSWER_WORDS = _pair(
    ("Beregning", "Utrekning", "Calculation"),
    (
        "Det en beregningstjeneste svarer på innbyggerens egne grove summer. Tallene står ved siden av tvillingens og telles aldri med.",
        "Det ei utrekningsteneste svarar på dei grove summane til innbyggjaren sjølv. Tala står ved sida av dei til tvillingen og vert aldri talde med.",
        "What a calculation service answers to the citizen's own coarse sums. The figures stand beside the twin's and are never counted in.",
    ),
)
"""Of what comes of a calculation service."""

OFFERED_WORDS = _pair(
    ("Det kommunen tilbyr", "Det kommunen tilbyr", "What the municipality offers"),
    (
        "Ordninger med regel, gevinst og vedtak. Om noe passer, avgjøres i innbyggerens egen pod, og ingen får vite det.",
        "Ordningar med regel, gevinst og vedtak. Om noko passar, vert avgjort i podden til innbyggjaren sjølv, og ingen får vite det.",
        "Programmes with rule, reward and decision. Whether one fits is judged in the citizen's own pod, and nobody is told.",
    ),
)
"""Of what municipalities publish."""

DOOR_WORDS: dict[str, Pair] = {
    "offers": _pair(
        ("Det som tilbys nå", "Det som vert tilbode no", "What is offered now"),
        (
            "Åpent for alle, som JSON-LD eller Turtle.",
            "Ope for alle, som JSON-LD eller Turtle.",
            "Open to everybody, as JSON-LD or Turtle.",
        ),
    ),
    "calculations": _pair(
        ("Andre beregninger", "Andre utrekningar", "Second opinions"),
        (
            "Innbyggeren ser hva som ville sendes, og sender det selv; ingenting går av seg selv.",
            "Innbyggjaren ser kva som ville bli sendt, og sender det sjølv; ingenting går av seg sjølv.",
            "The citizen sees what would be sent and sends it; nothing goes by itself.",
        ),
    ),
    "push": _pair(
        ("Leverandørens dør", "Døra til leverandøren", "The supplier's door"),
        (
            "Leverandøren sender når noe er nytt, under innbyggerens samtykke (OAuth 2.0, DPoP).",
            "Leverandøren sender når noko er nytt, under samtykket til innbyggjaren (OAuth 2.0, DPoP).",
            "The supplier sends when something is new, under the citizen's consent (OAuth 2.0, DPoP).",
        ),
    ),
    "webhooks": _pair(
        ("Dør for anrop", "Dør for oppkall", "The door for calls"),
        (
            "Kilden ringer når noe er nytt; anropet er signert, eller bare et tegn på at det skal hentes.",
            "Kjelda ringjer når noko er nytt; oppkallet er signert, eller berre eit teikn på at det skal hentast.",
            "The source calls when something is new; the call is signed, or only a sign that there is something to fetch.",
        ),
    ),
    "sources": _pair(
        ("Henting fra kilder", "Henting frå kjelder", "Fetching from sources"),
        (
            "Innbyggeren kobler til en kilde, og verten henter derfra til innbyggeren kobler fra.",
            "Innbyggjaren koplar til ei kjelde, og verten hentar derifrå til innbyggjaren koplar frå.",
            "The citizen connects a source, and the host fetches from it until the citizen disconnects.",
        ),
    ),
    "files": _pair(
        ("Egne filer", "Eigne filer", "Own files"),
        (
            "Innbyggeren legger inn en fil som leverandøren lar dem lagre.",
            "Innbyggjaren legg inn ei fil som leverandøren lèt dei lagre.",
            "The citizen brings a file that the supplier lets them save.",
        ),
    ),
}
"""By door of the catalogue."""
