"""What templates share: icons, times, badges, the server's words."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from heroicons.templatetags.heroicons import heroicon_mini

register = template.Library()

TONE_ICONS = {
    "fine": "check-circle",
    "waiting": "clock",
    "needs": "question-mark-circle",
    "broken": "x-circle",
}
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_numbers = count(1)


def spoken(seconds: float) -> str:
    """A length of time in its largest unit: 75 -> "1 min". The same words as in static/js/app.js."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def exact(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S %Z")


@register.simple_tag
def icon(name: str, **attributes: Any) -> str:
    """A heroicon, hidden from screen readers: the word beside it says the same."""
    attributes.setdefault("class", "icon")
    return heroicon_mini(name, size=16, aria_hidden="true", **attributes)


@register.simple_tag
def badge(tone: str, label: str, icon_name: str = "") -> SafeString:
    """A state: icon, word and colour."""
    drawing = icon(icon_name or TONE_ICONS[tone])
    return format_html('<span class="badge tone-{}">{} {}</span>', tone, SafeString(drawing), label)


@register.simple_tag
def moment(when: datetime | None, empty: str = "never") -> SafeString | str:
    """A time as "3 min ago", exact on hover; it ticks in the browser."""
    if not when:  # "" is what a template makes of a missing row
        return empty
    seconds = (timezone.now() - when).total_seconds()
    words = "just now" if 0 <= seconds < 5 else f"{spoken(seconds)} ago" if seconds >= 0 else f"in {spoken(-seconds)}"
    return format_html('<time datetime="{}" title="{}" data-relative>{}</time>', when.isoformat(), exact(when), words)


@register.simple_tag
def moment_exact(when: datetime | None, empty: str = "") -> SafeString | str:
    """A time with its date and second, for details and time lines."""
    return format_html('<time datetime="{}">{}</time>', when.isoformat(), exact(when)) if when else empty


@register.simple_tag
def countdown(when: datetime | None) -> SafeString | str:
    """The time left until then; it ticks in the browser."""
    if not when:  # "" is what a template makes of a missing row
        return ""
    seconds = (when - timezone.now()).total_seconds()
    words = f"in {spoken(seconds)}" if seconds > 0 else "due now"
    return format_html('<time datetime="{}" title="{}" data-countdown>{}</time>', when.isoformat(), exact(when), words)


@register.inclusion_tag("_fragments/reply.html")
def server_words(reply: str) -> dict[str, Any]:
    """The server's words as said: monospace, selectable, with a copy button."""
    return {"reply": reply, "id": f"reply-{next(_numbers)}"}


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
    """1234567 as 1,234,567; nothing for what is no number, as None."""
    return f"{count:,}" if isinstance(count, int) else ""
