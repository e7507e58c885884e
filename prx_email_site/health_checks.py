"""What a watch outside asks, without a sign-in: one word and a status, nothing of the installation."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from mailbox.models import WorkerHeartbeat


def _answer(words: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{words}\n", status=status, content_type="text/plain")


@login_not_required
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers."""
    return _answer("ok")


@login_not_required
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when the database answers too, 503 otherwise."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return _answer("database unavailable", 503)
    return _answer("ok")


@login_not_required
@require_safe
def workers(request: HttpRequest) -> HttpResponse:
    """200 when a worker said within 90 s that it takes tasks, 503 otherwise.

    Apart from `ready`, by which a proxy decides where to send people: pages must be there when workers are gone, as
    they say so. When nobody works, nobody mails an alert either: this is for a watch from outside.
    """
    try:
        is_alive = WorkerHeartbeat.objects.alive(timezone.now()).exists()
    except DatabaseError:
        return _answer("database unavailable", 503)
    return _answer("ok") if is_alive else _answer("no worker", 503)
