"""Operations on accounts: list, create, change, delete, test, sync, pause, resume, and their health."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Path, Router, Status

from api.models import Scope
from api.v1.accounts.account_shapes import (
    AccountChange,
    AccountState,
    AccountWhole,
    CompletenessState,
    NewAccount,
    Notice,
    SeenAt,
    TestState,
)
from api.v1.protocol.access import FAILURES, account_of, caller_of
from api.v1.protocol.answers import Answer, Limit, Number, Page, Text
from api.v1.protocol.conditional import IF_MATCH, changing, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.accounts.forms import AccountForm
from mailbox.accounts.health import chosen_folders, conditions
from mailbox.accounts.waiting_mail import of_failing
from mailbox.models import Account, Completeness, ConnectionTest
from mailbox.sync import uidvalidity
from mailbox.tasks import sync as sync_tasks
from mailbox.views.accounts.account_edit import ask_for_test, queue_first_look, save_form
from mailbox.views.accounts.accounts import has_workers
from mailbox.views.activity.audit import record
from mailbox.views.pagination import cut
from mailbox.views.requests import Refused
from outbox import account_deletion
from outbox.tasks.bulk import queue_deletion

router = Router(tags=["accounts"])
STATE = {200: Answer[AccountState], **FAILURES}
WHOLE = {200: Answer[AccountWhole], **FAILURES}


@router.get("/accounts", response={200: Answer[Page[AccountState]], **FAILURES}, operation_id="list_accounts")
def list_accounts(request: HttpRequest, limit: Limit = 50, after: Text = "") -> Answer[Page[AccountState]]:
    """The accounts that this token may read, sorted by address; `after` is the `next` of the previous page."""
    rows = caller_of(request).accounts(Scope.READ).with_transports().order_by("email")
    page, last = cut(list((rows.filter(email__gt=after) if after else rows)[: limit + 1]), limit)
    return Answer(data=Page(items=[AccountState.of(row) for row in page], next=last.email if last else None))


@router.post("/accounts", response={201: Answer[AccountWhole], **FAILURES}, operation_id="create_account")
def create_account(
    request: HttpRequest, given: NewAccount, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[AccountWhole]] | HttpResponse:
    """Create an account with INBOX to be synced. Workers fetch its mail and list its folders; test it by
    /accounts/{pk}/tests."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return once(request, idempotency_key, lambda: _created(request, given))


def _created(request: HttpRequest, given: NewAccount) -> Status[Answer[AccountWhole]]:
    account = _saved(request, AccountForm(_initial(AccountForm()) | given.form_data()))
    return Status(201, Answer(data=AccountWhole.of(account_of(request, account.pk, Scope.ADMINISTER))))


def _initial(form: AccountForm) -> dict[str, Any]:
    """The initial values of the page's form."""
    return {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}


def _saved(request: HttpRequest, form: AccountForm) -> Account:
    if not save_form(request, form):
        found = {name.replace("_", ".", 1) if name[:4] in ("imap", "smtp") else name: each for name, each in
                 form.errors.items()}  # fmt: skip
        raise Refused(" ".join(f"{name}: {' '.join(map(str, each))}" for name, each in found.items()))
    return form.account


@router.get("/accounts/{pk}", response=WHOLE, operation_id="get_account")
def get_account(request: HttpRequest, pk: Path[Number]) -> Answer[AccountWhole]:
    """An account with its servers and settings, without secrets. Its ETag is for If-Match."""
    return Answer(data=AccountWhole.of(account_of(request, pk, Scope.READ)))


@router.patch("/accounts/{pk}", response=WHOLE, operation_id="change_account", openapi_extra=IF_MATCH)
def change_account(request: HttpRequest, pk: Path[Number], given: AccountChange) -> Answer[AccountWhole]:
    """Change the given fields. With a new secret, work that waited for a sign-in continues. Heeds If-Match."""
    any_server = caller_of(request).has_everywhere(Scope.ADMINISTER)
    account_of(request, pk, Scope.ADMINISTER)
    with changing(request, Account.objects.filter(pk=pk), lambda: _whole(pk)):
        account = account_of(request, pk, Scope.ADMINISTER)
        data = _initial(AccountForm(account=account)) | given.form_data()
        form = AccountForm(data, account=account, any_server=any_server)
        was_fetched, account = account.sync_enabled, _saved(request, form)
        if account.sync_enabled and not was_fetched:
            queue_first_look(request, account)
        return _whole(pk)


def _whole(pk: int) -> Answer[AccountWhole]:
    return Answer(data=AccountWhole.of(get_object_or_404(Account.objects.with_transports(), pk=pk)))


def _unchanged(request: HttpRequest, pk: int) -> AbstractContextManager[None]:
    """unchanged() with the ETag of GET /accounts/{pk}."""
    return unchanged(request, Account.objects.filter(pk=pk), lambda: _whole(pk))


@router.delete(
    "/accounts/{pk}",
    response={200: Answer[None], 202: Answer[None], **FAILURES},
    operation_id="delete_account",
    openapi_extra=IF_MATCH,
)
def delete_account(request: HttpRequest, pk: Path[Number]) -> Status[Answer[None]]:
    """Delete an account with all of its mail stored here; nothing is changed on its servers. 202: workers go on with
    it, as it has much mail; it answers 404 when it is gone. 409 while mail waits in its outbox. Heeds If-Match."""
    account = account_of(request, pk, Scope.ADMINISTER)
    with _unchanged(request, pk):
        pass  # the lock ends here: the account is deleted in many short transactions
    note = partial(record, request, "delete_account", f"account:{pk}", None, account.email)
    outcome = account_deletion.ask(account, note)
    if outcome.refusal:
        raise Conflict(outcome.refusal)
    if outcome.left:
        queue_deletion(account.pk)
    return Status(202 if outcome.left else 200, Answer(data=None))


@router.get("/accounts/{pk}/health", response={200: Answer[list[Notice]], **FAILURES}, operation_id="account_health")
def account_health(request: HttpRequest, pk: Path[Number]) -> Answer[list[Notice]]:
    """The account's notices, as its page shows them; the most urgent first."""
    return _health(account_of(request, pk, Scope.READ).pk)


def _health(pk: int) -> Answer[list[Notice]]:
    now = timezone.now()
    account = Account.objects.with_transports().prefetch_related(chosen_folders()).get(pk=pk)
    folders = account.chosen_folders  # type: ignore[attr-defined]
    found = conditions(account, folders, now, of_failing([account], now), has_workers=has_workers(now))
    return Answer(data=[Notice.of(each) for each in found])


@router.get(
    "/accounts/{pk}/completeness", response={200: Answer[CompletenessState], **FAILURES}, operation_id="completeness"
)
def completeness(request: HttpRequest, pk: Path[Number]) -> Answer[CompletenessState]:
    """The last comparison of the account's folders with its server, as a signed report."""
    account = account_of(request, pk, Scope.READ)
    return Answer(data=CompletenessState.of(Completeness.objects.filter(account=account).first()))


@router.post("/accounts/{pk}/tests", response={202: Answer[TestState], **FAILURES}, operation_id="test_account")
def test_account(
    request: HttpRequest, pk: Path[Number], idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[TestState]] | HttpResponse:
    """Have a worker sign in on both servers with the stored credentials; get the result by its id."""
    account = account_of(request, pk, Scope.OPERATE)
    return once(
        request, idempotency_key, lambda: Status(202, Answer(data=TestState.of(ask_for_test(request, account))))
    )


@router.get("/accounts/{pk}/tests/{test}", response={200: Answer[TestState], **FAILURES}, operation_id="get_test")
def get_test(request: HttpRequest, pk: Path[Number], test: Path[Number]) -> Answer[TestState]:
    """A connection test; ask again until `finished_at` is set."""
    account = account_of(request, pk, Scope.READ)
    return Answer(data=TestState.of(get_object_or_404(ConnectionTest, pk=test, account=account)))


@router.post("/accounts/{pk}/sync", response=STATE, operation_id="sync_account")
def sync(request: HttpRequest, pk: Path[Number]) -> Answer[AccountState]:
    """Ask the workers for a sync now."""
    account = account_of(request, pk, Scope.OPERATE)
    with transaction.atomic():
        sync_tasks.queue_sync(account.pk, caller_of(request).token.user_id)
        record(request, "sync_now", f"account:{pk}", account)
    return Answer(data=AccountState.of(account))


@router.post("/accounts/{pk}/go-on", response={200: Answer[list[Notice]], **FAILURES}, operation_id="go_on")
def go_on(request: HttpRequest, pk: Path[Number], given: SeenAt) -> Answer[list[Notice]]:
    """Resume the sync of folders that were stopped because the server changed their UIDVALIDITY again and again."""
    account = account_of(request, pk, Scope.OPERATE)
    if uidvalidity.let_go_on(account.pk, given.stopped_before or timezone.now()):
        record(request, "go_on", f"account:{pk}", account)
        sync_tasks.queue_sync(account.pk, caller_of(request).token.user_id)
    return _health(pk)


@router.post("/accounts/{pk}/pause", response=STATE, operation_id="pause_sending", openapi_extra=IF_MATCH)
def pause(request: HttpRequest, pk: Path[Number]) -> Answer[AccountState]:
    """Send nothing from this account until it is resumed; mail is kept. Heeds If-Match, with
    the ETag of the account."""
    return _paused(request, pk, is_paused=True)


@router.post("/accounts/{pk}/resume", response=STATE, operation_id="resume_sending", openapi_extra=IF_MATCH)
def resume(request: HttpRequest, pk: Path[Number]) -> Answer[AccountState]:
    """Send mail of this account again. Heeds If-Match, with the ETag of the account."""
    return _paused(request, pk, is_paused=False)


def _paused(request: HttpRequest, pk: int, *, is_paused: bool) -> Answer[AccountState]:
    account = account_of(request, pk, Scope.OPERATE)
    other = Account.objects.filter(pk=pk, sending_paused_at__isnull=is_paused)
    with transaction.atomic(), _unchanged(request, pk):
        if other.update(sending_paused_at=timezone.now() if is_paused else None):
            record(request, "pause_sending" if is_paused else "resume_sending", f"account:{pk}", account)
        return Answer(data=AccountState.of(account_of(request, pk, Scope.OPERATE)))
