"""The page that tells the keyboard's shortcuts; static/js/keyboard.js shows it as a sheet and obeys it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

SHORTCUTS = (
    (
        "In a list",
        (
            (("j",), "next row"),
            (("k",), "row before"),
            (("o", "Enter"), "open the row"),
            (("x",), "tick the row, or take the tick away"),
            (("r",), "retry the mail of the row"),
        ),
    ),
    (
        "On the page of a mail",
        ((("r",), "reply, or retry a send"), (("u",), "back to the list")),
    ),
    (
        "Everywhere",
        (
            (("/",), "search"),
            (("c",), "write a mail"),
            (("g d",), "dashboard"),
            (("g m",), "messages"),
            (("g o",), "outbox"),
            (("g f",), "attachments (files)"),
            (("g a",), "accounts"),
            (("?",), "this sheet"),
            (("Esc",), "close the sheet, leave a field"),
        ),
    ),
)


@require_safe
def keyboard(request: HttpRequest) -> HttpResponse:
    return render(request, "keyboard.html", {"groups": SHORTCUTS})
