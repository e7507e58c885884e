"""The pages of alerts: rules, their last notices, open incidents, expiries. For administrators of all accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext, override
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import incidents, tasks
from alerts.forms import AlertForm
from alerts.models import AlertIncident, AlertNotice, AlertRule, Channel, Kind
from alerts.problems import expiries
from mailbox.localized import listed_apart
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.activity.audit import record
from mailbox.views.pagination import FirstRows

SHOWN, OPEN_SHOWN = 20, 200


@dataclass(frozen=True)
class RuleRow:
    """A rule as text, with its last notice."""

    rule: AlertRule
    to: str
    kinds: str
    last: AlertNotice | None

    @property
    def tone(self) -> str:
        """The tone of its last notice's badge; "waiting" before the first."""
        return {"sent": "fine", "waiting": "waiting", "failed": "broken"}[self.last.state] if self.last else "waiting"


def to_of(rule: AlertRule) -> str:
    """The rule's destination as text. Of a webhook only the host, as the rest of the URL may be a secret."""
    if rule.channel == Channel.WEBHOOK:
        return urlsplit(rule.url).hostname or "?"
    if rule.user:
        address = rule.user.email or gettext("no mail address")
        return f"{rule.user.get_username()} ({address})"
    return rule.address


def _stored_to(rule: AlertRule) -> str:
    """As `to_of`, for the audit: stored text is English (docs/pages.md)."""
    with override("en"):
        return to_of(rule)


def only_administrators(request: HttpRequest) -> None:
    """Raise PermissionDenied unless the user is administrator of all accounts."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("Alerts need the role administrator for all accounts."))


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """The rules with their last results, open incidents, and those that ended last. A fixed number of queries."""
    only_administrators(request)
    rows = [RuleRow(rule, to_of(rule), _kinds(rule), last) for rule, last in with_last_notice(AlertRule.objects.all())]
    # `alerted_at` does not tell whether anybody was notified: it is set even if no rule wants the incident.
    is_told = Exists(AlertNotice.objects.filter(incident=OuterRef("pk"), phase=AlertNotice.Phase.BEGIN))
    context = {
        "rows": sorted(rows, key=lambda row: row.rule.pk),
        "open": FirstRows(AlertIncident.objects.open().annotate(is_told=is_told).order_by("-opened_at"), OPEN_SHOWN),
        "over": AlertIncident.objects.exclude(closed_at=None).exclude(alerted_at=None).order_by("-closed_at")[:SHOWN],
    }
    return render(request, "alerts/list.html", context)


def with_last_notice(rules: QuerySet[AlertRule]) -> list[tuple[AlertRule, AlertNotice | None]]:
    """The rules, each with its newest notice; two queries."""
    newest = AlertNotice.objects.filter(rule=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    rows: list[Any] = list(rules.select_related("user", "sender", "account").annotate(last=Subquery(newest)))
    notices = AlertNotice.objects.select_related("incident").in_bulk([rule.last for rule in rows if rule.last])
    return [(rule, notices.get(rule.last or 0)) for rule in rows]


def _kinds(rule: AlertRule) -> str:
    known = dict(Kind.choices)
    return listed_apart(known[each] for each in rule.kinds if each in known) or gettext(
        "Everything that needs a person"
    )


@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add an alert rule."""
    only_administrators(request)
    return _edited(request, AlertForm(request.POST or None), gettext("The alert was added. Send a test to see it."))


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit an alert rule; an empty secret keeps the stored one."""
    only_administrators(request)
    form = AlertForm(request.POST or None, rule=get_object_or_404(AlertRule.objects.select_related("user"), pk=pk))
    return _edited(request, form, gettext("The alert was saved."))


def _edited(request: HttpRequest, form: AlertForm, words: str) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        save_rule(request, form)
        messages.success(request, words)
        return redirect("alerts:list")
    return render(request, "alerts/form.html", {"form": form, "rule": form.rule})


@transaction.atomic
def save_rule(request: HttpRequest, form: AlertForm) -> AlertRule:
    """Save a valid form, and record it."""
    verb = "add_alert" if form.rule is None else "edit_alert"
    rule = form.save()
    record(request, verb, f"alert:{rule.pk}", rule.account, f"{rule.channel} to {_stored_to(rule)}")
    return rule


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a test notice; its result is shown with the rule."""
    only_administrators(request)
    rule = get_object_or_404(AlertRule.objects.select_related("user"), pk=pk)
    begin_test(request, rule)
    messages.success(
        request,
        gettext("A test is on its way to %(destination)s; its result is shown here.") % {"destination": to_of(rule)},
    )
    return redirect("alerts:list")


@transaction.atomic
def begin_test(request: HttpRequest, rule: AlertRule) -> AlertNotice:
    """Have workers send a test notice, and record it."""
    notice = incidents.ask_for_test(rule, timezone.now())
    tasks.queue_sending()
    record(request, "test_alert", f"alert:{rule.pk}", rule.account, _stored_to(rule))
    return notice


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete an alert rule."""
    only_administrators(request)
    rule = get_object_or_404(AlertRule.objects.select_related("user", "account"), pk=pk)
    remove_rule(request, rule)
    messages.success(request, gettext("The alert was deleted: it notifies nobody any more."))
    return redirect("alerts:list")


@transaction.atomic
def remove_rule(request: HttpRequest, rule: AlertRule) -> None:
    """Delete a rule with its notices, and record it."""
    record(request, "delete_alert", f"alert:{rule.pk}", rule.account, f"{rule.channel} to {_stored_to(rule)}")
    rule.delete()


@require_safe
def show_endings(request: HttpRequest) -> HttpResponse:
    """All expiries, soonest first. For administrators of all accounts, as it names accounts, servers and providers."""
    only_administrators(request)
    now = timezone.now()
    rows = [{"ending": each, "days": each.days_left(now)} for each in expiries.all_expiries()]
    return render(request, "alerts/endings.html", {"rows": rows})
