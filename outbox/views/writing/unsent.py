"""The form of a mail that cannot be taken: nobody is signed in, or its token is of an earlier sign-in.

Nothing is sent and nothing kept here. What was typed stands on the answer's page, in a form that keeps it as a draft,
once the person has signed in (in another tab, by whatever way there is).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

NOT_TYPED = ("csrfmiddlewaretoken", "do", "page", "page_save")


def keeps_what_was_typed(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A view for signed-in people only, whose form is not lost where nobody is signed in any more."""

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
    """401 or 403, with what was typed."""
    given = [pair for pair in request.POST.lists() if pair[0] not in NOT_TYPED]
    context = {
        "typed": [(name, value) for name, values in given for value in values],
        "has_files": any(request.FILES.getlist("attachments")),
        "shown": [request.POST.get(name, "") for name in ("to", "subject", "body_text")],
        "address": request.get_full_path(),
    }
    return render(request, "outbox/unsent.html", context, status=403 if request.user.is_authenticated else 401)
