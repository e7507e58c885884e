"""The page of one send: what happened in words, who has it, every attempt, the frozen mail, who did what."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from mailbox import mime, sanitize
from mailbox.access import Role, accounts_for
from mailbox.models import AuditEntry
from mailbox.views.activity import told
from mailbox.views.message_parts import download, frame, raw_or_404
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient
from outbox.views.finding import find_row
from outbox.views.states import sentence_of, shown

Phase = DeliveryAttempt.Phase
# The phases as the time line draws them; the claim itself is no step towards the server.
STEPS = (Phase.CONNECT, Phase.TLS, Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.ACCEPTED)
HISTORY_SHOWN = 50


@dataclass(frozen=True)
class Step:
    label: str
    reached: bool
    stopped_here: bool


@dataclass(frozen=True)
class Line:
    """One line of an attempt's transcript."""

    at: datetime | None
    phase: str
    reply: str


@dataclass(frozen=True)
class ShownAttempt:
    attempt: DeliveryAttempt
    tone: str
    steps: list[Step]
    lines: list[Line]


def _steps(attempt: DeliveryAttempt) -> list[Step]:
    order = [phase.value for phase in STEPS]
    reached = order.index(attempt.phase) if attempt.phase in order else -1
    failed = attempt.outcome not in ("", "accepted", "partial")
    return [Step(phase.label, index <= reached, failed and index == reached) for index, phase in enumerate(STEPS)]


def _line(entry: Any) -> Line:
    if not isinstance(entry, dict):
        return Line(None, "", str(entry))
    at = entry.get("at")
    return Line(parse_datetime(at) if isinstance(at, str) else None, str(entry.get("phase", "")), str(entry["reply"]))


def _attempt(attempt: DeliveryAttempt) -> ShownAttempt:
    tones = {"": "waiting", "accepted": "fine", "partial": "needs", "uncertain": "needs", "sign_in": "needs"}
    tones |= {"transient": "waiting", "throttled": "waiting", "abandoned": "waiting"}
    transcript = [entry for entry in attempt.transcript if not isinstance(entry, dict) or "reply" in entry]
    return ShownAttempt(attempt, tones.get(attempt.outcome, "broken"), _steps(attempt), [_line(e) for e in transcript])


def _said(recipient: OutboxRecipient) -> str:
    """The server's words about one recipient, with their code, which is kept in a column of its own."""
    code = str(recipient.reply_code or "")
    return recipient.reply if recipient.reply.startswith(code) else f"{code} {recipient.reply}".strip()


def _is_put_off(recipient: OutboxRecipient) -> bool:
    """Refused for now only (RFC 5321, 4.2.1: 4yz)."""
    return 400 <= (recipient.reply_code or 0) < 500


def _state_context(request: HttpRequest, row: OutboxMessage) -> dict[str, Any]:
    """What changes while a mail is on its way; the page and its partial update render the same fragment from it."""
    may_operate = accounts_for(request.user, Role.OPERATOR).filter(pk=row.account_id).exists()
    attempts = [_attempt(each) for each in row.attempts.select_related("requested_by").order_by("-number")]
    each = shown(row, timezone.now(), tries=len(attempts), may_operate=may_operate)
    seen = [each.print, *(f"{a.attempt.pk}{a.attempt.phase}{a.attempt.outcome}" for a in attempts)]
    return {
        "row": row,
        "each": each,
        "sentence": sentence_of(row),
        "attempts": attempts,
        "recipients": [(each, _said(each), _is_put_off(each)) for each in row.recipients.order_by("pk")],
        "print": f"{zlib.crc32('|'.join(seen).encode()):08x}",
        "polls": row.status in ("pending", "sending") or (row.status == "failed" and not row.hold),
        "may_operate": may_operate,
        "here": request.path.removesuffix("state/"),
    }


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    row = find_row(request, pk)
    context = _state_context(request, row) | {
        "attachments": list(row.attachment_rows.order_by("position")),
        "history": told(AuditEntry.objects.filter(target=f"outbox:{pk}")[:HISTORY_SHOWN]),
        "view": "html" if row.body_html and request.GET.get("view") != "text" else "text",
    }
    return render(request, "outbox/detail.html", context)


@require_safe
def state(request: HttpRequest, pk: int) -> HttpResponse:
    """The state's fragment, or 204 when the page shows this very state: then nothing is swapped, no fold closes."""
    context = _state_context(request, find_row(request, pk))
    if request.GET.get("seen") == context["print"]:
        return HttpResponse(status=204)
    return render(request, "outbox/_state.html", context | {"is_update": True})


@require_safe
@xframe_options_sameorigin
def html(request: HttpRequest, pk: int) -> HttpResponse:
    row = find_row(request, pk)
    return frame(sanitize.safe_html(row.body_html, {}).html)


@require_safe
def eml(request: HttpRequest, pk: int) -> HttpResponse:
    """The frozen mail; each attempt adds its own Message-ID and X-PRX-Attempt to these bytes."""
    row = find_row(request, pk)
    response = download(raw_or_404(row.mime_digest), f"outbox-{row.pk}.eml", "message/rfc822")
    response["Content-Type"] = "message/rfc822"
    return response


@require_safe
def attachment(request: HttpRequest, pk: int, position: int) -> HttpResponse:
    row = find_row(request, pk)
    found = row.attachment_rows.filter(position=position).first()
    if found is None:
        raise Http404("No such attachment.")
    try:
        content = mime.attachment_bytes(raw_or_404(row.mime_digest), position)
    except IndexError as error:
        raise Http404("The frozen mail does not hold this attachment.") from error
    return download(content, found.filename, found.content_type)
