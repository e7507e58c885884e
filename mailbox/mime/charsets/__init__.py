"""Decodes the bytes of mail to text: charsets and encoded words. Pure, bounded, raises nothing.

- `decoding`: bytes by the stated charset, else as UTF-8, else by detection; text that a database can store; unfolding;
- `encoded_words` (RFC 2047);
- `labels`: from a charset's name, as senders write it, to its codec;
- `self_declared`: charsets that are recognised by byte order marks, NULs or escapes;
- `detection`: the most likely charset of other text;
- `japanese`, `chinese`, `cns11643` (EUC-TW, ISO-2022-CN), `vietnamese`: what Python's codecs lack or read incompletely.
"""

from mailbox.mime.charsets.decoding import (
    cut,
    decode_text,
    detecting_seldom,
    header_text,
    html_charset,
    is_plain_ascii,
    is_utf8,
    storable,
    unfold,
)
from mailbox.mime.charsets.encoded_words import decode_words

__all__ = [
    "cut",
    "decode_text",
    "decode_words",
    "detecting_seldom",
    "header_text",
    "html_charset",
    "is_plain_ascii",
    "is_utf8",
    "storable",
    "unfold",
]
