"""One problem that needs a person now, with its sentence in all languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.utils.translation import get_language_bidi, gettext, override

from alerts.models import Kind
from mailbox.plain_words import with_isolates, without_controls

ALERT_KEY = "alert:"  # prefix of the idempotency keys of our own alert mails
LONGEST = 500  # characters of a sentence
ENGLISH = "en"


@dataclass(frozen=True)
class Problem:
    """A problem. `key`: identifies its incident. `count`, `newest`: how many rows, and the highest pk of them; when one
    of them rises, there is more than was notified. `path`: of the page where it can be fixed. `words`: makes the
    sentence in the active language."""

    key: str
    kind: Kind
    account_id: int | None
    words: Callable[[], str]
    path: str
    count: int = 1
    newest: int = 0

    @property
    def sentence(self) -> str:
        """The sentence in the present language, one line of at most LONGEST characters.

        Names of folders and the words of servers are in it, and it becomes a subject, which takes no control character.
        """
        plain = with_isolates if get_language_bidi() else without_controls
        return plain(self.words())[:LONGEST]

    def stored(self) -> tuple[str, dict[str, str]]:
        """The sentence in English, and by language code in the other languages of the pages where it differs."""
        told = {}
        for code, _name in [(ENGLISH, ""), *settings.LANGUAGES]:
            with override(code):
                told[code] = self.sentence
        english = told.pop(ENGLISH)
        return english, {code: words for code, words in told.items() if words != english}


def said(text: str, **values: object) -> Callable[[], str]:
    """A function that makes the sentence: `text` (of gettext_noop) translated, with the values isolated."""
    return lambda: (gettext(text) % {name: isolated(value) for name, value in values.items()}).strip()


def isolated(value: object) -> str:
    """The value, in a right-to-left language within an isolate (U+2068, U+2069), as its parts would be reordered
    otherwise."""
    text = without_controls(str(value))
    return f"\u2068{text}\u2069" if text and get_language_bidi() else text


def utc(at: datetime) -> str:
    """The time in UTC to the minute, for sentences that are stored and mailed."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
