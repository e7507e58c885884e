"""Asks for confirmation before an irreversible action.

A script asks in a dialog and then posts `confirmed`; without scripts the answer to the form is this page.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mailbox.lazy_text import Words

CONFIRMED = "confirmed"


@dataclass(frozen=True)
class Question:
    """What the page of confirmation asks: the action, what it causes, and its button."""

    title: Words
    consequence: Words
    button: Words
    back: str  # URL of the link that cancels
    about: list[tuple[str, str]] = field(default_factory=list)  # what is affected: (name, line about it)
    is_danger: bool = True


def asks_first(request: HttpRequest, question: Question, template: str = "confirm.html") -> HttpResponse | None:
    """The page with the question, whose form posts the same fields again; None when the person has confirmed."""
    if request.POST.get(CONFIRMED) == "1":
        return None
    given = [pair for pair in request.POST.lists() if pair[0] != "csrfmiddlewaretoken"]
    hidden = [(name, value) for name, values in given for value in values]
    return render(request, template, {"question": question, "hidden": hidden, "confirmed": CONFIRMED})
