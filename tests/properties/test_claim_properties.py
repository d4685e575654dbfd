"""A claim shows exactly what its holder chose, and whatever else is put beside it is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pod_server.signatures import ClaimInvalid, SignatureError, SignatureInvalid, SigningKey, sd_jwt

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ISSUER = SigningKey.ed25519(bytes(32))
HOST, TYPE = "https://pods.example", "https://pods.example/vocab/claims#TramPass"
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**50), 2**50), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
claims = st.dictionaries(st.from_regex(r"\A[a-z]{4,12}\Z"), values, max_size=6)


def issue(disclosable, random):
    return sd_jwt.issue(
        ISSUER,
        credential_type=TYPE,
        issuer=HOST,
        issued_at=NOW,
        expires_at=NOW + timedelta(days=1),
        disclosable=disclosable,
        random=random,
    )


def verify(presentation):
    return sd_jwt.verify(
        presentation, [ISSUER.public_key], credential_type=TYPE, issuer=HOST, at=NOW, leeway=timedelta(seconds=60)
    )


@given(claims, st.randoms(use_true_random=False), st.data())
def test_exactly_the_chosen_claims_are_shown(disclosable, random, data):
    credential = issue(disclosable, random.randbytes)
    chosen = data.draw(st.sets(st.sampled_from(sorted(disclosable)))) if disclosable else set()
    shown = verify(sd_jwt.present(credential, chosen)).claims
    assert {name: shown[name] for name in chosen} == {name: disclosable[name] for name in chosen}
    assert shown.keys() == chosen | {"iss", "vct", "iat", "exp"}


@given(claims.filter(bool), st.randoms(use_true_random=False), st.data())
@settings(max_examples=200)
def test_a_changed_character_never_shows_another_claim(disclosable, random, data):
    credential = issue(disclosable, random.randbytes)
    at = data.draw(st.integers(0, len(credential) - 1))
    changed = credential[:at] + data.draw(st.characters(codec="utf-8")) + credential[at + 1 :]
    try:
        shown = verify(changed).claims
    except (SignatureInvalid, ClaimInvalid):
        return
    # What still verifies shows nothing that was not signed (a changed last part is no disclosure, and is not asked for).
    assert shown.items() <= (disclosable | verify(credential).claims).items() or changed == credential


@given(st.text(max_size=200))
def test_whatever_is_read_as_a_claim_is_refused_as_a_signature_error(text):
    for candidate in (text, f"{text}~", f"{text}.{text}.{text}~{text}~"):
        try:
            verify(candidate)
        except SignatureError:
            continue
        raise AssertionError(candidate)
