"""Numbers, percentages and lists of words as the active language writes them, for texts of pages.

Nothing here is for what programs read: attributes, addresses, form values, JSON, CSV, the API and the command line have
plain digits, as everything has that is not written by one of these functions (USE_THOUSAND_SEPARATOR is off).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.formats import number_format
from django.utils.translation import gettext, pgettext


def grouped(number: int) -> str:
    """1234567 as "1,234,567", or with the language's separator."""
    return str(number_format(number, force_grouping=True))


def percent(number: int) -> str:
    """45 as "45 %", or as the language writes it."""
    return gettext("%(percent)s %%") % {"percent": grouped(number)}


def comma() -> str:
    """What stands between the words of a list: ", ", or what the language has instead."""
    # Translators: a list of words; only what stands between the two is used.
    return pgettext("list", "{one}, {more}").removeprefix("{one}").removesuffix("{more}")


def listed(words: Iterable[object]) -> str:
    """Words one after another, as "a, b, c"."""
    return comma().join(map(str, words))


def listed_apart(words: Iterable[object]) -> str:
    """Like listed(), for parts that may have commas of their own, as "a, b; c"."""
    # Translators: a list of parts of a sentence; only what stands between the two is used.
    between = pgettext("list", "{one}; {more}").removeprefix("{one}").removesuffix("{more}")
    return between.join(map(str, words))
