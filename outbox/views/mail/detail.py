"""The page of one written mail: its state in words, recipients, attempts, reports, the frozen mail and its history."""

from __future__ import annotations

import contextlib
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from mailbox import features
from mailbox.html import images, sanitizer
from mailbox.mime import message as mime_message
from mailbox.models import AuditEntry, Feature
from mailbox.permissions import Role, accounts_for
from mailbox.storage import raw_store
from mailbox.views.activity.activity_words import told
from mailbox.views.pagination import FirstRows
from mailbox.views.reading.message_parts import download, frame, raw_or_404
from mailbox.views.requests import signed_in_user
from outbox import restored_mail
from outbox.bounces.matching import MOST_SHOWN
from outbox.bounces.status_words import status_words
from outbox.models import (
    DeliveryAttempt,
    DeliveryReport,
    OutboxMessage,
    OutboxRecipient,
    SentCopy,
    SentLookup,
)
from outbox.sent_folder import looked_words
from outbox.views.mail.attempt_timeline import TimelineStep, steps_of
from outbox.views.row_view import choices_of, row_view
from outbox.views.sentences import may_have_gone_out, sentence_of
from outbox.views.visible_rows import find_row

HISTORY_SHOWN = 50
DRILLABLE = ("queued", "retrying", "failed_for_good")  # tabs of mail that a person may send now


@dataclass(frozen=True)
class TranscriptLine:
    """One line of an attempt's transcript."""

    at: datetime | None
    phase: str
    reply: str


@dataclass(frozen=True)
class ShownAttempt:
    """An attempt with its time line and its transcript."""

    attempt: DeliveryAttempt
    tone: str
    steps: list[TimelineStep]
    lines: list[TranscriptLine]
    is_forgotten: bool


def _line(entry: Any) -> TranscriptLine:
    if not isinstance(entry, dict):
        return TranscriptLine(None, "", str(entry))
    at = entry.get("at")
    return TranscriptLine(
        parse_datetime(at) if isinstance(at, str) else None, str(entry.get("phase", "")), str(entry["reply"])
    )


def _attempt(attempt: DeliveryAttempt) -> ShownAttempt:
    tones = {"": "waiting", "accepted": "fine", "partial": "needs", "uncertain": "needs", "sign_in": "needs"}
    tones |= {"transient": "waiting", "throttled": "waiting", "abandoned": "waiting"}
    transcript = [entry for entry in attempt.transcript if not isinstance(entry, dict) or "reply" in entry]
    lines, is_forgotten = [_line(e) for e in transcript], restored_mail.is_forgotten(attempt)
    return ShownAttempt(attempt, tones.get(attempt.outcome, "broken"), steps_of(attempt), lines, is_forgotten)


def _said(recipient: OutboxRecipient) -> str:
    """The server's reply for one recipient, with its code, which is stored in another column."""
    code = str(recipient.reply_code or "")
    return recipient.reply if recipient.reply.startswith(code) else f"{code} {recipient.reply}".strip()


def _is_put_off(recipient: OutboxRecipient) -> bool:
    """Whether the refusal is transient (4yz, RFC 5321 4.2.1)."""
    return 400 <= (recipient.reply_code or 0) < 500


@dataclass(frozen=True)
class ShownReport:
    """A delivery report in words."""

    report: DeliveryReport
    tone: str
    meaning: str


_TONES = {"failed": "broken", "complaint": "broken", "delayed": "needs", "delivered": "fine"}


def _reports(row: OutboxMessage) -> list[ShownReport]:
    found = row.reports.select_related("message").order_by("-is_proven", "-reported_at", "-pk")[:MOST_SHOWN]
    return [ShownReport(each, _TONES.get(each.action, "waiting"), status_words(each.status_code)) for each in found]


def _lookup(row: OutboxMessage, attempts: list[ShownAttempt]) -> SentLookup | None:
    """The look-up of the newest attempt, for a failed or sent mail; else None."""
    newest = attempts[0].attempt if attempts else None
    return getattr(newest, "sent_lookup", None) if row.status in ("failed", "sent") else None


def _copy(row: OutboxMessage) -> SentCopy | None:
    """The copy in Sent, if there is something to show: not while it only waits for the mail to be sent."""
    copy: SentCopy | None = getattr(row, "sent_copy", None)
    waits = copy is not None and copy.state == SentCopy.State.WAITING and not copy.error
    return None if copy is None or copy.state == SentCopy.State.UNWANTED or (waits and row.status != "sent") else copy


def _state_context(request: HttpRequest, row: OutboxMessage) -> dict[str, Any]:
    """The context of the part that changes while a mail is delivered, for the page and for its polled fragment."""
    may_operate = accounts_for(request.user, Role.OPERATOR).filter(pk=row.account_id).exists()
    attempts = [
        _attempt(each) for each in row.attempts.select_related("requested_by", "sent_lookup").order_by("-number")
    ]
    may_retry = Feature.OUTBOX_RETRY in features.Rollouts.known_to(request.user).has(row.account_id)
    each = row_view(row, timezone.now(), tries=len(attempts), may_operate=may_operate, may_retry=may_retry)
    reports, lookup, copy = _reports(row), _lookup(row, attempts), _copy(row)
    seen = [each.fingerprint, *(f"{a.attempt.pk}{a.attempt.phase}{a.attempt.outcome}" for a in attempts)]
    seen += [f"{told.report.pk}{told.report.acknowledged_at}" for told in reports]
    seen += [f"{lookup.last_look_at}{lookup.next_look_at}"] if lookup else []
    seen += [f"{copy.state}{copy.error}"] if copy else []
    sentence = sentence_of(row, timezone.now(), paused=getattr(row, "all_paused", False))
    seen.append(sentence)
    return {
        "row": row,
        "each": each,
        "sentence": sentence,
        "is_restored": row.error == restored_mail.WORDS,
        "is_for_later": each.needs_decision and row.send_at is not None and row.send_at > timezone.now(),
        "reports": reports,
        "last_report": max((told.report.pk for told in reports), default=0),
        "unacknowledged": any(told.report.is_to_be_seen for told in reports),
        "lookup": lookup,
        "looked": looked_words.in_words(lookup.last_words) if lookup else "",
        "copy": copy,
        "may_reschedule": may_operate and row.status == "pending" and bool(row.send_at) and not attempts,
        "retry_is_off": not may_retry and may_operate and any(one.is_retry for one in choices_of(row, timezone.now())),
        "may_drill": may_operate
        and may_retry
        and signed_in_user(request).is_staff
        and each.tab.name in DRILLABLE
        and ("drill" in request.GET or any(one.attempt.failure_mode for one in attempts)),
        "now": timezone.now(),
        "is_unknown": may_have_gone_out(row),
        "attempts": attempts,
        "recipients": [(each, _said(each), _is_put_off(each)) for each in row.recipients.order_by("pk")],
        "fingerprint": f"{zlib.crc32('|'.join(seen).encode()):08x}",
        "polls": _is_moving(row, attempts, lookup, copy),
        "may_operate": may_operate,
        "here": request.path.removesuffix("state/"),
    }


def _is_moving(
    row: OutboxMessage, attempts: list[ShownAttempt], lookup: SentLookup | None, copy: SentCopy | None
) -> bool:
    """Whether the state may change without a person's action, so that the page polls."""
    if row.status == "sent":
        return copy is not None and copy.state == SentCopy.State.WAITING
    if row.hold == "uncertain":
        return bool(attempts) and (lookup is None or lookup.next_look_at is not None)
    return row.status in ("pending", "sending") or (row.status == "failed" and not row.hold)


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The whole page; state() is the part of it that is updated."""
    row = find_row(request, pk)
    context = _state_context(request, row) | {
        "attachments": list(row.attachment_rows.order_by("position")),
        "history": FirstRows(
            told(AuditEntry.objects.filter(target=f"outbox:{pk}")[: HISTORY_SHOWN + 1]), HISTORY_SHOWN
        ),
        "view": "html" if row.body_html and request.GET.get("view") != "text" else "text",
    }
    return render(request, "outbox/detail.html", context)


@require_safe
def state(request: HttpRequest, pk: int) -> HttpResponse:
    """The fragment of the state; 204 if the page shows this state already, so that no opened fold closes."""
    row = find_row(request, pk)
    context = _state_context(request, row)
    if request.GET.get("seen") == context["fingerprint"]:
        return HttpResponse(status=204)
    return render(request, "outbox/_state.html", context | {"is_update": True})


@require_safe
@xframe_options_sameorigin
def html(request: HttpRequest, pk: int) -> HttpResponse:
    """The sanitised HTML for the frame, with the mail's own pictures."""
    row = find_row(request, pk)
    pictures: dict[str, tuple[str, bytes]] = {}
    if "cid:" in row.body_html:
        with contextlib.suppress(raw_store.RawMissing):  # then the text without pictures
            frozen = raw_store.map_raw(row.mime_digest)[0]
            pictures = mime_message.shown_images(frozen, largest=images.MAX_IMAGE_BYTES)
    return frame(sanitizer.safe_html(row.body_html, pictures).html)


@require_safe
def eml(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Download the frozen mail; each attempt adds its Message-ID and X-PRX-Attempt to these bytes."""
    row = find_row(request, pk)
    response = download(raw_or_404(row.mime_digest), f"outbox-{row.pk}.eml", "message/rfc822")
    response["Content-Type"] = "message/rfc822"
    return response


@require_safe
def attachment(request: HttpRequest, pk: int, position: int) -> HttpResponseBase:
    """A file of the frozen mail as a download. Raises Http404 if the row or its stored bytes do not have it."""
    row = find_row(request, pk)
    found = row.attachment_rows.filter(position=position).first()
    if found is None:
        raise Http404("No such attachment.")
    try:
        content = mime_message.attachment_content(raw_or_404(row.mime_digest), position, found.digest)
    except IndexError as error:
        raise Http404("The frozen mail does not hold this attachment.") from error
    return download(content, found.filename, found.content_type)
