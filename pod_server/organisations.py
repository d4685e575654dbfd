"""What an organisation may say of itself before anybody believes it: its name, its number, and texts for citizens.

A name is read by people who decide by it, so nothing in it may be unseen or turn the reading round (Unicode TR 36,
sections 2.5 and 2.8), and no name may look like another partner's. The number is the Norwegian organisation number.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 80
LONGEST_TEXT = 2000
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, marks that turn the direction or are not seen, halves, private and unassigned letters, separators."""

_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})
"""Scripts whose letters are taken for each other's; one name keeps to one of them."""

_WEIGHTS = (3, 2, 7, 6, 5, 4, 3, 2)
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\Z")


def unseen_in(text: str, *, lines: bool = False) -> str:
    """The first letter that nobody sees or that turns the reading round, as `U+202E`; empty where there is none.

    Args:
        text: Any text.
        lines: Whether line breaks may be in it.
    """
    for letter in text:
        if unicodedata.category(letter) in _UNSEEN and not (lines and letter == "\n"):
            return f"U+{ord(letter):04X}"
    return ""


def tidy_name(text: str) -> str:
    """A name as it is kept and shown: composed (NFC), single spaces.

    Any script is welcome, from right to left too; pages keep each name's direction to itself.

    Raises:
        ValueError: empty, too long, with something unseen in it, or with letters of scripts that look alike.
    """
    name = " ".join(unicodedata.normalize("NFC", text[: 4 * LONGEST_NAME]).split())
    if not 1 <= len(name) <= LONGEST_NAME:
        message = "name: 1 to 80 characters"
        raise ValueError(message)
    if unseen := unseen_in(name):
        message = f"name: {unseen} cannot be seen, or turns the reading round; leave it out"
        raise ValueError(message)
    if not any(letter.isalnum() for letter in name):
        message = "name: at least one letter or digit"
        raise ValueError(message)
    if unicodedata.combining(name[0]) or re.search(r"(?:\u0300|[\u0301-\u036f\u20d0-\u20ff]){3}", name):
        message = "name: accents belong on letters, at most two on each"
        raise ValueError(message)
    scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in name if letter.isalpha()}
    if len(scripts & _ALIKE) > 1:
        message = "name: letters of one alphabet; Latin, Cyrillic and Greek ones look alike"
        raise ValueError(message)
    return name


def likeness(name: str) -> str:
    """What two names have in common that people would take for each other: case, width, accents' spelling, spaces."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in unicodedata.normalize("NFKC", folded) if letter.isalnum())


def tidy_text(text: str, field: str, *, least: int = 0, most: int = LONGEST_TEXT) -> str:
    """A text for citizens as it is kept: composed, line breaks kept, nothing unseen.

    Raises:
        ValueError: too short, too long, or with something unseen in it; the message begins with `field`.
    """
    plain = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if not least <= len(plain) <= most:
        message = f"{field}: {least} to {most} characters"
        raise ValueError(message)
    if unseen := unseen_in(plain, lines=True):
        message = f"{field}: {unseen} cannot be seen, or turns the reading round; leave it out"
        raise ValueError(message)
    return plain


def organisation_number(text: str) -> str:
    """A Norwegian organisation number: nine digits, the last one checking the others (modulus 11).

    Raises:
        ValueError: it is none.

    Source: Brønnøysundregistrene, "Om organisasjonsnummeret".
    """
    digits = re.sub(r"[ \u00a0.]", "", text)
    if not re.fullmatch(r"[89][0-9]{8}", digits):
        message = "organisation_number: nine digits, the first an 8 or a 9"
        raise ValueError(message)
    rest = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=False)) % 11
    if (11 - rest) % 11 != int(digits[8]):
        message = "organisation_number: the last digit does not check; look for a slip"
        raise ValueError(message)
    return digits


def mail_address(text: str) -> str:
    """An address to which one could write.

    Raises:
        ValueError: it is none.
    """
    address = text.strip()
    if len(address) > 200 or not _MAIL.match(address):
        message = "contact: an e-mail address"
        raise ValueError(message)
    return address
