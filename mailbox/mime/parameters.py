"""Parses parameters of MIME header fields (RFC 2045 section 5.1, RFC 2231), also malformed ones. Pure.

The standard library's parser takes time quadratic in the length of a field, and raises on `filename*=` beside
`filename*0*=`. This one is linear and raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from urllib.parse import unquote_to_bytes

from mailbox.mime import charsets
from mailbox.mime.charsets.labels import codec_for

MAX_PARAMETERS = 64  # of one field; the rest is not read

_MAX_REMEMBERED = 100  # characters of a field that is cached, as "text/plain; charset=utf-8" is in every mail

# From one semicolon to the next that is not in quotes. A quoted string without its closing quote extends to the end.
_PARAMETER = re.compile(
    r';((?:(?<==)=\?[^?\s;"]{1,60}\?[bBqQ]\?[^?\s"]*+\?=|[^;"\\]|\\"?|"(?:[^"\\]|\\.|(?!))*+(?:"|\\?\Z)|(?!))*+)', re.S
)
# Parameters that are also recognised after white space or a comma, where the semicolon is missing.
_KNOWN = (
    "boundary|charset|delsp|filename|format|name|protocol|size|smime-type|start|type|(?:creation|modification)-date"
)
_LOOSE = re.compile(
    rf"(?:^|[\s,;:])(?:{_KNOWN})(?:\*\d{{1,2}})?\*?\s{{0,9}}=\s{{0,9}}(?:\"[^\"]*+\"?|[^\s;,\"]++)", re.I
)
_NEXT = re.compile(rf"(?<=[^\s,])[\s,]++(?=(?:{_KNOWN})\*?\s{{0,9}}=)", re.I)
_QUOTED_VALUE = re.compile(r'[^="]*+=\s*+"(?:[^"\\]|\\.|(?!))*+"(?=[\s,]|\Z)', re.S)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.|(?!))*+"', re.S)
_FOLD = re.compile(r"(?:\r\n|\r|\n)(?=[ \t])")
_NAME = re.compile(r"([^\s*=\"]{1,100})(?:\*(\d{1,4}))?(\*)?")
_COLON = re.compile(rf"\A\s*+({_KNOWN})\s*+:", re.I)  # a colon in place of the equals sign
_FILE_NAMES = ("filename", "name", "file")
_AROUND = {'"': '"', "'": "'", "`": "`", "<": ">", "“": "”", "„": "“", "‘": "’", "«": "»"}  # noqa: RUF001
_MOST_AROUND = 3
_URL_ESCAPES = re.compile(r"%[C-Fc-f][0-9A-Fa-f]%[89ABab][0-9A-Fa-f]")
_EXTENDED = re.compile(r"([A-Za-z0-9_-]{2,40})'[A-Za-z-]{0,20}'[^\s']+")  # RFC 2231's value in a parameter without *
# Comments are removed only before a value: a file name without quotes may be "a (1).pdf".
_COMMENT_BEFORE = re.compile(r"\A\s*+\([^()\"]*+\)")
_COMMENT = re.compile(r"\([^()\"]*+\)")
_COMMENT_BEHIND = re.compile(r"(?<=\.)([A-Za-z0-9]{2,5})\s++\([^()]*+\)\Z")  # behind the extension of a file name


def parameters(field: str) -> Mapping[str, str]:
    """Parameter name in lower case -> value, unquoted and decoded. The first of a name wins; RFC 2231 forms precede
    plain ones."""
    return _remembered(field) if len(field) <= _MAX_REMEMBERED else _read(field)


def is_malformed(field: str) -> bool:
    """Whether a parameter of this field lacks the semicolon before it, or has a colon for the equals sign."""
    return any(part.strip() != found.strip() or _COLON.match(found) for part, found in _parts(field))


def _read(field: str) -> Mapping[str, str]:
    plain: dict[str, str] = {}
    whole: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, section, is_encoded, value in _stated(field):
        if section is not None:
            sections.setdefault(name, {}).setdefault(section, (value, is_encoded))
        elif is_encoded:
            decoded = charsets.decode_words(_decoded([(value, True)]))
            whole.setdefault(name, _bare_name(decoded) if name in _FILE_NAMES else decoded)
        elif value or name not in plain:
            plain[name] = plain.get(name) or _plain_value(name, value)
    joined = {name: _decoded([found[number] for number in sorted(found)]) for name, found in sections.items()}
    joined = {name: _bare_name(value) if name in _FILE_NAMES else value for name, value in joined.items()}
    return plain | {name: value for name, value in (joined | whole).items() if value}


def _plain_value(name: str, value: str) -> str:
    extended = _EXTENDED.fullmatch(value) if name in _FILE_NAMES and "'" in value else None
    if extended and codec_for(extended[1]):
        return _decoded([(value, True)])
    decoded = charsets.decode_words(value)
    if name not in _FILE_NAMES:
        return decoded
    if decoded != value:
        decoded = _bare_name(charsets.decode_words(decoded))  # some programs encode a name twice
    return _unquoted_url(decoded) if decoded.count("%") > 1 else decoded


def _unquoted_url(name: str) -> str:
    """A file name without percent-encoding, if this encodes characters above ASCII in UTF-8; else unchanged."""
    if not _URL_ESCAPES.search(name):
        return name
    octets = unquote_to_bytes(name)
    return charsets.decode_text(octets)[0] if charsets.is_utf8(octets.decode("ascii", "surrogateescape")) else name


_remembered = lru_cache(maxsize=1000)(_read)


def _stated(field: str) -> Iterator[tuple[str, int | None, bool, str]]:
    for count, part in enumerate(found for _, found in _parts(field)):
        if count >= MAX_PARAMETERS:
            return
        name, equals, value = (_COLON.sub(r"\1=", part, count=1) if ":" in part else part).partition("=")
        if "(" in name:
            name = _COMMENT.sub("", name)
        shape = _NAME.fullmatch(name.strip(" \t\r\n\"'").lower())
        if equals and shape:
            kind = "" if shape[2] else shape[1]  # blanks at the end of a section belong to the value
            yield shape[1], int(shape[2]) if shape[2] else None, bool(shape[3]), _unquoted(value.strip(), kind)


def _parts(field: str) -> Iterator[tuple[str, str]]:
    """Pairs: the text between two semicolons, and a parameter `name=value` in it. Two pairs if a semicolon is
    missing."""
    unfolded = _FOLD.sub("", field) if "\n" in field or "\r" in field else field  # RFC 5322 section 2.2.3
    if "&quot;" in unfolded:
        unfolded = unfolded.replace("&quot;", '"')
    first = unfolded.partition(";")[0]
    if "=" in first:
        for found in _LOOSE.finditer(first):
            yield first, found[0].lstrip(" \t\r\n,;:")
    for found in _PARAMETER.finditer(unfolded):
        for piece in _apart(found[1]):
            yield found[1], piece


def _apart(part: str) -> Iterator[str]:
    """The parameters in the text between two semicolons: one, or several if a semicolon is missing."""
    if part.count("=") < 2:
        yield part
        return
    quoted = _QUOTED_VALUE.match(part)
    if quoted:
        yield quoted[0]
        yield from (piece for piece in _NEXT.split(part[quoted.end() :]) if "=" in piece)
    else:
        yield from _NEXT.split(part)


def _unquoted(value: str, name: str) -> str:
    if '"' in value and ("(" in value or value[-1] != '"'):
        value = _around_quotes(value)
    if value[:3] == '3D"':  # a header field in quoted-printable
        value = value[2:]
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1].replace("\\\\", "\\").replace('\\"', '"')
    else:
        value = value.removeprefix('"')  # a quote without its closing one
        if name in _FILE_NAMES:
            value = value if value.startswith("=?") else value.removeprefix("=")
            value = value.removesuffix('"') if value.count('"') == 1 else value
            value = _COMMENT_BEHIND.sub(r"\1", value.rstrip("; \t"))
    return _bare_name(value) if name in _FILE_NAMES else value


def _bare_name(value: str) -> str:
    """A file name without the brackets and quotes that senders put around it."""
    for _ in range(_MOST_AROUND):
        value = value.strip().removeprefix("\\").removesuffix("\\")
        if len(value) < 3 or _AROUND.get(value[0]) != value[-1]:
            break
        value = value[1:-1]
    return value


def _around_quotes(value: str) -> str:
    """A quoted value without comments before it, and without comments or escapes of line ends after it."""
    value = _COMMENT_BEFORE.sub("", value, count=1).strip() if value[0] == "(" else value
    quoted = _QUOTED.match(value)
    behind = value[quoted.end() :] if quoted else ""
    return quoted[0] if quoted and (_COMMENT_BEFORE.match(behind) or behind.startswith(("\\r", "\\n"))) else value


def _decoded(pieces: list[tuple[str, bool]]) -> str:
    """Join and decode the pieces of a parameter (RFC 2231), given in order as (value, is percent-encoded).

    The first piece states the charset and the language.
    """
    if not any(is_encoded for _value, is_encoded in pieces):
        return charsets.decode_words("".join(value for value, _ in pieces))
    charset, values = _without_charset(pieces)
    octets = b"".join(
        unquote_to_bytes("".join(value for value, _ in run))  # joined first, as some senders split inside an escape
        if is_encoded
        else "".join(value for value, _ in run).encode("utf-8", "surrogatepass")
        for is_encoded, run in groupby(values, key=itemgetter(1))
    )
    return charsets.storable(charsets.decode_text(octets, charset)[0])


def _without_charset(pieces: list[tuple[str, bool]]) -> tuple[str, list[tuple[str, bool]]]:
    """The charset, and the pieces without it. It is in the first encoded piece; some programs repeat it in each."""
    first = next(number for number, (_, is_encoded) in enumerate(pieces) if is_encoded)
    stated = pieces[first][0].split("'", 2)
    if len(stated) == 2 and codec_for(stated[0]):  # charset'value, without the language
        stated.insert(1, "")
    if len(stated) != 3 or (first and not codec_for(stated[0])):  # RFC 2231 has it in the very first piece
        return "", pieces
    mark = pieces[first][0][: -len(stated[2]) or None]
    return stated[0], [(each.removeprefix(mark) if coded else each, coded) for each, coded in pieces]
