"""A saved reply -> text of a mail. Fields are replaced by plain words, once: what is filled in is not read again."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mailbox.mime.addresses import read
from outbox.compose import replies

FIELDS = ("recipient name", "sender name", "subject")
_FIELD = re.compile(r"\{\{[ \t]*+([^{}\n]{1,60})\}\}")
_BELOW = re.compile(r"\n-- \n|\nOn [^\n]{1,2000} wrote:\n>")  # as replies.signed and replies.quoted begin


def values_of(to: str, sender_name: str, subject: str) -> dict[str, str]:
    """What the fields stand for in a mail to these; the name of the first recipient, or their address."""
    first = next(iter(read(to[:_LONGEST], is_decoded=True)), None)
    name = " ".join((first.name or first.address).split()) if first else ""
    return {"recipient name": name, "sender name": sender_name, "subject": replies.bare_subject(subject)}


def fill(text: str, values: Mapping[str, str]) -> str:
    """A field that is none stays as it is, for a person to see."""
    return _FIELD.sub(lambda found: values.get(_name(found), found[0]), text)


def unknown_fields(text: str) -> list[str]:
    return [found[0] for found in _FIELD.finditer(text) if _name(found) not in FIELDS]


def insert(written: str, text: str) -> str:
    """Below what was typed, above the signature and what is answered."""
    below = _BELOW.search(written)
    place = below.start() if below else len(written)
    typed = written[:place].rstrip("\n")
    return f"{typed}\n\n{text}\n{written[place:]}" if typed else f"{text}\n{written[place:]}"


def _name(found: re.Match[str]) -> str:
    return " ".join(found[1].split()).lower()


_LONGEST = 20_000  # characters of To that are looked at
