"""Write a mail or answer one. It is queued at once; the page of the send shows how it goes."""

from __future__ import annotations

import hashlib
from mailbox.access import Role, accounts_for
from mailbox.models import Account, Message
from mailbox.views.asking import number_of, signed_in_user
from mailbox.views.message_find import find_message
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from outbox import api
from outbox.forms import ComposeForm
from outbox.models import OutboxMessage, SendingSwitch
from outbox.policy import AttachmentInput
from outbox.views.finding import find_row

QUOTED_CHARACTERS = 20_000


@require_http_methods(["GET", "HEAD", "POST"])
def compose(request: HttpRequest) -> HttpResponse:
    parent, source = _parent(request), _source(request)
    accounts = _senders(request, parent)
    form = ComposeForm(
        request.POST or None,
        request.FILES or None,
        accounts=accounts,
        is_staff=signed_in_user(request).is_staff,
        source=source,
        initial=_again(source) if source else _initial(request, parent, accounts),
    )
    if request.method == "POST" and form.is_valid():
        response = _queue(request, form, parent)
        if response.ok and response.data:
            return redirect("outbox:detail", response.data.outbox_id)
        form.add_error(None, response.error.message if response.error else "The mail was not accepted.")
    return render(
        request,
        "outbox/compose.html",
        {
            "form": form,
            "parent": parent,
            "can_send": accounts.exists(),
            "files_lost": bool(request.FILES),
            "undo_seconds": settings.OUTBOX_UNDO_SECONDS,
            "paused": SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).exists(),
        },
    )


def _parent(request: HttpRequest) -> Message | None:
    pk = number_of(request, "reply_to")
    return find_message(request, pk, Role.OPERATOR) if pk else None


def _source(request: HttpRequest) -> OutboxMessage | None:
    """`?again=`: a mail of the outbox whose content is taken over."""
    pk = number_of(request, "again")
    return find_row(request, pk, Role.OPERATOR) if pk else None


def _again(source: OutboxMessage) -> dict[str, Any]:
    """What was typed, as it was typed."""
    shown: dict[str, Any] = {
        name: getattr(source, name) for name in ("to", "cc", "bcc", "subject", "body_text", "send_at")
    }
    return shown | {"account": source.account_id}


def _senders(request: HttpRequest, parent: Message | None) -> QuerySet[Account]:
    """An answer goes out from the account that has the message: its References mean something only there."""
    accounts = accounts_for(request.user, Role.OPERATOR).filter(send_enabled=True).order_by("email")
    return accounts.filter(pk=parent.account_id) if parent else accounts


def _initial(request: HttpRequest, parent: Message | None, accounts: QuerySet[Account]) -> dict[str, Any]:
    if parent is None:
        given = number_of(request, "account")
        return {"account": given if given and accounts.filter(pk=given).exists() else None}
    return {
        "account": parent.account_id,
        "to": parent.reply_to or parent.sender,
        "subject": answer_subject(parent.subject),
        "body_text": quoted(parent),
    }


def answer_subject(subject: str) -> str:
    """With one `Re: `, however it is spelled there already."""
    return subject if subject[:3].lower() == "re:" else f"Re: {subject}".rstrip()


def quoted(parent: Message) -> str:
    """The parent's text below an introduction, each line marked, at most QUOTED_CHARACTERS of it."""
    text = (parent.body_text or parent.snippet)[:QUOTED_CHARACTERS].rstrip()
    when = timezone.localtime(parent.date or parent.received_at).strftime("%Y-%m-%d at %H:%M")
    lines = "\n".join(f">{line}" if line.startswith(">") else f"> {line}" for line in text.splitlines())
    return f"\n\nOn {when}, {parent.sender or 'someone'} wrote:\n{lines}\n"


def _queue(request: HttpRequest, form: ComposeForm, parent: Message | None) -> api.ApiResponse:
    sent = form.cleaned_data
    return api.queue(
        sent["account"].pk,
        sent["to"],
        sent["subject"],
        sent["body_text"],
        failure_mode=sent.get("failure_mode") or None,
        cc=sent["cc"] or (),
        bcc=sent["bcc"] or (),
        attachments=_files(sent),
        idempotency_key=_key(sent),
        send_at=sent["send_at"],
        undo_seconds=settings.OUTBOX_UNDO_SECONDS,
        user=signed_in_user(request),
        parent_pk=parent.pk if parent else None,
    )


def _files(sent: dict[str, Any]) -> list[AttachmentInput]:
    return [*sent.get("kept", []), *sent["attachments"]]


def _key(sent: dict[str, Any]) -> str | None:
    """The page's key and what was typed: a double click is one mail, but a page gone back to and changed is another."""
    if not sent["idempotency_key"]:
        return None
    digest = hashlib.sha256()
    for name in ("account", "to", "cc", "bcc", "subject", "body_text", "send_at"):
        digest.update(f"{sent[name]}\0".encode(errors="replace"))
    for attached in _files(sent):
        digest.update(attached.filename.encode(errors="replace") + b"\0" + (attached.content or b"") + b"\0")
    return f"{sent['idempotency_key']}-{digest.hexdigest()[:32]}"
