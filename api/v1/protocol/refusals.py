"""Errors of the pages' forms as refusals of the API."""

from __future__ import annotations

from django.forms import BaseForm

from mailbox.views.requests import Refused


def refusal_of(form: BaseForm) -> Refused:
    """The exception with the form's errors, each named by its field."""
    named = [(name, each) for name, errors in form.errors.items() for each in errors]
    return Refused(" ".join(str(each) if name == "__all__" else f"{name}: {each}" for name, each in named))


def demand_valid(form: BaseForm) -> None:
    """Raise Refused with the form's errors, if it has any."""
    if not form.is_valid():
        raise refusal_of(form)
