"""The pages of alerts: rules, their last notices, open incidents, expiries. For administrators of all accounts."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext, override
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import incidents, tasks
from alerts.forms import AlertForm
from alerts.models import AlertIncident, AlertNotice, AlertRule, Channel, Kind
from alerts.problems import expiries
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.audit import record

SHOWN = 20


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
    newest = AlertNotice.objects.filter(rule=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    rules = list(AlertRule.objects.select_related("user", "sender", "account").annotate(last=Subquery(newest)))
    notices = AlertNotice.objects.select_related("incident").in_bulk([rule.last for rule in rules if rule.last])
    rows = [RuleRow(rule, to_of(rule), _kinds(rule), notices.get(rule.last or 0)) for rule in rules]
    # `alerted_at` does not tell whether anybody was notified: it is set even if no rule wants the incident.
    is_told = Exists(AlertNotice.objects.filter(incident=OuterRef("pk"), phase=AlertNotice.Phase.BEGIN))
    context = {
        "rows": sorted(rows, key=lambda row: row.rule.pk),
        "open": AlertIncident.objects.open().annotate(is_told=is_told).order_by("-opened_at")[:SHOWN],
        "over": AlertIncident.objects.exclude(closed_at=None).exclude(alerted_at=None).order_by("-closed_at")[:SHOWN],
    }
    return render(request, "alerts/list.html", context)


def _kinds(rule: AlertRule) -> str:
    known = dict(Kind.choices)
    return "; ".join(str(known[each]) for each in rule.kinds if each in known) or gettext(
        "Everything that needs a person"
    )


@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add an alert rule."""
    only_administrators(request)
    return _edited(
        request, AlertForm(request.POST or None), "add_alert", gettext("The alert was added. Send a test to see it.")
    )


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit an alert rule; an empty secret keeps the stored one."""
    only_administrators(request)
    form = AlertForm(request.POST or None, rule=get_object_or_404(AlertRule.objects.select_related("user"), pk=pk))
    return _edited(request, form, "edit_alert", gettext("The alert was saved."))


def _edited(request: HttpRequest, form: AlertForm, verb: str, words: str) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        rule = form.save()
        record(request, verb, f"alert:{rule.pk}", rule.account, f"{rule.channel} to {_stored_to(rule)}")
        messages.success(request, words)
        return redirect("alerts:list")
    return render(request, "alerts/form.html", {"form": form, "rule": form.rule})


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a test notice; its result is shown with the rule."""
    only_administrators(request)
    rule = get_object_or_404(AlertRule.objects.select_related("user"), pk=pk)
    incidents.ask_for_test(rule, timezone.now())
    tasks.queue_sending()
    record(request, "test_alert", f"alert:{pk}", rule.account, _stored_to(rule))
    messages.success(
        request,
        gettext("A test is on its way to %(destination)s; its result is shown here.") % {"destination": to_of(rule)},
    )
    return redirect("alerts:list")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete an alert rule."""
    only_administrators(request)
    rule = get_object_or_404(AlertRule.objects.select_related("user", "account"), pk=pk)
    record(request, "delete_alert", f"alert:{pk}", rule.account, f"{rule.channel} to {_stored_to(rule)}")
    rule.delete()
    messages.success(request, gettext("The alert was deleted: it notifies nobody any more."))
    return redirect("alerts:list")


@require_safe
def show_endings(request: HttpRequest) -> HttpResponse:
    """All expiries, soonest first. For administrators of all accounts, as it names accounts, servers and providers."""
    only_administrators(request)
    now = timezone.now()
    rows = [{"ending": each, "days": each.days_left(now)} for each in expiries.all_expiries()]
    return render(request, "alerts/endings.html", {"rows": rows})
