"""What the editor of formatted text asks: a text in its other format, and the pictures that it shows."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.http import require_POST, require_safe

from mailbox.html.images import may_be_shown
from mailbox.permissions import Role, require_role_somewhere
from outbox.compose import text_formats
from outbox.errors import OutboxError
from outbox.models import AttachmentPolicy
from outbox.views.writing.compose_origin import ComposeOrigin

PICTURE_CSP = "default-src 'none'; sandbox"


@require_POST
def convert(request: HttpRequest) -> JsonResponse:
    """The text of the form as JSON, in the format `to`: "" for plain text, "html" for the editor."""
    require_role_somewhere(request.user, Role.OPERATOR)
    given, typed = request.POST.get("text_format", ""), request.POST.get("body_text", "").replace("\0", "")
    turn = text_formats.as_formatted if request.POST.get("to") == text_formats.HTML else text_formats.as_plain
    return JsonResponse({"text": turn(given, typed)})


@require_safe
def picture(request: HttpRequest) -> HttpResponse:
    """A picture that the mail being written may show: the file `?file=` of what the other parameters name, which are
    those of the compose page; a placeholder if it is gone, or has more pixels than a browser should decode: it may be
    a stranger's, from the mail that is forwarded."""
    carried = ComposeOrigin.read(request).carried(AttachmentPolicy.current())
    found = next((file for file in carried if file.picture and file.key == request.GET.get("file")), None)
    try:
        file = found.read() if found else None
    except OutboxError:
        file = None
    if file is None or not may_be_shown(file.content or b""):
        return redirect(static("img/no-preview.svg"))
    return HttpResponse(
        file.content or b"", content_type=file.content_type, headers={"Content-Security-Policy": PICTURE_CSP}
    )
