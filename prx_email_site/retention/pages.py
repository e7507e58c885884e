"""The retention page: rules, each with a preview by number and size before it is set, and legal holds."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST, require_safe

from mailbox import features
from mailbox.localized import grouped
from mailbox.models import LegalHold, RetentionRule
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.confirmation import Question, asks_first
from prx_email_site.retention import changes, sweep
from prx_email_site.retention.forms import MOST, HoldForm, RuleForm
from prx_email_site.retention.kinds import RetentionPreview, preview

RELEASED_SHOWN = 20
HOLD_COLUMNS = (
    *("address", "reason", "created_at", "released_at"),
    *("account__email", "message__subject", "message__account", "created_by__username", "released_by__username"),
)


def _only_administrators(request: HttpRequest) -> None:
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("Retention concerns all accounts: an administrator of all may see and set it."))


@require_safe
def retention(request: HttpRequest) -> HttpResponse:
    """The page, with both forms."""
    _only_administrators(request)
    return _page(request)


def _page(request: HttpRequest, rule: RuleForm | None = None, hold: HoldForm | None = None) -> HttpResponse:
    holds = LegalHold.objects.select_related("account", "message", "created_by", "released_by").only(*HOLD_COLUMNS)
    context = {
        "rules": sweep.rules(),
        "holds": holds.standing().order_by("-pk")[:MOST],
        "released": holds.filter(released_at__isnull=False).order_by("-released_at")[:RELEASED_SHOWN],
        "unreadable": features.unreadable_to(request.user),
        "rule_form": rule or RuleForm(),
        "hold_form": hold or HoldForm(prefix="hold"),
    }
    return render(request, "retention.html", context, status=422 if rule or hold else 200)


@require_POST
def add_rule(request: HttpRequest) -> HttpResponse:
    """Set a rule, after a question with the number and size of what it would remove now."""
    _only_administrators(request)
    form = RuleForm(request.POST)
    if not form.is_valid():
        return _page(request, rule=form)
    rule = form.rule()
    if question := asks_first(request, _question(rule, preview(rule, timezone.now()))):
        return question
    changes.set_rule(request, rule)
    messages.success(request, gettext("The rule is set. Workers remove once a day what it means; see the activity."))
    return redirect("retention")


def _question(rule: RetentionRule, found: RetentionPreview) -> Question:
    return Question(
        title=ngettext(
            "Remove %(what)s older than %(number)s day?", "Remove %(what)s older than %(number)s days?", rule.days
        )
        % {"what": rule.get_what_display(), "number": grouped(rule.days)},
        consequence=gettext(
            "What is removed cannot be brought back. Received mail stays on its server and is not fetched again. The "
            "daily run begins a day or two from now and takes each day what has become as old."
        ),
        button=gettext("Set the rule"),
        back=reverse("retention"),
        about=_about(rule, found),
    )


def _about(rule: RetentionRule, found: RetentionPreview) -> list[tuple[str, str]]:
    number = grouped(found.number)
    now = ngettext("%(number)s now", "%(number)s now", found.number) % {"number": number}
    if found.is_more:
        now = gettext("more than %(number)s now") % {"number": number}
    about = [(gettext("It would remove"), now)]
    if found.size is not None:
        size = filesizeformat(found.size)
        about.append((gettext("Size"), gettext("more than %(size)s") % {"size": size} if found.is_more else size))
    held = gettext("too many to count") if found.held is None else grouped(found.held)
    about.append((gettext("Kept by legal holds"), held))
    about.append((gettext("Account"), rule.account.email if rule.account else gettext("all accounts")))
    if rule.folder:
        about.append((gettext("Folder"), rule.folder))
    if rule.larger_than:
        about.append((gettext("Only larger than"), filesizeformat(rule.larger_than)))
    return about


@require_POST
def remove_rule(request: HttpRequest, pk: int) -> HttpResponse:
    """End a rule."""
    _only_administrators(request)
    rule = get_object_or_404(RetentionRule.objects.select_related("account"), pk=pk)
    changes.end_rule(request, rule)
    messages.success(request, gettext("The rule is gone: nothing more is removed by it."))
    return redirect("retention")


@require_POST
def add_hold(request: HttpRequest) -> HttpResponse:
    """Put a legal hold."""
    _only_administrators(request)
    form = HoldForm(request.POST, prefix="hold")
    if not form.is_valid():
        return _page(request, hold=form)
    try:
        changes.put_hold(request, form.hold())
    except changes.RemovedMeanwhile:
        form.add_error(None, gettext("What it names is gone: nothing of it can be kept."))
        return _page(request, hold=form)
    messages.success(request, gettext("The hold stands: no rule removes any of it from now on."))
    return redirect("retention")


@require_POST
def release_hold(request: HttpRequest, pk: int) -> HttpResponse:
    """Release a legal hold, after a question."""
    _only_administrators(request)
    hold = get_object_or_404(LegalHold.objects.standing().select_related("account"), pk=pk)
    if question := asks_first(request, _release_question(hold)):
        return question
    changes.release(request, hold)
    messages.success(request, gettext("The hold is released: rules may remove what is old enough."))
    return redirect("retention")


def _release_question(hold: LegalHold) -> Question:
    return Question(
        title=gettext("Release this hold?"),
        consequence=gettext("The next daily run may remove what it kept, for good."),
        button=gettext("Release the hold"),
        back=reverse("retention"),
        about=[(gettext("Why"), hold.reason)],
    )
