"""Conditions that ignore the case of letters, also of letters beyond ASCII, on both databases.

SQLite's LIKE knows the case of ASCII letters only (https://sqlite.org/lang_expr.html#like), so it does not find `Ü` by
`ü`. Its REGEXP is Django's own function, in Python, and knows all letters; it is slower, so ASCII is left to LIKE.
"""

from __future__ import annotations

import re

from django.db.models import Expression, Q
from django.db.models.lookups import IContains, IRegex, Lookup


def contains(column: str, text: str) -> Q:
    """The condition that a column contains the text."""
    return Q(**({f"{column}__icontains": text} if text.isascii() else {f"{column}__iregex": re.escape(text)}))


def expression_contains(expression: Expression, text: str) -> Lookup[str]:
    """The condition that an expression contains the text."""
    return IContains(expression, text) if text.isascii() else IRegex(expression, re.escape(text))


def equals(column: str, text: str) -> Q:
    """The condition that a column is the text."""
    return Q(**({f"{column}__iexact": text} if text.isascii() else {f"{column}__iregex": f"^{re.escape(text)}$"}))
