"""The kinds of files by which attachments are filtered, with the database function over which they are indexed.

A change of KINDS needs a migration that rebuilds the indexes over KindOf.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words

# Name in the URL -> label, and the prefixes of its content types. The first kind that matches applies.
KINDS: dict[str, tuple[Words, tuple[str, ...]]] = {
    "image": (_("Images"), ("image/",)),
    "pdf": ("PDF", ("application/pdf",)),
    "text": (_("Text"), ("text/",)),
    "archive": (_("Archives"), ("application/zip", "application/x-", "application/gzip", "application/vnd.rar")),
    "office": (_("Office documents"), ("application/vnd.", "application/msword", "application/rtf")),
    "message": (_("Messages"), ("message/",)),
    "media": (_("Sound and video"), ("audio/", "video/")),
}
LARGE_FROM = 100_000  # bytes; the smallest size by which attachments can be filtered
LARGE_MAIL = 1024 * 1024  # bytes; the smallest size by which a rule of retention can tell mail apart


class KindOf(models.Func):
    """The key in KINDS of a content type, or "". The SQL has no parameters, since SQLite would not use its index."""

    output_field = models.CharField()
    arity = 1

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        cases = [
            f"WHEN SUBSTR(%(expressions)s, 1, {len(start)}) = '{start}' THEN '{kind}'"
            for kind, (_label, starts) in KINDS.items()
            for start in starts
        ]
        return super().as_sql(compiler, connection, template=f"CASE {' '.join(cases)} ELSE '' END", **context)
