"""Bounds are data with sources; no free text of any kind holds what names a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from twin_activities import activity, electricity, payment, steps

from vocab.errors import Implausible, NotAnActivity, PersonInText
from vocab.kinds import load_kinds
from vocab.plausibility import is_national_number, person_in

NOW = datetime(2026, 11, 24, tzinfo=UTC)
THEN = NOW - timedelta(days=1)
KINDS = load_kinds()


def number(day: int, month: int, year: int = 85) -> str:
    """The first number of a day whose check digits exist, made from the published weights."""
    for individual in range(100, 1000):
        digits = [int(each) for each in f"{day:02}{month:02}{year:02}{individual}"]
        first = -sum(a * b for a, b in zip(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2), strict=True)) % 11
        second = -sum(a * b for a, b in zip([*digits, first], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)) % 11
        if first < 10 and second < 10:
            return "".join(map(str, [*digits, first, second]))
    raise AssertionError


ORDINARY, D_NUMBER, H_NUMBER, SYNTHETIC, SYNTHETIC_D = (
    number(1, 2), number(41, 2), number(1, 42), number(1, 82), number(71, 92),
)  # fmt: skip


@pytest.mark.parametrize("digits", [ORDINARY, D_NUMBER, H_NUMBER, SYNTHETIC, SYNTHETIC_D, number(1, 66)])
def test_a_national_number_of_every_series_is_known(digits: str) -> None:
    assert is_national_number(digits)
    assert person_in(f"Lån fra {digits[:6]} {digits[6:]} takk") == "national-number"
    assert person_in(f"x{digits}y") == "national-number"
    for place in range(11):
        other = digits[:place] + str((int(digits[place]) + 1) % 10) + digits[place + 1 :]
        assert not is_national_number(other), "one digit off"


def test_numbers_that_name_nobody_stay() -> None:
    for text in ("707057500012345678", "1795276200000", f"9{ORDINARY}", "12345678901", "KORT 1234 KJØP 46,00", "32 13 01",
                 "EPLE 2 @ 14,90", "Rema 1000 Ilsvika", "EAN 7038010000000", "+4712"):  # fmt: skip
        assert person_in(text) is None, text
    assert not is_national_number(number(1, 2)[:10])


@pytest.mark.parametrize("text", ["til kari@example.no", "Vipps +47 912 34 567", "ring 004791234567"])
def test_an_address_or_a_telephone_number_names_somebody(text: str) -> None:
    assert person_in(text) in {"e-mail", "telephone"}


FREE_TEXT = [(kind.slug, name) for kind in KINDS.by_slug.values() for _, name in kind.free_text]


@pytest.mark.parametrize(("slug", "member"), FREE_TEXT)
def test_no_free_text_of_any_kind_takes_a_national_number(slug: str, member: str) -> None:
    kind = KINDS.by_slug[slug]
    (raw, *_) = kind.examples("valid").values()
    record = json.loads(raw) | {member: f"betalt av {ORDINARY}"}
    made = activity(record)
    with pytest.raises(PersonInText) as caught:
        kind.require_plausible(made, made.end)
    assert caught.value.path == f"$.{member}"
    assert "national identity number" in caught.value.reason
    assert ORDINARY not in str(caught.value)


def test_every_text_is_free_or_says_why_it_is_not() -> None:
    """A new member that people write in cannot escape: it is declared as free text, or it is a name given by a system."""
    given_by_systems = {"meter", "receipt", "ticket", "zones"}
    for kind in KINDS.by_slug.values():
        for member in kind.members:
            if member.datatype.endswith("string") and not member.allowed:
                closed = "pattern" in member.constraints and not member.constraints["pattern"].startswith("^[ -~")
                assert member.free_text or closed or member.name in given_by_systems, f"{kind.slug} {member.name}"


def test_every_kind_has_a_bound_with_a_source() -> None:
    for kind in KINDS.by_slug.values():
        assert kind.bounds, kind.slug
        assert all(bound.source for bound in kind.bounds)


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (electricity("e", THEN, 60, 43.9), "usual"),
        (electricity("e", THEN, 60, 60.0), "unusual"),
        (electricity("e", THEN, 60, 88.0), "refused"),  # a home in Wh that says kWh
        (electricity("e", THEN, 1, 1.5), "refused"),
        (electricity("e", THEN, 24 * 60, 1500.0), "unusual"),
        (electricity("e", THEN, 0, 1500.0), "usual"),  # a record without length has no rate
        (steps("s", THEN, 10, 2100), "usual"),
        (steps("s", THEN, 10, 2300), "unusual"),
        (steps("s", THEN, 10, 4001), "refused"),
        (payment("p", THEN, 250_000), "unusual"),
    ],
)
def test_what_is_unlikely_is_told_and_what_is_impossible_refused(record, verdict: str) -> None:
    made = activity(record)
    kind = KINDS.by_slug[made.kind]
    if verdict == "refused":
        with pytest.raises(Implausible, match="is not possible"):
            kind.require_plausible(made, NOW)
        return
    kind.require_plausible(made, NOW)
    assert (kind.unusual(made) is not None) == (verdict == "unusual")


def test_a_record_decades_old_is_no_activity() -> None:
    made = activity(steps("s", datetime(1990, 1, 1, tzinfo=UTC), 10, 100))
    with pytest.raises(NotAnActivity, match="older"):
        KINDS.by_slug["step-count"].require_plausible(made, NOW)
