"""Reads the message in opaque signed S/MIME, and its signers as stated (RFC 8551, RFC 5652 section 5). Pure.

Nothing is verified: neither certificates nor digests. Encrypted messages are not opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime", "application/pkcs7-signature-mime")
MAX_BYTES = 20_000_000  # of the part, encoded
MAX_SIGNERS = 5
MAX_NAME = 200  # characters
_MAX_INDEFINITE = 20  # nested BER items of indefinite length; each costs another pass over its content


@dataclass(frozen=True)
class Signed:
    """A signed message: its bytes, and the signers' names as in their certificates."""

    content: bytes
    signers: tuple[str, ...]


def read(octets: bytes) -> Signed | None:
    """The message within signed-data. None if it is encrypted, the signature is detached, or the data is damaged."""
    if octets[:1] != b"\x30" or octets[:200].count(b"\x80") > _MAX_INDEFINITE:
        return None
    from asn1crypto import cms  # imported here as it is rarely needed and slow to import

    try:
        outer = cms.ContentInfo.load(octets)
        if outer["content_type"].native != "signed_data":
            return None
        signed = outer["content"]
        content = signed["encap_content_info"]["content"].native
        if not isinstance(content, bytes):
            return None
        return Signed(content, tuple(dict.fromkeys(_signers(signed))))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        return None


def _signers(signed: Any) -> list[str]:
    """The names in the certificates that the signatures refer to; "" for a missing or unreadable certificate."""
    certificates = [each.chosen for each in signed["certificates"] if each.name == "certificate"][:50]
    names = []
    for info in list(signed["signer_infos"])[:MAX_SIGNERS]:
        try:
            stated = info["sid"]
            if stated.name == "issuer_and_serial_number":
                serial = stated.chosen["serial_number"].native
                own = [each for each in certificates if each.serial_number == serial]
            else:
                own = [each for each in certificates if each.key_identifier == stated.chosen.native]
            names.append(_name(own[0]) if own else "")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
            names.append("")
    return names


def _name(certificate: Any) -> str:
    subject = certificate.subject.native
    name = subject.get("common_name") or subject.get("organization_name") or ""
    addresses = [*certificate.subject_alt_name_value.native] if certificate.subject_alt_name_value else []
    address = subject.get("email_address") or next((each for each in addresses if "@" in str(each)), "")
    stated = f"{name} <{address}>" if name and address else str(name or address)
    return " ".join(stated.split())[:MAX_NAME]
