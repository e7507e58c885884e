"""Decodes bytes to text: by their label (the stated charset), else as UTF-8, else by detection. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from mailbox.mime.charsets import chinese, cns11643, detection, japanese, labels, self_declared, vietnamese
from mailbox.mime.charsets.labels import codec_for

_ASCII_AND_MORE = {"utf-8", "cp1252"}  # supersets of ASCII that most mail uses
_LOOKED_AT = 4_000  # bytes
_LONGEST_LAST_LINE = 1_000  # bytes; looked through where a text is cut
_HTML_HEAD = 16_000  # bytes, style sheets among them
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")
_EIGHT_BIT = bytes(range(0x80, 0x100))
_TWO_ABOVE_ASCII = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")
MAX_DETECTIONS = 100  # of one message
# Bytes -> detected codec, for the message that is being parsed.
_detections: ContextVar[dict[bytes, str | None] | None] = ContextVar("detections", default=None)
_WIDE = {"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"}  # two or four octets per character
# Text with another label that is valid UTF-8 is read as UTF-8. In these codecs two characters may look like one of
# UTF-8 by chance, so the octets must outnumber the characters by at least _LEAST_UTF8. In other codecs one such
# sequence is enough, as it would be two characters that no word has side by side.
_BY_CHANCE = {"gb18030", "big5hkscs", "cp949", "cp932", labels.EUC_JP, labels.EUC_TW, "johab", "cp874", "cp1256"}
_LEAST_UTF8 = 4
_MOST_LINES = 50_000  # that are decoded one by one
# Each returns U+FFFD for what is invalid.
OWN_DECODERS: Mapping[str, Callable[[bytes], str]] = {
    labels.ISO_2022_JP: japanese.decode_iso_2022_jp,
    labels.EUC_JP: japanese.decode_euc_jp,
    labels.EUC_TW: cns11643.decode_euc_tw,
    labels.ISO_2022_CN: cns11643.decode_iso_2022_cn,
    labels.VISCII: vietnamese.decode_viscii,
    labels.WINDOWS_1258: vietnamese.decode_windows_1258,
}
_ISO_2022 = (labels.ISO_2022_JP, labels.ISO_2022_CN)

_SURROGATE = re.compile("[\ud800-\udfff]")  # the utf-7 codec returns them
_TRUE_LETTER = re.compile("[^\x00-\x7f\ufffd]")
_FOUR_OCTETS = re.compile("[\U00010000-\U0010ffff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL refuses NUL, SQLite lone surrogates
_CONTROLS = re.compile("[\x01-\x1f\x7f\u2028\u2029]+")
# These reverse the direction of all text behind them. No language needs them; they serve to forge names.
_OVERRIDES = re.compile("[\u202d\u202e]")
_FOLD = re.compile(r"(?<![ \t\r\n])(?:[ \t]*+(?:\r\n|\r|\n)|(?!))++[ \t]*+")
_META_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.I)


def storable(text: str) -> str:
    """The text with U+FFFD for NUL and lone surrogates, which databases refuse."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return _UNSTORABLE.sub("\ufffd", text)


def decode_text(octets: bytes, label: str = "") -> tuple[str, bool]:
    """Decode text; also returns whether its label (the stated charset) was right. A missing label counts as right.

    Tried in this order: a byte order mark, or NULs beside letters; UTF-8 with another label (_utf8_under); the label,
    or the codec of ISO 2022 escapes, strictly; UTF-8, which is hardly ever valid by chance; the label with
    replacements, if it reads nearly all, so that one damaged character does not make a Chinese mail unreadable; UTF-8
    with replacements, if it reads most, or at least half where it is the label; detection; windows-1252.
    """
    if wide := self_declared.wide_codec(octets):
        return decoded(octets, wide, "replace") or "", True
    codec_name = codec_for(label) if label else "utf-8"
    if codec_name in _ASCII_AND_MORE and octets.isascii() and b"\x1b" not in octets:  # most mail
        return octets.decode("ascii"), True
    if codec_name != "utf-8" and (text := _utf8_under(codec_name, octets)) is not None:
        return text, False
    if codec_name in _ASCII_AND_MORE or codec_name is None:
        codec_name = self_declared.escaped_codec(octets) or codec_name
    truthful = bool(codec_for(label)) if label else True
    if codec_name:
        text = decoded(octets, codec_name, "strict")
        if text is not None:
            return text, truthful
        truthful = not label
        # All its bytes are ASCII, so that UTF-8 below would accept them.
        if codec_name in _ISO_2022 and self_declared.escaped_codec(octets) == codec_name:
            return OWN_DECODERS[codec_name](octets), False
    text = decoded(octets, "utf-8", "strict")
    if text is not None:
        return text, truthful
    if codec_name and codec_name not in _ASCII_AND_MORE:
        lossy = decoded(octets, codec_name, "replace")
        if lossy is not None and lossy.count("\ufffd") <= max(2, len(lossy) // 20):
            return lossy, False
    if codec_name in _ASCII_AND_MORE and (text := _by_lines(octets, label)) is not None:
        return text, False
    if (whole := _utf8_before_a_cut(octets)) is not None:
        return f"{whole}\ufffd", False
    lossy = octets.decode("utf-8", "replace")
    # Four octets are as good as three letters: they hardly ever form one by chance.
    invalid, letters = lossy.count("\ufffd"), len(_TRUE_LETTER.findall(lossy)) + 2 * len(_FOUR_OCTETS.findall(lossy))
    if invalid * 3 <= letters:
        return lossy, False
    likeliest = detected_codec(octets)
    if label and codec_name == "utf-8" and invalid * (2 if likeliest in _BY_CHANCE else 1) <= letters:
        return lossy, False
    text = decoded(octets, likeliest, "replace") if likeliest else None
    return text or octets.decode("cp1252", "replace"), truthful


def _utf8_under(codec: str | None, octets: bytes) -> str | None:
    """The text, if the octets are UTF-8 although labelled otherwise, as is common; else None. Where UTF-8 cannot occur
    by chance, an invalid sequence among four letters does not hide it."""
    if octets.isascii() and codec not in _WIDE:
        return None
    text = None if codec in _WIDE and b"\0" in octets[:_LOOKED_AT] else decoded(octets, "utf-8", "strict")
    if text is not None:
        least = _LEAST_UTF8 if codec in _BY_CHANCE else 0
        return text if len(octets) - len(text) >= least else None
    if codec in _BY_CHANCE or codec in _WIDE or codec in _ISO_2022 or not _TWO_ABOVE_ASCII.search(octets):
        return None
    lossy = octets.decode("utf-8", "replace")
    if lossy.count("\ufffd") * 4 <= len(_TRUE_LETTER.findall(lossy)):
        return lossy
    return _by_lines(octets, codec or "")


def _by_lines(octets: bytes, label: str) -> str | None:
    """The text, if its lines are in two charsets, as those of a mail and of the footer that a list appended.

    Lines that are UTF-8 are read as such, the others by the label, else by detection. None where UTF-8 may be chance:
    on few octets, or if no label tells the other charset and more octets are in that.
    """
    if octets.count(b"\n") > _MOST_LINES:
        return None
    lines = octets.split(b"\n")
    read: list[str | None] = []
    for line in lines:
        try:
            read.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            read.append(None)
    shown = sum(_above_ascii(line) for line, text in zip(lines, read, strict=True) if text is not None)
    others = [line for line, text in zip(lines, read, strict=True) if text is None]
    is_told = bool(label) and codec_for(label) not in ("utf-8", None)
    if shown < _LEAST_UTF8 or (not is_told and shown < sum(map(_above_ascii, others))):
        return None
    rest = iter(decode_text(b"\n".join(others), label)[0].split("\n"))
    return "\n".join(next(rest, "") if text is None else text for text in read)


def _above_ascii(octets: bytes) -> int:
    return len(octets) - len(octets.translate(None, delete=_EIGHT_BIT))


def _utf8_before_a_cut(octets: bytes) -> str | None:
    """The text before its last character, if it is UTF-8 that was cut within that: by senders that count octets, and by
    this package, too. None for other octets, and if what is left is too little to tell."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(octets)
    except UnicodeDecodeError:
        return None
    is_cut = bool(decoder.getstate()[0])
    return text if is_cut and len(octets) - len(text) >= _LEAST_UTF8 else None


def decoded(octets: bytes, codec: str, errors: str) -> str | None:
    """The text, or None if the octets are no text of this codec by the rule `errors` ("strict" or "replace")."""
    if codec in OWN_DECODERS:
        text = OWN_DECODERS[codec](octets)
        return None if errors == "strict" and "\ufffd" in text else text
    codec = self_declared.utf16_codec(octets) if codec == "utf-16" else codec
    try:
        text = octets.decode(codec, chinese.handler(codec, errors))
    except (LookupError, UnicodeError, ValueError):
        return _cesu(octets) if codec == "utf-8" and b"\xed" in octets else None
    return None if errors == "strict" and _SURROGATE.search(text) else text


def _cesu(octets: bytes) -> str | None:
    """Decode CESU-8: UTF-8 with surrogate pairs for characters above U+FFFF, as Java, Oracle and MySQL write it."""
    try:
        halves = octets.decode("utf-8", "surrogatepass")
        return halves.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeError:
        return None


@contextmanager
def detecting_seldom() -> Iterator[None]:
    """Limit charset detections inside the block to MAX_DETECTIONS, nested blocks included.

    Each takes a millisecond or more, and a hostile message may have thousands of names without a charset. Beyond the
    limit such text is read as windows-1252.
    """
    if _detections.get() is not None:
        yield
        return
    token = _detections.set({})
    try:
        yield
    finally:
        _detections.reset(token)


def detected_codec(octets: bytes) -> str | None:
    """The likeliest codec of 8-bit text without a charset, or with a wrong one; None if none is likely."""
    start = _ABOVE_ASCII.search(octets)
    head = octets[max(0, start.start() - 1) :][: detection.LOOKED_AT] if start else b""
    known = _detections.get()
    if known is None or (head not in known and len(known) < MAX_DETECTIONS):
        codec = detection.likeliest(head)
        if known is not None:
            known[head] = codec
    else:
        codec = known.get(head)
    return (codec_for(codec) or codec) if codec else None


def html_charset(octets: bytes) -> str:
    """The charset that an HTML body states in its own head, or "". A stated UTF-16 is wrong, since the statement could
    be read as ASCII: it is returned as utf-8."""
    found = _META_CHARSET.search(octets[:_HTML_HEAD])
    stated = found[1].decode("ascii") if found else ""
    return "utf-8" if codec_for(stated) in _WIDE else stated


def cut(octets: bytes, most: int) -> bytes:
    """The first octets of a text, at most `most`, without half a character at their end, which would be no text of the
    stated charset: up to the last line end, or else in UTF-8 the last whole character."""
    if len(octets) <= most:
        return octets
    if b"\0" in octets[:_LOOKED_AT]:  # UTF-16 or UTF-32
        return octets[: most & ~3]
    begin = max(most - _LONGEST_LAST_LINE, 0)
    if (line_end := octets.rfind(b"\n", begin, most)) >= 0:
        return octets[: line_end + 1]
    last = next((at for at in range(most, max(most - 4, 0), -1) if octets[at] & 0xC0 != 0x80), most)
    return octets[:last]


def header_text(value: str, label: str = "") -> str:
    """Decode a raw header value (8-bit bytes as surrogate escapes, as in the email package); folds are kept.

    8-bit text is read as UTF-8 (RFC 6532), else by `label`, the charset of the message's body, else by detection.
    """
    if is_plain_ascii(value):
        return value
    try:
        octets = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return storable(value)
    text = None if self_declared.escaped_codec(octets) else decoded(octets, "utf-8", "strict")
    return storable(decode_text(octets, label)[0] if text is None else text)


def is_plain_ascii(value: str) -> bool:
    """Whether a raw header value needs no decoding: ASCII without escapes of ISO 2022."""
    return value.isascii() and "\x1b$" not in value


def is_utf8(value: str) -> bool:
    """Whether a raw header value is ASCII or UTF-8, so that its charset need not be guessed."""
    if value.isascii():
        return is_plain_ascii(value)
    try:
        value.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return False
    return True


def unfold(value: str) -> str:
    """The value as one line: folds (RFC 5322) and other control characters become one space, NUL becomes U+FFFD."""
    if value.isascii() and value.isprintable():
        return value.strip()
    return storable(_OVERRIDES.sub("", _CONTROLS.sub(" ", _FOLD.sub(" ", value))).strip())
