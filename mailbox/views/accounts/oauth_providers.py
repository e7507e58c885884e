"""Pages of sign-in providers: the client id and secret that this site has at each, and the steps to get them."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbox.models import OAuthApp
from mailbox.oauth import apps, providers
from mailbox.oauth.app_form import AppForm
from mailbox.oauth.providers import KNOWN
from mailbox.permissions import Role, has_role_everywhere
from mailbox.tasks import oauth as oauth_tasks
from mailbox.views.accounts.oauth import callback_address
from mailbox.views.activity.audit import record


def _require_administrator(request: HttpRequest) -> None:
    if not has_role_everywhere(request.user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("Sign-in providers need the role administrator for all accounts."))


@require_safe
def providers_list(request: HttpRequest) -> HttpResponse:
    """All providers, known and added, with their state."""
    _require_administrator(request)
    rows = list(OAuthApp.objects.order_by("pk"))
    known = {row.kind: row for row in rows if row.kind != OAuthApp.Kind.DISCOVERY}
    context = {
        "refused": set(OAuthApp.objects.refused().values_list("pk", flat=True)),
        "known": [(each, known.get(each.key) or OAuthApp(kind=each.key, name=each.name)) for each in KNOWN],
        "others": [row for row in rows if row.kind == OAuthApp.Kind.DISCOVERY],
    }
    return render(request, "mailbox/oauth/providers.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def known_provider(request: HttpRequest, kind: str) -> HttpResponse:
    """Set up Google, Microsoft or Yahoo."""
    _require_administrator(request)
    its = apps.known(kind)
    if its is None:
        raise Http404("No such provider.")
    row = OAuthApp.objects.filter(kind=kind).first() or OAuthApp(kind=kind, name=its.name)
    return _edit(request, row)


@require_http_methods(["GET", "HEAD", "POST"])
def add_provider(request: HttpRequest) -> HttpResponse:
    """Set up any other provider, by its discovery document (RFC 8414)."""
    _require_administrator(request)
    return _edit(request, OAuthApp(kind=OAuthApp.Kind.DISCOVERY))


@require_http_methods(["GET", "HEAD", "POST"])
def other_provider(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a provider that is not built in. Needs an administrator of all."""
    _require_administrator(request)
    return _edit(request, get_object_or_404(OAuthApp, pk=pk, kind=OAuthApp.Kind.DISCOVERY))


def _edit(request: HttpRequest, row: OAuthApp) -> HttpResponse:
    form = AppForm(request.POST or None, app=row)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            saved = form.save()
            record(request, "edit_provider", f"provider:{saved.pk}", None, saved.name)
        if saved.kind == OAuthApp.Kind.DISCOVERY:
            oauth_tasks.queue_discovery(saved.pk)
            messages.success(request, gettext("Saved. A worker reads the discovery document now."))
        else:
            messages.success(request, gettext("%(name)s was saved.") % {"name": saved.name})
        return redirect("mailbox:providers")
    provider = None if row.kind == OAuthApp.Kind.DISCOVERY else apps.provider_of(row)
    context = {
        "form": form,
        "app": row,
        "callback": callback_address(),
        "scopes": provider.scopes.split() if provider else [],
        "microsoft_scopes": (providers.MICROSOFT_IMAP, providers.MICROSOFT_SMTP),
        "in_use": row.grants.count() if row.pk else 0,
        "refused": next((each for each in apps.refused() if each.app.pk == row.pk), None),
    }
    return render(request, "mailbox/oauth/provider.html", context)


@require_POST
def remove_provider(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a provider; refused while an account signs in by it."""
    _require_administrator(request)
    row = get_object_or_404(OAuthApp, pk=pk, kind=OAuthApp.Kind.DISCOVERY)
    if row.grants.exists():
        messages.error(request, gettext("Accounts still sign in by %(name)s.") % {"name": row.name})
        return redirect("mailbox:provider", pk)
    with transaction.atomic():
        record(request, "delete_provider", f"provider:{pk}", None, row.name)
        row.delete()
    return redirect("mailbox:providers")
