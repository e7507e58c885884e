"""The API of sending for programs, commands and pages. Every result is an ApiResponse; expected failures do not raise.

`send`, `reply` and `retry_outbox` deliver in the foreground, by the same claims and code as the workers. `queue` and
`request_retry` return at once and leave the delivery to a worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.translation import gettext

from mailbox.db import statements
from mailbox.db.lock_timeout import in_words
from outbox import restore_guard
from outbox.actions import correcting, rescheduling, transitions
from outbox.actions.transitions import AS_IT_IS, ShownState
from outbox.answers import ApiError, ApiResponse, SendResult, result_of, words_of
from outbox.compose import create as compose_create
from outbox.compose import submit as compose_submit
from outbox.compose.attachments import AttachmentInput
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.compose.submitted_mail import Submitted
from outbox.delivery import deliver
from outbox.errors import ErrorCode, OutboxError, ValidationFailed
from outbox.models import OutboxMessage
from outbox.tasks import delivery as delivery_tasks

__all__ = ["ApiError", "ApiResponse", "SendResult", "result_of"]

logger = logging.getLogger(__name__)
Addresses = str | Sequence[str]
Status = OutboxMessage.Status
_TOLD = statements.RowReader(OutboxMessage, "id", "status", "hold", "retries", "provider_message_id", "next_attempt_at")
_STATE = f'SELECT {_TOLD.columns} FROM "outbox" WHERE "id" = %s'  # noqa: S608


class SendOptions(TypedDict, total=False):
    """Keyword arguments of send, reply and queue that are passed on to SendRequest; see there."""

    idempotency_key: str | None
    parent_pk: int | None
    user: User | None
    send_at: datetime | None
    undo_seconds: int
    send_suppressed: bool
    sender: str


def send_request(account_id: int, request: SendRequest) -> ApiResponse:
    """Save the mail and deliver it now. With a known idempotency key, return that row and make no second one.

    With a future `send_at` (aware), return at once with the status `pending`; workers send it at that time.
    """
    return _answered(lambda: _create_and_deliver(account_id, request))


def queue_request(account_id: int, request: SendRequest) -> ApiResponse:
    """Save the mail as `pending`, for the workers. With a parent, an empty `to` or `subject` becomes that of a reply.

    It is not sent before `send_at` (aware), nor within its undo window.
    """

    def write() -> ApiResponse:
        pk = compose_create.create(account_id, request, now=timezone.now())
        row = _TOLD.read(statements.rows(_STATE, [pk])[0])
        if row.status == Status.PENDING:
            delivery_tasks.queue_delivery_at(row.next_attempt_at)
        return ApiResponse(True, result_of(row))

    return _answered(write)


def submit(account_id: int, given: Submitted, *, user: User, program: str) -> ApiResponse:
    """Save a complete mail of a program for the workers, once for each Message-ID."""

    def write() -> ApiResponse:
        pk = compose_submit.submit(account_id, given, user=user, program=program, now=timezone.now())
        delivery_tasks.queue_delivery()
        return _standing(pk)

    return _answered(write)


def send(
    account_id: int,
    to: Addresses,
    subject: str,
    body_text: str,
    attachment: AttachmentInput | None = None,
    failure_mode: str | None = None,
    *,
    cc: Addresses = (),
    bcc: Addresses = (),
    body_html: str = "",
    attachments: Sequence[AttachmentInput] = (),
    **more: Unpack[SendOptions],
) -> ApiResponse:
    """Send a mail now: send_request() with separate arguments."""
    mail = Request(to, subject, body_text, cc, bcc, body_html)
    return send_request(account_id, SendRequest(mail, _files(attachment, attachments), failure_mode, **more))


def reply(
    account_id: int,
    in_reply_to_message_id: str | None,
    body_text: str,
    attachment: AttachmentInput | None = None,
    failure_mode: str | None = None,
    *,
    to: Addresses = "",
    subject: str = "",
    cc: Addresses = (),
    bcc: Addresses = (),
    body_html: str = "",
    attachments: Sequence[AttachmentInput] = (),
    **more: Unpack[SendOptions],
) -> ApiResponse:
    """Reply to a message now: send_request() with separate arguments. `parent_pk` chooses among several messages with
    one Message-ID."""
    mail, files = Request(to, subject, body_text, cc, bcc, body_html), _files(attachment, attachments)
    answered = in_reply_to_message_id or ""
    return send_request(account_id, SendRequest(mail, files, failure_mode, in_reply_to_message_id=answered, **more))


def queue(
    account_id: int,
    to: Addresses,
    subject: str,
    body_text: str,
    attachment: AttachmentInput | None = None,
    failure_mode: str | None = None,
    *,
    cc: Addresses = (),
    bcc: Addresses = (),
    body_html: str = "",
    attachments: Sequence[AttachmentInput] = (),
    in_reply_to_message_id: str | None = None,
    **more: Unpack[SendOptions],
) -> ApiResponse:
    """Queue a mail or a reply: queue_request() with separate arguments."""
    mail, files = Request(to, subject, body_text, cc, bcc, body_html), _files(attachment, attachments)
    parent = in_reply_to_message_id
    return queue_request(account_id, SendRequest(mail, files, failure_mode, in_reply_to_message_id=parent, **more))


def retry_outbox(
    outbox_id: int,
    failure_mode: str | None = None,
    *,
    user: User | None = None,
    now_anyway: bool = False,
    seen: ShownState = AS_IT_IS,
) -> ApiResponse:
    """Deliver a pending or failed row now. `now_anyway`: ignore `next_attempt_at`; this is recorded.

    `seen`, here and below: the state that the person saw; the call is refused if the row has changed since.
    """

    def act() -> ApiResponse:
        compose_create.check_drill(failure_mode, user)
        restore_guard.look(timezone.now())
        transitions.ask_retry(
            outbox_id, user=user, now=timezone.now(), now_anyway=now_anyway, failure_mode=failure_mode or "", seen=seen
        )
        return _deliver(outbox_id)

    return _answered(act, outbox_id)


def request_retry(
    outbox_id: int,
    failure_mode: str | None = None,
    *,
    user: User | None,
    now_anyway: bool = False,
    seen: ShownState = AS_IT_IS,
) -> ApiResponse:
    """Make a row due at once, by the rules of retry_outbox(); a worker delivers it. For pages."""

    def act() -> ApiResponse:
        compose_create.check_drill(failure_mode, user)
        transitions.ask_retry(
            outbox_id, user=user, now=timezone.now(), now_anyway=now_anyway, failure_mode=failure_mode or "", seen=seen
        )
        delivery_tasks.queue_delivery()
        return _standing(outbox_id)

    return _answered(act, outbox_id)


def send_again(outbox_id: int, attempt: int, *, user: User | None) -> ApiResponse:
    """Send an uncertain mail again, with the same Message-ID; a worker delivers it. `attempt`: the number of the
    uncertain attempt."""

    def act() -> ApiResponse:
        transitions.ask_again(outbox_id, user=user, now=timezone.now(), seen=ShownState(attempt))
        delivery_tasks.queue_delivery()
        return _standing(outbox_id)

    return _answered(act, outbox_id)


def mark_as_sent(outbox_id: int, attempt: int, *, user: User | None) -> ApiResponse:
    """Mark an uncertain mail as sent by the attempt of this number, as a person has found out."""

    def act() -> ApiResponse:
        transitions.mark_as_sent(outbox_id, user=user, now=timezone.now(), seen=ShownState(attempt))
        return _standing(outbox_id)

    return _answered(act, outbox_id)


def correct_addresses(outbox_id: int, corrected: Mapping[str, str], attempt: int, *, user: User | None) -> ApiResponse:
    """Send a mail that was refused for good to other addresses and cancel the refused one; a worker delivers it.

    The answer is of the new mail. `corrected`: a recipient's address -> the address in its place, "" to leave it out.
    `attempt`: the number of the refused attempt.
    """

    def act() -> ApiResponse:
        row = transitions.find_row(outbox_id)
        keys = {each.address: each.pk for each in correcting.lacking(row)}
        if unknown := corrected.keys() - keys.keys():
            words = gettext("%(address)s is no recipient that this mail was refused for.")
            raise ValidationFailed(words % {"address": min(unknown)})
        typed = {keys[address]: instead for address, instead in corrected.items()}
        pk = correcting.correct(outbox_id, typed, user=user, now=timezone.now(), seen=ShownState(attempt))
        if pk is None:
            raise ValidationFailed(gettext("No address was changed, so nothing was sent."))
        delivery_tasks.queue_delivery()
        return _standing(pk)

    return _answered(act, outbox_id)


def cancel(outbox_id: int, *, user: User | None, seen: ShownState = AS_IT_IS) -> ApiResponse:
    """Cancel a pending or failed mail; this is final."""

    def act() -> ApiResponse:
        transitions.cancel(outbox_id, user=user, now=timezone.now(), seen=seen)
        return _standing(outbox_id)

    return _answered(act, outbox_id)


def reschedule(outbox_id: int, send_at: datetime | None, *, user: User | None) -> ApiResponse:
    """Change the time to send of a mail that was not tried yet; None: now."""

    def act() -> ApiResponse:
        row = rescheduling.reschedule(outbox_id, send_at, user=user, now=timezone.now())
        delivery_tasks.queue_delivery_at(row.next_attempt_at)
        return _standing(outbox_id)

    return _answered(act, outbox_id)


def undo(outbox_id: int, *, user: User | None) -> ApiResponse:
    """Take back a mail within its undo window: it is cancelled, and nothing was sent."""

    def act() -> ApiResponse:
        rescheduling.undo(outbox_id, user=user, now=timezone.now())
        return _standing(outbox_id)

    return _answered(act, outbox_id)


def _files(attachment: AttachmentInput | None, attachments: Sequence[AttachmentInput]) -> list[AttachmentInput]:
    return [*([attachment] if attachment else []), *attachments]


def _answered(act: Callable[[], ApiResponse], outbox_id: int | None = None) -> ApiResponse:
    try:
        return act()
    except OutboxError as error:
        row = OutboxMessage.objects.filter(pk=outbox_id).first() if outbox_id is not None else None
        return ApiResponse(False, result_of(row) if row else None, ApiError(error.code.value, str(error)))
    except DatabaseError as error:
        logger.exception("not_answered")
        return ApiResponse(False, None, ApiError(ErrorCode.STORAGE.value, in_words(error)))


def _create_and_deliver(account_id: int, request: SendRequest) -> ApiResponse:
    pk = compose_create.create(account_id, request, now=timezone.now())
    row = transitions.find_row(pk)
    if row.status == Status.SENT:  # the idempotency key was used before
        return ApiResponse(True, result_of(row))
    if row.status == Status.PENDING and row.send_at and row.send_at > timezone.now():
        return ApiResponse(True, result_of(row))  # as queue() answers: nobody waits in the foreground for that
    restore_guard.look(timezone.now())
    try:
        transitions.check_sending(row.account)
    except OutboxError as error:
        return ApiResponse(False, result_of(row), ApiError(error.code.value, str(error)))
    return _deliver(pk)


def _deliver(pk: int) -> ApiResponse:
    if transaction.get_connection().in_atomic_block:
        # An uncommitted claim is invisible to others, and no socket may be used with a transaction open.
        raise RuntimeError("Deliver outside of transactions: use queue() or request_retry() here.")
    deliver.deliver_one(pk)
    return _standing(pk, attempted=True)


def _standing(pk: int, *, attempted: bool = False) -> ApiResponse:
    """The row's present state. `attempted`: after an attempt in the foreground, any status but `sent` is an error."""
    row = transitions.find_row(pk)
    if not attempted or row.status == Status.SENT:
        return ApiResponse(True, result_of(row))
    code = row.error_code if row.status == Status.FAILED and row.error_code else ErrorCode.PROVIDER.value
    return ApiResponse(False, result_of(row), ApiError(code, words_of(row)))
