"""Numbers, intervals and times as people write them, in bokmål, nynorsk and English.

Amounts are rounded to what they mean: two or three figures, never more precise than the interval they come with.
Times are shown on Trondheim's clock.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

Language = Literal["nb", "nn", "en"]
LANGUAGES: tuple[Language, ...] = ("nb", "nn", "en")
TRONDHEIM = ZoneInfo("Europe/Oslo")

_MONTHS: dict[Language, tuple[str, ...]] = {
    "nb": ("januar", "februar", "mars", "april", "mai", "juni", "juli", "august", "september", "oktober", "november",
           "desember"),
    "nn": ("januar", "februar", "mars", "april", "mai", "juni", "juli", "august", "september", "oktober", "november",
           "desember"),
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December"),
}  # fmt: skip
_MONTHS_SHORT: dict[Language, tuple[str, ...]] = {
    "nb": ("jan.", "feb.", "mars", "april", "mai", "juni", "juli", "aug.", "sep.", "okt.", "nov.", "des."),
    "nn": ("jan.", "feb.", "mars", "april", "mai", "juni", "juli", "aug.", "sep.", "okt.", "nov.", "des."),
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
}
_WEEKDAYS: dict[Language, tuple[str, ...]] = {
    "nb": ("mandag", "tirsdag", "onsdag", "torsdag", "fredag", "lørdag", "søndag"),
    "nn": ("måndag", "tysdag", "onsdag", "torsdag", "fredag", "laurdag", "søndag"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
_THIN_SPACE = "\u202f"
_MINUS = "\u2212"


def number(value: float, language: Language, *, decimals: int | None = None) -> str:
    """A number with the language's comma or point and thin spaces between thousands.

    Without `decimals`, as many as the size asks for: 257 · 13,3 · 1,42 · 0,35.
    """
    size = abs(value)
    if decimals is None:
        decimals = 0 if size >= 99.5 or size == 0 else 1 if size >= 9.95 else 2
        text = f"{size:,.{decimals}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
    else:
        text = f"{size:,.{decimals}f}"
    text = text.replace(",", _THIN_SPACE)
    if language != "en":
        text = text.replace(".", ",")
    return f"{_MINUS}{text}" if value < 0 and float(f"{size:.{decimals}f}") else text


_GRAMS_BELOW_KILOGRAMS = 0.2495


def mass_figure(kilograms: float, language: Language) -> tuple[str, str]:
    """A mass of CO2e as figure and unit: grams below a quarter of a kilogram, else kilograms."""
    if abs(kilograms) < _GRAMS_BELOW_KILOGRAMS:
        grams = kilograms * 1000
        return number(grams, language, decimals=_gram_decimals(grams)), "g"
    return kilogram_figure(kilograms, language), "kg"


def _gram_decimals(grams: float) -> int:
    size = abs(grams)
    return 0 if size >= 9.95 or size == 0 else 1 if size >= 0.995 else 2


def mass(kilograms: float, language: Language) -> str:
    """A mass of CO2e with its unit: `20 g`, `13,3 kg`, `257 kg`."""
    figure, unit = mass_figure(kilograms, language)
    return f"{figure} {unit}"


def kilogram_figure(kilograms: float, language: Language) -> str:
    """The figure alone, in kilograms: one decimal below fifty."""
    return number(kilograms, language, decimals=0 if abs(kilograms) >= 49.95 else 1)


def storage_size(size_bytes: int, language: Language) -> str:
    """Room on a disk, in the decimal units that people buy it in: 12 kB · 1,42 MB · 10,7 GB."""
    for unit, factor in (("GB", 1_000_000_000), ("MB", 1_000_000)):
        if size_bytes >= 0.995 * factor:
            return f"{number(size_bytes / factor, language)} {unit}"
    return f"{number(-(-size_bytes // 1000), language, decimals=0)} kB"


def interval_decimals(low: float, high: float) -> int:
    """How many decimals both ends of an interval in kilograms are written with."""
    return 0 if abs(high) >= 99.5 or abs(low) >= 19.95 else 1


def mass_interval(low: float, high: float, language: Language) -> str:
    """An interval of CO2e with its unit once: `10–25 g`, `7,2–39,8 kg`."""
    if abs(high) < _GRAMS_BELOW_KILOGRAMS:
        decimals = _gram_decimals(high * 1000)
        low_text, high_text = (number(end * 1000, language, decimals=decimals) for end in (low, high))
        return f"{low_text}–{high_text} g"
    decimals = interval_decimals(low, high)
    return f"{number(low, language, decimals=decimals)}–{number(high, language, decimals=decimals)} kg"


def possessive(name: str, language: Language) -> str:
    """`Karis`, `Lars'`; `Kari's`, `Lars'`."""
    if name.endswith(("s", "x", "z")):
        return f"{name}'"
    return f"{name}s" if language != "en" else f"{name}'s"


def local(at: datetime) -> datetime:
    """The time on Trondheim's clocks."""
    return at.astimezone(TRONDHEIM)


def clock_time(at: datetime, language: Language) -> str:
    """`13.42` in Norwegian, `13:42` in English."""
    return local(at).strftime("%H.%M" if language != "en" else "%H:%M")


def date(at: datetime, language: Language, *, year: bool = True) -> str:
    """`23. november 2026`, or `23 November 2026`."""
    day = local(at)
    point = "." if language != "en" else ""
    text = f"{day.day}{point} {_MONTHS[language][day.month - 1]}"
    return f"{text} {day.year}" if year else text


def weekday_and_date(at: datetime, language: Language) -> str:
    """`Mandag 23. november 2026`."""
    weekday = _WEEKDAYS[language][local(at).weekday()]
    return f"{weekday[0].upper()}{weekday[1:]} {date(at, language)}"


def month(year: int, month_number: int, language: Language, *, with_year: bool = True) -> str:
    """`November 2026`; without the year as it stands inside a sentence, `november` in Norwegian."""
    name = _MONTHS[language][month_number - 1]
    return f"{name[0].upper()}{name[1:]} {year}" if with_year else name


def month_short(month_number: int, language: Language) -> str:
    """`nov.` or `Nov`."""
    return _MONTHS_SHORT[language][month_number - 1]


def when(at: datetime, now: datetime, language: Language) -> str:
    """A moment as one would say it: the time today, `i går` and the time, else the date."""
    days = (local(now).date() - local(at).date()).days
    if days == 0:
        return f"kl. {clock_time(at, language)}" if language != "en" else f"at {clock_time(at, language)}"
    if days == 1:
        if language != "en":
            return f"i går kl. {clock_time(at, language)}"
        return f"yesterday at {clock_time(at, language)}"
    return date(at, language, year=local(at).year != local(now).year)


_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?\Z")
_DURATION_UNITS: dict[Language, tuple[tuple[str, str], ...]] = {
    "nb": (("år", "år"), ("måned", "måneder"), ("uke", "uker"), ("dag", "dager")),
    "nn": (("år", "år"), ("månad", "månader"), ("veke", "veker"), ("dag", "dagar")),
    "en": (("year", "years"), ("month", "months"), ("week", "weeks"), ("day", "days")),
}


def duration(iso: str, language: Language) -> str:
    """An ISO 8601 duration of whole days or longer, in words: `P13M` is `13 måneder`; any other stays as it is."""
    match = _DURATION.match(iso)
    if match is None or not any(match.groups()):
        return iso
    parts = [
        f"{count} {one if count == '1' else many}"
        for count, (one, many) in zip(match.groups(), _DURATION_UNITS[language], strict=True)
        if count
    ]
    return listing(parts, language)


def listing(words: Sequence[str], language: Language) -> str:
    """`a, b og c`."""
    if not words:
        return ""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {'og' if language != 'en' else 'and'} {words[-1]}"


def quantity(value: float, unit: str, language: Language) -> str:
    """A measured quantity with its unit's usual sign: `0,400 kg`, `1,8 kWh`, `6,2 km`."""
    sign = {"KiloW-HR": "kWh", "KiloGM": "kg", "KiloM": "km", "NUM": "", "MIN": "min", "CCY_NOK": "kr"}.get(unit, unit)
    is_small = (unit == "KiloW-HR" and value < 1) or (unit == "KiloGM" and value < 10)
    text = number(value, language, decimals=3) if is_small else number(value, language)
    return f"{text} {sign}".strip()


def initials(name: str) -> str:
    """Up to three letters for a person's or a partner's mark: KN, AtB, TE, R, Os."""
    words = [word for word in name.split() if word[0].isalpha()]
    if not words:
        return "?"
    if len(words) > 1:
        return (words[0][0] + words[-1][0]).upper()
    word = words[0].partition(".")[0]
    if len(word) <= 3 and not word.istitle():
        return word
    capitals = [letter for letter in word if letter.isupper()]
    if len(capitals) == 2:
        return "".join(capitals)
    return word[:2] if len(name.split()) == 1 else word[0]
