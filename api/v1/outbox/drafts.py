"""Drafts of the token's user, the same as on the pages. Nobody else sees them."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from ninja import Path, Router, Status

from api.models import Scope
from api.v1.outbox.draft_shapes import ChangedDraft, DraftContents, DraftHead, DraftSending, DraftState, NewDraft
from api.v1.outbox.sending import state_of
from api.v1.protocol.access import FAILURES, account_of, caller_of, users_time
from api.v1.protocol.answers import Answer, File, Limit, Number, Page, SendState
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict, NotDone
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from api.v1.protocol.large_bodies import CARRIES_MAIL
from mailbox.models import Account, AccountAlias, Message
from mailbox.storage import raw_store
from mailbox.views.pagination import Cursor, cut
from mailbox.views.requests import Refused
from outbox.answers import ApiError, ApiResponse
from outbox.compose import attachments, drafts
from outbox.compose.attachments import AttachmentContent, AttachmentInput
from outbox.compose.send_time import checked_send_at
from outbox.compose.senders import sender_of
from outbox.errors import OutboxError
from outbox.forms import NO_STORE
from outbox.models import AttachmentPolicy, Draft
from outbox.views.writing.compose_origin import ComposeOrigin
from outbox.views.writing.form_sending import (
    forget_draft,
    form_of_draft,
    note_forwarded,
    possible_senders,
    queue_form,
)
from outbox.views.writing.one_mail import Unasked

router = Router(tags=["drafts"])
STATE = {200: Answer[DraftState], **FAILURES}
MADE = {201: Answer[DraftState], **FAILURES}
SENT = {202: Answer[SendState], **FAILURES}
CHANGES = IF_MATCH | CARRIES_MAIL


def _drafts(request: HttpRequest) -> QuerySet[Draft]:
    """The user's drafts; for a token of some accounts those of its accounts."""
    caller = caller_of(request)
    accounts = caller.accounts(Scope.SEND)
    rows = drafts.of_user(caller.token.user).select_related("alias")
    return rows if caller.token.all_accounts else rows.filter(account__in=accounts)


def _found(request: HttpRequest, pk: int) -> Draft:
    return get_object_or_404(_drafts(request), pk=pk)


def _unchanged(request: HttpRequest, pk: int) -> AbstractContextManager[None]:
    def read() -> Answer[DraftState]:
        return Answer(data=DraftState.of(_found(request, pk)))

    return unchanged(request, Draft.objects.filter(pk=pk), read)


def _not_done(error: OutboxError) -> NotDone:
    return NotDone(ApiResponse(False, error=ApiError(error.code.value, str(error))))


def _account(request: HttpRequest, given: DraftContents) -> tuple[Account | None, AccountAlias | None]:
    """The sender. Raises Http404 for an account that the token may not send from, TokenRefused if it must name one."""
    if given.account_id is None:
        caller_of(request).demand_everywhere(Scope.SEND)
        return None, None
    account = account_of(request, given.account_id, Scope.SEND)
    return account, sender_of(account, given.sender).alias


def _files(given: list[File]) -> list[AttachmentContent]:
    """The files, checked against the policy and durable, so that no transaction waits for the disk."""
    policy = AttachmentPolicy.current()
    wanted = [AttachmentInput(each.filename, each.content_type, base64=each.base64) for each in given]
    files = attachments.read_attachments(wanted, policy, NO_STORE)
    if files:
        raw_store.save_batch([each.content for each in files])
    return files


def _typed(
    request: HttpRequest, given: DraftContents, files: list[AttachmentContent], before: Draft | None, start: str
) -> drafts.FormContents:
    account, alias = _account(request, given)
    at = checked_send_at(given.send_at, timezone.now())
    with users_time(request):
        send_at = timezone.localtime(at).strftime("%Y-%m-%dT%H:%M") if at else ""
    return drafts.FormContents(
        texts={name: getattr(given, name).replace("\r\n", "\n") for name in drafts.FIELDS},
        account=account,
        alias=alias,
        send_at=send_at,
        text_format=given.text_format,
        start=start,
        kept=before.kept if before else None,
        files=files,
        refused=before.refused if before else [],
    )


@router.get("/drafts", response={200: Answer[Page[DraftHead]], **FAILURES}, operation_id="list_drafts")
def list_drafts(request: HttpRequest, limit: Limit = 50, before: str = "") -> Answer[Page[DraftHead]]:
    """The drafts without their texts, the last saved first; `before` is the `next` of the previous page."""
    cursor = Cursor.read(before)
    rows = _drafts(request).defer("body_text").prefetch_related("files").order_by("-updated_at", "-pk")
    rows = rows.filter(cursor.older("updated_at")) if cursor else rows
    page, last = cut(list(rows[: limit + 1]), limit)
    following = str(Cursor(last.updated_at, last.pk)) if last else None
    return Answer(data=Page(items=[DraftHead(**DraftHead.fields(row)) for row in page], next=following))


@router.post("/drafts", response=MADE, operation_id="create_draft", openapi_extra=CARRIES_MAIL)
def create_draft(
    request: HttpRequest, given: NewDraft, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[DraftState]] | HttpResponse:
    """Save a draft, which its writer goes on with on the pages, or a program sends."""
    start = _start(request, given)
    try:
        files = _files(given.attachments)
        typed = _typed(request, given, files, None, start)

        def make() -> Status[Answer[DraftState]]:
            user = caller_of(request).token.user
            made = drafts.save(user, typed, key=uuid.uuid4(), pk=None, version=1)
            return Status(201, Answer(data=DraftState.of(made)))

        return once(request, idempotency_key, make)
    except OutboxError as error:
        raise _not_done(error) from error


def _start(request: HttpRequest, given: NewDraft) -> str:
    if given.reply_to is None:
        return ""
    if given.account_id is None:
        raise Refused(gettext("A reply is written from the account of its message: name it."))
    accounts = caller_of(request).accounts(Scope.SEND).filter(pk=given.account_id)
    return f"reply_to={get_object_or_404(Message, pk=given.reply_to, account__in=accounts).pk}"


@router.get("/drafts/{pk}", response=STATE, operation_id="get_draft")
def get_draft(request: HttpRequest, pk: Path[Number]) -> Answer[DraftState]:
    """One draft. Its ETag is for If-Match."""
    return Answer(data=DraftState.of(_found(request, pk)))


@router.put("/drafts/{pk}", response=STATE, operation_id="change_draft", openapi_extra=CHANGES)
def change_draft(request: HttpRequest, pk: Path[Number], given: ChangedDraft) -> Answer[DraftState]:
    """Replace a draft; what it replies to or forwards stays. Heeds If-Match; 409 if it is saved on a page meanwhile."""
    try:
        files = _files(given.attachments)
        with _unchanged(request, pk):
            draft = _found(request, pk)
            draft.kept = _kept(draft, given.keep)
            typed = _typed(request, given, files, draft, draft.start)
            user = caller_of(request).token.user
            saved = drafts.save(user, typed, key=draft.key, pk=pk, version=draft.version)
    except drafts.DraftConflict as conflict:
        raise Conflict(gettext("The draft was saved by somebody else meanwhile: read it again.")) from conflict
    except OutboxError as error:
        raise _not_done(error) from error
    return Answer(data=DraftState.of(saved))


def _kept(draft: Draft, wanted: list[int] | None) -> list[str] | None:
    """The form values of the files to keep: those that are `wanted`, and those of a forwarded mail as they were."""
    if wanted is None:
        return draft.kept
    own = {file.pk: file.form_key for file in draft.files.all()}
    if unknown := [key for key in wanted if key not in own]:
        raise Refused(gettext("keep: the draft has no file %(number)s.") % {"number": unknown[0]})
    others = [key for key in draft.kept or [] if key not in own.values()]
    return [*others, *(own[key] for key in wanted)]


@router.delete(
    "/drafts/{pk}", response={200: Answer[None], **FAILURES}, operation_id="remove_draft", openapi_extra=IF_MATCH
)
def remove_draft(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Discard a draft and its files. Heeds If-Match."""
    with _unchanged(request, pk):
        draft = _found(request, pk)
        if not drafts.discard(caller_of(request).token.user, pk, draft.version):
            raise Conflict(gettext("The draft was saved by somebody else meanwhile: read it again."))
    return Answer(data=None)


@router.post("/drafts/{pk}/send", response=SENT, operation_id="send_draft", openapi_extra=IF_MATCH)
def send_draft(
    request: HttpRequest, pk: Path[Number], given: DraftSending, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[SendState]] | HttpResponse:
    """Queue the mail of a draft, as Send on its page does, once for both; the draft is gone then. 409 if another mail
    was made of it before. Heeds If-Match."""

    def send() -> Status[Answer[SendState]]:
        with _unchanged(request, pk), users_time(request):
            return Status(202, _send(request, _found(request, pk), given))

    try:
        return once(request, idempotency_key, send)
    except OutboxError as error:
        raise _not_done(error) from error


def _send(request: HttpRequest, draft: Draft, given: DraftSending) -> Answer[SendState]:
    start = ComposeOrigin.of_start(request, draft.start, draft)
    accounts = possible_senders(request, start.parent)
    caller = caller_of(request)
    if not caller.token.all_accounts:
        _demand_covered(request, start)
        accounts = accounts.filter(pk__in=caller.accounts(Scope.SEND).values("pk"))
    form = form_of_draft(request, draft, start, accounts, send_suppressed=given.send_suppressed)
    if not form.is_valid():
        named = [(name, each) for name, errors in form.errors.items() for each in errors]
        raise Refused(" ".join(str(each) if name == "__all__" else f"{name}: {each}" for name, each in named))
    unasked = Unasked.of(request, form.cleaned_data)
    if unasked.before:
        raise Conflict(gettext("Another mail was made of this draft before: %(mail)s.") % {"mail": unasked.before.pk})
    if unasked.is_unwritten and not given.even_if_empty:
        raise Refused(gettext("The text is empty: send it with even_if_empty all the same."))
    answer = state_of(queue_form(request, form, start.parent))
    note_forwarded(request, start, answer.data.outbox_id)
    forget_draft(request, draft)
    return answer


def _demand_covered(request: HttpRequest, start: ComposeOrigin) -> None:
    """Raise Http404 if the draft takes over mail of an account that the token does not cover."""
    source = start.message or start.written
    if source and not caller_of(request).covers(Scope.SEND, source.account_id):
        raise Http404
