"""Store when each mail server's certificate expires: one write a change, not one a connection."""

from __future__ import annotations

from datetime import datetime

from django.db import DatabaseError
from django.utils import timezone

from mailbox.models import SeenCertificate
from mailbox.tls import certificate_expiries, certificate_expiry

_noted: dict[tuple[str, int], datetime] = {}


def note(host: str, port: int) -> None:
    """Store the expiry of the certificate that this process saw at this server, if it has changed.

    Does nothing when the database fails: that must not end a sync or a delivery, and the next connection writes it.
    """
    ends = certificate_expiry(host, port)
    if ends is None or _noted.get((host, port)) == ends:
        return
    try:
        SeenCertificate.objects.update_or_create(
            host=host.lower(), port=port, defaults={"ends_at": ends, "seen_at": timezone.now()}
        )
    except DatabaseError:
        return
    _noted[host, port] = ends


def note_all() -> None:
    """Call `note` for every server that this process has seen: for push, whose threads make the connections and have
    no database."""
    for (host, port), ends in certificate_expiries().items():
        if _noted.get((host, port)) != ends:
            note(host, port)
