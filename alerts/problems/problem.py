"""One problem that needs a person now, as its finder words it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.utils.translation import get_language_bidi, gettext, override

from alerts.models import Kind

ALERT_KEY = "alert:"  # how the idempotency keys of our own alert mails begin
LONGEST = 500  # characters of a sentence
ENGLISH = "en"


@dataclass(frozen=True)
class Problem:
    """`key` tells incidents apart; `newest` and `count` tell when there is more of it than was said. `path` leads to
    the page that mends it. `words` makes the sentence in the language of the moment."""

    key: str
    kind: Kind
    account_id: int | None
    words: Callable[[], str]
    path: str
    count: int = 1
    newest: int = 0

    @property
    def sentence(self) -> str:
        return self.words()[:LONGEST]

    def stored(self) -> tuple[str, dict[str, str]]:
        """As it is kept: in English, and in the other languages of the pages by their codes."""
        told = {}
        for code, _name in [(ENGLISH, ""), *settings.LANGUAGES]:
            with override(code):
                told[code] = self.sentence
        english = told.pop(ENGLISH)
        return english, {code: words for code, words in told.items() if words != english}


def said(text: str, **values: object) -> Callable[[], str]:
    """A sentence (of gettext_noop) with values in it, which keep their own direction."""
    return lambda: (gettext(text) % {name: isolated(value) for name, value in values.items()}).strip()


def isolated(value: object) -> str:
    """Within a language from right to left a value stands in an isolate (U+2068): else its parts are turned round."""
    return f"\u2068{value}\u2069" if value and get_language_bidi() else str(value)


def utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
