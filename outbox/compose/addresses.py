"""Addresses of an outgoing mail: typed text -> display names and addr-specs, and back to 7-bit header text. Pure.

mailbox.mime.addresses reads the text; this module has the sentences that tell a person how to correct a wrong address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr

from django.utils.translation import gettext

from mailbox.mime.addresses import AddressError, AddressProblem, Mailbox, canonical, read_typed
from outbox.errors import ValidationFailed

MAX_RECIPIENTS = 100  # every server must accept as many in one transaction (RFC 5321 4.5.3.1.8)
MAX_SENTENCES = 3  # about wrong addresses of one field


@dataclass(frozen=True)
class Address:
    """A display name and an addr-spec. The domain of `spec` is ASCII (IDNA); its local part may need SMTPUTF8."""

    name: str
    spec: str

    @property
    def needs_smtputf8(self) -> bool:
        """Whether a server needs SMTPUTF8 (RFC 6531) for this address: the addr-spec has characters beyond ASCII."""
        return not self.spec.isascii()

    def __str__(self) -> str:
        """The address as text that a person reads and that parse() reads back."""
        return str(Mailbox(self.name, self.spec))


def refuse_breaks(field: str, value: str) -> None:
    """Raise ValidationFailed if a header value contains line breaks or control characters, or cannot be encoded."""
    if any(character in value for character in "\r\n\x00"):
        raise ValidationFailed(
            gettext("%(field)s must be one line: remove the line breaks and NUL characters.") % {"field": field}
        )
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in value):
        raise ValidationFailed(gettext("%(field)s holds a control character: remove it.") % {"field": field})
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValidationFailed(
            gettext("%(field)s holds half of a character (a lone surrogate): type it again.") % {"field": field}
        ) from None


def parse(field: str, value: str | Sequence[str]) -> list[Address]:
    """Return the addresses of a field in order. Line breaks and tabs separate addresses, as commas do.

    Raises ValidationFailed, whose text names at most MAX_SENTENCES wrong addresses and says how to correct them.
    """
    found: list[Address] = []
    wrong: list[str] = []
    for text in [value] if isinstance(value, str) else value:
        if not isinstance(text, str):
            raise ValidationFailed(
                gettext("%(field)s must be text: an address such as ann@example.com.") % {"field": field}
            )
        refuse_breaks(field, text.translate(_BREAKS))
        for item in read_typed(text):
            if item.mailbox:
                found.append(Address(item.mailbox.name, item.mailbox.address))
            elif item.problem:
                wrong.append(sentence(field, item.problem))
    if wrong:
        raise ValidationFailed(" ".join(dict.fromkeys(wrong[:MAX_SENTENCES])))
    return found


_BREAKS = {ord("\n"): " ", ord("\r"): " "}


def checked_spec(field: str, spec: str) -> str:
    """Return the addr-spec with its domain in ASCII; raises ValidationFailed when it is malformed."""
    try:
        return canonical(spec)
    except AddressError as error:
        raise ValidationFailed(sentence(field, AddressProblem(error.kind, spec[:100], error.detail))) from None


def sentence(field: str, problem: AddressProblem) -> str:
    """The sentence that says what is wrong with an address and how to correct it."""
    values = {"field": field, "text": problem.text, "detail": problem.detail}
    return _SENTENCES.get(problem.kind, _malformed)() % values


def _malformed() -> str:
    return gettext(
        "%(field)s has a malformed address: “%(text)s”. Write it as ann@example.com or Ann <ann@example.com>."
    )


_SENTENCES = {
    "no_address": lambda: gettext(
        "%(field)s: “%(text)s” is no address. Write it whole, as in ann@example.com, or remove it."
    ),
    "words": lambda: gettext(
        "%(field)s: “%(text)s” has words beside the address. Write the address in angle brackets, as in "
        "Ann <ann@example.com>, and a comma between two addresses."
    ),
    "brackets": lambda: gettext(
        "%(field)s: “%(text)s” has an angle bracket without its other. Write the address as Ann <ann@example.com>."
    ),
    "line_break": lambda: gettext("%(field)s: the address “%(text)s” must be one line: remove the line break in it."),
    "no_domain": lambda: gettext(
        "%(field)s: “%(text)s” has nothing behind the @. Write the whole address, as in ann@example.com."
    ),
    "no_local": lambda: gettext(
        "%(field)s: “%(text)s” has nothing before the @. Write the whole address, as in ann@example.com."
    ),
    "invisible": lambda: gettext(
        "%(field)s: the address “%(text)s” holds an invisible character (%(detail)s). Type the address again."
    ),
    "domain": lambda: gettext(
        "%(field)s: the address “%(text)s” has a domain that cannot exist. Check what stands behind the @."
    ),
    "local": lambda: gettext(
        "%(field)s: in the address “%(text)s”, what stands before the @ is misspelled, or must be in double quotes, "
        'as in "ann b"@example.com.'
    ),
    "too_long": lambda: gettext("%(field)s has an address that is too long: %(text)s..."),
}


def text_of(addresses: Sequence[Address]) -> str:
    """The addresses as header text, separated by commas; read again by parse()."""
    return ", ".join(str(address) for address in addresses)


_NAME_ON_A_LINE = 60  # characters of a display name; longer ones are folded as encoded words


def _is_plain(value: str) -> bool:
    """Whether the value needs no encoding. "=?" does: mail programs would decode it as an encoded word (RFC 2047)."""
    return value.isascii() and "=?" not in value


def unstructured_header(name: str, value: str) -> bytes:
    """An unstructured header field, folded; non-ASCII text as encoded words (RFC 2047)."""
    charset = "us-ascii" if _is_plain(value) else "utf-8"
    text = Header(value, charset, header_name=name, maxlinelen=76).encode(splitchars=" \t", linesep="\r\n")
    return f"{name}: {text}\r\n".encode("ascii")


def address_header(name: str, addresses: Sequence[Address]) -> bytes:
    """An address header field, with one address on each line and display names as encoded words (RFC 2047) if needed.

    It contains UTF-8 only if a local part is not ASCII (RFC 6532).
    """
    return f"{name}: {(',' + chr(13) + chr(10) + ' ').join(_encoded(each) for each in addresses)}\r\n".encode()


def _encoded(address: Address) -> str:
    if not address.name:
        return address.spec
    if _is_plain(address.name) and len(address.name) <= _NAME_ON_A_LINE:
        name = formataddr((address.name, "x@x"))[: -len(" <x@x>")]
    else:
        name = Header(address.name, "utf-8", maxlinelen=70).encode(linesep="\r\n")
    return f"{name} <{address.spec}>"
