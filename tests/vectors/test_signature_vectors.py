"""Signatures against published vectors: RFC 7638, RFC 8037, RFC 9901, and the C2SP signed note."""

from __future__ import annotations

from pod_server.log.checkpoint import Checkpoint, VerifierKey, sign_checkpoint, verifier_key, verify_checkpoint
from pod_server.signatures import PublicKey, SigningKey, base64url, thumbprint, verify_jws
from pod_server.signatures.sd_jwt import disclosure, disclosure_digest

RFC8037_PRIVATE = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC8037_PUBLIC = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def test_thumbprint_of_rfc_8037_appendix_a_3():
    assert thumbprint(RFC8037_PUBLIC) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_ed25519_signature_of_rfc_8037_appendix_a_4():
    key = SigningKey.ed25519(base64url.read(RFC8037_PRIVATE))
    assert key.public_jwk["x"] == RFC8037_PUBLIC["x"]
    signing_input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    published = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    assert base64url.write(key.sign(signing_input)) == published
    PublicKey(RFC8037_PUBLIC).verify(base64url.read(published), signing_input)


def test_disclosure_of_rfc_9901_section_5_1():
    text = disclosure("2GLC42sKQveCfGfryNRN9w", "given_name", "John")
    assert text == "WyIyR0xDNDJzS1F2ZUNmR2ZyeU5STjl3IiwgImdpdmVuX25hbWUiLCAiSm9obiJd"
    assert disclosure_digest(text) == "jsu9yVulwQQlhFlM_3JlzMaSFzglhQG0DpfayQwLUK4"


def test_es256_signature_of_rfc_7515_appendix_a_3():
    """The published signature verifies under the published key (its `typ` is absent, so the key is asked itself)."""
    key = PublicKey(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    )
    signing_input = (
        b"eyJhbGciOiJFUzI1NiJ9."
        b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    key.verify(
        base64url.read("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"),
        signing_input,
    )


def test_the_published_note_verifies():
    """The note of golang.org/x/mod/sumdb/note, which the C2SP signed note describes."""
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    published_key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    key = VerifierKey.decode(published_key)
    assert key.encoded() == published_key
    body, _, line = note.rpartition("\n\n")
    import base64

    signature = base64.b64decode(line.split(" ")[2])
    assert signature[:4] == key.key_id
    public_key = PublicKey({"kty": "OKP", "crv": "Ed25519", "x": base64url.write(key.public_key)})
    public_key.verify(signature[4:], (body + "\n").encode())


def test_checkpoint_round_trips_in_the_published_form():
    """The checkpoint of c2sp.org/tlog-checkpoint, its three lines and its signature line."""
    key = SigningKey.ed25519(base64url.read(RFC8037_PRIVATE))
    import base64

    root = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    checkpoint = Checkpoint("example.com/behind-the-sofa", 20852163, root)
    note = sign_checkpoint(checkpoint, key)
    assert note.startswith(
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa "
    )
    assert verify_checkpoint(note, [verifier_key(checkpoint.origin, key)]) == checkpoint


def test_a_jws_made_here_is_read_by_another_library():
    from joserfc import jws
    from joserfc.jwk import ECKey

    from pod_server.signatures import sign_jws

    key = SigningKey.es256(bytes(range(48)))
    token = sign_jws(key, {"sub": "s-1"}, typ="at+jwt")
    opened = jws.deserialize_compact(token, ECKey.import_key(key.public_jwk), algorithms=["ES256"])
    assert opened.payload == b'{"sub":"s-1"}'
    signed_there = jws.serialize_compact(
        {"alg": "ES256", "typ": "at+jwt"}, b'{"sub":"s-2"}', ECKey.import_key(key.private_jwk())
    )
    assert verify_jws(signed_there, [key.public_key], typ="at+jwt").payload == {"sub": "s-2"}
