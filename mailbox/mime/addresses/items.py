"""Reads the mailboxes in one item of an address list. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from mailbox.mime import charsets
from mailbox.mime.addresses.scanner import AddressToken, Item, TokenKind, scan
from mailbox.mime.addresses.syntax import AddressError, canonical, without_outer_invisible

_NEEDS_QUOTES = re.compile(r'[()<>@,:;."\[\]\\]|=\?')
_SURROUNDING = {"[": "]", '"': '"', "'": "'", "‘": "’", "“": "”", "„": "“", "«": "»", "`": "`"}  # noqa: RUF001
_SCHEME = re.compile(r"(?:mailto|smtp):", re.I)
_SENDABLE = re.compile(r"[^\s@]++@[^\s@.]++\.[^\s@]++")  # not `root@host` nor `Ann @ home`, which comments say
_SEPARATORS = ("|", "/", "&", "+", "and")  # words that people and scripts put between addresses
_ESCAPED = re.compile(r"\\(?=\W)")  # not the backslash of DOMAIN\user
_BETWEEN = re.compile(r" ?[,;] ?| ")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A decoded display name, or "", and an address: local@domain, or other text in its place ("root")."""

    name: str
    address: str

    def __str__(self) -> str:
        """For display; lists.read() can parse it again."""
        if not self.name or not self.address:
            return self.address or self.name
        if not _NEEDS_QUOTES.search(self.name) and self.name == self.name.strip():
            return f"{self.name} <{self.address}>"
        return f'"{_escaped(self.name)}" <{self.address}>'

    @property
    def has_domain(self) -> bool:
        """Whether it is an address and not other text in an address's place."""
        return "@" in self.address


def same(address: str) -> str:
    """A key for finding duplicates: the address in lower case, its domain in ASCII.

    No provider has two mailboxes whose addresses differ only in case or in the spelling of the domain.
    """
    try:
        return canonical(address).lower()
    except AddressError:
        return without_outer_invisible(address).lower()


@dataclass(slots=True)
class _Chunk:
    """Adjacent words and quoted strings that form one address or word: `"ann b"@x`, `ann @ x`."""

    tokens: list[AddressToken]
    pieces: list[str]

    def __str__(self) -> str:
        return "".join(self.pieces)

    @property
    def is_address(self) -> bool:
        return any("@" in token.text for token in self.tokens if token.kind is TokenKind.WORD or _is_bare(token))


def _is_bare(token: AddressToken) -> bool:
    """Whether a quoted string is an address by itself: `"ann@example.com"`."""
    return "@" in token.text and not any(letter.isspace() for letter in token.text)


def chunks_of(tokens: Sequence[AddressToken]) -> list[_Chunk]:
    """The words of an item without its comments; the words of one address form one chunk."""
    chunks: list[_Chunk] = []
    is_apart = True
    for token in tokens:
        is_apart = is_apart or bool(token.gap)
        if token.kind is TokenKind.COMMENT:
            continue
        text = token.text if token.kind is TokenKind.WORD else f'"{_escaped(token.text)}"'
        if chunks and (not is_apart or text[0] in "@." or chunks[-1].pieces[-1][-1] in "@."):
            chunks[-1].tokens.append(token)
            chunks[-1].pieces.append(text)
        else:
            chunks.append(_Chunk([token], [text]))
        is_apart = False
    return chunks


def mailboxes_of(item: Item, is_decoded: bool) -> list[Mailbox]:
    """The mailboxes of an item: mostly one, none for an empty item, several if quotes or brackets enclose a whole list.

    is_decoded: encoded words were decoded before, so what looks like one is plain text.
    """
    found = _mailboxes_of(item, is_decoded)
    if len(found) == 1 and _is_list(found[0]):
        first, *others = [each for inner in scan(found[0].address) for each in _mailboxes_of(inner, is_decoded)]
        return [replace(first, name=found[0].name or first.name), *others]
    return found


def _is_list(mailbox: Mailbox) -> bool:
    pieces = _BETWEEN.split(mailbox.address) if '"' not in mailbox.address else []
    return len(pieces) > 1 and all("@" in piece[1:-1] for piece in pieces)


def _mailboxes_of(item: Item, is_decoded: bool) -> list[Mailbox]:
    comments = [token for token in item.tokens if token.kind is TokenKind.COMMENT]
    if item.has_angle:
        return _with_angles(_meant_angles(item.tokens), comments, is_decoded)
    chunks = chunks_of(item.tokens)
    words = [token for chunk in chunks if not chunk.is_address for token in chunk.tokens]
    addresses = [cleaned(str(chunk), is_decoded, is_uri=item.is_uri) for chunk in chunks if chunk.is_address]
    if not addresses and words:  # "Ann Example (ann@example.com)"
        addresses = [cleaned(token.text, is_decoded) for token in comments if _SENDABLE.fullmatch(token.text)]
    if len(addresses) > 1:
        words = [token for token in words if token.text not in _SEPARATORS]
    name, addresses = _name(words or comments, is_decoded), [each for each in addresses if each]
    if not addresses:
        said = _name(comments, is_decoded) if len(words) == 1 else ""  # root (Cron Daemon)
        return [Mailbox("" if "@" in said else said, name)] if name else []
    is_no_name = _is_address_of(name, addresses)
    return [Mailbox("" if number or is_no_name else name, each) for number, each in enumerate(addresses)]


def _meant_angles(tokens: Sequence[AddressToken]) -> Sequence[AddressToken]:
    """Decide which tokens are the address: in `<Ann> ann@example.com` and `Ann <Sales> <ann@example.com>`, those with
    an @. Brackets without an @ become words."""
    has_at = [token for token in tokens if token.kind in (TokenKind.ANGLE, TokenKind.WORD) and "@" in token.text]
    if not has_at or all(token.kind is not TokenKind.ANGLE or "@" in token.text for token in tokens):
        return tokens
    is_word = not any(token.kind is TokenKind.ANGLE for token in has_at)
    words = [
        replace(token, kind=TokenKind.WORD) if token.kind is TokenKind.ANGLE and "@" not in token.text else token
        for token in tokens
    ]
    return [replace(token, kind=TokenKind.ANGLE) if is_word and token is has_at[0] else token for token in words]


def _with_angles(tokens: Sequence[AddressToken], comments: Sequence[AddressToken], is_decoded: bool) -> list[Mailbox]:
    """The addresses in brackets, each named by the words before it. Words behind the last belong to its name, too."""
    found: list[Mailbox] = []
    words: list[AddressToken] = []
    for token in tokens:
        if token.kind is not TokenKind.ANGLE:
            words += [] if token.kind is TokenKind.COMMENT else [token]
            continue
        found.append(Mailbox(_name(words, is_decoded), cleaned(token.text, is_decoded)))
        words = []
    if words:
        last = found[-1]
        found[-1] = replace(last, name=f"{last.name} {_name(words, is_decoded)}".strip())
    if comments and not any(each.name for each in found):
        found[0] = replace(found[0], name=_name(comments, is_decoded))
    return [_without_doubled_name(each) for each in found if each.address] or _words_alone(found)


def _words_alone(found: Sequence[Mailbox]) -> list[Mailbox]:
    return [Mailbox("", each.name) for each in found if each.name]


def _without_doubled_name(mailbox: Mailbox) -> Mailbox:
    return replace(mailbox, name="") if _is_address_of(mailbox.name, [mailbox.address]) else mailbox


def _is_address_of(name: str, addresses: Sequence[str]) -> bool:
    return "@" in name and same(_without_quotes(name)) in {same(each) for each in addresses}


def cleaned(text: str, is_decoded: bool = True, *, is_uri: bool = False) -> str:
    """An address without comments, route (RFC 5322 section 4.4), `mailto:`, quotes and outer invisible characters."""
    text = without_outer_invisible(text)
    if not is_decoded and "=?" in text:
        text = charsets.decode_words(text)
    if scheme := _SCHEME.match(text):
        text, is_uri = text[scheme.end() :], True
    if is_uri:
        text = unquote(text.partition("?")[0])
    if text.startswith("@") and ":" in text:
        text = text.rpartition(":")[2]
    if "(" in text or any(letter.isspace() for letter in text):
        pieces = [piece for item in scan(text) for piece in (*map(str, chunks_of(item.tokens)), item.separator)]
        text = " ".join(piece for piece in pieces if piece)
    text = _without_quotes(_without_odd_ends(text)) if "@" in text else text
    return charsets.storable(without_outer_invisible(text))


def _without_odd_ends(text: str) -> str:
    """An address without an unmatched bracket, the full stop of a sentence, or the name of a group."""
    text = text.rstrip(">,; ").removesuffix(".")
    text = text.removesuffix("]") if "[" not in text else text
    local, _, domain = text.rpartition("@")
    is_group = ":" in local and '"' not in local and "://" not in local
    return f"{local.rpartition(':')[2]}@{domain}" if is_group else text


def _without_quotes(text: str) -> str:
    return text[1:-1] if len(text) > 2 and _SURROUNDING.get(text[0]) == text[-1] else text


def _name(tokens: Sequence[AddressToken], is_decoded: bool) -> str:
    """The display name as one line. Encoded words are also decoded within quotes, as mail clients do."""
    words = (_ESCAPED.sub("", token.text) if token.kind is TokenKind.WORD else token.text for token in tokens)
    text = "".join(f" {word}" if token.gap else word for token, word in zip(tokens, words, strict=True))
    text = charsets.unfold(text if is_decoded else charsets.decode_words(text))
    if text.count('"') == 1:  # an unclosed quote
        text = text.removeprefix('"').removesuffix('"')
    return without_outer_invisible(re.sub(r"[ \t]++", " ", text))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
