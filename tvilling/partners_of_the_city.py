"""The demo city's partners as the municipality admits them: name, what each usually asks for, and its own key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc.jwk import ECKey

from tvilling.city.simulators.sources import SOURCES

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class CityPartner:
    """One partner of the demo.

    Attributes:
        slug: What the simulators call it.
        name: What citizens see.
        purpose: The purpose of its usual consent.
        kinds: What it delivers; none for the municipality, which only receives claims.
        granularity: The finest interval it asks for.
        citizens_only: True where quiet neighbours are no customers of it.
        contact: Its data protection contact, as the consent screen shows it.
    """

    slug: str
    name: str
    purpose: str
    kinds: tuple[str, ...]
    granularity: str
    contact: str
    citizens_only: bool = False


PARTNERS: tuple[CityPartner, ...] = tuple(
    CityPartner(
        each.slug,
        each.name,
        each.purpose or "personal-footprint",
        (each.kind,) if each.kind else (),
        each.granularity,
        each.contact,
        each.citizens_only,
    )
    for each in SOURCES.values()
)
"""As the simulators' own list has them (tvilling/city/simulators/sources.py): a new one stands there, and nowhere else."""


def integrators() -> list[tuple[str, str]]:
    """Partners in whose name another one delivers, each with that one."""
    return [(each.slug, each.through) for each in SOURCES.values() if each.through]


def own_key(folder: Path, slug: str) -> tuple[Path, dict[str, Any]]:
    """A simulator's private key file, made at first need, and the public key set that the municipality is shown."""
    path = folder / f"{slug}.jwk"
    if not path.exists():
        key = ECKey.generate_key("P-256", {"kid": f"{slug}-1", "alg": "ES256", "use": "sig"})
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(json.dumps(key.as_dict(private=True)))
    key = ECKey.import_key(json.loads(path.read_text()))
    return path, {"keys": [key.as_dict(private=False)]}
