"""The peers of `make bench-outbox`: bare smtplib on one connection, and django-post_office."""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from benchmarks.frame import RESULTS_FOLDER, ROOT, Void
from tests.servers.dovecot import Dovecot

SUBJECT = "Bench"
# With the header fields, 1.3 kB a mail.
TEXT = (
    "\n".join(f"{line:2d} The quick brown fox jumps over the lazy dog, and nobody minds." for line in range(12)) + "\n"
)


@dataclass(frozen=True)
class Wanted:
    """One run's mails: recipient and subject of each, every subject once."""

    mails: list[tuple[str, str]]
    sender: str
    text: str = TEXT


def wanted(run: str, count: int, sender: str) -> Wanted:
    """The mails of a run, each with a subject of its own."""
    return Wanted([(f"u{n}@example.test", f"{SUBJECT} {run}-{n}") for n in range(count)], sender)


@dataclass(frozen=True)
class Server:
    """Where a peer submits: STARTTLS with AUTH."""

    port: int
    user: str
    password: str
    ca_pem: str

    @classmethod
    def of(cls, dovecot: Dovecot, user: str) -> Server:
        """The submission server of this Dovecot, for this user."""
        return cls(dovecot.submission_port, user, dovecot.password, dovecot.ca_pem)


def mail(to: str, subject: str, sender: str, text: str) -> str:
    """A mail as text, as long as ours; its Message-ID is made from the subject."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, to, subject
    made["Message-ID"] = f"<{subject.replace(' ', '-')}@example.test>"
    made["Date"] = "Mon, 01 Jan 2024 00:00:00 +0000"
    made["X-Padding"] = "x" * 200  # what our own mails have more of
    made.set_content(text)
    return made.as_string()


def send_all(server: Server, given: Wanted) -> float:
    """By sendmail(), one connection. Returns the time (time.monotonic) at which it began to connect."""
    mails = [(to, mail(to, subject, given.sender, given.text)) for to, subject in given.mails]
    context = ssl.create_default_context(cadata=server.ca_pem)
    begin = time.monotonic()
    with smtplib.SMTP("localhost", server.port) as smtp:
        smtp.starttls(context=context)
        smtp.login(server.user, server.password)
        for to, text in mails:
            smtp.sendmail(given.sender, [to], text)
    return begin


def by_smtplib(server: Server, given: Wanted) -> float:
    """send_all in a process of its own; the time at which it began."""
    command = [sys.executable, "-m", "benchmarks.outbox_suite.outbox_peers"]
    asked = json.dumps({"server": asdict(server), "wanted": asdict(given)})
    done = subprocess.run(command, input=asked, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Void(f"smtplib failed: {done.stderr[-500:]}")
    return float(done.stdout)


def by_post_office(server: Server, given: Wanted, folder: Path, threads: int) -> float:
    """Queue in a fresh database and `send_queued` with so many threads; the time at which the latter began."""
    folder.mkdir()
    (folder / "ca.pem").write_text(server.ca_pem)
    (folder / "wanted.json").write_text(json.dumps(asdict(given)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PRX_", "DJANGO_"))} | {
        "PEER_DATABASE": str(folder / "peer.sqlite3"),
        "PEER_PORT": str(server.port),
        "PEER_THREADS": str(threads),
        "PEER_USER": server.user,
        "PEER_PASSWORD": server.password,
        "SSL_CERT_FILE": str(folder / "ca.pem"),
    }
    command = [str(_post_office()), str(ROOT / "benchmarks/post_office/peer.py"), str(folder / "wanted.json")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Void(f"django-post_office failed: {done.stderr[-500:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["lost"]:
        raise Void(f"django-post_office did not send {answer['lost']} mails")
    return float(answer["begin"])


def _post_office() -> Path:
    """The Python of its virtual environment, made at first use and again when the requirements change."""
    folder, wanted_file = RESULTS_FOLDER / "post_office", ROOT / "benchmarks/requirements.txt"
    python, note = folder / "bin/python", folder / "installed.txt"
    if not note.exists() or note.read_text() != wanted_file.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(wanted_file)], check=True)
        note.write_text(wanted_file.read_text())
    return python


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(send_all(Server(**asked["server"]), Wanted(**asked["wanted"])))
