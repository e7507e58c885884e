"""The filter of a list by team marks, from the URL's query."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.translation import gettext

from mailbox.lazy_text import Words
from mailbox.models.team_marks import TEAM_FILTERS
from mailbox.views.requests import Refused


@dataclass(frozen=True)
class TeamChoice:
    """A choice of the filter and the URL that applies it."""

    label: Words
    url: str
    current: bool


def team_filter_of(request: HttpRequest) -> str:
    """The name of the filter, "" for none. Raises Refused for an unknown one."""
    given = request.GET.get("team", "")
    if given and given not in TEAM_FILTERS:
        raise Refused(gettext("There is no filter “%(given)s”: choose one of the list's.") % {"given": given[:40]})
    return given


def team_choices(request: HttpRequest, chosen: str) -> list[TeamChoice]:
    """All filters with the URL of this list's first page; the first choice removes the filter."""
    query = request.GET.copy()
    for name in ("before", "team"):
        query.pop(name, None)

    def url(name: str) -> str:
        asked = query.copy()
        if name:
            asked["team"] = name
        return f"?{asked.urlencode()}"

    choices: dict[str, Words] = {"": gettext("All"), **TEAM_FILTERS}
    return [TeamChoice(label, url(name), name == chosen) for name, label in choices.items()]
