"""The mail that an activity entry is about: its subject, and entries that are found by a text in it.

Nothing of received mail is shown or found where reading it is switched off (`off`: pks of those accounts).

No index has a text: the caller bounds the entries (`activity.STRETCH`), and each is one look-up of its mail by key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import BigIntegerField, Case, Exists, OuterRef, Q, QuerySet, Subquery, TextField, Value, When
from django.db.models.functions import Cast, StrIndex, Substr

from mailbox.db.ignoring_case import contains, json_contains
from mailbox.models import AuditEntry, Message
from mailbox.signals import outbox_rows_asked

# PostgreSQL refuses to cast another text to a number; CASE looks first.
_IS_MAIL = Q(target__regex=r"^(outbox|message):[0-9]{1,18}$")
_KEY = Cast(Substr("target", StrIndex("target", Value(":")) + 1), BigIntegerField())


def with_subjects(rows: QuerySet[AuditEntry], seen: set[int] | None, off: set[int]) -> QuerySet[AuditEntry]:
    """The entries with the subject of their mail as `subject`: None without one, or if the user may not see it; and
    without `detail`, which may name a sender or a file, where they are about received mail that may not be read.

    seen: pks of the accounts whose mail the user may see; None: all.
    """
    cases = [When(is_kind, then=Subquery(mails.values("subject")[:1])) for is_kind, mails in _mails(seen)]
    cases = [When(_is_unreadable(off), then=None), *cases] if off else cases
    rows = _with_key(rows).annotate(subject=Case(*cases, output_field=TextField()))
    return rows.annotate(is_unreadable=Q(_is_unreadable(off))) if off else rows


def with_text(rows: QuerySet[AuditEntry], text: str, seen: set[int] | None, off: set[int]) -> QuerySet[AuditEntry]:
    """The entries that have the text in detail, target, account or subject, and the clicks of which a part has it.

    seen: as for with_subjects(), so that no subject is guessed by searching.
    """
    parts = _with_key(AuditEntry.objects.filter(part_of=OuterRef("pk")).order_by()).filter(_has(text, seen, off))
    return _with_key(rows).filter(_has(text, seen, off) | Q(Exists(parts)))


def _with_key(rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
    return rows.alias(key=Case(When(_IS_MAIL, then=_KEY), output_field=BigIntegerField()))


def _is_unreadable(off: set[int]) -> Q:
    return Q(target__startswith="message:", account__in=off)


def _has(text: str, seen: set[int] | None, off: set[int]) -> Q:
    """The condition of entries that have the text themselves. They have the alias `key`."""
    of_mail = json_contains("detail", text)
    for is_kind, mails in _mails(seen):
        of_mail |= is_kind & Q(Exists(mails.filter(contains("subject", text))))
    of_mail = of_mail & ~_is_unreadable(off) if off else of_mail
    return of_mail | contains("target", text) | contains("account__email", text)


def _mails(seen: set[int] | None) -> Iterator[tuple[Q, QuerySet[Any]]]:
    """(the condition of entries about a table's mail, the mail of an entry with the alias `key`)."""
    answers: Any = outbox_rows_asked.send(sender=AuditEntry)
    tables = [("message:", Message.objects.order_by()), *(("outbox:", mails) for _receiver, mails in answers)]
    for kind, mails in tables:
        mails = mails.filter(pk=OuterRef("key"))
        yield Q(target__startswith=kind), mails if seen is None else mails.filter(account__in=seen)
