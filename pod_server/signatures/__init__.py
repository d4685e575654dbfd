"""What the house signs and verifies: keys, JWS, SD-JWT claims, pairwise subjects."""

from pod_server.signatures.errors import ClaimInvalid, SignatureError, SignatureInvalid
from pod_server.signatures.jws import VerifiedJws, sign_jws, verify_jws
from pod_server.signatures.keys import (
    PublicKey,
    SigningKey,
    consent_receipt_key,
    issuer_key,
    log_checkpoint_key,
    thumbprint,
    webhook_proof_key,
)
from pod_server.signatures.pairwise import pairwise_name, pairwise_subject

__all__ = [
    "ClaimInvalid",
    "PublicKey",
    "SignatureError",
    "SignatureInvalid",
    "SigningKey",
    "VerifiedJws",
    "consent_receipt_key",
    "issuer_key",
    "log_checkpoint_key",
    "pairwise_name",
    "pairwise_subject",
    "sign_jws",
    "thumbprint",
    "verify_jws",
    "webhook_proof_key",
]
