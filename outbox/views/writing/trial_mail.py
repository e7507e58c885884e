"""“Send a test mail”: one click from an account's page, through the ordinary outbox, followed to its outcome."""

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
from mailbox.views.accounts import is_partial
from mailbox.views.audit import record
from mailbox.views.requests import signed_in_user
from outbox import api
from outbox.compose.build import Request
from outbox.compose.create import SendRequest
from outbox.models import OutboxMessage, SendingSwitch
from outbox.views.row_view import row_view
from outbox.views.sentences import sentence_of
from outbox.views.visible_rows import find_row

PREFIX = "test-mail:"  # of the idempotency key: what tells these rows from other mail
ARRIVAL = timedelta(minutes=2)  # polling brings it within one, push within seconds
_KEY = re.compile(r"[A-Za-z0-9_-]{8,60}", re.ASCII)


def new_key() -> str:
    """For the form: two presses of one button are one mail."""
    return secrets.token_urlsafe(12)


class TestMailForm(forms.Form):
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
    """Why no test goes out now; `remedy` names the button: see templates/mailbox/accounts/_remedy.html."""

    sentence: str
    remedy: str = ""
    reply: str = ""


def refusal_of(account: Account) -> Refusal | None:
    """A test that waits in the outbox shows nothing, so it is not written at all while mail is held back."""
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
    """(subject, text): which installation, which account, who, and when."""
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
    """To whom it goes; POST sends it, to the account itself when nobody is named."""
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
    """The row, this press's or the one before; None when it was refused, with the reason in the form."""
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
    elif answer.ok and answer.data and answer.data.outbox_id == row.pk:  # the other press of two at once is not ours
        record(request, "test_mail", f"outbox:{row.pk}", account, to)
    return row


@dataclass(frozen=True)
class Arrival:
    """Whether a test mail has come into a mailbox of ours: `account` is the one it went to."""

    account: Account
    message_pk: int | None
    is_awaited: bool


def _arrival(request: HttpRequest, row: OutboxMessage, now: datetime) -> Arrival | None:
    """None where nothing can be told of it: it went elsewhere, or is not sent. Our own copy in Sent is no arrival."""
    account = accounts_for(request.user).filter(email__iexact=row.to, sync_enabled=True).first()
    if account is None or row.status != OutboxMessage.Status.SENT or row.sent_at is None:
        return None
    places = MessagePlace.objects.present().exclude(folder__special_use__in=("\\Sent", "\\All"))
    same = places.filter(message__account=account, message__message_id=row.provider_message_id)
    pk = same.values_list("message__pk", flat=True).first()
    return Arrival(account, pk, pk is None and now - row.sent_at < ARRIVAL)


@require_safe
def followed(request: HttpRequest, pk: int) -> HttpResponse:
    """How a test mail does, from its writing to the server's answer and to its arrival; a fragment meanwhile."""
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
    # 286: htmx puts this in and stops asking.
    return render(request, "outbox/_test_mail.html", context, status=286 if is_over else 200)
