"""The page of tokens: the user's own; for administrators of all accounts those of all users."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from api import tokens
from api.forms import TokenForm
from api.models import Scope, Token
from mailbox.localized import listed, listed_apart
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.pagination import cut, next_page
from mailbox.views.requests import number_of, signed_in_user

SHOWN = 100


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """The tokens and the form for a new one. Only the response to the POST shows the new token."""
    user, secret = signed_in_user(request), ""
    form = TokenForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            _token, secret = tokens.make(user, form.terms(timezone.now()), by=user)
            form = TokenForm(user)
        except tokens.TokenRefused as error:
            form.add_error(None, str(error))
    rows = Token.objects.select_related("user").prefetch_related("accounts").order_by("-pk")
    sees_all = has_role_everywhere(user, Role.ADMINISTRATOR)
    rows = rows if sees_all else rows.filter(user=user)
    before = number_of(request, "before")
    page, last = cut(list((rows.filter(pk__lt=before) if before else rows)[: SHOWN + 1]), SHOWN)
    context = {"form": form, "secret": secret, "rows": [_row(token) for token in page], "sees_all": sees_all}
    context |= {"now": timezone.now(), "next_url": next_page(request, last.pk) if last else ""}
    return render(request, "api/tokens.html", context)


def _row(token: Token) -> dict[str, object]:
    labels = dict(Scope.choices)
    accounts = gettext("all accounts") if token.all_accounts else listed(each.email for each in token.accounts.all())
    return {
        "token": token,
        "scopes": listed_apart(labels.get(each, each) for each in token.scopes),
        "accounts": accounts or gettext("none any more"),
        "networks": listed(token.networks),
    }


@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a token: the user's own, or anybody's for administrators of all accounts."""
    user = signed_in_user(request)
    token = get_object_or_404(Token.objects.select_related("user"), pk=pk)
    if token.user_id != user.pk and not has_role_everywhere(user, Role.ADMINISTRATOR):
        raise PermissionDenied(gettext("This is the token of somebody else."))
    was_valid = token.expires_at > timezone.now()
    tokens.end(token, by=user)
    ended = gettext("The token was ended: programs that use it are refused from now on.")
    messages.success(request, ended if was_valid else gettext("The token is removed; it had ended before."))
    return redirect("api:tokens")
