"""Data Integrity proofs of the suite eddsa-rdfc-2022: Ed25519 over the meaning of a JSON-LD document.

What is signed is the RDF that the document says, in canonical form (RDFC-1.0), so that neither the order of its members
nor its spaces matter. Contexts are never fetched: the caller gives those it knows. A member that the contexts do not
define would say nothing in RDF and so be left unsigned; such a document is refused, both when signing and verifying.

Source: W3C Verifiable Credential Data Integrity 1.0, sections 4.2 to 4.4; Data Integrity EdDSA Cryptosuites 1.0,
section 3.2; RDF Dataset Canonicalization 1.0; Controlled Identifiers 1.0, section 2.2.2 (Multikey).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from pyoxigraph import CanonicalizationAlgorithm, Dataset, RdfFormat, parse, serialize

from pod_server.signatures import base64url
from pod_server.signatures.errors import SignatureInvalid
from pod_server.signatures.keys import PublicKey, SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

SUITE = "eddsa-rdfc-2022"
PROOF_TYPE = "DataIntegrityProof"
PURPOSE = "assertionMethod"

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519_PUBLIC = b"\xed\x01"
"""The multicodec prefix of an Ed25519 public key."""

_NOWHERE = "https://relative.invalid/"
"""The base of relative IRIs, so that they are seen; without a base a parser drops them, and so nobody would sign them."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*\Z")
_SIGNATURE_BYTES = 64
_MOST_TEXT = 200
_PROOF_MEMBERS = {"type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue"}
_KEYWORDS = {"@id", "@type", "@value", "@language", "@list", "@set", "@context"}

Document = dict[str, Any]


def sign(
    document: Mapping[str, Any],
    key: SigningKey,
    *,
    verification_method: str,
    created: datetime,
    contexts: Mapping[str, Any],
) -> Document:
    """The document with a proof added.

    Args:
        document: JSON-LD whose `@context` is the IRI of a known context, or several of them; without a proof.
        key: An Ed25519 key.
        verification_method: The IRI by which verifiers know the key.
        created: When the proof is made.
        contexts: Context IRI → its value.

    Raises:
        SignatureInvalid: the document holds a member that its contexts do not define, or names an unknown context.
    """
    if key.algorithm != "EdDSA":
        raise ValueError("eddsa-rdfc-2022 signs with an Ed25519 key")
    options = {
        "type": PROOF_TYPE,
        "cryptosuite": SUITE,
        "created": created.isoformat().replace("+00:00", "Z"),
        "verificationMethod": verification_method,
        "proofPurpose": PURPOSE,
    }
    signature = key.sign(hash_to_sign(document, options, contexts))
    return {**document, "proof": {**options, "proofValue": base58btc(signature)}}


def verify(document: Mapping[str, Any], keys: Mapping[str, PublicKey], *, contexts: Mapping[str, Any]) -> Document:
    """The document without its proof, once the proof holds.

    Args:
        document: JSON-LD with one proof.
        keys: Verification method IRI → its key, from a source that one trusts.
        contexts: Context IRI → its value.

    Raises:
        SignatureInvalid: the proof is missing, of another suite or purpose, by an unknown key, or does not hold.
    """
    proof = document.get("proof")
    if not isinstance(proof, dict):
        raise SignatureInvalid("The document has no proof, or several.")
    if set(proof) != _PROOF_MEMBERS or not all(isinstance(value, str) for value in proof.values()):
        raise SignatureInvalid("The proof has not exactly the members of a Data Integrity proof.")
    if (proof["type"], proof["cryptosuite"], proof["proofPurpose"]) != (PROOF_TYPE, SUITE, PURPOSE):
        raise SignatureInvalid(f"The proof is not an {SUITE} proof for {PURPOSE}.")
    key = keys.get(proof["verificationMethod"])
    if key is None or key.algorithm != "EdDSA":
        raise SignatureInvalid("The document is signed by a key that is not known here.")
    unsigned = {name: value for name, value in document.items() if name != "proof"}
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    signature = read_base58btc(proof["proofValue"])
    if len(signature) != _SIGNATURE_BYTES:
        raise SignatureInvalid("The proof's value is no Ed25519 signature.")
    key.verify(signature, hash_to_sign(unsigned, options, contexts))
    return unsigned


def hash_to_sign(document: Mapping[str, Any], options: Mapping[str, Any], contexts: Mapping[str, Any]) -> bytes:
    """64 bytes: the hash of the canonical proof options, then that of the canonical document (section 3.2.4)."""
    configuration = {"@context": document.get("@context"), **options}
    return combined_hash(canonical(configuration, contexts), canonical(document, contexts))


def combined_hash(canonical_options: str, canonical_document: str) -> bytes:
    """Two SHA-256 hashes side by side, the proof options' first."""
    return b"".join(hashlib.sha256(text.encode()).digest() for text in (canonical_options, canonical_document))


def canonical(document: Mapping[str, Any], contexts: Mapping[str, Any]) -> str:
    """The document's RDF as canonical N-Quads (RDFC-1.0 with SHA-256).

    Raises:
        SignatureInvalid: not JSON-LD, an unknown context, or a member that no context defines.
    """
    named = document.get("@context")
    names = named if isinstance(named, list) else [named]
    if not names or not all(isinstance(name, str) and name in contexts for name in names):
        raise SignatureInvalid("The document names a context that is not known here.")
    values = [contexts[str(name)] for name in names]
    terms = {term: meaning for value in values for term, meaning in value.items()}
    body = {name: value for name, value in document.items() if name != "@context"}
    _check_members(body, terms)
    try:
        text = json.dumps({"@context": values, **body})
        quads = list(parse(text.encode(), RdfFormat.JSON_LD, base_iri=_NOWHERE))
    except (ValueError, SyntaxError, RecursionError) as error:
        raise SignatureInvalid("The document is not JSON-LD.") from error
    if not quads:
        raise SignatureInvalid("The document says nothing.")
    if any(_NOWHERE in str(part) for quad in quads for part in (quad.subject, quad.predicate, quad.object)):
        raise SignatureInvalid("The document names something that its context does not, by an IRI that is relative.")
    return canonical_quads(quads)


def canonical_quads(quads: Iterable[Any]) -> str:
    """Quads as canonical N-Quads: blank nodes named by RDFC-1.0, lines in code point order."""
    dataset = Dataset(quads)
    dataset.canonicalize(CanonicalizationAlgorithm.RDFC_1_0)
    lines = (serialize(dataset, format=RdfFormat.N_QUADS) or b"").decode().splitlines(keepends=True)
    return "".join(sorted(lines))


def _check_members(value: Any, terms: Mapping[str, Any], depth: int = 0) -> None:
    """Nothing unsaid: every member's name is a term, so that it takes part in what is signed."""
    if depth > 30:
        raise SignatureInvalid("The document is nested too deeply.")
    if isinstance(value, list):
        for each in value:
            _check_members(each, terms, depth + 1)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in terms and (name not in _KEYWORDS or name == "@context"):
                raise SignatureInvalid(f"The member {name[:40]!r} is not defined by the context, so nobody signed it.")
            meaning = terms.get(name)
            if isinstance(meaning, dict) and meaning.get("@container") == "@language":
                _check_languages(each)
            else:
                _check_members(each, terms, depth + 1)
    elif value is None:
        raise SignatureInvalid("A member without a value says nothing, so nobody signed it.")


def _check_languages(value: Any) -> None:
    if not isinstance(value, dict) or not all(
        _LANGUAGE.match(language) and isinstance(text, str) for language, text in value.items()
    ):
        raise SignatureInvalid("A text that is kept by language is not a text for each language.")


def multikey(key: PublicKey) -> str:
    """An Ed25519 public key as a Multikey's `publicKeyMultibase` (`z6Mk…`)."""
    return base58btc(_ED25519_PUBLIC + base64url.read(key.jwk["x"]))


def read_multikey(text: str) -> PublicKey:
    """The key of a `publicKeyMultibase`.

    Raises:
        SignatureInvalid: not an Ed25519 key.
    """
    data = read_base58btc(text)
    if len(data) != 34 or data[:2] != _ED25519_PUBLIC:
        raise SignatureInvalid("The key is not an Ed25519 Multikey.")
    return PublicKey({"kty": "OKP", "crv": "Ed25519", "x": base64url.write(data[2:])})


def base58btc(data: bytes) -> str:
    """Bytes in multibase's base58btc form, with its `z` (Controlled Identifiers 1.0, section 2.4)."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "z" + _ALPHABET[0] * zeros + text


def read_base58btc(text: str) -> bytes:
    """The bytes of a text that `base58btc` made.

    Raises:
        SignatureInvalid: another base, alphabet, or far too long.
    """
    if not text.startswith("z") or not 1 < len(text) <= _MOST_TEXT or not set(text[1:]) <= set(_ALPHABET):
        raise SignatureInvalid("The text is not in base58btc.")
    number = 0
    for character in text[1:]:
        number = number * 58 + _ALPHABET.index(character)
    zeros = len(text) - 1 - len(text[1:].lstrip(_ALPHABET[0]))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
