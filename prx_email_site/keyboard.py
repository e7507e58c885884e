"""The page of keyboard shortcuts. static/js/keyboard.js shows it as a sheet and implements the shortcuts."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language_bidi
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

SHORTCUTS = (
    (
        _("In a list"),
        (
            (("j",), _("next row")),
            (("k",), _("row before")),
            (("o", "Enter"), _("open the row")),
            (("x",), _("tick the row, or take the tick away")),
            (("r",), _("retry the mail of the row")),
        ),
    ),
    (
        _("On the page of a mail"),
        (
            (("j", "→"), _("next message of the list")),
            (("k", "←"), _("previous message of the list")),
            (("r",), _("reply, or retry a send")),
            (("u",), _("back to the list")),
        ),
    ),
    (
        _("Everywhere"),
        (
            (("/",), _("search")),
            (("c",), _("write a mail")),
            (("g d",), _("dashboard")),
            (("g m",), _("messages")),
            (("g o",), _("outbox")),
            (("g f",), _("attachments (files)")),
            (("g a",), _("accounts")),
            (("?",), _("this sheet")),
            (("Esc",), _("close the sheet, leave a field")),
        ),
    ),
)


@require_safe
def keyboard(request: HttpRequest) -> HttpResponse:
    """The page; arrows are mirrored in languages that are written from right to left."""
    arrows = {"→": "←", "←": "→"} if get_language_bidi() else {}  # "next" is in the direction of reading
    groups = [
        (title, [([arrows.get(name, name) for name in names], meaning) for names, meaning in keys])
        for title, keys in SHORTCUTS
    ]
    return render(request, "keyboard.html", {"groups": groups})
