"""Published vectors of eddsa-rdfc-2022: canonical form, hashes, signature, byte for byte.

Source: W3C vc-di-eddsa, TestVectors (keyPair.json; eddsa-rdfc-2022; eddsa-rdfc-2022/employ), Data Integrity EdDSA
Cryptosuites 1.0, appendix B.1. The terms of the contexts that the alumni credential uses are written out below, since
contexts are never fetched.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from pyoxigraph import BlankNode, RdfFormat, parse

from pod_server.signatures import data_integrity
from pod_server.signatures.errors import SignatureInvalid
from pod_server.signatures.keys import SigningKey

PUBLIC = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
PRIVATE = "z3u2en7t5LR2WtQH5PfFqMqwVHBeXouLzo6haApm8XHqvjxq"
METHOD = f"https://vc.example/issuers/5678#{PUBLIC}"

CREDENTIALS = "https://www.w3.org/2018/credentials#"
SECURITY = "https://w3id.org/security#"
CONTEXTS = {
    "https://www.w3.org/ns/credentials/v2": {
        "id": "@id",
        "type": "@type",
        "VerifiableCredential": CREDENTIALS + "VerifiableCredential",
        "name": "https://schema.org/name",
        "description": "https://schema.org/description",
        "issuer": {"@id": CREDENTIALS + "issuer", "@type": "@id"},
        "validFrom": {"@id": CREDENTIALS + "validFrom", "@type": "http://www.w3.org/2001/XMLSchema#dateTime"},
        "credentialSubject": {"@id": CREDENTIALS + "credentialSubject", "@type": "@id"},
        "DataIntegrityProof": SECURITY + "DataIntegrityProof",
        "cryptosuite": {"@id": SECURITY + "cryptosuite", "@type": SECURITY + "cryptosuiteString"},
        "created": {"@id": "http://purl.org/dc/terms/created", "@type": "http://www.w3.org/2001/XMLSchema#dateTime"},
        "verificationMethod": {"@id": SECURITY + "verificationMethod", "@type": "@id"},
        "proofPurpose": {"@id": SECURITY + "proofPurpose", "@type": "@vocab"},
        "assertionMethod": SECURITY + "assertionMethod",
    },
    "https://www.w3.org/ns/credentials/examples/v2": {
        "AlumniCredential": "https://www.w3.org/ns/credentials/examples#AlumniCredential",
        "alumniOf": "https://www.w3.org/ns/credentials/examples#alumniOf",
    },
}

SIGNED = json.loads("""{
  "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
  "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
  "type": ["VerifiableCredential", "AlumniCredential"],
  "name": "Alumni Credential",
  "description": "A minimum viable example of an Alumni Credential.",
  "issuer": "https://vc.example/issuers/5678",
  "validFrom": "2023-01-01T00:00:00Z",
  "credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"},
  "proof": {
    "type": "DataIntegrityProof",
    "cryptosuite": "eddsa-rdfc-2022",
    "created": "2023-02-24T23:36:38Z",
    "verificationMethod": "https://vc.example/issuers/5678#z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2",
    "proofPurpose": "assertionMethod",
    "proofValue": "z21EVs3eXERqTn4acNHT9viboqgzUaQ3kTmhPT3eA8qrVPE7CrQq78WkzctnMX5W4CrzcKnHw8V6dvy5pgWYCU5e9"
  }
}""")
COMBINED = "4c4d3890a157f8d611b13c265c2c22f39aa0a567c7c7dd9ba3e45cd579784eeb517744132ae165a5349155bef0bb0cf2258fff99dfe1dbd914b938d775a36017"

EMPLOYMENT = """\
<did:key:zDnaegE6RR3atJtHKwTRTWHsJ3kNHqFwv7n9YjTgmU7TyfU76> <https://schema.org/image> <data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVQIW2NgUPr/HwADaAIhG61j/AAAAABJRU5ErkJggg==> .
_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://w3id.org/citizenship#EmploymentAuthorizationDocumentCredential> .
_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://www.w3.org/2018/credentials#VerifiableCredential> .
_:c14n0 <https://schema.org/description> "Example Employment Authorization Document." .
_:c14n0 <https://schema.org/name> "Employment Authorization Document" .
_:c14n0 <https://www.w3.org/2018/credentials#credentialSubject> _:c14n1 .
_:c14n0 <https://www.w3.org/2018/credentials#issuer> <did:key:zDnaegE6RR3atJtHKwTRTWHsJ3kNHqFwv7n9YjTgmU7TyfU76> .
_:c14n0 <https://www.w3.org/2018/credentials#validFrom> "2019-12-03T00:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime> .
_:c14n0 <https://www.w3.org/2018/credentials#validUntil> "2029-12-03T00:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime> .
_:c14n1 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://schema.org/Person> .
_:c14n1 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://w3id.org/citizenship#EmployablePerson> .
_:c14n1 <https://schema.org/additionalName> "JACOB" .
_:c14n1 <https://schema.org/birthDate> "1999-07-17"^^<http://www.w3.org/2001/XMLSchema#dateTime> .
_:c14n1 <https://schema.org/familyName> "SMITH" .
_:c14n1 <https://schema.org/gender> "Male" .
_:c14n1 <https://schema.org/givenName> "JOHN" .
_:c14n1 <https://schema.org/image> <data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVQIW2Ng+M/wHwAEAQH/7yMK/gAAAABJRU5ErkJggg==> .
_:c14n1 <https://w3id.org/citizenship#birthCountry> "Bahamas" .
_:c14n1 <https://w3id.org/citizenship#employmentAuthorizationDocument> _:c14n2 .
_:c14n1 <https://w3id.org/citizenship#residentSince> "2015-01-01"^^<http://www.w3.org/2001/XMLSchema#dateTime> .
_:c14n2 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://w3id.org/citizenship#EmploymentAuthorizationDocument> .
_:c14n2 <https://schema.org/identifier> "83627465" .
_:c14n2 <https://w3id.org/citizenship#lprCategory> "C09" .
_:c14n2 <https://w3id.org/citizenship#lprNumber> "999-999-999" .
"""

EMPLOYMENT_HASH = "03f59e5b04ab575b1172cb684f22eede72f0e9033e0b5c67d0e2506768d6ce11"


@pytest.fixture(scope="module")
def key():
    private = data_integrity.read_base58btc(PRIVATE)
    assert private[:2] == b"\x80\x26"  # the multicodec prefix of an Ed25519 private key
    return SigningKey.ed25519(private[2:])


def test_the_published_key_pair_is_one(key):
    assert data_integrity.multikey(key.public_key) == PUBLIC
    assert data_integrity.read_multikey(PUBLIC).jwk["x"] == key.public_jwk["x"]


def test_the_published_hashes_come_of_the_published_credential():
    unsigned = {name: value for name, value in SIGNED.items() if name != "proof"}
    options = {name: value for name, value in SIGNED["proof"].items() if name != "proofValue"}
    assert data_integrity.hash_to_sign(unsigned, options, CONTEXTS).hex() == COMBINED


def test_the_published_signature_comes_of_the_published_key(key):
    assert data_integrity.base58btc(key.sign(bytes.fromhex(COMBINED))) == SIGNED["proof"]["proofValue"]


def test_the_published_signed_credential_verifies(key):
    assert "proof" not in data_integrity.verify(SIGNED, {METHOD: key.public_key}, contexts=CONTEXTS)


def test_the_published_canonical_document_has_the_published_hash():
    assert hashlib.sha256(EMPLOYMENT.encode()).hexdigest() == EMPLOYMENT_HASH


def test_the_published_canonical_form_is_found_again_from_other_names_and_order():
    quads = list(parse(EMPLOYMENT.encode(), RdfFormat.N_QUADS))
    assert any(isinstance(quad.subject, BlankNode) for quad in quads)
    renamed = EMPLOYMENT.replace("c14n0", "z").replace("c14n1", "y").replace("c14n2", "x").splitlines(keepends=True)
    shuffled = parse("".join(reversed(renamed)).encode(), RdfFormat.N_QUADS)
    assert data_integrity.canonical_quads(shuffled) == EMPLOYMENT


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Alumni credential"},
        {"description": ""},
        {"credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "Another School"}},
        {"unsaid": "a member that no context defines"},
        {"@context": "https://www.w3.org/ns/credentials/v2"},
        {"@context": ["https://attacker.example/context"]},
        {"@context": []},
        {"name": None},
        {"type": [*SIGNED["type"], "Undefined"]},
        {"issuer": ["https://vc.example/issuers/5678", "relative"]},
        {"proof": None},
        {"proof": [SIGNED["proof"]]},
        {"proof": SIGNED["proof"] | {"created": "2024-02-24T23:36:38Z"}},
        {"proof": SIGNED["proof"] | {"proofPurpose": "authentication"}},
        {"proof": SIGNED["proof"] | {"cryptosuite": "eddsa-jcs-2022"}},
        {"proof": SIGNED["proof"] | {"verificationMethod": "https://vc.example/issuers/5678#other"}},
        {"proof": SIGNED["proof"] | {"proofValue": "z1"}},
        {"proof": SIGNED["proof"] | {"proofValue": "u" + SIGNED["proof"]["proofValue"]}},
        {"proof": SIGNED["proof"] | {"domain": "https://elsewhere.example"}},
    ],
)
def test_whatever_is_changed_the_proof_no_longer_holds(key, change):
    with pytest.raises(SignatureInvalid):
        data_integrity.verify({**SIGNED, **change}, {METHOD: key.public_key}, contexts=CONTEXTS)


def test_order_and_spaces_of_the_document_do_not_matter(key):
    turned = dict(reversed(list(SIGNED.items()))) | {"type": list(reversed(SIGNED["type"]))}
    assert data_integrity.verify(turned, {METHOD: key.public_key}, contexts=CONTEXTS)


def test_an_es256_key_cannot_make_such_a_proof():
    with pytest.raises(ValueError, match="Ed25519"):
        data_integrity.sign(
            {}, SigningKey.es256(b"s" * 48), verification_method=METHOD, created=None, contexts=CONTEXTS
        )
