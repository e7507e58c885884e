"""The list of accounts as CSV, with what its page says of each. No secret is in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone

from mailbox.accounts.outbox_figures import OutboxFigures
from mailbox.views.accounts.account_row import AccountRow

HEAD = (
    *("id", "email", "display_name", "state", "about", "server_said"),
    *("imap_host", "imap_port", "smtp_host", "smtp_port"),
    *("sync_enabled", "send_enabled", "push_enabled", "sending_paused_at", "up_to_date_at"),
    *("queued", "failed", "uncertain", "sent_today", "last_sent_at"),
)


def lines_of(rows: list[AccountRow]) -> Iterator[list[object]]:
    """The lines below HEAD. Times are in ISO 8601; "" for one that is not there."""
    for row in rows:
        account, worst, figures = row.account, row.worst, row.figures or OutboxFigures()
        yield [
            *(account.pk, account.email, account.display_name, worst.label, worst.sentence, worst.reply),
            *(account.imap.host, account.imap.port, account.smtp.host, account.smtp.port),
            *(_switch(each) for each in (account.sync_enabled, account.send_enabled, account.push_enabled)),
            *(_time(account.sending_paused_at), _time(row.up_to_date_at)),
            *(figures.queued, figures.failed, figures.uncertain, figures.sent_today, _time(figures.last_sent_at)),
        ]


def _switch(is_on: bool) -> str:
    """As the import of accounts reads it."""
    return "yes" if is_on else "no"


def _time(at: datetime | None) -> str:
    return timezone.localtime(at).isoformat(timespec="seconds") if at else ""
