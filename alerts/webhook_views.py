"""The pages of webhooks for events, and of their deliveries. For administrators of all accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import tasks
from alerts.events import webhook_delivery
from alerts.models import EventKind, Webhook, WebhookDelivery
from alerts.views import only_administrators
from alerts.webhook_forms import WebhookForm
from mailbox.localized import grouped, listed
from mailbox.views.activity.audit import record
from mailbox.views.pagination import cut, next_page
from mailbox.views.requests import Refused

State = WebhookDelivery.State
SHOWN = 50
IS_OFF = _("The webhook is off: nothing is posted there.")
TONES = {State.SENT.value: "fine", State.WAITING.value: "waiting", State.FAILED.value: "broken"}


@dataclass(frozen=True)
class WebhookRow:
    """A webhook as text."""

    webhook: Webhook
    host: str  # the rest of the URL may be a secret
    kinds: str
    accounts: str


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery with its badge's tone, and what it tells of."""

    delivery: WebhookDelivery
    tone: str
    what: str


def _row(webhook: Webhook) -> WebhookRow:
    known = dict(EventKind.choices)
    kinds = listed(each for each in webhook.kinds if each in known) or gettext("everything")
    emails = sorted(each.email for each in webhook.accounts.all())
    accounts = gettext("all accounts") if webhook.all_accounts else listed(emails) or gettext("none any more")
    return WebhookRow(webhook, urlsplit(webhook.url).hostname or "?", kinds, accounts)


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """The webhooks, with the numbers of their waiting and failed deliveries."""
    only_administrators(request)
    return render(request, "alerts/webhooks.html", {"rows": [_row(each) for each in counted().order_by("name")]})


def counted() -> QuerySet[Any]:
    """The webhooks with their accounts and the numbers of `waiting` and `failed` deliveries."""
    waiting, failed = _number(WebhookDelivery.objects.waiting()), _number(WebhookDelivery.objects.given_up())
    return Webhook.objects.annotate(waiting=waiting, failed=failed).prefetch_related("accounts")


def _number(deliveries: QuerySet[WebhookDelivery]) -> Coalesce:
    """How many of these a webhook has. Not by a join, which reads all deliveries of the week."""
    of_each = deliveries.filter(webhook=OuterRef("pk")).order_by().values("webhook").annotate(number=Count("pk"))
    return Coalesce(Subquery(of_each.values("number"), output_field=IntegerField()), 0)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add a webhook. Its new secret is in the page, so that no cache may keep it."""
    only_administrators(request)
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        webhook = save_webhook(request, form)
        messages.success(request, gettext("The webhook was added. Send a test to see it."))
        return redirect("alerts:webhook", webhook.pk)
    return render(request, "alerts/webhook.html", {"form": form})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit a webhook, and see its deliveries."""
    only_administrators(request)
    webhook = get_object_or_404(Webhook, pk=pk)
    form = WebhookForm(request.POST or None, webhook=webhook)
    if request.method == "POST" and form.is_valid():
        save_webhook(request, form)
        messages.success(request, gettext("The webhook was saved."))
        return redirect("alerts:webhook", pk)
    return render(request, "alerts/webhook.html", {"form": form, "webhook": webhook, **_deliveries(request, webhook)})


@transaction.atomic
def save_webhook(request: HttpRequest, form: WebhookForm) -> Webhook:
    """Save a valid form, and record it. A changed webhook is tried at once."""
    is_new = form.webhook is None
    webhook = form.save()
    _record(request, "add_webhook" if is_new else "edit_webhook", webhook)
    if not is_new:
        tasks.queue_events()
    return webhook


def _deliveries(request: HttpRequest, webhook: Webhook) -> dict[str, Any]:
    """One page of deliveries, newest first, filtered by `?state=` and `?before=` (a pk) from the page's links."""
    state, before = request.GET.get("state", ""), request.GET.get("before", "")
    if state not in ("", *State.values) or (before and not _is_key(before)):
        raise Refused(gettext("The address names no place in this list; start from its first page."))
    rows = deliveries_of(webhook, state, int(before) if before else None)
    page, last = cut(list(rows[: SHOWN + 1]), SHOWN)
    shown = [DeliveryRow(each, TONES[each.state], _what(each)) for each in page]
    following = next_page(request, last.pk) if last else ""
    return {
        "deliveries": shown,
        "has_given_up": WebhookDelivery.objects.filter(webhook=webhook).given_up().exists(),
        "following": following,
        "state": state,
        "states": State.choices,
    }


def deliveries_of(webhook: Webhook, state: str, before: int | None) -> QuerySet[WebhookDelivery]:
    """The webhook's deliveries in this state ("" for any) before this pk, newest first, with their events."""
    rows = WebhookDelivery.objects.filter(webhook=webhook).select_related("event__account").order_by("-pk")
    rows = rows.in_state(state) if state else rows
    return rows if before is None else rows.filter(pk__lt=before)


def _is_key(given: str) -> bool:
    return given.isascii() and given.isdigit() and len(given) < 19


def _what(delivery: WebhookDelivery) -> str:
    if (event := delivery.event) is None:
        return gettext("a test")
    of_account = f"{event.account.email}, " if event.account else ""
    return f"{event.kind} ({of_account}{event.subject})"


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Post a test event; the page of the webhook shows its result."""
    only_administrators(request)
    webhook = get_object_or_404(Webhook, pk=pk)
    if not webhook.is_on:
        messages.error(request, str(IS_OFF))
        return redirect("alerts:webhook", pk)
    begin_test(request, webhook)
    messages.success(request, gettext("A test is on its way; its result is shown here."))
    return redirect("alerts:webhook", pk)


@transaction.atomic
def begin_test(request: HttpRequest, webhook: Webhook) -> WebhookDelivery:
    """Have workers post a test event, and record it."""
    delivery = webhook_delivery.ask_for_test(webhook)
    tasks.queue_events()
    _record(request, "test_webhook", webhook)
    return delivery


@require_POST
def deliver_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Post a delivery again. POST field `delivery`: its pk; without it, all that were given up."""
    only_administrators(request)
    webhook, chosen = get_object_or_404(Webhook, pk=pk), request.POST.get("delivery", "")
    if chosen and not _is_key(chosen):
        raise Refused(gettext("There is no such delivery."))
    number = queue_again(request, webhook, int(chosen) if chosen else None)
    messages.success(request, gettext("%(number)s to be delivered again.") % {"number": grouped(number)})
    return redirect("alerts:webhook", pk)


@transaction.atomic
def queue_again(request: HttpRequest, webhook: Webhook, chosen: int | None) -> int:
    """Have workers post the delivery with this pk again, or all that were given up; return how many. Recorded."""
    rows = WebhookDelivery.objects.filter(webhook=webhook)
    rows = rows.given_up() if chosen is None else rows.filter(pk=chosen)
    number = webhook_delivery.deliver_again(rows)
    if number:
        tasks.queue_events()
        record(request, "deliver_events_again", f"webhook:{webhook.pk}", detail=f"{webhook.name}: {number}")
    return number


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a webhook with its deliveries."""
    only_administrators(request)
    webhook = get_object_or_404(Webhook, pk=pk)
    remove_webhook(request, webhook)
    messages.success(request, gettext("The webhook was deleted: nothing is posted there any more."))
    return redirect("alerts:webhooks")


@transaction.atomic
def remove_webhook(request: HttpRequest, webhook: Webhook) -> None:
    """Delete a webhook with its deliveries, and record it."""
    _record(request, "delete_webhook", webhook)
    webhook.delete()


def _record(request: HttpRequest, verb: str, webhook: Webhook) -> None:
    host = urlsplit(webhook.url).hostname or "?"
    record(request, verb, f"webhook:{webhook.pk}", detail=f"{webhook.name} at {host}")
