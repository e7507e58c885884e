"""Decodes encoded words in header fields (RFC 2047). Pure, linear in time for any text."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from mailbox.mime import base64_content
from mailbox.mime.charsets.decoding import decode_text, decoded, storable
from mailbox.mime.charsets.labels import codec_for

# A word may contain spaces, although RFC 2047 forbids it: Outlook and others send them.
_WORD = re.compile(r"=\? ?([^?\s]{1,60}) ?\? ?([bBqQ]) ?\?((?:[^?=]|=(?!\? ?[^\s=])|\?(?!=)|(?!))*+)\?=")
_CUT_WORD = re.compile(
    r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\s]*+)\??\Z"
)  # some programs truncate a long name, including the end of its encoded word
_FOLD_IN_ESCAPE = re.compile(rb"(=[0-9A-Fa-f]?)\r?\n[ \t]+(?=[0-9A-Fa-f])")
_FOLD_IN_WORD = re.compile(rb"\r?\n[ \t]*|\r")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")


def decode_words(value: str) -> str:
    """Decode encoded words (RFC 2047) in a field's text, also in places where the RFC forbids them, as mail clients do.

    Adjacent words of one charset are joined before decoding, as some senders split a character between two words.
    """
    if "=?" not in value:
        return value
    value = _BETWEEN_WORDS.sub("", value)
    pieces: list[str] = []
    pending: list[tuple[str, str]] = []
    charset = ""
    end = 0
    for word in _words(value):
        label = word[1].split("*")[0].lower()  # RFC 2231 section 5: a language after "*"
        label = codec_for(label) or label
        if pending and (word.start() != end or label != charset):
            pieces.append(_words_text(pending, charset))
            pending = []
        pieces.append(value[end : word.start()])
        charset = label
        pending.append((word[2].lower(), word[3]))
        end = word.end()
    if pending:
        pieces.append(_words_text(pending, charset))
    pieces.append(value[end:])
    return storable("".join(pieces))


def _words(value: str) -> Iterator[re.Match[str]]:
    end = 0
    for word in _WORD.finditer(value):
        yield word
        end = word.end()
    cut = _CUT_WORD.search(value, end)
    if cut and codec_for(cut[1]):
        yield cut


def _words_text(encoded: list[tuple[str, str]], charset: str) -> str:
    return decode_text(_words_octets(encoded, charset), charset)[0].replace("\ufeff", "")  # a mark in each word


def _words_octets(encoded: list[tuple[str, str]], codec: str) -> bytes:
    """The octets of adjacent words of one charset. Some senders split inside an escape or a base64 group."""
    found: list[bytes] = []
    for encoding, run in groupby(encoded, key=itemgetter(0)):
        texts = [text.encode("utf-8", "surrogateescape") for _, text in run]
        if encoding == "q":
            unfolded = _FOLD_IN_WORD.sub(b" ", _FOLD_IN_ESCAPE.sub(rb"\1", b"".join(texts)))
            # An encoded word has no soft line break (RFC 2047 section 4.2): "=" at its end is one that was not encoded.
            found.append(binascii.a2b_qp(re.sub(rb"=\Z", b"=3D", unfolded), header=True))
        else:
            found.append(_base64_words(texts, codec))
    return b"".join(found)


def _base64_words(texts: list[bytes], codec: str) -> bytes:
    apart = b"".join(map(base64_content.decode_damaged, texts))
    if not any(len(text) % 4 for text in texts[:-1]):
        return apart
    joined = base64_content.decode_damaged(b"".join(texts))
    are_apart = sum(map(len, texts)) % 4 != 0 and decoded(apart, codec, "strict") is not None
    return apart if are_apart or decoded(joined, codec, "strict") is None else joined
