"""Webhooks for events: list, add, change, test, remove, and their deliveries. For tokens that administer all accounts.

A URL may contain a secret, so answers name its host alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from alerts import webhook_views
from alerts.events import webhook_delivery
from alerts.models import EventKind, Webhook, WebhookDelivery
from alerts.webhook_forms import WebhookForm
from api.models import Scope
from api.v1.protocol.access import FAILURES, accounts_of, caller_of
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text, columns
from api.v1.protocol.conditional import IF_MATCH, REVISION, changing, revision_of, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once, without_secret
from api.v1.protocol.refusals import demand_valid
from mailbox.models import Account
from mailbox.views.pagination import cut

router = Router(tags=["webhooks"])
ACCOUNTS = Field(default=None, description="null: all accounts, those to come as well.")
SECRET = Field(default="", description="whsec_ and 24 to 64 bytes in base64. A new webhook without one gets one.")


class WebhookChange(Asked):
    """What changes; absent members stay as they are."""

    name: Annotated[Text, Field(max_length=80)] = ""
    url: Annotated[Text, Field(max_length=2000)] = ""
    secret: Annotated[Text, Field(max_length=200)] = SECRET
    kinds: list[EventKind] = Field(default=[], description="Empty: everything.")
    account_ids: Annotated[list[Number], Field(min_length=1, max_length=10_000)] | None = ACCOUNTS
    is_on: bool = True


class NewWebhook(WebhookChange):
    """A webhook to add. It gets the events from now on."""

    name: Annotated[Text, Field(max_length=80)]
    url: Annotated[Text, Field(max_length=2000)]


class WebhookState(Schema):
    """A webhook as it is set."""

    id: int
    name: str
    host: str = Field(description="Of its URL.")
    kinds: list[str] = Field(description="Empty: everything.")
    account_ids: list[int] | None = Field(description="null: all accounts. Empty: none any more.")
    is_on: bool
    created_at: datetime
    secret_set_at: datetime | None = Field(description="null: when it was added.")
    revision: str = REVISION

    @classmethod
    def fields(cls, row: Webhook) -> dict[str, Any]:
        """The values of a row."""
        accounts = None if row.all_accounts else sorted(each.pk for each in row.accounts.all())
        shown = {"host": urlsplit(row.url).hostname or "?", "account_ids": accounts}
        return columns(cls, row) | shown | {"revision": revision_of(row.url, row.encrypted_secret)}


class WebhookAdded(WebhookState):
    """A new webhook. `secret`: the one that was made for it, shown this once; null where it was given."""

    secret: str | None


class WebhookLine(WebhookState):
    """A webhook in a list, with how it does. `failing_since`: since when its receiver does not answer."""

    waiting: int = Field(description="Deliveries that wait.")
    failed: int = Field(description="Deliveries that were given up.")
    failing_since: datetime | None


class DeliveryState(Schema):
    """An event for a webhook. `event`: its number; null for a test. `result`: what became of the last attempt."""

    id: int
    event: int | None
    kind: str
    account_id: int | None
    state: str
    tries: int
    next_try_at: datetime
    result: str
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: WebhookDelivery) -> DeliveryState:
        names = ("state", "tries", "next_try_at", "result", "created_at", "ended_at")
        own = {name: getattr(row, name) for name in names}
        if (about := row.event) is None:
            return cls(id=row.pk, event=None, kind="", account_id=None, **own)
        return cls(id=row.pk, event=about.number, kind=about.kind, account_id=about.account_id, **own)


class Again(Asked):
    """Which delivery to post again."""

    delivery_id: Number | None = Field(description="null: all that were given up.")


class Queued(Schema):
    """How many deliveries are posted again. Those that wait already are not counted."""

    number: int


WEBHOOK = {200: Answer[WebhookState], **FAILURES}


def _found(request: HttpRequest, pk: int) -> Webhook:
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return get_object_or_404(Webhook.objects.prefetch_related("accounts"), pk=pk)


def _state(request: HttpRequest, pk: int) -> Answer[WebhookState]:
    return Answer(data=WebhookState(**WebhookState.fields(_found(request, pk))))


def _unchanged(request: HttpRequest, pk: int) -> AbstractContextManager[None]:
    return unchanged(request, Webhook.objects.filter(pk=pk), lambda: _state(request, pk))


def _demand_to_set(request: HttpRequest) -> None:
    """Raise TokenRefused unless the token may add and change webhooks: events tell what the scope `read` sees."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    caller_of(request).demand_everywhere(Scope.READ)


def _saved(request: HttpRequest, form: WebhookForm, accounts: list[Account] | None) -> Webhook:
    demand_valid(form)
    form.cleaned_data["accounts"] = accounts  # by their ids, instead of the page's addresses
    return webhook_views.save_webhook(request, form)


def _given(given: WebhookChange) -> dict[str, Any]:
    return given.model_dump(mode="json", exclude_unset=True, exclude={"account_ids"}) | {"accounts": ""}


@router.get("/webhooks", response={200: Answer[Page[WebhookLine]], **FAILURES}, operation_id="list_webhooks")
def list_webhooks(request: HttpRequest, limit: Limit = 50, before: Number | None = None) -> Answer[Page[WebhookLine]]:
    """The webhooks, newest first, with how they do."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    rows = webhook_views.counted().order_by("-pk")
    page, last = cut(list((rows if before is None else rows.filter(pk__lt=before))[: limit + 1]), limit)
    items = [
        WebhookLine(**WebhookState.fields(row), waiting=row.waiting, failed=row.failed, failing_since=row.failing_since)
        for row in page
    ]
    return Answer(data=Page(items=items, next=str(last.pk) if last else None))


@router.post("/webhooks", response={201: Answer[WebhookAdded], **FAILURES}, operation_id="add_webhook")
def add_webhook(
    request: HttpRequest, given: NewWebhook, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[WebhookAdded]] | HttpResponse:
    """Add a webhook. A secret that is made for it is in this answer alone, and in none that repeats it for the same
    key. Needs the scope read, too."""
    _demand_to_set(request)

    def create() -> Status[Answer[WebhookAdded]]:
        accounts = None if given.account_ids is None else accounts_of(request, given.account_ids, Scope.ADMINISTER)
        made = None if given.secret else webhook_delivery.new_secret()
        form = WebhookForm({"is_on": True} | _given(given) | ({"secret": made} if made else {}))
        row = _saved(request, form, accounts)
        return Status(201, Answer(data=WebhookAdded(**WebhookState.fields(row), secret=made)))

    return once(request, idempotency_key, create, repeated=without_secret)


@router.get("/webhooks/{pk}", response=WEBHOOK, operation_id="get_webhook")
def get_webhook(request: HttpRequest, pk: Path[Number]) -> Answer[WebhookState]:
    """One webhook. Its ETag is for If-Match."""
    return _state(request, pk)


@router.patch("/webhooks/{pk}", response=WEBHOOK, operation_id="change_webhook", openapi_extra=IF_MATCH)
def change_webhook(request: HttpRequest, pk: Path[Number], given: WebhookChange) -> Answer[WebhookState]:
    """Change the given members; a failing webhook is tried again at once. Needs the scope read, too. Heeds If-Match."""
    _demand_to_set(request)
    _found(request, pk)
    with changing(request, Webhook.objects.filter(pk=pk), lambda: _state(request, pk)):
        row = _found(request, pk)
        if "account_ids" not in given.model_fields_set:
            accounts = None if row.all_accounts else list(row.accounts.all())
        elif given.account_ids is None:
            accounts = None
        else:
            accounts = accounts_of(request, given.account_ids, Scope.ADMINISTER)
        _saved(request, WebhookForm({**WebhookForm(webhook=row).initial, **_given(given)}, webhook=row), accounts)
        return _state(request, pk)


@router.delete(
    "/webhooks/{pk}", response={200: Answer[None], **FAILURES}, operation_id="remove_webhook", openapi_extra=IF_MATCH
)
def remove_webhook(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Remove a webhook with its deliveries: nothing is posted there any more. Heeds If-Match."""
    row = _found(request, pk)
    with _unchanged(request, pk):
        webhook_views.remove_webhook(request, row)
    return Answer(data=None)


@router.post("/webhooks/{pk}/test", response={202: Answer[DeliveryState], **FAILURES}, operation_id="test_webhook")
def test_webhook(
    request: HttpRequest, pk: Path[Number], idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[DeliveryState]] | HttpResponse:
    """Post a test event; the list of deliveries has its result. 409 while the webhook is off."""
    row = _found(request, pk)

    def begin() -> Status[Answer[DeliveryState]]:
        if not row.is_on:
            raise Conflict(str(webhook_views.IS_OFF))
        return Status(202, Answer(data=DeliveryState.of(webhook_views.begin_test(request, row))))

    return once(request, idempotency_key, begin)


@router.get(
    "/webhooks/{pk}/deliveries", response={200: Answer[Page[DeliveryState]], **FAILURES}, operation_id="list_deliveries"
)
def list_deliveries(
    request: HttpRequest,
    pk: Path[Number],
    state: WebhookDelivery.State | None = None,
    limit: Limit = 50,
    before: Number | None = None,
) -> Answer[Page[DeliveryState]]:
    """The deliveries of a webhook, newest first; those of the last seven days."""
    rows = webhook_views.deliveries_of(_found(request, pk), state or "", before)
    page, last = cut(list(rows[: limit + 1]), limit)
    return Answer(data=Page(items=[DeliveryState.of(row) for row in page], next=str(last.pk) if last else None))


@router.post("/webhooks/{pk}/deliver-again", response={200: Answer[Queued], **FAILURES}, operation_id="deliver_again")
def deliver_again(request: HttpRequest, pk: Path[Number], given: Again) -> Answer[Queued]:
    """Post a delivery again, with the same webhook-id, or all that were given up."""
    row = _found(request, pk)
    if given.delivery_id is not None:
        get_object_or_404(WebhookDelivery, pk=given.delivery_id, webhook=row)
    return Answer(data=Queued(number=webhook_views.queue_again(request, row, given.delivery_id)))
