"""The dashboard's lines about open incidents that it does not find itself, such as a certificate that ends soon."""

from __future__ import annotations

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext, ngettext

from alerts.models import AlertIncident
from mailbox.localized import grouped
from prx_email_site.dashboard.attention import SHOWN_OF_A_KIND, Need


def of_incidents(rows: QuerySet[AlertIncident], count: int) -> list[Need]:
    """A line for each of the oldest, and one for the rest. `count`: how many rows there are; no query for 0."""
    shown = rows.order_by("pk")[:SHOWN_OF_A_KIND] if count else ()
    found = [
        Need("needs", row.in_words or row.sentence, gettext("Look"), row.path, since=row.opened_at) for row in shown
    ]
    if (rest := count - SHOWN_OF_A_KIND) > 0:
        words = ngettext("%(number)s more alert", "%(number)s more alerts", rest)
        number = grouped(rest)
        found.append(Need("needs", words % {"number": number}, gettext("Look"), reverse("alerts:list")))
    return found
