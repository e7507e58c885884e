"""Send, submit and reply. The operations of `outbox` show the state of the mail afterwards."""

from __future__ import annotations

from base64 import b64decode

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from ninja import Router, Status

from api.models import Scope
from api.tokens import Caller
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import (
    Answer,
    Mail,
    Reply,
    SendState,
    WholeMail,
    Writing,
)
from api.v1.protocol.errors import NotDone
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key
from api.v1.protocol.large_bodies import CARRIES_MAIL
from api.v1.protocol.uses import use_of
from mailbox.mime.addresses import same
from mailbox.models import Account, Message
from mailbox.views.requests import Refused
from outbox import api as outbox_api
from outbox.answers import ApiResponse
from outbox.compose.attachments import AttachmentInput
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.compose.senders import senders_of
from outbox.compose.submitted_mail import Submitted

router = Router(tags=["sending"])
SENT = {202: Answer[SendState], **FAILURES}
# The idempotency key is stored in the outbox row: as long as the row exists, the same request with that key gets its
# state, and another request with that key is refused.


def state_of(response: ApiResponse) -> Answer[SendState]:
    """The state of the mail as a response. Raises NotDone, whose handler makes the failure's response."""
    if not response.ok or response.data is None:
        raise NotDone(response)
    return Answer(data=SendState.of(response.data))


def _send(request: HttpRequest, given: Writing, mail: Request, key: str | None, parent: int | None) -> ApiResponse:
    caller = caller_of(request)
    if not caller.covers(Scope.SEND, given.account_id):
        raise Http404
    files = [AttachmentInput(each.filename, each.content_type, base64=each.base64) for each in given.attachments]
    # The prefix keeps keys of programs apart from those that the site gives to its own mail.
    return outbox_api.queue_request(
        given.account_id,
        SendRequest(
            mail,
            files,
            idempotency_key=f"api:{key}" if key else None,
            parent_pk=parent,
            user=caller.token.user,
            send_at=given.send_at,
            send_suppressed=given.send_suppressed,
            sender=given.sender,
            also_noted=use_of(request, caller),
        ),
    )


@router.post("/send", response=SENT, operation_id="send", openapi_extra=CARRIES_MAIL)
def send(request: HttpRequest, given: Mail, idempotency_key: Key = IDEMPOTENCY_KEY) -> Status[Answer[SendState]]:
    """Queue a mail durably; workers deliver it. With an `Idempotency-Key`, repeated requests queue it once and get its
    present state."""
    mail = Request(given.to, given.subject, given.body_text, given.cc, given.bcc, given.body_html)
    return Status(202, state_of(_send(request, given, mail, idempotency_key, None)))


def _account_of(caller: Caller, address: str) -> Account:
    """The account whose main address this is, else the first one with such an alias. Raises Http404."""
    covered = caller.accounts(Scope.SEND)
    if as_written := covered.with_address(address).first():
        return as_written
    accounts = list(covered.prefetch_related("aliases").order_by("pk"))  # an alias, or spelled otherwise: read them all
    for is_own in (True, False):
        for each in senders_of(accounts):
            if (each.alias is None) is is_own and same(each.address) == same(address):
                return each.account
    raise Http404


@router.post("/submit", response=SENT, operation_id="submit", openapi_extra=CARRIES_MAIL)
def submit(request: HttpRequest, given: WholeMail) -> Status[Answer[SendState]]:
    """Queue a whole mail (RFC 5322) as it is, as SMTP submission does. It must have a Message-ID, which is the
    idempotency key: each recipient gets it once. Bcc is removed; a missing Date is added."""
    caller = caller_of(request)
    found = _account_of(caller, given.mail_from)
    try:
        content = b64decode("".join(given.base64.split()), validate=True)
    except ValueError:
        raise Refused(gettext("base64: this is no base64.")) from None
    name = f"{caller.token.name} (token {caller.token.pk}), API"
    mail = Submitted(content, given.rcpt_to, smtputf8=True, needs_message_id=True)
    return Status(202, state_of(outbox_api.submit(found.pk, mail, user=caller.token.user, program=name)))


@router.post("/reply", response=SENT, operation_id="reply", openapi_extra=CARRIES_MAIL)
def reply(request: HttpRequest, given: Reply, idempotency_key: Key = IDEMPOTENCY_KEY) -> Status[Answer[SendState]]:
    """Reply to a received message of the same account; otherwise as /send."""
    accounts = caller_of(request).accounts(Scope.SEND).filter(pk=given.account_id)
    get_object_or_404(Message, pk=given.message, account__in=accounts)
    mail = Request(given.to or "", given.subject, given.body_text, given.cc, given.bcc, given.body_html)
    return Status(202, state_of(_send(request, given, mail, idempotency_key, given.message)))
