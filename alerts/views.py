"""What alerts whom, whether it arrived, and what is open: for administrators of all accounts."""

from __future__ import annotations

from dataclasses import dataclass
from mailbox.access import Role, has_role_everywhere
from mailbox.views.asking import record
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import incidents, tasks
from alerts.forms import AlertForm
from alerts.models import AlertIncident, AlertNotice, AlertRule, Channel, Kind

SHOWN = 20


@dataclass(frozen=True)
class RuleRow:
    """A rule in words, with its last telling."""

    rule: AlertRule
    to: str
    kinds: str
    last: AlertNotice | None

    @property
    def tone(self) -> str:
        return {"sent": "fine", "waiting": "waiting", "failed": "broken"}[self.last.state] if self.last else "waiting"


def to_of(rule: AlertRule) -> str:
    """Where it goes. Of a webhook the host alone: the rest may be a secret."""
    if rule.channel == Channel.WEBHOOK:
        return urlsplit(rule.url).hostname or "?"
    if rule.user:
        return f"{rule.user.get_username()} ({rule.user.email or 'no mail address'})"
    return rule.address


def _only_administrators(request: HttpRequest) -> None:
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied("Alerts need the role administrator for all accounts.")


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """The rules with their last results, what is open, and what was over last. At constant cost."""
    _only_administrators(request)
    newest = AlertNotice.objects.filter(rule=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    rules = list(AlertRule.objects.select_related("user", "sender", "account").annotate(last=Subquery(newest)))
    notices = AlertNotice.objects.select_related("incident").in_bulk([rule.last for rule in rules if rule.last])
    rows = [RuleRow(rule, to_of(rule), _kinds(rule), notices.get(rule.last or 0)) for rule in rules]
    context = {
        "rows": sorted(rows, key=lambda row: row.rule.pk),
        "open": AlertIncident.objects.open().order_by("-opened_at")[:SHOWN],
        "over": AlertIncident.objects.exclude(closed_at=None).exclude(alerted_at=None).order_by("-closed_at")[:SHOWN],
    }
    return render(request, "alerts/list.html", context)


def _kinds(rule: AlertRule) -> str:
    known = dict(Kind.choices)
    return "; ".join(known[each] for each in rule.kinds if each in known) or "Everything that needs a person"


@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    _only_administrators(request)
    return _edited(request, AlertForm(request.POST or None), "add_alert", "The alert was added. Send a test to see it.")


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    _only_administrators(request)
    form = AlertForm(request.POST or None, rule=get_object_or_404(AlertRule.objects.select_related("user"), pk=pk))
    return _edited(request, form, "edit_alert", "The alert was saved.")


def _edited(request: HttpRequest, form: AlertForm, verb: str, words: str) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        rule = form.save()
        record(request, verb, f"alert:{rule.pk}", rule.account, f"{rule.channel} to {to_of(rule)}")
        messages.success(request, words)
        return redirect("alerts:list")
    return render(request, "alerts/form.html", {"form": form, "rule": form.rule})


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a worker tell a test; its result is shown with the rule."""
    _only_administrators(request)
    rule = get_object_or_404(AlertRule.objects.select_related("user"), pk=pk)
    incidents.ask_for_test(rule, timezone.now())
    tasks.queue_sending()
    record(request, "test_alert", f"alert:{pk}", rule.account, to_of(rule))
    messages.success(request, f"A test is on its way to {to_of(rule)}; its result is shown here.")
    return redirect("alerts:list")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    _only_administrators(request)
    rule = get_object_or_404(AlertRule.objects.select_related("user", "account"), pk=pk)
    record(request, "delete_alert", f"alert:{pk}", rule.account, f"{rule.channel} to {to_of(rule)}")
    rule.delete()
    messages.success(request, "The alert was deleted: nobody is told by it any more.")
    return redirect("alerts:list")
