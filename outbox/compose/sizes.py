"""How large a mail and a request that carries one may be: as large as the attachment policy makes them. Pure."""

from __future__ import annotations

BASE64_LINE = 57  # bytes, which become 76 characters and CRLF (RFC 2045 6.8)
MAX_SUBJECT = 900  # characters; some servers refuse longer header fields
TEXTS = 10 * 1024 * 1024  # bytes of header, texts and smaller attachments beside the largest attachment


def largest_mail(max_size_bytes: int) -> int:
    """The bytes of a mail with an attachment of the largest size that the policy allows."""
    return -(-max_size_bytes // BASE64_LINE) * 78 + TEXTS


def largest_request(max_size_bytes: int) -> int:
    """The bytes of a request with such a mail in base64."""
    return -(-largest_mail(max_size_bytes) // 3) * 4
