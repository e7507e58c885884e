"""An invitation in the reader's words: what, when, how often, who."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils.formats import date_format, time_format
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from mailbox.localized import grouped
from mailbox.mime.files.icalendar import AttendeeReply, CalendarEvent, Recurrence

_EVERY = {
    "DAILY": ngettext_lazy("Every day", "Every %(number)s days", "number"),
    "WEEKLY": ngettext_lazy("Every week", "Every %(number)s weeks", "number"),
    "MONTHLY": ngettext_lazy("Every month", "Every %(number)s months", "number"),
    "YEARLY": ngettext_lazy("Every year", "Every %(number)s years", "number"),
}
_METHODS = {
    "REQUEST": _("Invitation"),
    "CANCEL": _("Cancelled"),
    "REPLY": _("Answer to an invitation"),
    "COUNTER": _("Proposal of another time"),
    "ADD": _("Addition to a series"),
}
_ANSWERS = {
    "ACCEPTED": _("%(person)s accepts"),
    "DECLINED": _("%(person)s declines"),
    "TENTATIVE": _("%(person)s may come"),
    "DELEGATED": _("%(person)s sends somebody else"),
}


@dataclass(frozen=True)
class InvitationWords:
    """A CalendarEvent as its page shows it; "" where it states nothing."""

    kind: str  # "Invitation", "Cancelled", ...
    title: str
    when: str
    repeats: str
    place: str
    organizer: str
    answer: str  # of a reply: "Bob declines"
    attendees: int


def words_of(event: CalendarEvent) -> InvitationWords:
    """The event in the active language; times in the active time zone."""
    return InvitationWords(
        kind=str(_METHODS["CANCEL"] if event.is_cancelled else _METHODS.get(event.method, _("Event"))),
        title=event.title,
        when=_when(event),
        repeats=_repeats(event.recurrence) if event.recurrence else "",
        place=event.place,
        organizer=event.organizer,
        answer=_answer(event.reply) if event.reply else "",
        attendees=event.attendees,
    )


def _answer(reply: AttendeeReply) -> str:
    return _ANSWERS.get(reply.status, _("%(person)s answers")) % {"person": reply.person}


def _when(event: CalendarEvent) -> str:
    start, end = event.start, event.end
    if start is None:
        due = gettext("Due %(time)s") % {"time": _moment(event.due, with_time=True)} if event.has_due else ""
        return event.start_text or due
    if not isinstance(start, datetime):
        last = end - timedelta(days=1) if end else start  # the end is the day after
        return _moment(start) if last == start else _span(_moment(start), _moment(last))
    words = _moment(start, with_time=True)
    if isinstance(end, datetime):
        same_day = end.date() == start.date()
        words = _span(words, time_format(end, "H:i") if same_day else _moment(end, with_time=True))
    return f"{words} ({event.zone})" if event.zone else words


def _span(start: str, end: str) -> str:
    return gettext("%(start)s to %(end)s") % {"start": start, "end": end}


def _moment(moment: date | datetime | None, *, with_time: bool = False) -> str:
    if moment is None:
        return ""
    # Translators: formats of Django's date filter: "Monday, 2 March 2026", and with the time behind it.
    form = gettext("l, j F Y, H:i") if with_time and isinstance(moment, datetime) else gettext("l, j F Y")
    return date_format(moment, form)


def _repeats(rule: Recurrence) -> str:
    """The rule in words as far as they are short; its exceptions are in the attachment."""
    every = _EVERY.get(rule.frequency)
    if every is None:
        return gettext("Repeats")
    words = every % {"number": rule.interval}
    if rule.count is not None:
        return ngettext("%(every)s, %(times)s times", "%(every)s, %(times)s times", rule.count) % {
            "every": words,
            "times": grouped(rule.count),
        }
    if rule.until:
        return gettext("%(every)s, until %(day)s") % {"every": words, "day": _moment(rule.until)}
    return words
