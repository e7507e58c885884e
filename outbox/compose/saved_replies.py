"""Inserts a saved reply into the text of a mail. Its fields are replaced once: values are not searched for fields."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mailbox.mime.addresses import read
from outbox.compose import replies

FIELDS = ("recipient name", "sender name", "subject")
_FIELD = re.compile(r"\{\{[ \t]*+([^{}\n]{1,60})\}\}")
_BELOW = re.compile(r"\n-- \n|\nOn [^\n]{1,2000} wrote:\n>")  # as replies.signed and replies.quoted begin


def values_of(to: str, sender_name: str, subject: str) -> dict[str, str]:
    """The value of each field. "recipient name" is the name of the first recipient in `to`, else their address."""
    first = next(iter(read(to[:_LONGEST], is_decoded=True)), None)
    name = " ".join((first.name or first.address).split()) if first else ""
    return {"recipient name": name, "sender name": sender_name, "subject": replies.bare_subject(subject)}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the fields of a text. Unknown fields stay, for a person to see."""
    return _FIELD.sub(lambda found: values.get(_name(found), found[0]), text)


def unknown_fields(text: str) -> list[str]:
    """The fields of a saved reply, as typed, that are none of FIELDS; fill() leaves them as they are."""
    return [found[0] for found in _FIELD.finditer(text) if _name(found) not in FIELDS]


def insert(written: str, text: str) -> str:
    """Insert `text` into `written`: after the typed text, before the signature and the quoted message."""
    below = _BELOW.search(written)
    place = below.start() if below else len(written)
    typed = written[:place].rstrip("\n")
    return f"{typed}\n\n{text}\n{written[place:]}" if typed else f"{text}\n{written[place:]}"


def _name(found: re.Match[str]) -> str:
    return " ".join(found[1].split()).lower()


_LONGEST = 20_000  # characters of To that are parsed
