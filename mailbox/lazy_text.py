"""The type of text that a page shows: a string, or one that is translated when it is shown (gettext_lazy)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    Words: TypeAlias = StrOrPromise
else:
    Words: TypeAlias = str
