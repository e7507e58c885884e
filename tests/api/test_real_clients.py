"""Programs that companies have, unchanged, hand their mail to submission: each is written down once, and goes out
once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.api.submitting import OPS, Submission, secret, submission
from tests.conftest import missing
from tests.servers.certificates import Certificates
from tests.servers.site import ROOT
from tests.servers.smtp import SmtpServer

__all__ = ["secret", "submission"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
NODEMAILER = ROOT / "var" / "nodemailer" / "node_modules"
SCRIPT = """
const transport = require("nodemailer").createTransport({
  host: "localhost", port: Number(process.env.PORT), secure: process.env.SECURE === "1", requireTLS: true,
  auth: { user: process.env.ACCOUNT, pass: process.env.SECRET },
});
transport.sendMail({
  from: process.env.ACCOUNT, to: "ann@example.com", subject: "Größe", text: "Dear Ann", html: "<p>Dear Ann</p>",
  attachments: [{ filename: "a.txt", content: "x" }],
}).then((sent) => process.exit(sent.accepted.length === 1 ? 0 : 1));
"""


class Programs:
    """Runs a program with what it needs to know of the server."""

    def __init__(self, submission: Submission, certificates: Certificates, secret: str, folder: Path) -> None:
        self.ports = {"starttls": submission.starttls, "tls": submission.tls}
        self.secret, self.folder, self.ca = secret, folder, folder / "ca.pem"
        self.ca.write_text(certificates.ca_pem)

    def run(self, program: str, *arguments: object, given: str = "", **environment: object) -> None:
        found = shutil.which(program)
        if found is None:
            missing(f"There is no {program}.")
        more = {name: str(value) for name, value in environment.items()}
        command = [str(found), *map(str, arguments)]
        done = subprocess.run(
            command, input=given, env={**os.environ, **more}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def msmtprc(self) -> Path:
        path = self.folder / "msmtprc"
        lines = [
            *("account default", "host localhost", f"port {self.ports['starttls']}", f"from {OPS}"),
            *("auth on", f"user {OPS}", f"password {self.secret}", "tls on", f"tls_trust_file {self.ca}"),
        ]
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        return path


@pytest.fixture
def relay(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    """The account's own server, which keeps what it takes."""
    return smtp_server("tls")


@pytest.fixture
def ops(account_on: Callable[..., Account], relay: SmtpServer) -> Account:
    return account_on(relay, email=OPS)


@pytest.fixture
def programs(submission: Submission, certificates: Certificates, secret: str, ops: Account, tmp_path: Path) -> Programs:
    return Programs(submission, certificates, secret, tmp_path)


def by_swaks(programs: Programs, security: str) -> None:
    tls = "--tls" if security == "starttls" else "--tlsc"
    server = ["--server", "localhost", "--port", programs.ports[security], tls, "--tls-verify"]
    who = ["--auth", "PLAIN", "--auth-user", OPS, "--auth-password", programs.secret]
    letter = ["--from", OPS, "--to", "ann@example.com", "--header", "Subject: Größe", "--body", "Dear Ann"]
    programs.run("swaks", *server, "--tls-ca-path", programs.ca, *who, *letter)


def by_msmtp(programs: Programs, security: str) -> None:
    letter = f"From: {OPS}\nTo: ann@example.com\nSubject: Hi\n\nDear Ann\n"
    port = ["--port", programs.ports[security], f"--tls-starttls={'on' if security == 'starttls' else 'off'}"]
    programs.run("msmtp", "-C", programs.msmtprc(), *port, "-t", given=letter)


def by_php(programs: Programs, security: str) -> None:
    """mail() hands over to the command that sendmail_path names."""
    starttls = "on" if security == "starttls" else "off"
    path = f"msmtp -C {programs.msmtprc()} --port={programs.ports[security]} --tls-starttls={starttls} -t"
    code = f'exit(mail("ann@example.com", "Hi", "Dear Ann", "From: {OPS}") ? 0 : 1);'
    programs.run("php", "-d", f'sendmail_path="{path}"', "-r", code)


def by_nodemailer(programs: Programs, security: str) -> None:
    if not NODEMAILER.exists():
        missing("There is no Nodemailer: make servers.")
    about = {"PORT": programs.ports[security], "SECURE": int(security == "tls"), "ACCOUNT": OPS}
    trusted = {"NODE_EXTRA_CA_CERTS": programs.ca, "NODE_PATH": NODEMAILER}
    programs.run("node", "-e", SCRIPT, **about, **trusted, SECRET=programs.secret)


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("send", [by_swaks, by_msmtp, by_php, by_nodemailer])
def test_it_sends_without_being_changed(
    programs: Programs, ops: Account, relay: SmtpServer, send: Callable[[Programs, str], None], security: str
) -> None:
    send(programs, security)
    row = OutboxMessage.objects.get()
    assert (row.status, row.mail_from, [each.address for each in row.recipients.all()]) == (
        "pending",
        OPS,
        ["ann@example.com"],
    )
    assert "Dear Ann" in row.body_text
    deliver.deliver_account(ops.pk)
    row.refresh_from_db()
    (taken,) = relay.mails()
    assert (row.status, taken.mail_from, taken.rcpt_tos) == ("sent", OPS, ["ann@example.com"])
    assert b"Dear Ann" in taken.raw
