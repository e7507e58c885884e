"""Makes a mail of the form: for the compose page, and for a draft that is sent without its page."""

from __future__ import annotations

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext

from mailbox import features
from mailbox.models import Account, Feature, Message
from mailbox.permissions import Role, accounts_for
from mailbox.views.activity.audit import record
from mailbox.views.requests import signed_in_user
from outbox import api
from outbox.compose import drafts, text_formats
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.compose.senders import senders_of
from outbox.errors import ValidationFailed
from outbox.forms import ComposeForm
from outbox.models import AttachmentPolicy, Draft
from outbox.views.writing.compose_origin import ComposeOrigin, as_left
from outbox.views.writing.one_mail import files_of, key_of


def possible_senders(request: HttpRequest, parent: Message | None) -> QuerySet[Account]:
    """The accounts that the user may send from; for a reply only the parent's, as its References belong to that."""
    accounts = accounts_for(request.user, Role.OPERATOR).filter(send_enabled=True).order_by("email")
    asked = Feature.EMAIL_REPLY if parent else Feature.EMAIL_SEND
    if off := features.those_off(asked, known=features.Rollouts.known_to(request.user)):
        accounts = accounts.exclude(pk__in=off)
    accounts = accounts.prefetch_related("aliases")
    return accounts.filter(pk=parent.account_id) if parent else accounts


def queue_form(request: HttpRequest, form: ComposeForm, parent: Message | None) -> api.ApiResponse:
    """Queue the mail of a valid form, once for the form's key and contents."""
    sent = form.cleaned_data
    text, html, files = text_formats.as_sent(sent["text_format"], sent["body_text"], files_of(sent))
    mail = Request(
        sent["to"],
        sent["subject"],
        text,
        sent["cc"] or (),
        sent["bcc"] or (),
        html,
        may_be_empty=True,  # see Unasked
    )
    asked = SendRequest(
        mail,
        files,
        sent.get("failure_mode") or None,
        idempotency_key=key_of(sent),
        send_at=sent["send_at"],
        undo_seconds=settings.OUTBOX_UNDO_SECONDS,
        user=signed_in_user(request),
        parent_pk=parent.pk if parent else None,
        send_suppressed=sent["send_suppressed"],
        sender=sent["account"].alias.email if sent["account"].alias else "",
    )
    return api.queue_request(sent["account"].account.pk, asked)


def note_forwarded(request: HttpRequest, start: ComposeOrigin, pk: int) -> None:
    """Record at the received message that it was forwarded, if it was. pk: of the mail."""
    if start.way == "forward" and start.message:
        record(request, "forward", f"message:{start.message.pk}", start.message.account, f"outbox:{pk}")


def form_of_draft(
    request: HttpRequest, draft: Draft, start: ComposeOrigin, accounts: QuerySet[Account], *, send_suppressed: bool
) -> ComposeForm:
    """The form as the draft's page would send it. Raises ValidationFailed if a file of the draft is gone.

    accounts: those that may be sent from, see possible_senders().
    """
    current = AttachmentPolicy.current()
    carried, left = start.carried(current), as_left(draft)
    data = QueryDict(mutable=True)
    for name in (*drafts.FIELDS, "text_format", "send_at", "idempotency_key"):
        data[name] = str(left[name])
    data["account"] = left["account"] or ""
    offered = {file.key: file for file in carried}
    kept = [key for key, file in offered.items() if file.is_chosen] if draft.kept is None else draft.kept
    if any(key not in offered for key in kept):
        raise ValidationFailed(gettext("A file of this draft is no longer stored here: attach it again."))
    data.setlist("kept", [key for key in kept if not offered[key].refusal])
    data.setlist("refused", draft.refused)
    data.setlist("without", [key for key, file in offered.items() if file.refusal and key not in kept])
    if send_suppressed:
        data["send_suppressed"] = "on"
    offered_senders = senders_of(accounts)
    return ComposeForm(data, None, senders=offered_senders, is_drill=False, policy=current, carried=carried)


def forget_draft(request: HttpRequest, draft: Draft) -> None:
    """Delete a draft whose mail was made, unless somebody has saved another version of it meanwhile."""
    user = signed_in_user(request)
    drafts.forget_sent(user, key=draft.key, pk=draft.pk, version=draft.version, page=drafts.PageSave())
