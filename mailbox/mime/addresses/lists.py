"""Parses address lists: `read` for fields of received mail, `read_typed` for text that a person typed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mailbox.mime import charsets
from mailbox.mime.addresses.items import Mailbox, chunks_of, cleaned, mailboxes_of, same
from mailbox.mime.addresses.scanner import Item, TokenKind, scan
from mailbox.mime.addresses.syntax import AddressError, canonical, without_outer_invisible

# `Ann Example <ann@example.com>` and `ann@example.com` of letters, digits and dots, as in most mail. The scanner gives
# the same result for these (a test compares them), but takes ten times as long.
_ATOM = r"[A-Za-z0-9_-]++"
_ATOMS = rf"{_ATOM}(?:\.{_ATOM}|(?!))*+"
_BLANKS = r"[ \t\r\n]*+"
_PLAIN = re.compile(
    rf"{_BLANKS}(?:({_ATOM}(?: {_ATOM}|(?!))*+) <(?=[^>]*+>{_BLANKS}\Z)|(?!))?+"
    rf"({_ATOMS}@{_ATOM}(?:\.{_ATOM}|(?!))++)(?(1)>){_BLANKS}",
    re.ASCII,
)
_WIDE_SIGNS = "＠；，、＜＞"  # noqa: RUF001 (as Chinese and Japanese keyboards write them)
_WIDE = str.maketrans(_WIDE_SIGNS + "\u3000\u2028\u2029", "@;,,<> \n\n")
# As Arabic keyboards write a list. In received mail they are part of a name.
_TYPED = _WIDE | str.maketrans("،؛", ",;")
# Letters of Japanese and Chinese keyboards in their wide form; none is part of an address (RFC 8265 section 3.3.2).
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_BULLET = re.compile(r"^[ \t]*+(?:[-*•‣◦·–—]|\d{1,3}[.)])[ \t]++", re.M)  # noqa: RUF001
# "Ann (ann@example.com)", "Ann [mailto:ann@example.com]": how some programs copy an address to the clipboard.
_COPIED = re.compile(
    r"[(\[](?:mailto:)?([^\s()\[\]<>,;:@\"]{1,64}@[^\s()\[\]<>,;:@\"]{1,255})[)\]](?=\s*+(?:[,;\r\n]|\Z))", re.I
)
_SHOWN_PIECE = 100  # characters of an item that an AddressProblem quotes


@dataclass(frozen=True, slots=True)
class AddressProblem:
    """Why an item cannot be sent to.

    kind: that of AddressError, or no_address, words (text beside the address), brackets (an unmatched one), or
    line_break (within quotes or brackets).
    """

    kind: str
    text: str  # the item as typed, cut
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Typed:
    """One item of a typed list: a mailbox with a canonical address, or else a problem."""

    text: str  # as typed
    mailbox: Mailbox | None
    problem: AddressProblem | None = None


def read(text: str, *, is_decoded: bool = False) -> list[Mailbox]:
    """Parse one address field, or several joined by commas; folds and encoded words may be in it.

    is_decoded: the text is the result of shown(), so what looks like an encoded word is plain text.
    """
    found = _read_plain(text)
    if found:
        return found
    items = _joined(list(scan(_without_entities(text))), is_typed=False)
    found = [each for item in items for each in mailboxes_of(item, is_decoded)]
    if not is_decoded and "=?" in text and not any(item.has_at for item in items):
        # Some programs encode the whole field, address and all, which RFC 2047 section 5 forbids.
        decoded = charsets.decode_words(text)
        again = [each for item in scan(decoded) for each in mailboxes_of(item, True)] if "@" in decoded else []
        found = again if any(each.has_domain for each in again) else found
    if not text.isascii() and any(letter in each.address for each in found for letter in _WIDE_SIGNS):
        plain = text.translate(_WIDE)
        return read(plain, is_decoded=is_decoded) if plain != text else found  # equal: they are in an encoded word
    return found


def _without_entities(text: str) -> str:
    """Replace brackets that are written as HTML entities or with a backslash."""
    if "&lt;" in text and "<" not in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    return text.replace("\\<", "<").replace("\\>", ">") if "\\<" in text else text


def _read_plain(text: str) -> list[Mailbox]:
    """The mailboxes of a list in which all match _PLAIN; otherwise an empty list."""
    found = []
    for piece in text.split(","):
        plain = _PLAIN.fullmatch(piece)
        if plain is None:
            return []
        found.append(Mailbox(plain[1] or "", plain[2]))
    return found


def read_typed(text: str) -> list[Typed]:
    """Parse a list that a person typed or pasted, item by item in its order. Empty items are skipped."""
    found: list[Typed] = []
    text = _BULLET.sub("", _without_entities(text.translate(_TYPED)))
    text = text if "<" in text else _COPIED.sub(r"<\1>", text)
    for item in _joined(list(scan(text, lines_separate=True)), is_typed=True):
        if item.tokens:
            found += _typed(text[item.start : item.end].strip(), item)
    return [each for each in found if each.mailbox or without_outer_invisible(each.text)]


def shown(mailboxes: Iterable[Mailbox]) -> str:
    """The mailboxes as text, separated by commas."""
    return ", ".join(str(each) for each in mailboxes)


# --- items


def _joined(items: Sequence[Item], *, is_typed: bool) -> list[Item]:
    """Join `Last, First <a@x>` into one item: a name alone, followed by a comma and a name with an address.

    In received mail a single lower-case word is a local recipient instead. Several names in a row are not joined.
    """
    found: list[Item] = []
    names = 0  # items without an address directly before this one
    for item in items:
        before = found[-1] if found else None
        is_name = bool(item.tokens) and not item.has_at and not item.has_angle
        if (
            before is not None
            and names == 1
            and before.separator == ","
            and item.has_angle
            and item.tokens[0].kind is not TokenKind.ANGLE
            and (is_typed or _is_persons_name(before))
        ):
            comma = replace(before.tokens[-1], text=f"{before.tokens[-1].text},")
            tokens = [*before.tokens[:-1], comma, replace(item.tokens[0], gap=" "), *item.tokens[1:]]
            found[-1] = replace(item, tokens=tokens, start=before.start)
            names = 0
            continue
        names = names + 1 if is_name else 0
        found.append(item)
    return found


def _is_persons_name(item: Item) -> bool:
    first = item.tokens[0].text[:1]
    return len(item.tokens) > 1 or not first.islower()


def _typed(text: str, item: Item) -> list[Typed]:
    found = mailboxes_of(item, is_decoded=True)
    if not any(each.has_domain for each in found):
        return [_wrong(text, "no_address")] if found or text else []
    is_open = item.is_open or (">" in text and "<" not in text)
    if is_open or any(letter in token.text for token in item.tokens for letter in "\r\n"):
        return [_wrong(text, "brackets" if is_open else "line_break")]
    if _has_address_beside(item) if item.has_angle else _has_words_beside(item):
        return [_wrong(text, "words")]
    return [_checked(text, each) for each in found]


def _has_address_beside(item: Item) -> bool:
    """Whether a bare address stands beside another one in brackets, as in `ann@x Bob <bob@y>` without a comma."""
    angles = {same(cleaned(token.text)) for token in item.tokens if token.kind is TokenKind.ANGLE}
    words = (token.text for token in item.tokens if token.kind is TokenKind.WORD)
    return any("@" in word[1:-1] and same(cleaned(word)) not in angles for word in words) and any(
        "@" in angle for angle in angles
    )


def _has_words_beside(item: Item) -> bool:
    """Whether words beside the address may be a name or a part of it. They are a name if a tab separates them."""
    chunks = chunks_of(item.tokens)
    if all(chunk.is_address for chunk in chunks):
        return False
    if len(chunks) == 2 and chunks[0].tokens[0].kind is TokenKind.QUOTED and chunks[1].is_address:
        return False  # "Ann" ann@example.com
    with_tab = [chunk.is_address for chunk in chunks if "\t" in chunk.tokens[0].gap]
    return len(with_tab) != 1 or sum(chunk.is_address for chunk in chunks) != 1


def _checked(text: str, mailbox: Mailbox) -> Typed:
    try:
        return Typed(text, replace(mailbox, address=canonical(mailbox.address.translate(_NARROW))))
    except AddressError as error:
        return Typed(text, None, AddressProblem(error.kind, text[:_SHOWN_PIECE], error.detail))


def _wrong(text: str, kind: str) -> Typed:
    return Typed(text, None, AddressProblem(kind, text[:_SHOWN_PIECE]))
