"""Reads Message-IDs in a field's text, and Outlook's Thread-Index. Pure.

RFC 5322, 3.6.4: msg-ids in angle brackets, with comments and folds between them. Real mails also have ids without
brackets, with doubled brackets, with a fold or space inside, separated by commas, within encoded words (RFC 2047), or
without the closing bracket.
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
_COMMENT_WITH_ID = re.compile(r"(?:\A|(?<=[\s>]))\((?:[^()<>]|<[^()<>]{1,996}>|(?!))*+\)")
_ENTITIES = {re.compile(r"&(?:lt|#60|#x3c);|%3c", re.I): "<", re.compile(r"&(?:gt|#62|#x3e);|%3e", re.I): ">"}
_BRACKETED = re.compile(r"<([^<>]{1,1996})(?:>|(?=<))")
_SPACE = re.compile(r"\s++")
_SEPARATOR = re.compile(r"[\s,;]++")
_SCHEME = re.compile(r"\A(?:mailto|mid):", re.I)
_THREAD_ROOT = 22  # octets: one reserved, five of the time, 16 of a GUID (MS-OXOMSG, 2.2.1.3); a reply appends five
_AROUND_INDEX = re.compile(r"[\s<>\"']++")
# Prefixes of replies and forwards, as mail programs write them in each language.
_ANSWERS = (
    "re|fw|fwd|aw|wg|sv|vs|vb|tr|rv|res|enc|ref|réf|rif|r|i|ant|antw|antwort|odp|pd|vá|továbbítás|ynt|ilt|i̇lt|bls|trs|doorst|"
    "vl|atb|att|σχετ|πρθ|απ|на|отв|ответ|пересл|відп|תשובה|השב|הועבר|رد|إعادة توجيه|"
    "回复|答复|转发|回覆|轉寄|轉發|返信|転送|회신|전달|답장|trả lời|chuyển tiếp|bals|tl|hs"
)
_MOST_FORWARDS = 5
_FORWARDED = re.compile(r"\A\s*+\[fwd?:([^\[\]]*+)\]\s*+\Z|\s?\(fwd\)\s*+\Z", re.I)
_ANSWER = re.compile(
    rf"\s*+(?:(?:{_ANSWERS})(?:\[\d{{1,3}}\]|\(\d{{1,3}}\)|\^\d{{1,3}})?\.?\s*+[:\uff1a]|\[[^\[\]]{{1,40}}\](?=\s*+\S))",
    re.I,
)


def read(text: str) -> list[str]:
    """The ids in the text, without brackets, in their order.

    Words without brackets count as ids only if the text has no id in brackets, and only if they contain an @.
    """
    if "=?" in text:
        text = charsets.decode_words(text)
    if "&" in text or "%" in text:
        for entity, bracket in _ENTITIES.items():
            text = entity.sub(bracket, text)
    if "(" in text:
        without = _COMMENT_WITH_ID.sub(" ", text)
        text = _COMMENT.sub(" ", without if "@" in without else text)  # "(<id>)" alone is one
    between = (match[1].strip() for match in islice(_BRACKETED.finditer(text), MAX_IDS))
    found = [one for each in between if "@" in each or (each and " " not in each) for one in _apart(each)]
    if not found:
        words = (word.strip("<>[]\"'") for word in _SEPARATOR.split(text))
        found = list(islice((_SCHEME.sub("", word) for word in words if "@" in word[1:-1]), MAX_IDS))
    return [each for each in found if len(each) <= MAX_ID]


def _apart(between: str) -> list[str]:
    """The id between two brackets, without white space; several ids if each word in it is one."""
    words = [word for word in _SEPARATOR.split(between) if word]
    if len(words) > 1 and all("@" in word[1:-1] for word in words):
        return words
    return [_SCHEME.sub("", _SPACE.sub("", between))]


def bare(message_id: str) -> str:
    """A stored Message-ID as In-Reply-To and References write it: its first id, else all of it without brackets."""
    return next(iter(read(message_id)), message_id.strip().removeprefix("<").removesuffix(">"))


def thread_root(thread_index: str) -> str:
    """The part of a Thread-Index that all replies share, in hexadecimal; "" for an invalid field."""
    letters = _AROUND_INDEX.sub("", thread_index[:4096])  # some gateways fold it or add quotes or brackets
    try:
        octets = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return octets[:_THREAD_ROOT].hex() if len(octets) >= _THREAD_ROOT else ""


def topic(subject: str) -> str:
    """The subject without prefixes such as "Re:", "Fwd:" and "[list]", and without "[Fwd: ...]" and "(fwd)" around it
    (RFC 5256 section 2.1), for comparison."""
    for _ in range(_MOST_FORWARDS):
        start = 0
        while found := _ANSWER.match(subject, start):
            start = found.end()
        rest = _FORWARDED.sub(r"\1", subject[start:])
        if rest == subject:
            break
        subject = rest
    return " ".join(subject.split()).casefold()
