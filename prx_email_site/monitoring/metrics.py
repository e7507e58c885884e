"""/metrics for Prometheus, computed from the database at each scrape, so that any web process may answer.

Readable with a token (PRX_EMAIL_METRICS_TOKEN) or from networks (PRX_EMAIL_METRICS_NETWORKS); off if neither is set.
"""

from __future__ import annotations

import ipaddress
import secrets

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from people.sign_in.client_address import client_address
from prx_email_site.monitoring.metrics_collector import InstallationCollector


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics; 404 when they are switched off, 403 without permission."""
    if not settings.METRICS_TOKEN and not settings.METRICS_NETWORKS:
        raise Http404
    if not _has_token(request) and not _is_near(request):
        raise PermissionDenied
    registry = CollectorRegistry()
    registry.register(InstallationCollector(timezone.now()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _has_token(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
    return bool(settings.METRICS_TOKEN) and secrets.compare_digest(given, settings.METRICS_TOKEN.encode())


def _is_near(request: HttpRequest) -> bool:
    address = client_address(request)
    return bool(address) and any(ipaddress.ip_address(address) in network for network in settings.METRICS_NETWORKS)
