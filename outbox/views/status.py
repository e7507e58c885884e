"""What a row's state means to a person: tab, tone, sentence, and the buttons that mend it. No queries here."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.utils import timezone
from django.utils.formats import time_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient, SendPace
from outbox.views.who_says_so import sent_words, was_not_asked

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold


@dataclass(frozen=True)
class Tab:
    """A state as the outbox page names it; `name` is the word in the address and the QuerySet's method."""

    name: str
    label: Words
    tone: str
    icon: str
    empty: Words
    is_final: bool = False  # grows without end, so that its count is cut


TABS = (
    Tab(
        "queued",
        _("Queued"),
        "waiting",
        "clock",
        _("Mail that waits for its first attempt is listed here, for a moment."),
    ),
    Tab("sending", _("Sending"), "waiting", "paper-airplane", _("Mail that a worker is handing over right now.")),
    Tab("retrying", _("Retrying"), "waiting", "arrow-path", _("Mail a server put off; it is tried again by itself.")),
    Tab(
        "needs_decision",
        _("Needs a decision"),
        "needs",
        "question-mark-circle",
        _("Mail that may or may not have gone out, because the connection broke at the last moment."),
    ),
    Tab(
        "failed_for_good", _("Failed"), "broken", "x-circle", _("Mail that a server refused for good, or not in time.")
    ),
    Tab("sent", _("Sent"), "fine", "check-circle", _("Mail that a server has accepted."), is_final=True),
    Tab("cancelled", _("Cancelled"), "waiting", "no-symbol", _("Mail that somebody took back in time."), is_final=True),
)
TAB_BY_NAME = {tab.name: tab for tab in TABS}

SENTENCES = {
    Hold.PERMANENT: _("The server refused it for good. Fix the cause, then retry; nothing goes out until then."),
    Hold.GAVE_UP: _("It was tried for too long without success. Retry when the cause is fixed."),
    Hold.SIGN_IN: _("The server refused the account's sign-in. It goes out by itself once the account signs in again."),
    Hold.UNCERTAIN: (
        _(
            "It may or may not have gone out: the connection or the worker was lost after the mail was handed over and "
            "before the server answered. Look whether it arrived, then decide."
        )
    ),
}


def tab_of(row: OutboxMessage) -> Tab:
    by_status = {
        Status.PENDING.value: "queued",
        Status.SENDING.value: "sending",
        Status.SENT.value: "sent",
        Status.CANCELLED.value: "cancelled",
    }
    if row.status in by_status:
        return TAB_BY_NAME[by_status[row.status]]
    if row.hold == Hold.UNCERTAIN:
        return TAB_BY_NAME["needs_decision"]
    return TAB_BY_NAME["failed_for_good" if row.hold else "retrying"]


def is_scheduled(row: OutboxMessage, now: datetime) -> bool:
    """Whether it waits for a time that a person chose."""
    return bool(row.status == Status.PENDING and row.send_at and row.send_at > now)


def may_be_undone(row: OutboxMessage, now: datetime) -> bool:
    return bool(row.status == Status.PENDING and row.undo_until and row.undo_until > now)


def waits_for(row: OutboxMessage) -> str:
    """What of the account keeps a mail waiting, as a sentence; "" when nothing does. Asks the account's transport, and
    its pace when it has a rate limit."""
    account = row.account
    if account.smtp.needs_sign_in_since:
        return gettext(
            "The SMTP server refuses the sign-in of %(account)s, so its mail waits. It goes out "
            "by itself once the password or token is entered again."
        ) % {"account": account.email}
    if not account.send_enabled:
        return gettext("Sending is switched off for %(account)s; the mail waits until it is switched on again.") % {
            "account": account.email
        }
    if account.sending_paused_at:
        return gettext("Sending is paused for %(account)s; the mail waits until it is resumed.") % {
            "account": account.email
        }
    if account.messages_per_minute:
        next_at = SendPace.objects.filter(pk=account.pk, next_at__gt=timezone.now()).values_list("next_at", flat=True)
        if at := next_at.first():
            limit = gettext("%(number)s a minute") % {"number": account.messages_per_minute}
            return gettext("Rate limit of %(account)s (%(limit)s): next at %(time)s.") % {
                "account": account.email,
                "limit": limit,
                "time": _clock(at),
            }
    return ""


def sentence_of(row: OutboxMessage, now: datetime, *, paused: bool = False) -> str:
    """One plain sentence for the state. `paused`: all sending is, of every account."""
    if row.status == Status.PENDING and may_be_undone(row, now):
        return gettext("It is held back for a moment, so that you can still undo it.")
    if row.status == Status.PENDING:
        waiting = gettext("All sending is paused; the mail waits until an administrator resumes it.") if paused else ""
        waiting = waiting or waits_for(row)
        if is_scheduled(row, now):
            at_its_time = gettext("It goes out by itself at its time.")
            if not getattr(row, "works", True):
                at_its_time = gettext("It goes out at its time if a worker runs then: now none does.")
            return f"{at_its_time} {waiting}".strip()
        if waiting:
            return waiting
        if not getattr(row, "works", True):
            return gettext("It waits for a worker, and no worker is running. It goes out once one is started.")
        return gettext("It waits for a worker, which takes it within seconds.")
    if row.status == Status.SENDING:
        return _sending(row, now)
    if row.status == Status.SENT:
        return sent_words(row)
    if row.status == Status.CANCELLED:
        return _cancelled(row)
    if row.hold == Hold.PERMANENT and was_not_asked(row):
        return gettext(
            "It cannot go out as it is, and was not given to the server. Read why below, then write it anew."
        )
    if row.hold:
        return str(SENTENCES[Hold(row.hold)])
    if not getattr(row, "works", True):
        return gettext("The last attempt failed for now. It is tried again once a worker is running: now none is.")
    return gettext("The last attempt failed for now. It is tried again by itself.")


def _sending(row: OutboxMessage, now: datetime) -> str:
    if (since := row.silent_since(now)) is None:
        return gettext("A worker is handing it to the server at this moment.")
    if row.data_at:
        words = gettext(
            "Its worker has been silent since %(time)s and had begun to hand the mail over. If it stays silent, "
            "whether the mail went out is for a person to decide."
        )
    else:
        words = gettext(
            "Its worker has been silent since %(time)s, before the mail was handed over. If it stays silent, the mail "
            "is tried again by itself."
        )
    return words % {"time": _clock(since)}


def _clock(at: datetime) -> str:
    return time_format(timezone.localtime(at), gettext("H:i:s"))


def may_have_gone_out(row: OutboxMessage) -> bool:
    """Cancelled after "Send again": nothing takes back what the attempt before that may have done. Who was accepted
    since, or marked as having it, is no question."""
    if row.status != Status.CANCELLED or not row.attempts.filter(outcome=DeliveryAttempt.Outcome.UNCERTAIN).exists():
        return False
    states = set(row.recipients.values_list("status", flat=True))
    return OutboxRecipient.Status.WAITING in states or OutboxRecipient.Status.ACCEPTED not in states


def _cancelled(row: OutboxMessage) -> str:
    if may_have_gone_out(row):
        return gettext("It was cancelled and is not sent again; whether an attempt before that sent it is unknown.")
    if row.recipients.filter(status=OutboxRecipient.Status.ACCEPTED).exists():
        return gettext("It was cancelled for those who did not have it yet; the server had accepted it for the others.")
    return gettext("It was cancelled before it went out; it is never sent.")


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


@dataclass(frozen=True)
class Choice:
    """A button: the name of its URL, its verb, and the question a dangerous one asks."""

    url_name: str
    label: Words
    kind: str = ""  # "primary", "danger" or ""
    confirm: Words = ""


RETRY = Choice("outbox:retry", _("Retry"), "primary")
SEND_NOW = Choice("outbox:send_now", _("Send now"), "primary")
UNDO = Choice("outbox:undo", _("Undo"), "primary")
CANCEL = Choice("outbox:cancel", _("Cancel"), "", _("Cancel this mail? It is never sent then."))
MARK = Choice("outbox:mark_as_sent", _("Mark as sent"), "", _("Mark it as sent? It is not tried again."))
AGAIN = Choice("outbox:send_again", _("Send again"), "danger", _("Send it again? The recipient may get it twice."))


def choices_of(row: OutboxMessage, now: datetime) -> list[Choice]:
    """The buttons this state allows; outbox.api decides again when one is pressed."""
    if row.status not in OutboxMessage.CLAIMABLE:
        return []
    if row.hold == Hold.UNCERTAIN:
        return [MARK, AGAIN]
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
class Shown:
    """A row as a list shows it."""

    row: OutboxMessage
    tab: Tab
    error: str
    tries: int
    print: str
    choices: list[Choice] = field(default_factory=list)
    may_operate: bool = False
    is_scheduled: bool = False
    may_be_undone: bool = False
    is_bounced: bool = False
    is_drill: bool = False
    is_all_bounced: bool = False
    silent_since: datetime | None = None

    @property
    def tone(self) -> str:
        return "broken" if self.is_all_bounced else self.tab.tone

    @property
    def badge_label(self) -> str:
        if self.is_all_bounced:
            return gettext("Bounced")
        return gettext("Scheduled") if self.is_scheduled else str(self.tab.label)

    @property
    def badge_icon(self) -> str:
        if self.is_all_bounced:
            return "arrow-uturn-left"
        return "calendar" if self.is_scheduled else self.tab.icon

    @property
    def may_tick(self) -> bool:
        """Whether a bulk action could do anything with it."""
        final = self.row.status in (Status.SENT, Status.CANCELLED)
        return self.may_operate and not final

    @property
    def needs_decision(self) -> bool:
        return self.row.hold == Hold.UNCERTAIN

    @property
    def may_edit_copy(self) -> bool:
        """Refused for good: often the address is wrong, and a copy with another one mends it."""
        return self.may_operate and self.row.hold == Hold.PERMANENT

    @property
    def needs_sign_in(self) -> bool:
        return self.row.hold == Hold.SIGN_IN

    @property
    def is_ticking(self) -> bool:
        """Whether its time is told: without workers none of it is kept."""
        return self.tab.name in ("queued", "retrying") and self.has_workers

    @property
    def waits_for_a_worker(self) -> bool:
        return self.tab.name in ("queued", "retrying") and not self.has_workers

    @property
    def has_workers(self) -> bool:
        return bool(getattr(self.row, "works", True))


def shown(row: OutboxMessage, now: datetime, *, tries: int, may_operate: bool) -> Shown:
    """`tries` is the number of attempts so far."""
    choices = choices_of(row, now) if may_operate else []
    tab, error = tab_of(row), first_line(row.error) if row.status in ("pending", "sending", "failed") else ""
    is_bounced, is_drill = bool(getattr(row, "bounced", False)), bool(row.failure_mode or getattr(row, "drill", ""))
    buttons = [(choice.url_name, choice.kind) for choice in choices]
    seen = f"{row.status}|{row.hold}|{tries}|{row.next_attempt_at}|{error}|{buttons}"
    is_all_bounced = row.status == Status.SENT and bool(getattr(row, "all_bounced", False))
    silent_since = row.silent_since(now)
    seen += f"|{getattr(row, 'works', True)}|{is_bounced}|{is_drill}|{row.send_at}|{is_all_bounced}|{silent_since}"
    return Shown(
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
    )
