"""The results of a search as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.apps import apps
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailbox.localized import listed
from mailbox.models import PersonSearch
from prx_email_site.personal_data.decisions import ErasureOutcome
from prx_email_site.personal_data.tables import TABLES

State = PersonSearch.State
TO_DO = {
    ErasureOutcome.REMOVED: _("to be removed"),
    ErasureOutcome.EMPTIED: _("to be emptied: content, names and address go"),
    ErasureOutcome.MASKED: _("to lose the address"),
}
DONE = {
    ErasureOutcome.REMOVED: _("removed"),
    ErasureOutcome.EMPTIED: _("emptied: content, names and address are gone"),
    ErasureOutcome.MASKED: _("lost the address"),
    ErasureOutcome.KEY: _("emptied but for the idempotency key, which prevents a second sending for 30 days"),
}
NOT_ERASED = dict.fromkeys(
    (ErasureOutcome.REMOVED, ErasureOutcome.EMPTIED, ErasureOutcome.MASKED, ErasureOutcome.KEY), _("stay")
)
STAYING = {
    ErasureOutcome.HELD: _("stay: a legal hold keeps them"),
    ErasureOutcome.WAITS: _("stay: a mail of the outbox is not over, cancel it or decide about it first"),
    ErasureOutcome.KEY: _("to be emptied but for the idempotency key, which prevents a second sending for 30 days"),
    ErasureOutcome.MENTIONED: _("stay: mail of others that only mentions the address"),
    ErasureOutcome.KEPT: _("stay"),
}
REASONS = {
    "outbox.SuppressedAddress": _("so that nobody writes to this person again"),
    "mailbox.Folder": _("its server calls it so"),
    "mailbox.LegalHold": _("that something was held is asked for later"),
}
NAMED = 20  # rows of a line
SETTING = _("people set it up: change or remove it on its page")


@dataclass(frozen=True)
class FoundLine:
    """A line of the report: so many rows of a table have this outcome."""

    table: str  # its name in the database, as on the system page
    number: int
    outcome: str
    stays: bool
    keys: str  # the first pks of rows that stay


def lines_of(search: PersonSearch, *, is_refused: bool = False) -> list[FoundLine]:
    """The lines in the order of the tables. is_refused: the address cannot be erased now."""
    is_over = search.state in (State.ERASED, State.REFUSED, State.ERASING)
    said = STAYING | (DONE if is_over else NOT_ERASED if is_refused else TO_DO)
    lines = []
    for table in TABLES:
        name = apps.get_model(table.label)._meta.db_table
        named = search.named.get(table.label, {})
        for outcome, number in search.found.get(table.label, {}).items():
            words = str(said[ErasureOutcome(outcome)])
            if outcome == ErasureOutcome.KEPT:
                words = gettext("stay: %(reason)s") % {"reason": REASONS.get(table.label, SETTING)}
            keys = _rows_in_words(named.get(outcome, []), number)
            lines.append(FoundLine(name, number, words, bool(named.get(outcome)), keys))
    return lines


def _rows_in_words(named: Sequence[int], number: int) -> str:
    """The first pks as "rows 1, 2, …", or "" if none is listed."""
    if not named:
        return ""
    keys = listed([*named[:NAMED], *(["…"] if number > NAMED else [])])
    return ngettext("row %(keys)s", "rows %(keys)s", number) % {"keys": keys}
