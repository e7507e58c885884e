"""The pages that say why somebody is not signed in. Nothing was changed by any of these attempts."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import Words

REASONS: dict[str, tuple[Words, Words, Words]] = {
    "inactive": (
        _("This user is switched off"),
        _("Who you are is known, and an administrator has switched your user off."),
        _("Ask an administrator to switch it on again."),
    ),
}


def refused(request: HttpRequest, reason: str, status: int = 403) -> HttpResponse:
    title, sentence, advice = REASONS[reason]
    context = {"status": status, "title": title, "sentence": sentence, "advice": advice}
    return render(request, "error.html", context, status=status)
