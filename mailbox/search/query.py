"""Parses the text of a search, such as 'from:ann has:attachment "annual report" -draft'. Pure.

No text raises an error: SearchQuery.problems has a sentence for each part that cannot be understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

from django.utils.translation import gettext

from mailbox.search.tokenizer import Phrase, phrase

MAX_LENGTH = 500  # characters
MAX_TERMS = 20
MAX_WORDS = 100  # in all terms together, as a long Chinese sentence is one phrase of many pairs
SMALLEST_PREFIX = 3  # letters before a star; fewer would match a large part of the index
FIRST_YEAR, LAST_YEAR = 1900, 2199

# A minus, an operator, then a quoted or a plain value. A quote without its closing one extends to the end.
_TERM = re.compile(r'(-)?(?:([A-Za-z]+):)?(?:"([^"]*)(?:"|\Z)|(\S*))')
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "：": ":"})  # noqa: RUF001
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmg]?)i?b?", re.I)
_DATE = re.compile(r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2}))?)?")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True)
class Term:
    """A phrase to be found in one field ("from", "to", "subject", "filename"), or with "" anywhere in the mail."""

    field: str
    phrase: Phrase
    is_negated: bool = False


@dataclass(frozen=True)
class AccountOrFolderName:
    """The name of an account or a folder as typed."""

    text: str
    is_negated: bool = False


@dataclass(frozen=True)
class SearchQuery:
    """The conditions of a search, all of which must hold. None and () are no condition."""

    text: str = ""
    terms: tuple[Term, ...] = ()
    accounts: tuple[AccountOrFolderName, ...] = ()
    folders: tuple[AccountOrFolderName, ...] = ()
    has_attachment: bool | None = None
    is_unread: bool | None = None
    is_flagged: bool | None = None
    from_day: date | None = None  # this day or later
    before_day: date | None = None  # before this day begins
    larger: int | None = None  # bytes, exclusive
    at_most: int | None = None  # bytes, inclusive; from -larger:
    contradicts: bool = False  # as in is:unread -is:unread, which finds nothing
    # Words before a colon that are no operator. The text is searched for as it is, and the page says so.
    unknown: tuple[str, ...] = field(default=(), compare=False)
    problems: tuple[str, ...] = ()  # sentences that say what to change; if there are any, nothing is searched

    @property
    def is_empty(self) -> bool:
        """Whether it has no condition, so that it would find all mail, and no problem."""
        return self == SearchQuery(text=self.text)

    @property
    def is_plain(self) -> bool:
        """Whether it is words without operators, quotes, stars or minuses, which another search understands as well."""
        are_words = all(not (term.field or term.is_negated or term.phrase.is_prefix) for term in self.terms)
        return bool(self.terms) and are_words and '"' not in self.text and self == SearchQuery(self.text, self.terms)


class _Misunderstood(Exception):
    """A part of the text cannot be understood. str(): the sentence to display."""


def parse(text: str) -> SearchQuery:
    """Parse the text of a search. Never raises, whatever the text."""
    query = SearchQuery(text=text)
    if len(text) > MAX_LENGTH:
        return replace(
            query,
            problems=(
                gettext("A search has at most %(most)s characters; this one has %(number)s.")
                % {"most": MAX_LENGTH, "number": len(text)},
            ),
        )
    problems: list[str] = []
    terms = [found.groups() for found in _TERM.finditer(text.translate(_QUOTES)) if found[0]]
    for minus, name, quoted, plain in terms:
        try:
            query = _with_term(query, bool(minus), (name or "").lower(), name or "", quoted, plain or "")
        except _Misunderstood as sentence:
            problems.append(str(sentence))
    if len(query.terms) > MAX_TERMS or sum(len(term.phrase.words) for term in query.terms) > MAX_WORDS:
        problems.append(
            gettext("A search has at most %(number)s words or phrases; take some away.") % {"number": MAX_TERMS}
        )
    if not problems and text.strip() and query.is_empty:
        problems.append(
            gettext("There is no word to look for in “%(text)s”; give one with letters or digits.")
            % {"text": text.strip()[:60]}
        )
    return replace(query, problems=tuple(dict.fromkeys(problems)))


def _with_term(
    query: SearchQuery, is_negated: bool, operator: str, name: str, quoted: str | None, plain: str
) -> SearchQuery:
    value = plain if quoted is None else quoted
    if operator not in OPERATORS:
        whole = f"{name}:{value}" if name else value
        found = _with_words(query, "", whole, is_negated, quoted is not None)
        is_meant = name.isalpha() and value and not value.startswith("//")  # not for a URL, or a time like 12:30
        return replace(found, unknown=(*query.unknown, operator)) if is_meant else found
    if not value.strip():
        raise _Misunderstood(
            gettext("Write a value right after “%(operator)s:”, as in %(example)s.")
            % {"operator": operator, "example": EXAMPLES[operator]}
        )
    return OPERATORS[operator](query, operator, value.strip(), is_negated)


def _with_words(query: SearchQuery, field: str, value: str, is_negated: bool, is_quoted: bool = True) -> SearchQuery:
    is_prefix = value.endswith("*")
    wanted = phrase(value, is_prefix=is_prefix)
    if not wanted.words:
        if field:
            raise _Misunderstood(
                gettext("There is no letter or digit in “%(field)s:%(value)s”; write %(example)s.")
                % {"field": field, "value": value[:40], "example": EXAMPLES[field]}
            )
        return query
    last = wanted.words[-1]
    if is_prefix and wanted.is_prefix and last.isascii() and len(last) < SMALLEST_PREFIX:
        raise _Misunderstood(
            gettext("Give at least %(number)s letters before the star in “%(value)s”.")
            % {"number": SMALLEST_PREFIX, "value": value[:40]}
        )
    return replace(query, terms=(*query.terms, Term(field, wanted, is_negated)))


def _field(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    return _with_words(query, operator, value, is_negated)


def _account(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    return replace(query, accounts=(*query.accounts, AccountOrFolderName(value, is_negated)))


def _folder(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    return replace(query, folders=(*query.folders, AccountOrFolderName(value, is_negated)))


def _has(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    if value.lower() not in ("attachment", "attachments"):
        raise _Misunderstood(gettext("“has:” knows has:attachment only, not “%(value)s”.") % {"value": value[:40]})
    return _with_switch(query, "has_attachment", not is_negated)


_STATES = {
    "unread": ("is_unread", True),
    "read": ("is_unread", False),
    "flagged": ("is_flagged", True),
    "unflagged": ("is_flagged", False),
}


def _is(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    if value.lower() not in _STATES:
        raise _Misunderstood(
            gettext("“is:” knows is:unread, is:read and is:flagged, not “%(value)s”.") % {"value": value[:40]}
        )
    switch, wanted = _STATES[value.lower()]
    return _with_switch(query, switch, wanted != is_negated)


def _with_switch(query: SearchQuery, switch: str, wanted: bool) -> SearchQuery:
    known = getattr(query, switch)
    changes: dict[str, bool] = {switch: wanted, "contradicts": query.contradicts or known not in (None, wanted)}
    return replace(query, **changes)  # type: ignore[arg-type]


def _day(operator: str, value: str) -> date:
    found = _DATE.fullmatch(value) if value.isascii() else None
    try:
        day = date(int(found[1]), int(found[2] or 1), int(found[3] or 1)) if found else None
    except ValueError:
        day = None
    if day is None:
        raise _Misunderstood(
            gettext("“%(operator)s:%(value)s” is no day; write %(example)s (year-month-day).")
            % {"operator": operator, "value": value[:40], "example": EXAMPLES[operator]}
        )
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise _Misunderstood(
            gettext("The year in “%(operator)s:%(value)s” must be from %(first)s to %(last)s.")
            % {"operator": operator, "value": value, "first": FIRST_YEAR, "last": LAST_YEAR}
        )
    return day


def _before(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    day = _day(operator, value)
    if is_negated:
        return replace(query, from_day=max(day, query.from_day or day))
    return replace(query, before_day=min(day, query.before_day or day))


def _after(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    day = _day(operator, value)
    if is_negated:
        return replace(query, before_day=min(day, query.before_day or day))
    return replace(query, from_day=max(day, query.from_day or day))


def _larger(query: SearchQuery, operator: str, value: str, is_negated: bool) -> SearchQuery:
    found = _SIZE.fullmatch(value) if value.isascii() else None
    if found is None:
        raise _Misunderstood(
            gettext("“larger:%(value)s” is no size; write larger:500k, larger:10M or a number of bytes.")
            % {"value": value[:40]}
        )
    size = min(int(float(found[1]) * _UNITS[found[2].lower()]), 2**53)
    if is_negated:
        return replace(query, at_most=size if query.at_most is None else min(size, query.at_most))
    return replace(query, larger=max(size, query.larger or 0))


OPERATORS: dict[str, Callable[[SearchQuery, str, str, bool], SearchQuery]] = {
    "from": _field,
    "to": _field,
    "subject": _field,
    "filename": _field,
    "account": _account,
    "in": _folder,
    "has": _has,
    "is": _is,
    "before": _before,
    "after": _after,
    "larger": _larger,
}
EXAMPLES = {
    "from": "from:ann",
    "to": "to:sales@example.com",
    "subject": 'subject:"annual report"',
    "filename": "filename:invoice.pdf",
    "account": "account:support",
    "in": "in:inbox",
    "has": "has:attachment",
    "is": "is:unread",
    "before": "before:2026-03-31",
    "after": "after:2026-03-01",
    "larger": "larger:10M",
}
