"""Bytes to text as mail means it: charsets, encoded words, flowed text, the charset that an HTML body states. Pure."""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby
from operator import itemgetter

from mailbox.mime import base64_content, charset_labels, charset_marks, detection
from mailbox.mime.charset_labels import codec_for
from mailbox.mime.japanese import decode_euc_jp, decode_iso_2022_jp

_ASCII_AND_MORE = {"utf-8", "cp1252"}  # sets in which ASCII is itself
_LOOKED_AT = 4_000  # bytes
_HTML_HEAD = 16_000  # bytes, style sheets among them
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")
MAX_DETECTIONS = 100  # of one message
# What was looked at -> the codec it looks like, of the message that is being read.
_detections: ContextVar[dict[bytes, str | None] | None] = ContextVar("detections", default=None)
_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32"}  # of two or four octets a letter
# How many octets that only UTF-8 needs must be there before text under another label is taken for UTF-8: two letters of
# these may look like one of UTF-8 by chance. A single one in the others is two letters that no word has side by side.
_BY_CHANCE = {"gb18030", "big5hkscs", "cp949", "cp932", charset_labels.EUC_JP, "euc_tw", "johab", "cp874", "cp1256"}
_LEAST_UTF8 = 4

_SURROGATE = re.compile("[\ud800-\udfff]")  # utf-7 writes them
_TRUE_LETTER = re.compile("[^\x00-\x7f\ufffd]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL refuses NUL, SQLite lone surrogates
_CONTROLS = re.compile("[\x01-\x1f\x7f\u2028\u2029]+")
# These write letters backwards, also those behind them: no language needs them, names are forged with them.
_OVERRIDES = re.compile("[\u202d\u202e]")
_FOLD = re.compile(r"(?<![ \t])[ \t]*+(?:\r\n|\r|\n)[ \t]*+")
# The text of a word may hold spaces although RFC 2047 forbids it: Outlook and others send them.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?((?:[^?=]|=(?!\?[^\s=])|\?(?!=))*+)\?=")
_CUT_WORD = re.compile(
    r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\s]*+)\??\Z"
)  # some programs cut a long name, its word's end with it
_FOLD_IN_ESCAPE = re.compile(rb"(=[0-9A-Fa-f]?)\r?\n[ \t]+(?=[0-9A-Fa-f])")
_FOLD_IN_WORD = re.compile(rb"\r?\n[ \t]*|\r")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")
_META_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.I)


def storable(text: str) -> str:
    """The text with what a database cannot hold, NUL and lone surrogates, as U+FFFD."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return _UNSTORABLE.sub("\ufffd", text)


def decode_text(octets: bytes, label: str = "") -> tuple[str, bool]:
    """The text in `octets`, and whether its label (a charset) told the truth; an absent label is no lie.

    The label is tried first, then UTF-8, which is hardly ever right by chance, then the label again if it reads most of
    it: one broken character must not turn a Chinese mail to noise. Then what its letters look like; then windows-1252.
    """
    if wide := charset_marks.wide_codec(octets):
        return _decoded(octets, wide, "replace") or "", True
    codec_name = codec_for(label) if label else "utf-8"
    if codec_name in _ASCII_AND_MORE and octets.isascii() and b"\x1b" not in octets:  # most mail
        return octets.decode("ascii"), True
    if codec_name != "utf-8" and (text := _utf8_under(codec_name, octets)) is not None:
        return text, False
    if codec_name in _ASCII_AND_MORE or codec_name is None:
        codec_name = charset_marks.escaped_codec(octets) or codec_name
    truthful = bool(codec_for(label)) if label else True
    if codec_name:
        text = _decoded(octets, codec_name, "strict")
        if text is not None:
            return text, truthful
        truthful = not label
        if codec_name == charset_labels.ISO_2022_JP and charset_marks.JIS_ESCAPE.search(
            octets
        ):  # all of it is ASCII to others
            return decode_iso_2022_jp(octets), False
    text = _decoded(octets, "utf-8", "strict")
    if text is not None:
        return text, truthful
    if codec_name and codec_name not in _ASCII_AND_MORE:
        lossy = _decoded(octets, codec_name, "replace")
        if lossy is not None and lossy.count("\ufffd") <= max(2, len(lossy) // 20):
            return lossy, False
    lossy = octets.decode("utf-8", "replace")
    if lossy.count("\ufffd") * 3 <= len(_TRUE_LETTER.findall(lossy)):
        return lossy, False
    return (detected(octets) or octets.decode("cp1252", "replace")), truthful


def _utf8_under(codec: str | None, octets: bytes) -> str | None:
    """The text of UTF-8 that bears another label, a common lie; None of what is hardly UTF-8."""
    if octets.isascii() and codec not in _WIDE:
        return None
    text = None if codec in _WIDE and b"\0" in octets[:_LOOKED_AT] else _decoded(octets, "utf-8", "strict")
    least = _LEAST_UTF8 if codec in _BY_CHANCE else 0
    return text if text is not None and len(octets) - len(text) >= least else None


def _decoded(octets: bytes, codec: str, errors: str) -> str | None:
    if codec in charset_labels.JAPANESE:
        text = (decode_iso_2022_jp if codec == charset_labels.ISO_2022_JP else decode_euc_jp)(octets)
        return None if errors == "strict" and "\ufffd" in text else text
    try:
        text = octets.decode(codec, errors)
    except (LookupError, UnicodeError, ValueError):
        return _cesu(octets) if codec == "utf-8" and b"\xed" in octets else None
    return None if errors == "strict" and _SURROGATE.search(text) else text


def _cesu(octets: bytes) -> str | None:
    """UTF-8 with letters in halves (CESU-8), as Java, Oracle and MySQL write what lies above U+FFFF."""
    try:
        halves = octets.decode("utf-8", "surrogatepass")
        return halves.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeError:
        return None


@contextmanager
def detecting_seldom() -> Iterator[None]:
    """At most MAX_DETECTIONS within, what lies deeper included: each takes a millisecond or more, and a hostile message
    has thousands of names in no charset. Behind them 8-bit text of no charset is read as Latin."""
    if _detections.get() is not None:
        yield
        return
    token = _detections.set({})
    try:
        yield
    finally:
        _detections.reset(token)


def detected(octets: bytes) -> str | None:
    """8-bit text that names no charset, or a wrong one, by the look of its letters; None when that tells nothing."""
    start = _ABOVE_ASCII.search(octets)
    head = octets[max(0, start.start() - 1) :][: detection.LOOKED_AT] if start else b""
    known = _detections.get()
    if known is None or (head not in known and len(known) < MAX_DETECTIONS):
        codec = detection.likeliest(head)
        if known is not None:
            known[head] = codec
    else:
        codec = known.get(head)
    return _decoded(octets, codec_for(codec) or codec, "replace") if codec else None


def html_charset(octets: bytes) -> str:
    """The charset an HTML body states in its own head, or "". Where this can be read, UTF-16 is no truth."""
    found = _META_CHARSET.search(octets[:_HTML_HEAD])
    stated = found[1].decode("ascii") if found else ""
    return "utf-8" if codec_for(stated) in _WIDE else stated


def header_text(value: str, label: str = "") -> str:
    """A raw header value (8-bit as surrogate escapes, as the email package keeps it) as text, folds kept.

    8-bit text is UTF-8 (RFC 6532), else in `label`, the charset of the message's body, else what it looks like.
    """
    if is_plain_ascii(value):
        return value
    try:
        octets = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return storable(value)
    text = None if charset_marks.escaped_codec(octets) else _decoded(octets, "utf-8", "strict")
    return storable(decode_text(octets, label)[0] if text is None else text)


def is_plain_ascii(value: str) -> bool:
    """Whether a raw header value stands for itself: ASCII without the escapes of ISO 2022."""
    return value.isascii() and "\x1b$" not in value


def is_utf8(value: str) -> bool:
    """Whether a raw header value is ASCII or UTF-8, and so needs no guess."""
    if value.isascii():
        return is_plain_ascii(value)
    try:
        value.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return False
    return True


def unfold(value: str) -> str:
    """One line: RFC 5322 folds and what else is a control character become one space, NUL U+FFFD."""
    if value.isascii() and value.isprintable():
        return value.strip()
    return storable(_OVERRIDES.sub("", _CONTROLS.sub(" ", _FOLD.sub(" ", value))).strip())


def decode_words(value: str) -> str:
    """RFC 2047 encoded words decoded wherever they stand, also where the RFC forbids them, as mail clients do.

    Adjacent words of one charset are joined before decoding: senders split characters between them.
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
    return decode_text(_words_octets(encoded, charset), charset)[0].removeprefix("\ufeff")


def _words_octets(encoded: list[tuple[str, str]], codec: str) -> bytes:
    """The octets of adjacent words of one charset. Some senders cut within an escape or a group of base64."""
    found: list[bytes] = []
    for encoding, run in groupby(encoded, key=itemgetter(0)):
        texts = [text.encode("utf-8", "surrogateescape") for _, text in run]
        if encoding == "q":
            unfolded = _FOLD_IN_WORD.sub(b" ", _FOLD_IN_ESCAPE.sub(rb"\1", b"".join(texts)))
            found.append(binascii.a2b_qp(unfolded, header=True))
        else:
            found.append(_base64_words(texts, codec))
    return b"".join(found)


def _base64_words(texts: list[bytes], codec: str) -> bytes:
    apart = b"".join(map(base64_content.decode_damaged, texts))
    if not any(len(text) % 4 for text in texts[:-1]):
        return apart
    joined = base64_content.decode_damaged(b"".join(texts))
    are_apart = sum(map(len, texts)) % 4 != 0 and _decoded(apart, codec, "strict") is not None
    return apart if are_apart or _decoded(joined, codec, "strict") is None else joined


def normal_words(value: str) -> str:
    """Each run of encoded words written anew as one UTF-8 word: no charset is left for the next reader to miss."""
    if "=?" not in value:
        return value
    value = _BETWEEN_WORDS.sub("", value)

    def rewritten(run: re.Match[str]) -> str:
        text = _CONTROLS.sub(" ", decode_words(run[0]))
        return f"=?utf-8?B?{binascii.b2a_base64(text.encode(), newline=False).decode()}?="

    return re.sub(f"(?:{_WORD.pattern})+", rewritten, value)


def unwrap_flowed(text: str, *, delete_space: bool) -> str:
    """format=flowed text (RFC 3676) with its soft line breaks taken out, quote marks kept as ">" and a space."""
    shown = io.StringIO(newline="\n")  # a list of millions of short lines takes fifty times their room
    open_depth: int | None = None  # quote depth of the paragraph the last line may still go on
    for count, line in enumerate(io.StringIO(text, newline="\n")):
        line = line.removesuffix("\n")
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")  # space-stuffing, section 4.4
        is_signature = content == "-- "
        is_flowed = content.endswith(" ") and not is_signature
        if is_flowed and delete_space:
            content = content[:-1]
        if open_depth != depth or is_signature:
            shown.write(("\n" if count else "") + (">" * depth + " " if depth else ""))
        shown.write(content)
        open_depth = depth if is_flowed else None
    return shown.getvalue()
