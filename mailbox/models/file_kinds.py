"""What kinds of files a person looks for, and how an index knows them. A change of KINDS needs a migration that makes
the indexes over KindOf anew."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words

# What the address calls a kind of file, its label, and how its types begin. The first kind that fits is a file's own.
KINDS: dict[str, tuple[Words, tuple[str, ...]]] = {
    "image": (_("Images"), ("image/",)),
    "pdf": ("PDF", ("application/pdf",)),
    "text": (_("Text"), ("text/",)),
    "archive": (_("Archives"), ("application/zip", "application/x-", "application/gzip", "application/vnd.rar")),
    "office": (_("Office documents"), ("application/vnd.", "application/msword", "application/rtf")),
    "message": (_("Messages"), ("message/",)),
    "media": (_("Sound and video"), ("audio/", "video/")),
}
LARGE_FROM = 100_000  # bytes: the smallest size that a list of attachments can be asked for


class KindOf(models.Func):
    """The key in KINDS of a content type, "" for all others. Without parameters, or SQLite would not use its index."""

    output_field = models.CharField()
    arity = 1

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        cases = [
            f"WHEN SUBSTR(%(expressions)s, 1, {len(start)}) = '{start}' THEN '{kind}'"
            for kind, (_label, starts) in KINDS.items()
            for start in starts
        ]
        return super().as_sql(compiler, connection, template=f"CASE {' '.join(cases)} ELSE '' END", **context)
