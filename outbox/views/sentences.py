"""The state of a mail in one or two sentences, which are also true while no worker runs."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.formats import time_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.localized import grouped
from outbox import restored_mail
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient, SendPace
from outbox.views.status import is_scheduled, may_be_undone
from outbox.views.who_says_so import sent_words, was_not_asked

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold


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


RESTORED = _(
    "It waited when the backup was made that this database was restored from, and may have gone out since. Look "
    "whether it arrived, then decide."
)


def waits_for(row: OutboxMessage) -> str:
    """Why the account keeps a mail waiting, as a sentence; "" when nothing does.

    Reads the account's transport, and its SendPace if it has a rate limit.
    """
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
            limit = gettext("%(number)s a minute") % {"number": grouped(account.messages_per_minute)}
            return gettext("Rate limit of %(account)s (%(limit)s): next at %(time)s.") % {
                "account": account.email,
                "limit": limit,
                "time": _clock(at),
            }
    return ""


def sentence_of(row: OutboxMessage, now: datetime, *, paused: bool = False) -> str:
    """The state as a sentence. `paused`: all sending is paused."""
    if row.status == Status.PENDING and may_be_undone(row, now):
        return gettext("It is held back for a moment, so that you can still undo it.")
    if row.status == Status.PENDING:
        waiting = _kept_waiting(row, paused=paused)
        if is_scheduled(row, now):
            at_its_time = gettext("It goes out by itself at its time.")
            if not getattr(row, "works", True):
                at_its_time = gettext("It goes out at its time if a worker runs then: now none does.")
            return f"{at_its_time} {waiting}".strip()
        return waiting or _waits_for_a_worker(row)
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
    if row.hold == Hold.UNCERTAIN and row.error == restored_mail.WORDS:
        return str(RESTORED)
    if row.hold:
        return str(SENTENCES[Hold(row.hold)])
    if row.requested_by_id is not None:  # whatever the last attempt met, even a refusal for good
        asked = gettext("Another attempt was asked for.")
        return f"{asked} {_kept_waiting(row, paused=paused) or _waits_for_a_worker(row)}"
    if not getattr(row, "works", True):
        return gettext("The last attempt failed for now. It is tried again once a worker is running: now none is.")
    return gettext("The last attempt failed for now. It is tried again by itself.")


def _kept_waiting(row: OutboxMessage, *, paused: bool) -> str:
    """What keeps a mail waiting that is due; "" if nothing does."""
    if paused:
        return gettext("All sending is paused; the mail waits until an administrator resumes it.")
    return waits_for(row)


def _waits_for_a_worker(row: OutboxMessage) -> str:
    if not getattr(row, "works", True):
        return gettext("It waits for a worker, and no worker is running. It goes out once one is started.")
    return gettext("It waits for a worker, which takes it within seconds.")


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
    """Whether a cancelled mail may have been delivered: it was uncertain, then "Send again", then cancelled.

    Recipients that were accepted since, or marked as sent, are not in question.
    """
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
