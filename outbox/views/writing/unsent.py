"""Preserves a compose form that was submitted without a valid session or CSRF token.

Nothing is sent or stored. The response shows the typed values in a form that saves them as a draft, once the person has
signed in again (in another tab).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from outbox.compose.text_formats import as_plain

NOT_TYPED = ("csrfmiddlewaretoken", "do", "page", "page_save")


def keeps_what_was_typed(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Decorator: requires sign-in as other views do, but answers a POST without sign-in by page()."""

    @login_not_required
    @wraps(view)
    def open_to_forms(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request)
        if request.method == "POST":
            return page(request)
        return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)

    return open_to_forms


def page(request: HttpRequest) -> HttpResponse:
    """The response with the typed values: 401 without sign-in, 403 with a wrong CSRF token."""
    given = [pair for pair in request.POST.lists() if pair[0] not in NOT_TYPED]
    text = as_plain(request.POST.get("text_format", ""), request.POST.get("body_text", ""))
    context = {
        "typed": [(name, value) for name, values in given for value in values],
        "has_files": any(request.FILES.getlist("attachments")),
        "shown": [request.POST.get("to", ""), request.POST.get("subject", ""), text],
        "address": request.get_full_path(),
    }
    return render(request, "outbox/unsent.html", context, status=403 if request.user.is_authenticated else 401)
