"""Checks one address for the SMTP envelope, and writes it in canonical form. Pure.

RFC 5321 section 4.1.2 (Local-part, Domain, address literals), RFC 6531 (characters above ASCII), RFC 5890 to 5893
(IDNA 2008, by the package idna, with the mapping of UTS 46 for capital letters and full-width dots).
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address

import idna

MAX_OCTETS = 254  # RFC 5321 section 4.5.3.1.3: a path of 256 with its brackets. Local parts above 64 octets exist.
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff"
_DOT_ATOM = re.compile(rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++|(?!))*+")
_DOTTED = re.compile(rf"[{_ATEXT}.]++")  # dots where RFC 5321 requires quotes, as in addresses that docomo assigned
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e]|(?!))++)"')
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?")
_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]{3,64})\]", re.I)
_ESCAPE = re.compile(r"\\(.)")
_BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")  # displayed as nothing, though of a visible category
_JOINERS = frozenset("\u200c\u200d")  # part of the spelling in Persian and Indian scripts (RFC 5892, appendix A)


class AddressError(ValueError):
    """An invalid address. kind: no_at, no_local, no_domain, invisible, local, domain or too_long.

    detail: the name of the invisible character, else "".
    """

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind} {detail}".strip())
        self.kind = kind
        self.detail = detail


def is_invisible(letter: str) -> bool:
    """Whether a character is displayed as nothing: format and control characters, special spaces, fillers."""
    if letter.isascii():
        return not letter.isprintable()
    return (
        letter in _BLANK
        or unicodedata.category(letter) in ("Cc", "Cf", "Zs", "Zl", "Zp")
        or 0xFE00 <= ord(letter) <= 0xFE0F
    )


def without_outer_invisible(text: str) -> str:
    """The text without white space and invisible characters at its ends, which pasted text often has."""
    start, end = 0, len(text)
    while start < end and (text[start].isspace() or is_invisible(text[start])):
        start += 1
    while end > start and (text[end - 1].isspace() or is_invisible(text[end - 1])):
        end -= 1
    return text[start:end]


def canonical(address: str) -> str:
    """The addr-spec for envelope and header: its domain in ASCII, its local part quoted only if needed.

    Raises AddressError.
    """
    address = without_outer_invisible(address)
    local, at, domain = address.rpartition("@")
    if not at:
        raise AddressError("no_at")
    domain = domain.removesuffix(".")  # the end of a sentence, or the DNS root
    if not local or not domain:
        raise AddressError("no_domain" if local else "no_local")
    _refuse_invisible(local)
    _refuse_invisible(domain)
    spec = f"{_local(local)}@{_literal(domain) if domain.startswith('[') else ascii_domain(domain)}"
    if len(spec.encode(errors="replace")) > MAX_OCTETS:
        raise AddressError("too_long")
    return spec


def _refuse_invisible(text: str) -> None:
    if text.isascii() and text.isprintable():  # the usual case
        return
    for before, letter in zip(f" {text}", text, strict=False):
        if is_invisible(letter) and not (letter in _JOINERS and not before.isascii()):
            raise AddressError("invisible", unicodedata.name(letter, f"U+{ord(letter):04X}"))


def _local(local: str) -> str:
    if not local.isascii() and any("\ud800" <= letter <= "\udfff" for letter in local):
        raise AddressError("local")
    if quoted := _QUOTED.fullmatch(local):
        content = _ESCAPE.sub(r"\1", quoted[1])
        return content if _DOT_ATOM.fullmatch(content) else local
    if _DOT_ATOM.fullmatch(local):
        return local
    if _DOTTED.fullmatch(local):
        return f'"{local}"'
    raise AddressError("local")


def _literal(domain: str) -> str:
    """The domain, if it is a valid address literal (RFC 5321 section 4.1.3). Raises AddressError."""
    found = _LITERAL.fullmatch(domain)
    try:
        ip_address(found[1] if found else "")
    except ValueError:
        raise AddressError("domain") from None
    return domain


def ascii_domain(domain: str) -> str:
    """The domain in A-labels (RFC 5890 section 2.3.2.1). Raises AddressError, also for names that IDNA 2008 forbids."""
    try:
        name = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError, IndexError):
        raise AddressError("domain") from None
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():  # 192.0.2.1: see _literal
        raise AddressError("domain")
    if not all(_is_punycode(label[4:]) for label in labels if label[:4].lower() == "xn--"):
        raise AddressError("domain")
    return name


def _is_punycode(label: str) -> bool:
    """Whether an A-label without its "xn--" is valid Punycode (RFC 3492). Characters that only IDNA 2003 allowed, such
    as symbols, are valid here."""
    try:
        letters = label.encode("ascii").decode("punycode")
        return not letters.isascii() and letters.encode("punycode").decode("ascii").lower() == label.lower()
    except (UnicodeError, ValueError, OverflowError):
        return False


def other_spelling(domain: str) -> str:
    """A domain's other form: A-labels for one in Unicode, Unicode for one in A-labels; "" if there is none."""
    try:
        if not domain.isascii():
            return ascii_domain(domain)
        return idna.decode(domain) if "xn--" in domain.lower() else ""
    except (AddressError, idna.IDNAError, UnicodeError, IndexError):
        return ""


def spellings(address: str) -> tuple[str, ...]:
    """The address in lower case, and likewise with its domain's other form if there is one."""
    local, at, domain = address.lower().rpartition("@")
    other = other_spelling(domain) if at else ""
    return (address.lower(), f"{local}@{other}") if other else (address.lower(),)
