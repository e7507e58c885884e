"""Pages to add and edit an account, and to sign in again with a new secret."""

from __future__ import annotations

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from mailbox.accounts.forms import AccountForm
from mailbox.accounts.sign_in_form import SignInForm
from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.autoconfig.servers import Discovery
from mailbox.models import Account, ConnectionTest, OAuthApp
from mailbox.oauth import apps, sign_in
from mailbox.permissions import Role, get_account, has_role_everywhere
from mailbox.presets import PRESETS, Preset
from mailbox.signals import connection_test_asked
from mailbox.tasks import sync as sync_tasks
from mailbox.views.accounts.autoconfig import lookup_of, require_administrator, start_page
from mailbox.views.accounts.autoconfig_wording import initial_of, preset_of, told
from mailbox.views.activity.audit import record
from mailbox.views.requests import signed_in_user


def _preset(request: HttpRequest) -> Preset | None:
    return next((each for each in PRESETS if each.key == request.GET.get("preset")), None)


@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add an account. Without a query: ask for the address or provider. `?lookup=7` (a finished look-up) or
    `?preset=gmail` shows the form with the servers filled in."""
    require_administrator(request)
    preset, lookup = _preset(request), lookup_of(request)
    if request.method != "POST" and lookup is None and "preset" not in request.GET:
        return start_page(request)
    found = autoconfig_lookup.found_by(lookup) if lookup else None
    initial = initial_of(lookup.email, Discovery() if preset or not found else found) if lookup else {}
    form = AccountForm(request.POST or None, request.FILES or None, preset=preset, initial=initial)
    if request.method == "POST" and save_form(request, form, asks_for_folders=True):
        return _added(request, form.account)
    form.fields["imap_password" if lookup else "email"].widget.attrs["autofocus"] = True  # what is to be typed next
    known = preset or (preset_of(found) if found else None)
    context = {
        "form": form,
        "presets": PRESETS,
        "preset": preset,
        "chosen": request.GET.get("preset", ""),
        "lookup": lookup,
        "found": told(lookup.email, found) if lookup and found and not preset else None,
        "wants_ca": known is not None and known.key == "protonmail",
        **_folds(form),
        "oauth_app": _provider_of(lookup.email, found) if lookup and not preset and not form.is_bound else None,
    }
    return render(request, "mailbox/accounts/form.html", context)


_SERVERS = ("imap_host", "imap_port", "smtp_host", "smtp_port")
_SIGN_IN_AT_SMTP = ("smtp_security", "smtp_user", "smtp_password", "smtp_oauth_token")
_FURTHER = ("display_name", "signature", "sent_copy", "messages_per_minute")


def _folds(form: AccountForm) -> dict[str, bool]:
    """Which parts of a new account's form are folded away (servers) or must be open because of an error (further)."""
    is_filled = all(form[name].value() for name in (*_SERVERS, "smtp_same"))
    return {
        "servers_are_known": is_filled and not any(name in form.errors for name in (*_SERVERS, *_SIGN_IN_AT_SMTP)),
        "further_is_refused": any(name in form.errors for name in _FURTHER),
    }


def _provider_of(email: str, found: Discovery | None) -> OAuthApp | None:
    """The provider whose sign-in button is offered first: it serves this address, and its mail servers are known."""
    hosts = [each.host for each in (found.imap, found.smtp) if each] if found else []
    app = apps.app_for(email, *hosts)
    return app if app and sign_in.servers_for(app, found) else None


def save_form(request: HttpRequest, form: AccountForm, *, asks_for_folders: bool = False) -> bool:
    """Save the form and record it; of a new account, folders are listed. False when it is invalid, and its errors say
    why.

    `asks_for_folders`: the next page asks for the folders to sync, and none is synced before.
    """
    if not form.is_valid():
        return False
    is_new = form.account.pk is None
    try:
        with transaction.atomic():
            account = form.save()
            if asks_for_folders:
                account.folders.update(sync_enabled=False)
            verb = "add_account" if is_new else "edit_account"
            detail = account.email if is_new else ", ".join(form.changed_data)[:500]
            record(request, verb, f"account:{account.pk}", account, detail)
            if is_new:
                queue_first_look(request, account)
    except IntegrityError:
        # Two requests at the same time (two people, or a double click): neither was stored when both were validated.
        form.add_error("email", gettext("An account with this address exists already."))
        return False
    return True


def _added(request: HttpRequest, account: Account) -> HttpResponseRedirect:
    words = gettext("%(email)s was added. Both servers are being tried now; what they say appears below.")
    messages.success(request, words % {"email": account.email})
    return redirect("connection_test", ask_for_test(request, account).pk)


def _after_saving(request: HttpRequest, account: Account) -> HttpResponseRedirect:
    if request.POST.get("then") != "test":
        return redirect("mailbox:account", account.pk)
    return redirect("connection_test", ask_for_test(request, account).pk)


@transaction.atomic
def ask_for_test(request: HttpRequest, account: Account) -> ConnectionTest:
    """Save a connection test of both servers; the signal queues it for a worker."""
    test = ConnectionTest.objects.create(account=account, requested_by=signed_in_user(request))
    record(request, "test_connection", f"account:{account.pk}", account)
    connection_test_asked.send(sender=ConnectionTest, test_id=test.pk)
    return test


def queue_first_look(request: HttpRequest, account: Account) -> None:
    """Have a worker list the account's folders, and sync those that are chosen already."""
    sync_tasks.queue_folder_listing(account.pk)
    if account.sync_enabled and account.folders.filter(sync_enabled=True).exists():
        sync_tasks.queue_sync(account.pk, request.user.pk)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit an account. Empty secrets keep the stored ones."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    any_server = has_role_everywhere(request.user, Role.ADMINISTRATOR)
    form = AccountForm(request.POST or None, request.FILES or None, account=account, any_server=any_server)
    if request.method == "POST" and save_form(request, form):
        messages.success(request, gettext("The settings were saved."))
        return _after_saving(request, form.account)
    context = {"form": form, "account": account, "preset": None}
    return render(request, "mailbox/accounts/form.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_again(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """Enter a new secret for one transport. Saving it lets waiting mail and syncs go on."""
    account = get_account(request.user, pk, Role.ADMINISTRATOR)
    if kind not in ("imap", "smtp"):
        raise Http404("No such transport.")
    pair = (account.imap, account.smtp) if kind == "imap" else (account.smtp, account.imap)
    form = SignInForm(request.POST or None, transport=pair[0], other=pair[1])
    if request.method == "POST" and form.is_valid():
        both, server = form.cleaned_data["both"], pair[0].get_kind_display()
        with transaction.atomic():
            form.save(account.pk)
            record(request, "sign_in_again", f"account:{pk}", account, "for both servers" if both else f"for {server}")
        messages.success(
            request, gettext("The new password was saved. Both servers are being tried with what is stored now.")
        )
        return redirect("connection_test", ask_for_test(request, account).pk)
    context = {"form": form, "account": account, "transport": pair[0], "other": pair[1]}
    grant_app = account.imap.grant.app if account.imap.grant else None
    context["oauth_app"] = grant_app or apps.app_for(account.email, account.imap.host, account.smtp.host)
    return render(request, "mailbox/accounts/sign_in.html", context)
