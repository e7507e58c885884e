"""What docs/submission.md and docs/api.md have one type works: each of their examples is run as it stands there.

Only the server's name, its port and the certificates that are trusted are put in place of the documents'.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from api.models import Scope
from mailbox.models import Account
from outbox.models import OutboxMessage
from tests.api.submitting import OPS, Submission, ops, secret, submission, token_of
from tests.api.test_real_clients import NODEMAILER
from tests.conftest import missing
from tests.read_sources import ROOT
from tests.servers.certificates import Certificates

__all__ = ["ops", "secret", "submission"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
COMMANDS = {"python": [sys.executable, "-c"], "javascript": ["node", "-e"], "sh": ["sh", "-c"]}


def blocks(document: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", Path(ROOT, "docs", document).read_text(), re.DOTALL | re.MULTILINE)


def run(language: str, text: str, **environment: str) -> str:
    done = subprocess.run(
        [*COMMANDS[language], text], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_each_example_of_submission_hands_over_one_mail(
    submission: Submission, certificates: Certificates, secret: str, ops: Account, tmp_path: Path
) -> None:
    if not NODEMAILER.exists():
        missing("There is no Nodemailer: make servers.")
    authority = tmp_path / "ca.pem"
    authority.write_text(certificates.ca_pem)
    trusted = {name: str(authority) for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")}
    environment = {"HOME": str(tmp_path), "TOKEN": secret, "NODE_PATH": str(NODEMAILER), **trusted}
    number = 0
    for language, text in blocks("submission.md"):
        here = re.sub(r"mail\.example\.com", "localhost", text).replace("587", str(submission.starttls))
        if not language:
            (tmp_path / ".msmtprc").write_text(f"{here}tls_trust_file {authority}\n")
            (tmp_path / ".msmtprc").chmod(0o600)
            continue
        run(language, here, **environment)
        number += 1
        assert OutboxMessage.objects.count() == number, text
    assert number == 5
    for row in OutboxMessage.objects.all():
        assert (row.mail_from, row.subject, row.body_text.strip()) == (OPS, "Hello", "Dear Ann")
        assert [each.address for each in row.recipients.all()] == ["ann@example.org"]


def test_the_examples_of_the_api_answer(live_server: LiveServer, ops: Account, make_user: Callable[..., User]) -> None:
    secret, (_sh, text) = token_of(make_user("operator"), scopes=[Scope.READ, Scope.SEND]), blocks("api.md")[0]
    here = text.replace("https://mail.example.com", live_server.url).replace(
        '"account_id": 1', f'"account_id": {ops.pk}'
    )
    here = here.replace("prx_…", secret)
    assert f"Bearer {secret}" not in here, "the token stands in one place"
    answers = run("sh", "set -e\n" + here.replace("curl ", "curl --fail-with-body --silent "))
    assert answers.count('"ok": true') == 3 and OPS in answers
    assert OutboxMessage.objects.get().idempotency_key == "api:order-4411"
