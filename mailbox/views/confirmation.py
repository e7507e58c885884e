"""A page that asks before a form does what cannot be taken back.

A script asks the same in a dialog and then sends `confirmed`; without scripts the form gets this page for its answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mailbox.lazy_text import Words

CONFIRMED = "confirmed"


@dataclass(frozen=True)
class Question:
    title: Words
    consequence: Words
    button: Words
    back: str  # the address of "Leave it as it is"
    about: list[tuple[str, str]] = field(default_factory=list)  # what is meant: a name and a line about it
    is_danger: bool = True


def asks_first(request: HttpRequest, question: Question, template: str = "confirm.html") -> HttpResponse | None:
    """The page that asks, with a form that sends again what came; None once the person has confirmed."""
    if request.POST.get(CONFIRMED) == "1":
        return None
    given = [pair for pair in request.POST.lists() if pair[0] != "csrfmiddlewaretoken"]
    hidden = [(name, value) for name, values in given for value in values]
    return render(request, template, {"question": question, "hidden": hidden, "confirmed": CONFIRMED})
