"""The results of outbox.api: the state of a row, or an error with a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from outbox.models import OutboxMessage

Status = OutboxMessage.Status


@dataclass(frozen=True)
class SendResult:
    """The state of a row. `next_attempt_at`: None if workers will not try again."""

    outbox_id: int
    status: str
    retries: int
    provider_message_id: str | None
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class ApiError:
    """An error. code: of errors.ErrorCode. message: a sentence that says what to do, or the server's own words."""

    code: str
    message: str


@dataclass(frozen=True)
class ApiResponse:
    """The result of a call. `data` is set whenever there is a row, also when `ok` is False after a failed attempt."""

    ok: bool
    data: SendResult | None = None
    error: ApiError | None = None


def result_of(row: OutboxMessage) -> SendResult:
    """The result for a row; `next_attempt_at` is None unless workers will try it again by themselves."""
    by_itself = row.status in OutboxMessage.CLAIMABLE and not row.hold
    return SendResult(
        row.pk, row.status, row.retries, row.provider_message_id, row.next_attempt_at if by_itself else None
    )


def words_of(row: OutboxMessage) -> str:
    """A sentence that says why a row was not sent by an attempt in the foreground."""
    if row.status == Status.FAILED:
        return row.error or gettext("The attempt failed.")
    if row.status == Status.CANCELLED:
        return gettext("Not sent: the mail was cancelled.")
    if row.status == Status.PENDING and row.account.smtp.needs_sign_in_since:
        return gettext(
            "The server refused the sign-in of %(account)s: enter its SMTP credentials again; the mail waits."
        ) % {"account": row.account.email}
    return gettext("Not sent yet: the mail is %(state)s, and the workers go on with it.") % {
        "state": row.get_status_display()
    }
