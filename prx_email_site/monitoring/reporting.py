"""Starts OpenTelemetry and Sentry if they are set up; if not, their packages are not even imported."""

from __future__ import annotations

from django.conf import settings

from mailbox import network


def start() -> None:
    """Start them, once a process, when its apps are ready. Not with PRX_EMAIL_NETWORK=0, as both open connections."""
    if network.is_off():
        return
    if settings.OTLP_ENDPOINT:
        from prx_email_site.monitoring import task_traces, traces

        traces.start(traces.exporter_to(settings.OTLP_ENDPOINT))
        task_traces.connect()
    if settings.SENTRY_DSN:
        from prx_email_site.monitoring import sentry

        sentry.start(settings.SENTRY_DSN)
