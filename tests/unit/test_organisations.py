"""What an organisation may say of itself: names that people cannot be fooled by, numbers that check, texts without tricks."""

from __future__ import annotations

import pytest

from pod_server.organisations import likeness, mail_address, organisation_number, tidy_name, tidy_text


@pytest.mark.parametrize(
    "name", ["Bysykkel AS", "Strømmen  AS", "Ísbúð & Co. 24", "شركة الدراجات", "Велосипед", "自転車"]
)
def test_a_name_in_any_script_is_taken(name):
    assert tidy_name(name) == " ".join(name.split())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "1 to 80"), (" ", "1 to 80"), ("a" * 81, "1 to 80"),
        ("Bysykkel \u202eSA", "U\\+202E"), ("Bysykkel\u200bAS", "U\\+200B"), ("\u2066Bysykkel", "U\\+2066"),
        ("Bysykkel\u0000", "U\\+0000"), ("By\u2028sykkel\ufeff", "U\\+FEFF"), ("Bysykkel \U000e0041", "U\\+E0041"),
        ("Bуsykkel", "look alike"), ("\u0301Bysykkel", "accents"), ("By\u0333\u0333\u0333sykkel", "accents"), ("—", "letter"),
    ],
)  # fmt: skip
def test_a_name_that_turns_hides_or_imitates_is_not(name, why):
    with pytest.raises(ValueError, match=why):
        tidy_name(name)


def test_names_that_are_read_alike_are_alike():
    assert likeness("AtB AS") == likeness("ＡtＢ  as.") == likeness("atb-as")
    assert likeness("AtB") != likeness("AtC")


@pytest.mark.parametrize("number", ["974760673", "974 760 673", "889640782"])
def test_organisation_numbers_that_check(number):
    assert organisation_number(number) == number.replace(" ", "")


@pytest.mark.parametrize("number", ["", "974760674", "97476067", "9747606730", "123456785", "97476067x", "９74760673"])
def test_organisation_numbers_that_do_not(number):
    with pytest.raises(ValueError, match="organisation_number"):
        organisation_number(number)


def test_texts_keep_their_lines_and_nothing_unseen():
    assert tidy_text(" Vi måler\r\nturer. ", "notice", least=5) == "Vi måler\nturer."
    with pytest.raises(ValueError, match=r"notice: U\+202E"):
        tidy_text("Vi måler \u202eturer", "notice")
    with pytest.raises(ValueError, match="notice: 5 to"):
        tidy_text("Kort", "notice", least=5)


def test_one_can_write_to_the_contact():
    assert mail_address(" hei@bysykkel.no ") == "hei@bysykkel.no"
    for text in ("hei", "hei@", "hei@no", "hei@bysykkel.no\nBcc: alle@no.no", '"<script>"@x.no'):
        with pytest.raises(ValueError, match="contact"):
            mail_address(text)
