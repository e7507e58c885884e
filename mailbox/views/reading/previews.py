"""Previews of attachments: a page and a picture each; a worker makes the picture when it is first requested."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from mailbox.models import Preview
from mailbox.pictures import previews
from mailbox.pictures.previews import PreviewSource
from mailbox.storage import raw_store
from mailbox.tasks import pictures as pictures_tasks
from mailbox.views.reading.message_parts import find_attachment


@dataclass(frozen=True)
class PreviewAddresses:
    """The URLs of an attachment's preview."""

    page: str
    picture: str


def set_states(files: Iterable[Any]) -> None:
    """Set `preview_state` on each file: a Preview.State, "unknown" if none was requested yet, "" if its type has no
    previews. One query."""
    rows = list(files)
    found = previews.known(rows)
    for row in rows:
        known = found.get(row.digest)
        row.preview_state = (known.state if known else "unknown") if previews.is_drawable(row) else ""


def _row(file: PreviewSource, source: str) -> Preview | None:
    """The preview's row. It is requested if it is missing, or if its worker died."""
    if not previews.is_drawable(file):
        return None
    now = timezone.now()
    row = Preview.objects.filter(pk=file.digest).first()
    if row is None or row.state == Preview.State.WAITING:
        if previews.ask(file, source, now=now):
            pictures_tasks.queue_preview(file.digest)
        row = Preview.objects.filter(pk=file.digest).first()
    return row


def page(
    request: HttpRequest, file: PreviewSource, source: str, addresses: PreviewAddresses, context: dict[str, Any]
) -> HttpResponse:
    """The page of a preview, or the fragment that lists poll until the picture is ready."""
    row = _row(file, source)
    file.preview_state = row.state if row else ""  # type: ignore[attr-defined]
    shown = {"file": file, "preview": row, "addresses": addresses, **context}
    is_fragment = bool(request.headers.get("HX-Request"))
    if is_fragment and request.GET.get("large"):
        # The page polls until the picture is ready, and is then reloaded.
        waits = row is not None and row.state == Preview.State.WAITING
        return HttpResponse(status=204) if waits else HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "mailbox/messages/_preview.html" if is_fragment else "mailbox/messages/preview.html", shown)


def picture(request: HttpRequest, file: PreviewSource) -> HttpResponse:
    """The picture as WebP, small with `?size=small`; a redirect to a placeholder while there is none."""
    row = Preview.objects.filter(pk=file.digest, state=Preview.State.READY).first()
    if row is None:
        return redirect(static("img/no-preview.svg"))
    try:
        content = previews.picture(row, small=request.GET.get("size") == "small")
    except raw_store.RawOutOfReach:
        raise
    except raw_store.RawMissing:
        row.delete()  # the next request makes it again
        return redirect(static("img/no-preview.svg"))
    response = HttpResponse(content, content_type="image/webp")
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, max-age=3600"
    return response


def addresses_of(pk: int, position: int) -> PreviewAddresses:
    """The URLs of the preview page and the picture of a received attachment."""
    args = [pk, position]
    return PreviewAddresses(
        reverse("mailbox:message_preview", args=args), reverse("mailbox:message_picture", args=args)
    )


@require_safe
def message_preview(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    """The page that shows the preview; a worker draws one that nobody asked for before."""
    found = find_attachment(request, pk, position)
    context = {
        "download": reverse("mailbox:message_attachment", args=[pk, position]),
        "back": reverse("mailbox:message", args=[pk]),
        "subject": found.message.subject,
    }
    return page(request, found, found.message.raw_digest, addresses_of(pk, position), context)


@require_safe
def message_picture(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    """The picture of the preview, as `picture` answers it."""
    return picture(request, find_attachment(request, pk, position))
