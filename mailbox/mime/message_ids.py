"""Message-IDs in a field's text, in every form they come in, and Outlook's Thread-Index. Pure.

RFC 5322, 3.6.4: msg-ids between angle brackets, with comments and folds between them. Met as well: no brackets, two of
each, a fold or blank inside, commas between, encoded words around (RFC 2047), a closing bracket cut off.
"""

from __future__ import annotations

import base64
import binascii
import re
from itertools import islice

from mailbox.mime import charsets

MAX_ID = 996  # characters
MAX_IDS = 25_000
_COMMENT = re.compile(r"\([^()<>]*+\)")
_BRACKETED = re.compile(r"<([^<>]{1,1996})(?:>|(?=<))")
_SPACE = re.compile(r"\s++")
_SEPARATOR = re.compile(r"[\s,;]++")
_SCHEME = re.compile(r"\A(?:mailto|mid):", re.I)
_THREAD_ROOT = 22  # octets: a reserved one, five of a time, a GUID (MS-OXOMSG, 2.2.1.3); each answer adds five
_AROUND_INDEX = re.compile(r"[\s<>\"']++")
# As Outlook and others write them in their languages.
_ANSWERS = (
    "re|fw|fwd|aw|wg|sv|vs|vb|tr|rv|res|enc|ref|réf|rif|r|i|ant|antw|antwort|odp|pd|vá|továbbítás|ynt|ilt|i̇lt|bls|trs|doorst|"
    "vl|atb|att|σχετ|πρθ|απ|на|отв|ответ|пересл|відп|תשובה|השב|הועבר|رد|إعادة توجيه|"
    "回复|答复|转发|回覆|轉寄|轉發|返信|転送|회신|전달|답장|trả lời|chuyển tiếp|bals|tl|hs"
)
_ANSWER = re.compile(
    rf"\s*+(?:(?:{_ANSWERS})(?:\[\d{{1,3}}\]|\(\d{{1,3}}\)|\^\d{{1,3}})?\.?\s*+[:\uff1a]|\[[^\[\]]{{1,40}}\](?=\s*+\S))",
    re.I,
)


def read(text: str) -> list[str]:
    """The ids in it, without brackets, in their order. Words without brackets are ids only where none has any, and they
    hold an @."""
    if "=?" in text:
        text = charsets.decode_words(text)
    if "&lt;" in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">")
    if "(" in text:
        text = _COMMENT.sub(" ", text)
    between = (match[1].strip() for match in islice(_BRACKETED.finditer(text), MAX_IDS))
    found = [one for each in between if "@" in each or (each and " " not in each) for one in _apart(each)]
    if not found:
        words = (word.strip("<>[]\"'") for word in _SEPARATOR.split(text))
        found = list(islice((_SCHEME.sub("", word) for word in words if "@" in word[1:-1]), MAX_IDS))
    return [each for each in found if len(each) <= MAX_ID]


def _apart(between: str) -> list[str]:
    """The id between two brackets without its folds; several, where each word is one."""
    words = [word for word in _SEPARATOR.split(between) if word]
    if len(words) > 1 and all("@" in word[1:-1] for word in words):
        return words
    return [_SCHEME.sub("", _SPACE.sub("", between))]


def bare(message_id: str) -> str:
    """A stored Message-ID as others refer to it: the first id in it, else all of it without brackets."""
    return next(iter(read(message_id)), message_id.strip().removeprefix("<").removesuffix(">"))


def thread_root(thread_index: str) -> str:
    """The part of a Thread-Index that all answers share, as hexadecimal digits; "" for what is no such field."""
    letters = _AROUND_INDEX.sub("", thread_index[:4096])  # folded, and in quotes or brackets, by some gateways
    try:
        octets = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return octets[:_THREAD_ROOT].hex() if len(octets) >= _THREAD_ROOT else ""


def topic(subject: str) -> str:
    """The subject without the marks of answers, forwarding, lists and gateways before it, for comparing."""
    start = 0
    while found := _ANSWER.match(subject, start):
        start = found.end()
    return " ".join(subject[start:].split()).casefold()
