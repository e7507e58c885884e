"""Bytes to text as mail means it: charsets and encoded words. Pure, bounded, raises nothing.

- `decoding`: octets by their label, else as UTF-8, else by their look; what a database can hold; one line of a field;
- `encoded_words` (RFC 2047);
- `labels`: a charset's name as senders write it, and its codec;
- `self_declared`: text that says by itself how it is written;
- `detection`: the likeliest charset of text that says nothing; `japanese`: what Python's codecs refuse.
"""

from mailbox.mime.charsets.decoding import (
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
