"""Which browser on which system, in a few words, so that a citizen knows their sessions again; nothing finer is kept."""

from __future__ import annotations

_LONGEST = 1000
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Vivaldi/", "Vivaldi"),
             ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("HeadlessChrome/", "Chrome"),
             ("Chrome/", "Chrome"), ("Safari/", "Safari"))  # fmt: skip
"""What each says of itself, the ones that also call themselves by another's name first."""

_SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
            ("Macintosh", "macOS"), ("Linux", "Linux"))  # fmt: skip


def device_of(user_agent: str) -> str:
    """`Firefox, Linux` of a `User-Agent` header; empty where it says neither."""
    text = user_agent[:_LONGEST]
    browser = next((name for mark, name in _BROWSERS if mark in text), "")
    system = next((name for mark, name in _SYSTEMS if mark in text), "")
    return ", ".join(part for part in (browser, system) if part)
