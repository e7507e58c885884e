"""Keeping the end of each server's certificate in its row: one write a change, not one a connection."""

from __future__ import annotations

from datetime import datetime

from django.db import DatabaseError
from django.utils import timezone

from mailbox.certificates import end_of, seen
from mailbox.models import SeenCertificate

_noted: dict[tuple[str, int], datetime] = {}


def note(host: str, port: int) -> None:
    """Write down when the certificate ends that was seen at this server, if it is another than before.

    A database that refuses must not end a sync or a delivery: the next connection writes it.
    """
    ends = end_of(host, port)
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
    """`note` of every server that this process has seen: for one whose connections are made by threads of its own."""
    for (host, port), ends in seen().items():
        if _noted.get((host, port)) != ends:
            note(host, port)
