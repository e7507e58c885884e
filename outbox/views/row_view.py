"""A row of the outbox as pages show it: its state, its error, and its buttons."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words
from outbox import restored_mail
from outbox.bounces.status_words import status_words
from outbox.models import OutboxMessage
from outbox.sent_folder import looked_words
from outbox.views.status import OutboxTab, first_line, is_scheduled, is_unknown_user, may_be_undone, tab_of

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold


@dataclass(frozen=True)
class RowAction:
    """A button: URL name, verb, and the question that an irreversible one asks."""

    url_name: str
    label: Words
    kind: str = ""  # "primary", "danger" or ""
    confirm: Words = ""
    is_retry: bool = False  # needs the feature outbox_retry


RETRY = RowAction("outbox:retry", _("Retry"), "primary", is_retry=True)
SEND_NOW = RowAction("outbox:send_now", _("Send now"), "primary", is_retry=True)
UNDO = RowAction("outbox:undo", _("Undo"), "primary")
CANCEL = RowAction("outbox:cancel", _("Cancel"), "", _("Cancel this mail? It is never sent then."))
MARK = RowAction("outbox:mark_as_sent", _("Mark as sent"), "", _("Mark it as sent? It is not tried again."))
TWICE = _("Send it again? The recipient may get it twice.")
AGAIN = RowAction("outbox:send_again", _("Send again"), "danger", TWICE, is_retry=True)
TWICE_THEN = _("Send it at its time? If it went out already, the recipient gets it twice.")
AT_ITS_TIME = replace(AGAIN, label=_("Send at its time"), confirm=TWICE_THEN)


def choices_of(row: OutboxMessage, now: datetime) -> list[RowAction]:
    """The buttons for this row's state. outbox.api checks again when one is pressed."""
    if row.status not in OutboxMessage.CLAIMABLE:
        return []
    if row.hold == Hold.UNCERTAIN:
        return [MARK, AT_ITS_TIME if row.send_at and row.send_at > now else AGAIN]
    if row.hold == Hold.SIGN_IN:
        return [CANCEL]
    if row.hold:
        return [RETRY, CANCEL]
    if may_be_undone(row, now):
        return [UNDO, replace(SEND_NOW, kind="")]
    if row.next_attempt_at > now or row.status == Status.FAILED:
        return [SEND_NOW, CANCEL]
    return [CANCEL]


@dataclass
class RowView:
    """A row as lists show it."""

    row: OutboxMessage
    tab: OutboxTab
    error: str
    tries: int
    fingerprint: str
    choices: list[RowAction] = field(default_factory=list)
    may_operate: bool = False
    is_scheduled: bool = False
    may_be_undone: bool = False
    is_bounced: bool = False
    is_drill: bool = False
    is_all_bounced: bool = False
    silent_since: datetime | None = None
    is_unproven: bool = False  # it is told as bounced by reports only that anybody could have written

    @property
    def tone(self) -> str:
        """The tone of its badge: "broken" once it has bounced for every recipient, although a server took it."""
        return "broken" if self.is_all_bounced else self.tab.tone

    @property
    def badge_label(self) -> str:
        """The state in a word; "Bounced" and "Scheduled" are no states of a row."""
        if self.is_all_bounced:
            return gettext("Bounced")
        return gettext("Scheduled") if self.is_scheduled else str(self.tab.label)

    @property
    def badge_icon(self) -> str:
        """The name of the badge's heroicon."""
        if self.is_all_bounced:
            return "arrow-uturn-left"
        return "calendar" if self.is_scheduled else self.tab.icon

    @property
    def is_selectable(self) -> bool:
        """Whether the row has a tick box: some bulk action applies to it."""
        final = self.row.status in (Status.SENT, Status.CANCELLED)
        return self.may_operate and not final

    @property
    def bounce(self) -> SafeString | str:
        """Why it bounced, in words; only in lists that were read with_bounces()."""
        if getattr(self.row, "report_action", "") == "complaint":
            return gettext("The recipient calls it unwanted.")
        code, words = getattr(self.row, "report_code", "") or "", getattr(self.row, "report_words", "") or ""
        # The server's words keep their order after ours, also where those are written from right to left.
        return format_html_join(
            " ", "<bdi>{}</bdi>", ((part,) for part in (status_words(code), code, words[:200]) if part)
        )

    @property
    def is_report_unproven(self) -> bool:
        """Whether anybody could have written the report of `bounce`; only in lists that were read with_bounces()."""
        return getattr(self.row, "report_proven", None) is False

    @property
    def failed_at(self) -> datetime | None:
        """The end of the last attempt of a failed mail."""
        return getattr(self.row, "tried_at", None) if self.row.status == Status.FAILED else None

    @property
    def evidence(self) -> str:
        """What the last look into Sent found, for a mail of a restored database; "" before the first look."""
        is_restored = self.needs_decision and self.row.error == restored_mail.WORDS
        return looked_words.in_words(getattr(self.row, "looked", None) or "") if is_restored else ""

    @property
    def needs_decision(self) -> bool:
        """Whether only the server knows if it was sent, so that a person must decide."""
        return self.row.hold == Hold.UNCERTAIN

    @property
    def may_edit_copy(self) -> bool:
        """Whether to offer "Edit a copy": for permanent failures, since often an address is wrong."""
        return self.may_operate and self.row.hold == Hold.PERMANENT

    @property
    def may_correct(self) -> bool:
        """Whether to offer "correct the address": the server refused the address, and the mail has no private part."""
        return self.may_edit_copy and is_unknown_user(self.error) and not self.row.private_part

    @property
    def needs_sign_in(self) -> bool:
        """Whether it waits until its account can sign in again."""
        return self.row.hold == Hold.SIGN_IN

    @property
    def is_ticking(self) -> bool:
        """Whether the page shows when it goes out; not without workers, nor while its sending is paused or off."""
        return self.tab.name in ("queued", "retrying") and self.has_workers and not self.kept_back

    @property
    def kept_back(self) -> str:
        """Why the row waits: its account's sending is off, or sending is paused; else ""."""
        if self.tab.name not in ("queued", "retrying"):
            return ""
        if not self.row.account.send_enabled:
            return gettext("waits: sending is off")
        paused = self.row.account.sending_paused_at or getattr(self.row, "all_paused", False)
        return gettext("waits: sending is paused") if paused else ""

    @property
    def waits_for_a_worker(self) -> bool:
        """Whether it stays in the queue because no worker runs anywhere."""
        return self.tab.name in ("queued", "retrying") and not self.has_workers

    @property
    def has_workers(self) -> bool:
        """Whether a worker runs; True for rows that were not read by visible_rows.listed()."""
        return bool(getattr(self.row, "works", True))


def row_view(row: OutboxMessage, now: datetime, *, tries: int, may_operate: bool, may_retry: bool = True) -> RowView:
    """The row for a page. tries: attempts so far. may_retry: the account has the feature outbox_retry."""
    choices = [each for each in choices_of(row, now) if may_retry or not each.is_retry] if may_operate else []
    tab, error = tab_of(row), first_line(row.error) if row.status in ("pending", "sending", "failed") else ""
    error = gettext(error) if error == restored_mail.WORDS else error
    is_bounced, is_drill = bool(getattr(row, "bounced", False)), bool(row.failure_mode or getattr(row, "drill", ""))
    buttons = [(choice.url_name, choice.kind) for choice in choices]
    seen = f"{row.status}|{row.hold}|{tries}|{row.next_attempt_at}|{error}|{buttons}"
    is_all_bounced = row.status == Status.SENT and bool(getattr(row, "all_bounced", False))
    silent_since, is_unproven = row.silent_since(now), is_bounced and not getattr(row, "proven", True)
    seen += f"|{getattr(row, 'works', True)}|{getattr(row, 'all_paused', False)}|{row.account.sending_paused_at}|"
    seen += f"{row.account.send_enabled}|{is_bounced}|{is_drill}|{row.send_at}|{is_all_bounced}|{silent_since}|"
    seen += f"{is_unproven}|{getattr(row, 'looked', '')}"
    return RowView(
        row,
        tab,
        error,
        tries,
        f"{zlib.crc32(seen.encode()):08x}",
        choices,
        may_operate,
        is_scheduled(row, now),
        may_be_undone(row, now),
        is_bounced,
        is_drill,
        is_all_bounced,
        silent_since,
        is_unproven,
    )
