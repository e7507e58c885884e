"""Actions on one row: retry, send now, send again, mark as sent, cancel. Each is one conditional UPDATE.

Nothing here delivers: the caller queues a task, or delivers in the foreground, afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from mailbox import network
from mailbox.models import Account, AuditEntry, Feature, Transport, audit_part
from outbox.compose import date_header
from outbox.compose.create import check_feature
from outbox.errors import ChangedMeanwhile, FeatureDisabled, ValidationFailed
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient, SendingSwitch
from outbox.models.messages import OutboxQuerySet
from outbox.retry.classification import is_for_now

Status, Hold = OutboxMessage.Status, OutboxMessage.Hold
# Scripts look for these words at the beginning of a refusal. The rest is in the reader's language, for pages.
NOT_RETRYABLE, NOT_DUE = "not retryable: ", "retry_not_due"
CANNOT_TAKE_BACK = _(
    "The mail may have gone out, and then nothing takes it back. Decide first: mark it as sent, or send it again."
)
# Why a mail that a person sends now had not been sent yet; stored in the activity, so in English.
HAD_WAITED = {
    Hold.PERMANENT.value: gettext_noop("The server had refused it for good."),
    Hold.GAVE_UP.value: gettext_noop("It had been tried for too long without success."),
}
BEFORE_ITS_TIME = gettext_noop("Before the time it was scheduled for.")
BEFORE_ITS_ATTEMPT = gettext_noop("Before its next attempt was due.")
CHANGED_MEANWHILE = _("It has changed since this page was shown. Look at it as it is now, then decide again.")


@dataclass(frozen=True)
class ShownState:
    """The state of a row that a page showed when a person decided: the decision is valid for that state only.

    Both fields become conditions of the UPDATE: a decision in an old tab about attempt 1 must not apply to attempt 2.
    """

    attempt: int | None = None  # the number of the newest attempt on the page, 0 for none; None: not stated
    unchanged_since: datetime | None = None  # when a bulk action was asked for

    def narrow(self, rows: OutboxQuerySet) -> OutboxQuerySet:
        """The condition that rows still have this state, for the UPDATE that carries out the decision."""
        if self.attempt is not None:
            rows = rows.filter(last_attempt=self.attempt)
        return rows if self.unchanged_since is None else rows.filter(updated_at__lte=self.unchanged_since)

    def check(self, row: OutboxMessage) -> None:
        """Raise ChangedMeanwhile if the row that was read has another state already. The UPDATE checks it again."""
        is_other = self.attempt is not None and row.last_attempt != self.attempt
        if is_other or (self.unchanged_since is not None and row.updated_at > self.unchanged_since):
            raise ChangedMeanwhile(CHANGED_MEANWHILE)


AS_IT_IS = ShownState()  # for programs and commands, which have no page


def find_row(outbox_id: int) -> OutboxMessage:
    """The row with this pk. Raises ValidationFailed if there is none."""
    row = OutboxMessage.objects.select_related("account__smtp").filter(pk=outbox_id).first()
    if row is None:
        raise ValidationFailed(gettext("There is no outbox row %(number)s.") % {"number": outbox_id})
    return row


def check_sending(account: Account) -> None:
    """Raise FeatureDisabled if this account, or the whole installation, may not send now."""
    if network.is_off():
        raise FeatureDisabled(gettext(network.OFF))
    if not account.send_enabled:
        raise FeatureDisabled(
            gettext("Sending is switched off for %(account)s: switch it on in the account's settings.")
            % {"account": account.email}
        )
    if SendingSwitch.current().paused_at:
        raise FeatureDisabled(
            gettext("All sending is paused; the mail waits in the outbox until an administrator resumes it.")
        )
    if account.sending_paused_at:
        raise FeatureDisabled(
            gettext("Sending is paused for %(account)s; the mail waits in the outbox until it is resumed.")
            % {"account": account.email}
        )


def check_retry(row: OutboxMessage, now: datetime, *, now_anyway: bool) -> None:
    """Raise ValidationFailed if this row may not be retried. now_anyway: also before its next attempt is due."""
    if row.status not in OutboxMessage.CLAIMABLE:
        raise ValidationFailed(NOT_RETRYABLE + gettext("the mail is %(state)s.") % {"state": row.get_status_display()})
    if row.hold == Hold.UNCERTAIN:
        raise ValidationFailed(
            NOT_RETRYABLE + gettext("the mail may have gone out. Choose: mark it as sent, or send it again.")
        )
    if row.hold == Hold.SIGN_IN or row.account.smtp.needs_sign_in_since:
        raise ValidationFailed(
            NOT_RETRYABLE
            + gettext(
                "the server refused the sign-in of %(account)s. "
                "Enter its SMTP credentials again first; the mail then goes out by itself."
            )
            % {"account": row.account.email}
        )
    if row.next_attempt_at > now and not now_anyway:
        left = math.ceil((row.next_attempt_at - now).total_seconds())
        raise ValidationFailed(f"{NOT_DUE}: {_duration(left)} left until the next attempt; send now anyway?")


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s ({seconds} s)" if minutes else f"{seconds} s"


def ask_retry(
    outbox_id: int,
    *,
    user: User | None,
    now: datetime,
    now_anyway: bool = False,
    failure_mode: str = "",
    seen: ShownState = AS_IT_IS,
) -> OutboxMessage:
    """Make the row due now, without a hold, and record the user; returns the row. Raises OutboxError.

    now_anyway: also before its next attempt is due. failure_mode: the drill for the next attempt, or "".
    """
    row = find_row(outbox_id)
    seen.check(row)
    check_retry(row, now, now_anyway=now_anyway)
    check_feature(Feature.OUTBOX_RETRY, row.account)
    check_sending(row.account)
    verb = "send_now" if now_anyway and row.next_attempt_at > now else "retry"
    digest = row.mime_digest
    if row.send_at and row.send_at > now and not row.attempts.exists():
        digest = date_header.redated(row, now)  # durable before the row that refers to it
    _make_due(seen.narrow(_as_read(row)), row, verb, user, now, failure_mode, digest, why_it_waited(row, now))
    return row


def why_it_waited(row: OutboxMessage, now: datetime) -> str:
    """The sentence for the activity that says why the mail had not been sent yet, or "" if it was due anyway."""
    if row.hold in HAD_WAITED:
        return HAD_WAITED[row.hold]
    if row.next_attempt_at <= now:
        return ""
    return BEFORE_ITS_TIME if row.send_at and row.send_at > now else BEFORE_ITS_ATTEMPT


def ask_again(outbox_id: int, *, user: User | None, now: datetime, seen: ShownState) -> OutboxMessage:
    """Make an uncertain mail due again, with the same Message-ID; returns the row. Raises OutboxError.

    One whose chosen time is still to come, as after a restore, goes out at that time.
    """
    row = find_row(outbox_id)
    seen.check(row)
    if row.hold != Hold.UNCERTAIN:
        raise ValidationFailed(gettext("Only a mail whose outcome is unknown is sent again; this one can be retried."))
    check_feature(Feature.OUTBOX_RETRY, row.account)
    check_sending(row.account)
    _make_due(seen.narrow(_as_read(row)), row, "send_again", user, now)
    return row


def _as_read(row: OutboxMessage) -> OutboxQuerySet:
    """The row, on condition that status, hold and last attempt are those that were checked."""
    return OutboxMessage.objects.filter(pk=row.pk, status=row.status, hold=row.hold, last_attempt=row.last_attempt)


def _make_due(
    unchanged: OutboxQuerySet,
    row: OutboxMessage,
    verb: str,
    user: User | None,
    now: datetime,
    failure_mode: str = "",
    mime_digest: str = "",
    why: str = "",
) -> None:
    with transaction.atomic():
        due = {"hold": "", "next_attempt_at": now, "requested_by": user, "failure_mode": failure_mode}
        # Retries count a scheduled mail's age from `send_at`: one written long ago must not be given up at once.
        due |= {"send_at": now if row.send_at else None, "undo_until": None}
        if verb == "send_again" and row.send_at and row.send_at > now:
            due |= {"status": Status.PENDING, "send_at": row.send_at, "next_attempt_at": row.send_at}
        due |= {"mime_digest": mime_digest or row.mime_digest}
        if due["mime_digest"] != row.mime_digest:
            date_header.reference(mime_digest, now)
        if unchanged.filter(mime_digest=row.mime_digest).update(**due, updated_at=now) != 1:
            raise ChangedMeanwhile(CHANGED_MEANWHILE)
        if row.hold == Hold.PERMANENT:
            # The person decided that recipients who were refused for good are tried again.
            refused = OutboxRecipient.objects.filter(outbox=row, status=OutboxRecipient.Status.REFUSED)
            refused.update(status=OutboxRecipient.Status.WAITING)
        # A person's request does not wait for the end of the account's backoff.
        Transport.objects.filter(pk=row.account.smtp_id).update(next_allowed_at=None)
        record(row, verb, user, now, why)


def cancel(outbox_id: int, *, user: User | None, now: datetime, seen: ShownState = AS_IT_IS) -> OutboxMessage:
    """Cancel a row that is pending or failed, for good; returns the row. Raises ValidationFailed."""
    row = find_row(outbox_id)
    with transaction.atomic():
        free = OutboxMessage.objects.filter(pk=row.pk, status__in=OutboxMessage.CLAIMABLE).exclude(hold=Hold.UNCERTAIN)
        if seen.narrow(free).update(status=Status.CANCELLED, hold="", updated_at=now) != 1:
            row.refresh_from_db()
            if row.hold == Hold.UNCERTAIN:
                raise ValidationFailed(CANNOT_TAKE_BACK)
            if row.status in OutboxMessage.CLAIMABLE:
                raise ChangedMeanwhile(CHANGED_MEANWHILE)
            raise ValidationFailed(
                gettext("It is too late to cancel: the mail is %(state)s.") % {"state": row.get_status_display()}
            )
        record(row, "cancel", user, now)
    return row


def mark_as_sent(outbox_id: int, *, user: User | None, now: datetime, seen: ShownState) -> OutboxMessage:
    """Mark an uncertain mail as sent, as a person knows that it was; returns the row. Raises ValidationFailed.

    Recipients that the server had refused before DATA do not have it: see _settle_as_sent().
    """
    row = find_row(outbox_id)
    if row.status != Status.FAILED or row.hold != Hold.UNCERTAIN:
        raise ValidationFailed(gettext("Only a mail whose outcome is unknown can be marked as sent."))
    seen.check(row)
    attempt = row.attempts.order_by("-number").first()
    with transaction.atomic():
        if not _settle_as_sent(seen.narrow(_as_read(row)), row, attempt, now):
            raise ChangedMeanwhile(CHANGED_MEANWHILE)
        record(row, "mark_as_sent", user, now)
    return row


def found_in_sent(attempt: DeliveryAttempt, folder: str, *, now: datetime) -> bool:
    """Mark a mail as sent because the Sent folder contains this attempt's mail; returns whether it was done.

    False if the row is no longer uncertain because of this attempt: a person decided, or its outcome became known.
    """
    row = find_row(attempt.outbox_id)
    question = {"status": Status.FAILED, "hold": Hold.UNCERTAIN, "last_attempt": attempt.number}
    unanswered = OutboxMessage.objects.filter(pk=row.pk, **question)
    with transaction.atomic():
        if not _settle_as_sent(unanswered, row, attempt, now):
            return False
        record(row, "found_in_sent", None, now, folder)
    return True


def _settle_as_sent(
    unanswered: OutboxQuerySet, row: OutboxMessage, attempt: DeliveryAttempt | None, now: datetime
) -> bool:
    """Save that the attempt's mail was accepted; returns False if the row no longer matches `unanswered`.

    Recipients that the server had refused before DATA do not have the mail. Then the row stays failed: it is tried
    again for them if a refusal was transient, else it has the hold PERMANENT. Call it within a transaction.
    """
    # First the row, then its recipients, as finalize does: in another order the two could deadlock.
    if unanswered.update(updated_at=now) != 1:
        return False
    waiting = row.recipients.filter(status=OutboxRecipient.Status.WAITING)
    waiting.update(status=OutboxRecipient.Status.ACCEPTED, accepted_at=now)
    lacking = row.recipients.exclude(status=OutboxRecipient.Status.ACCEPTED).values_list("reply_code", "reply")
    are_for_now = [is_for_now(code, words) for code, words in lacking]
    changes: dict[str, Any] = {
        "data_at": None,
        "updated_at": now,
        "provider_message_id": attempt.message_id if attempt else None,
    }
    if not are_for_now:
        changes |= {"status": Status.SENT, "hold": "", "sent_at": now, "error": "", "error_code": ""}
    elif any(are_for_now):
        changes |= {"hold": "", "retries": row.retries + 1, "next_attempt_at": now}
    else:
        changes |= {"hold": Hold.PERMANENT, "retries": row.retries + 1, "next_attempt_at": now}
    OutboxMessage.objects.filter(pk=row.pk).update(**changes)
    return True


def record(row: OutboxMessage, verb: str, user: User | None, now: datetime, detail: str = "") -> None:
    """Add an entry to the row's activity, in the transaction of the change. `detail` is cut at 500 characters."""
    values = {"account_id": row.account_id, "verb": verb, "target": f"outbox:{row.pk}", "detail": detail[:500]}
    AuditEntry.objects.create(at=now, user=user, part_of_id=audit_part.click(), **values)
