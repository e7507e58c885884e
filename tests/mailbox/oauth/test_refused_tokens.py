"""An SMTP server that refuses an access token before its time: one refresh, and the mail goes out without a person."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from mailbox.models import Account, OAuthGrant
from outbox import api
from outbox.delivery import recovery
from outbox.models import OutboxMessage
from tests.servers.oidc import OidcProvider
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_mail_that_met_a_refused_access_token_goes_out_after_one_refresh(
    granted: Callable[..., Account], oidc: OidcProvider, sink: SmtpServer
) -> None:
    account = granted()
    grant = OAuthGrant.objects.get()
    grant.access_token = "revoked"
    grant.save()
    assert not api.send(account.pk, "bob@example.test", "Hello", "A text.").ok
    row = OutboxMessage.objects.get()
    now = Account.objects.with_transports().get()
    assert (row.hold, now.smtp.needs_sign_in_since, oidc.token_requests()) == ("sign_in", None, [])
    assert recovery.lift_outdated_sign_in_holds(timezone.now()) == 1
    assert api.retry_outbox(row.pk).ok
    assert (oidc.token_requests(), len(sink.mails())) == ([200], 1)
