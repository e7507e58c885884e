"""The dashboard's lines about sign-in providers (OAuth)."""

from __future__ import annotations

from django.utils.translation import gettext, ngettext

from mailbox.localized import grouped
from mailbox.oauth import apps
from mailbox.oauth.apps import RefusedApp
from prx_email_site.dashboard.attention import Need


def of_providers(count: int) -> list[Need]:
    """Providers that refuse the site's client id or secret. `count`: how many; no query for 0, as for all but
    administrators, who can renew it: other users see the problem on their accounts."""
    return [_need(each) for each in apps.refused()] if count else []


def _need(refused: RefusedApp) -> Need:
    detail = ngettext(
        "%(number)s account waits for it. It goes on by itself once a new one is entered.",
        "%(number)s accounts wait for it. They go on by themselves once a new one is entered.",
        refused.waiting,
    )
    return Need(
        "broken",
        gettext("%(name)s refuses this site's own client id or secret") % {"name": refused.app.name},
        gettext("Enter a new one"),
        refused.app.get_absolute_url(),
        detail=detail % {"number": grouped(refused.waiting)},
        reply=refused.words,
    )
