"""Texts that pages show: the type of a string or of one translated when it is shown (gettext_lazy), and durations."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    Words: TypeAlias = StrOrPromise
else:
    Words: TypeAlias = str

# Lengths of time in their largest unit, as abbreviations that need no plural.
UNITS: tuple[tuple[str, int, Words], ...] = (
    ("days", 86400, _("{number} d")),
    ("hours", 3600, _("{number} h")),
    ("minutes", 60, _("{number} min")),
    ("seconds", 1, _("{number} s")),
)

# A text of Django's filter filesizeformat, whose own Arabic has the word for two where three to ten stand: our
# catalogue goes before Django's.
BYTES = ngettext_lazy("%(size)d byte", "%(size)d bytes", "size")


def spoken(seconds: float) -> str:
    """A length of time in its largest unit: 75 -> "1 min". The same words as in static/js/app.js."""
    for _name, size, form in UNITS:
        if seconds >= size:
            return str(form).replace("{number}", str(int(seconds // size)))
    return str(UNITS[-1][2]).replace("{number}", "0")
