"""Signs reports: Ed25519 (RFC 8032), by a key derived from PRX_EMAIL_ENCRYPTION_KEYS by HKDF (RFC 5869).

Anybody with the public key can verify a report without a secret. The first encryption key signs; after a rotation,
reports signed by a former key are still accepted while that key is in the list.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"prx-email: signature of reports of completeness"


def canonical(report: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: JSON in ASCII, with sorted keys and no spaces."""
    return json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def sign(report: dict[str, Any]) -> dict[str, Any]:
    """The report with its Ed25519 signature and public key, both in Base64, by the first of the encryption keys."""
    key = _private(settings.ENCRYPTION_KEYS[0])
    return {
        "report": report,
        "algorithm": "Ed25519",
        "public_key": _public_text(key),
        "signature": base64.b64encode(key.sign(canonical(report))).decode("ascii"),
    }


def fault_of(document: object, public_key: str | None = None) -> str:
    """Why this document's signature is not valid, as a sentence; "" when it is valid.

    `public_key`: the key that must have signed it, in base64; None: any key of this installation.
    """
    if not isinstance(document, dict) or not isinstance(document.get("report"), dict):
        return "It is no signed report."
    wanted = public_keys() if public_key is None else [public_key]
    if document.get("public_key") not in wanted:
        return "It was signed by another key."
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(document["public_key"], validate=True))
        key.verify(base64.b64decode(str(document.get("signature", "")), validate=True), canonical(document["report"]))
    except (ValueError, InvalidSignature):  # binascii.Error is a ValueError
        return "It was changed after it was signed."
    return ""


def public_keys() -> list[str]:
    """The public keys of this installation, in base64; the first one's private key signs new reports."""
    return [_public_text(_private(key)) for key in settings.ENCRYPTION_KEYS]


def _private(encryption_key: str) -> Ed25519PrivateKey:
    derived = HKDF(SHA256(), length=32, salt=None, info=PURPOSE).derive(base64.urlsafe_b64decode(encryption_key))
    return Ed25519PrivateKey.from_private_bytes(derived)


def _public_text(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")
