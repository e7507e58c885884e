"""`rotate_keys` is killed in its middle, and a key is lost: what is there afterwards, and what is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from alerts.models import AlertRule
from mailbox import credentials
from mailbox.accounts.stored_secrets import stored_secrets
from mailbox.models import Account, OAuthApp, OAuthGrant, Transport
from tests.rows import NOWHERE
from tests.servers.site import ROOT, environment

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
# The command, ended as by a power cut while it writes the fourth secret.
KILLED_AT_THE_FOURTH = """
import os, signal, django
django.setup()
from mailbox.accounts.stored_secrets import StoredSecret
from django.core.management import call_command
from django.db.models import QuerySet
update, seen = QuerySet.update, []
def counting(rows, **columns):
    seen.append(1)
    if len(seen) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return update(rows, **columns)
QuerySet.update = counting
call_command("rotate_keys")
"""


@pytest.mark.django_db(transaction=True)
def test_a_rotation_that_was_killed_goes_on_where_it_was(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    for number in range(6):
        row = Transport(kind="imap", host="imap.example.com", port=993, user=f"u{number}")
        row.password = f"secret of {number}"
        row.save()
    both = environment(PRX_EMAIL_ENCRYPTION_KEYS=f"{NEW},{OLD}")
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_FOURTH], cwd=ROOT, env=both, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert [each.is_current() for each in stored_secrets()] == [True] * 3 + [False] * 3
    assert [row.password for row in Transport.objects.order_by("pk")] == [f"secret of {n}" for n in range(6)]
    said = StringIO()
    call_command("rotate_keys", stdout=said)
    assert said.getvalue() == "3 secrets were encrypted again; 3 were under the first key already.\n"
    settings.ENCRYPTION_KEYS = [NEW]
    assert [row.password for row in Transport.objects.order_by("pk")] == [f"secret of {n}" for n in range(6)]


@pytest.mark.django_db
def test_the_second_factor_goes_along(settings: Any, make_user: Callable[..., User]) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    TOTP.activate(make_user(), "JBSWY3DPEHPK3PXP")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    call_command("rotate_keys", stdout=StringIO())
    settings.ENCRYPTION_KEYS = [NEW]
    assert credentials.decrypt(Authenticator.objects.get().data["secret"]) == "JBSWY3DPEHPK3PXP"


@pytest.mark.django_db
def test_a_lost_key_says_what_each_needs(
    settings: Any, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    make_account("ops@example.com", **NOWHERE)
    app = OAuthApp(kind="discovery", name="Example")
    app.client_secret = "client secret"
    app.save()
    grant = OAuthGrant(app=app, identity="ann@example.com")
    grant.access_token = "token"
    grant.save()
    Transport.objects.create(kind="imap", host="imap.example.com", port=993, user="ann@example.com", grant=grant)
    rule = AlertRule(channel="webhook", url="https://hooks.example.com/")
    rule.secret = "sesame"
    rule.save()
    TOTP.activate(make_user("viewer", "vera"), "JBSWY3DPEHPK3PXP")
    settings.ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CommandError) as raised:
        call_command("rotate_keys", stdout=StringIO())
    said = str(raised.value)
    for words in (
        "ops@example.com (IMAP localhost:1): sign in again",
        "ops@example.com (SMTP localhost:1): sign in again",
        "sign-in provider Example: enter its client secret",
        "ann@example.com (grant",
        f"webhook alert {rule.pk}: give the webhook a new secret",
        "vera: remove the second factor",
    ):
        assert words in said, said
    assert os.linesep + "  " in said
