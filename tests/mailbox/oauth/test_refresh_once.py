"""Two hosts at one instant, and a worker that dies at any line of a refresh."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from mailbox.errors import MailError
from mailbox.models import Account, OAuthGrant
from mailbox.oauth import refresh
from tests.servers.forked import Forked
from tests.servers.oidc import OidcProvider

pytestmark = pytest.mark.django_db(transaction=True)

# The process that these are forked from has read its settings long ago, perhaps in a test before this one.
REFRESH = """
import sys
from django.conf import settings
settings.OAUTH_ALLOW_HTTP = settings.OAUTH_ALLOW_PRIVATE = True
from mailbox.models import Account
from mailbox.oauth import refresh
account = Account.objects.with_transports().get(pk=int(sys.argv[1]))
refresh.ensure_fresh(account, sys.argv[2])
"""
DIES_AT_LINE = (
    """
import os, signal, sys
left = int(sys.argv[3])
watched = tuple(f"oauth/{name}.py" for name in ("refresh", "lifetimes", "direct", "client", "protocol"))
def count(frame, event, _):
    global left
    if not frame.f_code.co_filename.endswith(watched):
        return None
    if event == "line":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return count
from mailbox.models import Account
from mailbox.oauth import refresh
sys.settrace(count)
"""
    + REFRESH
)


def test_two_hosts_at_one_instant_ask_the_provider_once(granted: Callable[..., Account], oidc: OidcProvider) -> None:
    account = granted(expires_in=-1)
    processes = [Forked(REFRESH, account.pk, kind) for kind in ("imap", "smtp", "imap", "smtp")]
    assert [each.wait() for each in processes] == [0] * 4
    assert oidc.token_requests() == [200]
    assert OAuthGrant.objects.get().generation == 2


@pytest.mark.long
def test_a_worker_that_dies_at_any_line_loses_no_account_but_with_the_answer_itself(
    granted: Callable[..., Account], oidc: OidcProvider
) -> None:
    account, line, lost = granted(expires_in=-1), 0, []
    while True:
        line += 1
        OAuthGrant.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        before = OAuthGrant.objects.get()
        answered = len(oidc.token_requests())
        if Forked(DIES_AT_LINE, account.pk, "imap", line).wait() == 0:
            break
        was_answered = len(oidc.token_requests()) > answered
        is_stored = OAuthGrant.objects.get().generation > before.generation
        try:
            refresh.fresh(before.pk, account.email, account.email, lambda: timezone.now() + timedelta(seconds=61))
        except MailError as error:
            assert was_answered and not is_stored, f"line {line}: {error}"
            assert "answer to an earlier refresh" in str(error)
            lost.append(line)
            replace_grant(account, granted)
            account = Account.objects.with_transports().get()
    assert line > 40
    assert lost == list(range(lost[0], lost[-1] + 1)) if lost else True


def replace_grant(account: Account, granted: Callable[..., Account]) -> None:
    """A new consent, as a person gives it."""
    Account.objects.get(pk=account.pk).delete()
    granted(expires_in=-1)
