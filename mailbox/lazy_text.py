"""The type of texts for pages, plain or lazily translated (gettext_lazy), and durations in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from mailbox.localized import grouped

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    Words: TypeAlias = StrOrPromise
else:
    Words: TypeAlias = str

# Units of durations, the largest first, as abbreviations without a plural.
UNITS: tuple[tuple[str, int, Words], ...] = (
    ("days", 86400, _("{number} d")),
    ("hours", 3600, _("{number} h")),
    ("minutes", 60, _("{number} min")),
    ("seconds", 1, _("{number} s")),
)

# A text of Django's filter filesizeformat. Django's Arabic has a wrong plural (three to ten read "two"), and our
# catalogue goes before it.
BYTES = ngettext_lazy("%(size)d byte", "%(size)d bytes", "size")


def spoken(seconds: float) -> str:
    """A duration in its largest unit: 75 -> "1 min". The same words as in static/js/app.js."""
    for _name, size, form in UNITS:
        if seconds >= size:
            return str(form).replace("{number}", grouped(int(seconds // size)))
    return str(UNITS[-1][2]).replace("{number}", "0")
