"""Template tags and filters: icons, times, badges, server replies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import count
from typing import Any

from django import template
from django.conf import settings
from django.forms import BoundField, CheckboxInput
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from heroicons.templatetags.heroicons import heroicon_mini

from mailbox import localized
from mailbox.html.breaks import with_breaks
from mailbox.lazy_text import spoken
from mailbox.messages import sender_name
from mailbox.permissions import saved_filters_of
from mailbox.views import saved_filters as views_saved_filters
from prx_email_site.script_text import AGO, DUE_NOW, IN, JUST_NOW, of_set

register = template.Library()

TONE_ICONS = {
    "fine": "check-circle",
    "waiting": "clock",
    "needs": "question-mark-circle",
    "broken": "x-circle",
}
_numbers = count(1)


def exact(moment: datetime) -> str:
    """The time to the second in the reader's time zone, with the zone's name."""
    local = timezone.localtime(moment)
    # Translators: a format of Django's date filter; its columns are to stay equally wide.
    form = gettext("Y-m-d H:i:s T")
    # Called for each row of a list; strftime takes a fifth of the time of date_format.
    return local.strftime("%Y-%m-%d %H:%M:%S %Z") if form == "Y-m-d H:i:s T" else date_format(local, form)


@register.simple_tag
def icon(name: str, **attributes: Any) -> str:
    """A heroicon, hidden from screen readers, as the text beside it says the same."""
    attributes.setdefault("class", "icon")
    drawing = heroicon_mini(name, size=None, aria_hidden="true", **attributes)  # its class says how large it is
    return SafeString("".join(map(str.strip, drawing.splitlines())))


@register.simple_tag
def badge(tone: str, label: str, icon_name: str = "") -> SafeString:
    """A state: icon, word and colour."""
    drawing = icon(icon_name or TONE_ICONS[tone])
    return format_html('<span class="badge tone-{}">{} {}</span>', tone, SafeString(drawing), label)


def to_second(when: datetime) -> str:
    """RFC 3339, without what nobody reads: a list has a hundred times, and pages with forms go uncompressed."""
    return when.isoformat(timespec="seconds")


@register.filter
@register.simple_tag
def moment(when: datetime | None, empty: str = "") -> SafeString | str:
    """A time as "3 min ago", with the exact time on hover; a script updates it."""
    if not when:  # templates pass "" for a missing row
        return empty or gettext("never")
    seconds = (timezone.now() - when).total_seconds()
    if 0 <= seconds < 5:
        words = str(JUST_NOW)
    else:
        words = str(AGO if seconds >= 0 else IN).replace("{time}", spoken(abs(seconds)))
    return format_html('<time datetime="{}" title="{}" data-relative>{}</time>', to_second(when), exact(when), words)


@register.filter
@register.simple_tag
def moment_exact(when: datetime | None, empty: str = "") -> SafeString | str:
    """A time with date and seconds, for details and time lines."""
    return format_html('<time datetime="{}">{}</time>', to_second(when), exact(when)) if when else empty


@register.filter
@register.simple_tag
def countdown(when: datetime | None) -> SafeString | str:
    """The time left until `when`; a script updates it."""
    if not when:  # templates pass "" for a missing row
        return ""
    seconds = (when - timezone.now()).total_seconds()
    words = str(IN).replace("{time}", spoken(seconds)) if seconds > 0 else str(DUE_NOW)
    return format_html('<time datetime="{}" title="{}" data-countdown>{}</time>', when.isoformat(), exact(when), words)


@register.inclusion_tag("_fragments/reply.html")
def server_words(reply: str) -> dict[str, Any]:
    """A server's reply, unchanged: monospace, selectable, with a copy button."""
    return {"reply": reply, "id": f"reply-{next(_numbers)}"}


@register.filter
def breakable(text: str) -> SafeString:
    """A stranger's text, escaped, with places to break its endless words: see mailbox.html.breaks."""
    return mark_safe(with_breaks(escape(text)))  # noqa: S308 - escaped here


@register.inclusion_tag("_fragments/after_sending.html")
def after_sending(pk: str) -> dict[str, Any]:
    """The buttons (such as Undo) beside the message that a mail was queued. pk: of the outbox row."""
    return {"pk": int(pk), "seconds": settings.OUTBOX_UNDO_SECONDS}


@register.inclusion_tag("_fragments/field.html")
def field(bound: BoundField) -> dict[str, Any]:
    """A form field with its label, hint and errors tied to it for screen readers."""
    described = [f"{bound.auto_id}-hint"] if bound.help_text else []
    described += [f"{bound.auto_id}-error"] if bound.errors else []
    attributes: dict[str, str | bool] = {"aria-describedby": " ".join(described)} if described else {}
    if bound.errors:
        attributes["aria-invalid"] = "true"
    return {
        "field": bound,
        "widget": bound.as_widget(attrs=attributes),
        "is_checkbox": isinstance(bound.field.widget, CheckboxInput),
    }


@register.filter
def number(count: object) -> str:
    """1234567 as 1,234,567, or with the language's separators; "" for a value that is no integer, such as None."""
    return localized.grouped(count) if isinstance(count, int) else ""


@register.filter
def percent(number: object) -> str:
    """45 as "45 %", or as the language writes it; "" for a value that is no integer."""
    return localized.percent(number) if isinstance(number, int) else ""


@register.filter
def listed(words: Iterable[object]) -> str:
    """Words one after another, as "a, b", or with the language's comma."""
    return localized.listed(words)


@register.simple_tag
def comma() -> str:
    """What stands between the words of a list, where a loop writes them."""
    return localized.comma()


@register.filter
def name_first(sender: str) -> str:
    """The sender's name, unless it could hide the address (see mailbox.messages.sender_name)."""
    return sender_name.name_first(sender)


@register.filter
def clock(when: datetime | None) -> str:
    """The time of the day, to the second."""
    # Translators: a format of Django's date filter.
    return date_format(timezone.localtime(when), gettext("H:i:s")) if when else ""


@register.filter
def point_of_time(when: datetime) -> SafeString:
    """What stands after "since": the time of today, or day and time. ("since 3 min ago" is said in no language.)"""
    is_today = timezone.localdate(when) == timezone.localdate()
    # Translators: a format of Django's date filter.
    words = date_format(timezone.localtime(when), gettext("H:i")) if is_today else wall_time(when)
    return format_html('<time datetime="{}" title="{}">{}</time>', to_second(when), exact(when), words)


@register.filter
def wall_time(when: datetime) -> str:
    """The time at which a step of the chart begins."""
    # Translators: a format of Django's date filter.
    return date_format(timezone.localtime(when), gettext("D d M H:i"))


@register.filter
def stored_sentence(sentence: str) -> str:
    """A sentence that is stored in English (gettext_noop), translated if the catalogue has it."""
    return gettext(sentence) if sentence else ""


@register.simple_tag
def words(name: str) -> str:
    """A set of texts for a script, as JSON for a data attribute."""
    return of_set(name)


@register.inclusion_tag("_fragments/saved_filters.html", takes_context=True)
def saved_filters(context: Any, page: str, query: str, is_filtered: bool) -> dict[str, Any]:
    """The saved filters of a list, and the form that saves the present one."""
    request = context["request"]
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "saved": views_saved_filters.offered(request, page, *saved_filters_of(request.user)),
        "may_share": views_saved_filters.may_share(request),
        "page": page,
        "query": query,
        "is_filtered": is_filtered,
    }
