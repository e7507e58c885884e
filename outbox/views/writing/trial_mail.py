"""“Send a test mail” on an account's page: queues an ordinary mail and shows its progress until the outcome."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from mailbox.models import Account, MessagePlace
from mailbox.permissions import Role, accounts_for, get_account
from mailbox.views.accounts.accounts import is_partial
from mailbox.views.activity.audit import record
from mailbox.views.requests import signed_in_user
from outbox import api
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.models import OutboxMessage, SendingSwitch
from outbox.views.row_view import row_view
from outbox.views.sentences import sentence_of
from outbox.views.visible_rows import find_row

PREFIX = "test-mail:"  # of the idempotency key, by which these rows are recognised
ARRIVAL = timedelta(minutes=2)  # the wait for its arrival: a sync brings it within a minute, push within seconds
_KEY = re.compile(r"[A-Za-z0-9_-]{8,60}", re.ASCII)


def new_key() -> str:
    """A key for the form, so that two presses of its button make one mail."""
    return secrets.token_urlsafe(12)


class TestMailForm(forms.Form):
    """The address that a test mail goes to."""

    to = forms.EmailField(
        label=gettext_lazy("To"),
        max_length=254,
        required=False,
        error_messages={"invalid": gettext_lazy("An e-mail address looks like ann@example.com.")},
        widget=forms.EmailInput(attrs={"list": "test-mail-addresses", "autocomplete": "off"}),
        help_text=gettext_lazy("To the account itself it shows both ways: that mail leaves, and that it comes in."),
    )


@dataclass(frozen=True)
class Refusal:
    """Why no test mail can be sent now. `remedy` names a button: see templates/mailbox/accounts/_remedy.html."""

    sentence: str
    remedy: str = ""
    reply: str = ""


def refusal_of(account: Account) -> Refusal | None:
    """Why no test mail can be sent now, or None. While sending is paused, a test mail would only wait in the outbox."""
    names = {"email": account.email}
    if not account.send_enabled:
        return Refusal(
            _("Sending is switched off for %(email)s. Switch it on in the account's settings.") % names, "edit"
        )
    if SendingSwitch.objects.filter(pk=1, paused_at__isnull=False).exists():
        return Refusal(_("All sending is paused, so no test was sent. An administrator resumes it."))
    if account.sending_paused_at:
        return Refusal(_("Sending is paused for %(email)s, so no test was sent. Resume it first.") % names, "resume")
    if account.smtp.needs_sign_in_since:
        words = _("%(host)s refuses the sign-in of %(email)s, so no test was sent. Sign in again first.")
        return Refusal(words % (names | {"host": account.smtp.host}), "sign_in_smtp", account.smtp.last_reply)
    return None


def _words(account: Account, user_name: str) -> tuple[str, str]:
    """(subject, text) of a test mail: the installation, the account, the user and the time."""
    at = timezone.localtime().strftime("%Y-%m-%d %H:%M:%S %Z")
    site = urlsplit(settings.BASE_URL).hostname or settings.BASE_URL
    subject = _("Test mail of %(email)s from %(site)s") % {"email": account.email, "site": site}
    lines = [
        _("This is a test mail. Somebody wants to know whether this account can send; nothing needs to be done."),
        "",
        _("Installation: PRX-Email at %(url)s") % {"url": settings.BASE_URL},
        _("Account: %(email)s by %(host)s:%(port)s")
        % {"email": account.email, "host": account.smtp.host, "port": account.smtp.port},
        _("Asked for by %(user)s at %(at)s") % {"user": user_name, "at": at},
        "",
    ]
    return subject, "\n".join(lines)


@require_http_methods(["GET", "HEAD", "POST"])
def test_mail(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of a test mail. POST sends it, to the account itself if no recipient is given."""
    account = get_account(request.user, pk, Role.OPERATOR)
    refusal = refusal_of(account)
    form = TestMailForm(request.POST if request.method == "POST" else None, initial={"to": account.email})
    if request.method == "POST" and form.is_valid() and refusal is None:
        row = _send(request, account, form)
        if row is not None:
            return redirect("test_mail_sent", row.pk)
    context = {
        "account": account,
        "form": form,
        "refusal": refusal,
        "addresses": dict.fromkeys(filter(None, (account.email, signed_in_user(request).email))),
        "key": new_key(),
        "may_operate": True,
        "may_administer": accounts_for(request.user, Role.ADMINISTRATOR).filter(pk=pk).exists(),
    }
    return render(request, "outbox/test_mail.html", context)


def _send(request: HttpRequest, account: Account, form: TestMailForm) -> OutboxMessage | None:
    """Queue the test mail and return its row, or the row of an earlier press; None, with an error, if it is refused."""
    given = request.POST.get("key", "")
    key = PREFIX + (given if _KEY.fullmatch(given) else new_key())
    rows = OutboxMessage.objects.filter(account=account, idempotency_key=key)
    if (row := rows.first()) is not None:
        return row
    to, user = form.cleaned_data["to"] or account.email, signed_in_user(request)
    subject, text = _words(account, user.get_username())
    mail = Request(to, subject, text, auto_submitted=True)
    answer = api.queue_request(account.pk, SendRequest(mail, idempotency_key=key, user=user))
    if (row := rows.first()) is None:
        form.add_error("to", answer.error.message if answer.error else "")
    elif answer.ok and answer.data and answer.data.outbox_id == row.pk:  # not made by a concurrent press
        record(request, "test_mail", f"outbox:{row.pk}", account, to)
    return row


@dataclass(frozen=True)
class Arrival:
    """Whether a test mail has arrived in `account`, an account of this installation."""

    account: Account
    message_pk: int | None
    is_awaited: bool


def _arrival(request: HttpRequest, row: OutboxMessage, now: datetime) -> Arrival | None:
    """The arrival of a test mail; None if it is not sent, or its recipient is no synced account the user may see.

    A copy in Sent or All Mail is no arrival.
    """
    account = accounts_for(request.user).filter(email__iexact=row.to, sync_enabled=True).first()
    if account is None or row.status != OutboxMessage.Status.SENT or row.sent_at is None:
        return None
    places = MessagePlace.objects.present().exclude(folder__special_use__in=("\\Sent", "\\All"))
    same = places.filter(message__account=account, message__message_id=row.provider_message_id)
    pk = same.values_list("message__pk", flat=True).first()
    return Arrival(account, pk, pk is None and now - row.sent_at < ARRIVAL)


@require_safe
def followed(request: HttpRequest, pk: int) -> HttpResponse:
    """The progress of a test mail up to the server's reply and its arrival; for htmx only the fragment that changes."""
    row = find_row(request, pk)
    if not (row.idempotency_key or "").startswith(PREFIX):
        raise Http404("No test mail.")
    may_operate = accounts_for(request.user, Role.OPERATOR).filter(pk=row.account_id).exists()
    now = timezone.now()
    last, arrival = row.attempts.order_by("-number").first(), _arrival(request, row, now)
    is_out = row.status in ("sent", "cancelled") or bool(row.hold)
    is_over = is_out and not (arrival and arrival.is_awaited)
    context = {
        "row": row,
        "account": row.account,
        "each": row_view(row, now, tries=last.number if last else 0, may_operate=may_operate),
        "sentence": sentence_of(row, now, paused=getattr(row, "all_paused", False)),
        "last": last,
        "arrival": arrival,
        "is_out": is_out,
        "is_over": is_over,
        "may_operate": may_operate,
        "key": new_key(),
    }
    if not is_partial(request):
        return render(request, "outbox/test_mail_sent.html", context)
    # 286: htmx swaps the fragment in and stops polling.
    return render(request, "outbox/_test_mail.html", context, status=286 if is_over else 200)
