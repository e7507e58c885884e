"""Adding and editing an account, and signing in again with a new secret."""

from __future__ import annotations

from mailbox import tasks
from mailbox.access import Role, get_account, has_role_everywhere
from mailbox.endpoints import PRESETS, Preset
from mailbox.forms import AccountForm
from mailbox.forms_sign_in import SignInForm
from mailbox.models import Account, ConnectionTest
from mailbox.signals import connection_test_asked
from mailbox.views.asking import record, signed_in_user

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods


def _preset(request: HttpRequest) -> Preset | None:
    return next((each for each in PRESETS if each.key == request.GET.get("preset")), None)


@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """A new account; `?preset=gmail` fills the form. Only who administers all accounts may add one."""
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("Adding an account needs the role administrator for all accounts."))
    preset = _preset(request)
    form = AccountForm(request.POST or None, request.FILES or None, preset=preset)
    if request.method == "POST" and _saved(form):
        return _added(request, form.account)
    context = {"form": form, "presets": PRESETS, "preset": preset, "chosen": request.GET.get("preset", "")}
    return render(request, "mailbox/accounts/form.html", context)


def _saved(form: AccountForm) -> bool:
    if not form.is_valid():
        return False
    try:
        form.save()
    except IntegrityError:
        # Two people added it at once, or one clicked twice: validation saw neither.
        form.add_error("email", gettext("An account with this address exists already."))
        return False
    return True


def _added(request: HttpRequest, account: Account) -> HttpResponseRedirect:
    record(request, "add_account", f"account:{account.pk}", account, account.email)
    queue_first_look(request, account)
    messages.success(
        request,
        gettext("%(account)s was added. Its folders are being listed and its inbox fetched.")
        % {"account": account.email},
    )
    return _after_saving(request, account)


def _after_saving(request: HttpRequest, account: Account) -> HttpResponseRedirect:
    if request.POST.get("then") != "test":
        return redirect("mailbox:account", account.pk)
    return redirect("connection_test", ask_for_test(request, account).pk)


def ask_for_test(request: HttpRequest, account: Account) -> ConnectionTest:
    """Write down that both servers are to be tried; a worker hears of it by the signal."""
    test = ConnectionTest.objects.create(account=account, requested_by=signed_in_user(request))
    record(request, "test_connection", f"account:{account.pk}", account)
    connection_test_asked.send(sender=ConnectionTest, test_id=test.pk)
    return test


def queue_first_look(request: HttpRequest, account: Account) -> None:
    tasks.queue_folder_listing(account.pk)
    if account.sync_enabled:
        tasks.queue_sync(account.pk, request.user.pk)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about an account; empty secrets keep the stored ones."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    form = AccountForm(request.POST or None, request.FILES or None, account=account)
    if request.method == "POST" and _saved(form):
        record(request, "edit_account", f"account:{pk}", form.account, ", ".join(form.changed_data)[:500])
        messages.success(request, gettext("The settings were saved."))
        return _after_saving(request, form.account)
    context = {"form": form, "account": account, "preset": None}
    return render(request, "mailbox/accounts/form.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_again(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """A new secret for one transport. Saving lets everything that waited for it go on."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    if kind not in ("imap", "smtp"):
        raise Http404("No such transport.")
    pair = (account.imap, account.smtp) if kind == "imap" else (account.smtp, account.imap)
    form = SignInForm(request.POST or None, transport=pair[0], other=pair[1])
    if request.method == "POST" and form.is_valid():
        form.save(account.pk)
        both, server = form.cleaned_data["both"], pair[0].get_kind_display()
        record(request, "sign_in_again", f"account:{pk}", account, "for both servers" if both else f"for {server}")
        words = (
            gettext("The new secret for both servers was saved; the servers are being asked with it now.")
            if both
            else gettext("The new secret for %(server)s was saved; the servers are being asked with it now.")
        )
        messages.success(request, words % {"server": server})
        return HttpResponseRedirect(reverse("mailbox:account", args=[pk]))
    context = {"form": form, "account": account, "transport": pair[0], "other": pair[1]}
    return render(request, "mailbox/accounts/sign_in.html", context)
