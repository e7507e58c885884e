"""Start what reports traces and errors elsewhere, where it is set; else not even its packages are imported."""

from __future__ import annotations

from django.conf import settings

from mailbox import network


def start() -> None:
    """Once a process, when its apps are ready. Both open connections to others' servers, not with NETWORK off."""
    if network.is_off():
        return
    if settings.OTLP_ENDPOINT:
        from prx_email_site.monitoring import traces

        traces.start(traces.exporter_to(settings.OTLP_ENDPOINT))
    if settings.SENTRY_DSN:
        from prx_email_site.monitoring import sentry

        sentry.start(settings.SENTRY_DSN)
