"""“Test connection”: queues the test, which a worker runs; the page polls until both servers have answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from mailbox.accounts.troubleshooting import FailureCode, about
from mailbox.models import ConnectionTest, Transport
from mailbox.permissions import Role, accounts_for, get_account
from mailbox.views.accounts.account_edit import ask_for_test
from mailbox.views.accounts.accounts import is_partial
from mailbox.views.accounts.onboarding import is_being_set_up

# Both servers' time-outs and the wait for a free worker; then the page gives up and stops polling.
PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True)
class TransportResult:
    """The result of one server."""

    transport: Transport
    ok: bool | None
    reply: str
    advice: str
    needs_secret: bool = False
    needs_settings: bool = False
    sign_in_may_help: bool = True  # not where the server was not reached


@require_POST
def start(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a test with the stored credentials."""
    account = get_account(request.user, pk, Role.OPERATOR)
    return redirect("connection_test", ask_for_test(request, account).pk)


@require_safe
def show(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of a test; for htmx a fragment."""
    test = ConnectionTest.objects.select_related("account", "account__imap", "account__smtp").filter(pk=pk).first()
    if test is None:
        raise Http404("No such test.")
    account = get_account(request.user, test.account_id)
    waited = timezone.now() - test.requested_at
    context = {
        "test": test,
        "account": account,
        "sides": [
            _side(account.imap, test.imap_ok, test.imap_reply, test.imap_code),
            _side(account.smtp, test.smtp_ok, test.smtp_reply, test.smtp_code),
        ],
        "setting_up": is_being_set_up(account),
        "given_up": test.finished_at is None and waited > PATIENCE,
        "may_operate": accounts_for(request.user, Role.OPERATOR).filter(pk=account.pk).exists(),
        "may_administer": accounts_for(request.user, Role.ADMINISTRATOR).filter(pk=account.pk).exists(),
    }
    if not is_partial(request):
        return render(request, "mailbox/accounts/test.html", context)
    # htmx swaps in an answer of status 286 and stops polling.
    over = test.finished_at is not None or context["given_up"]
    return render(request, "mailbox/accounts/_test.html", context, status=286 if over else 200)


def _side(transport: Transport, ok: bool | None, reply: str, code: str) -> TransportResult:
    if ok is not False:
        return TransportResult(transport, ok, reply, "")
    is_secret = code in (FailureCode.SIGN_IN, FailureCode.KEY)
    return TransportResult(
        transport,
        ok,
        reply,
        about(code, reply),
        needs_secret=is_secret,
        needs_settings=not is_secret and code != FailureCode.THROTTLED,
        sign_in_may_help=code != FailureCode.NETWORK,
    )
