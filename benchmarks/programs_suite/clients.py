"""Programs that hand over mail, many sessions at once: python -m benchmarks.programs_suite.clients, asked by JSON.

Postfix's own smtp-source knows neither TLS nor AUTH, and submission takes nothing without them: so both sides are
asked by this one, which says the same to both.
"""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.frame import ROOT, Void
from benchmarks.outbox_suite import outbox_peers as peers
from benchmarks.outbox_suite.outbox_peers import TEXT, Wanted

SESSIONS = 20
WAIT_SECONDS = 120  # of one answer


@dataclass(frozen=True)
class Door:
    """Where mail is handed over. `kind`: smtp (STARTTLS, AUTH PLAIN) or http (POST /api/v1/send)."""

    kind: str
    port: int
    secret: str
    ca_pem: str = ""


@dataclass(frozen=True)
class Sender:
    """Who one session sends for: the account's address, and its number for the API."""

    email: str
    account_id: int = 0


Work = Callable[[], None]


def by_smtp(door: Door, sender: Sender, given: Wanted) -> Work:
    """One session, over one connection. What is returned sends all; nothing of it is made while the clock runs."""
    mails = [(to, peers.mail(to, subject, sender.email, given.text)) for to, subject in given.mails]
    context = ssl.create_default_context(cadata=door.ca_pem)

    def work() -> None:
        with smtplib.SMTP("localhost", door.port, timeout=WAIT_SECONDS) as smtp:
            smtp.starttls(context=context)
            smtp.login(sender.email, door.secret)
            for to, text in mails:
                if refused := smtp.sendmail(sender.email, [to], text):
                    raise Void(f"refused: {refused}")

    return work


def by_http(door: Door, sender: Sender, given: Wanted) -> Work:
    """As by_smtp, one request a mail, each with its Idempotency-Key."""
    said = {"Authorization": f"Bearer {door.secret}", "Content-Type": "application/json"}
    asked = [
        ({"account_id": sender.account_id, "to": [to], "subject": subject, "body_text": given.text}, subject)
        for to, subject in given.mails
    ]
    requests = [(json.dumps(body), {**said, "Idempotency-Key": key}) for body, key in asked]

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=WAIT_SECONDS)
        for body, headers in requests:
            connection.request("POST", "/api/v1/send", body, headers)
            answer = connection.getresponse()
            words = answer.read()
            if answer.status != 202:
                raise Void(f"the API answered {answer.status}: {words[:300]!r}")
        connection.close()

    return work


KINDS = {"smtp": by_smtp, "http": by_http}


def at_once(sessions: Sequence[Work]) -> float:
    """Seconds from the first connection to the last answer; raises what a session raised."""
    failures: list[BaseException] = []

    def run(work: Work) -> None:
        try:
            work()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in sessions]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    if failures:
        raise failures[0]
    return seconds


def hand_over(door: Door, senders: Sequence[Sender], given: Wanted) -> float:
    """Mails a second, from the first connection to the last answer that says a mail is taken; raises Void."""
    asked = {"door": asdict(door), "senders": [asdict(each) for each in senders], "wanted": asdict(given)}
    command = [sys.executable, "-m", "benchmarks.programs_suite.clients"]
    done = subprocess.run(command, input=json.dumps(asked), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Void(f"a session failed: {done.stderr.strip()[-500:]}")
    return len(given.mails) / float(done.stdout)


def main() -> None:
    asked = json.load(sys.stdin)
    door, mails = Door(**asked["door"]), asked["wanted"]["mails"]
    senders = [Sender(**each) for each in asked["senders"]]
    shares = [Wanted(mails[number::SESSIONS], "", asked["wanted"].get("text", TEXT)) for number in range(SESSIONS)]
    sessions = [
        KINDS[door.kind](door, senders[number % len(senders)], share)
        for number, share in enumerate(shares)
        if share.mails
    ]
    print(at_once(sessions))


if __name__ == "__main__":
    main()
