"""python -m benchmarks.sync_plain JSON: bare imaplib beside our sync, in a process of its own. Prints seconds.

The loop that fetches one message a command, and sign-in, EXAMINE and LOGOUT of many accounts.
"""

from __future__ import annotations

import imaplib
import json
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.frame import ROOT, Void
from tests.servers.dovecot import Dovecot


def one_by_one(port: int, user: str, password: str, context: ssl.SSLContext, count: int) -> float:
    """Seconds for the first `count` messages, one UID FETCH each, bodies dropped."""
    begin = time.monotonic()
    imap = imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
    imap.login(user, password)
    imap.select("INBOX", readonly=True)
    uids = imap.uid("SEARCH", "ALL")[1][0].split()[:count]
    for uid in uids:
        status, answer = imap.uid("FETCH", uid.decode(), "(UID FLAGS INTERNALDATE BODY.PEEK[])")
        assert status == "OK" and answer
    seconds = time.monotonic() - begin
    imap.logout()
    assert len(uids) == count
    return seconds


def look(port: int, user: str, password: str, context: ssl.SSLContext) -> None:
    """Sign in, EXAMINE INBOX, LOGOUT. Raises imaplib.IMAP4.error, OSError."""
    imap = imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
    imap.login(user, password)
    status, _ = imap.select("INBOX", readonly=True)
    assert status == "OK"
    imap.logout()


def look_at_all(port: int, users: list[str], password: str, context: ssl.SSLContext, threads: int) -> float:
    """Seconds for all accounts, so many at a time."""
    begin = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda user: look(port, user, password, context), users))
    return time.monotonic() - begin


def seconds_of(server: Dovecot, **asked: Any) -> float:
    """Run one of the above in a fresh process."""
    given = {"port": server.imap_port, "password": server.password, "ca_pem": server.ca_pem} | asked
    command = [sys.executable, "-m", "benchmarks.sync_plain"]
    done = subprocess.run(command, input=json.dumps(given), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Void(f"imaplib failed: {done.stderr[-500:]}")
    return float(done.stdout)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    asked["context"] = ssl.create_default_context(cadata=asked.pop("ca_pem"))
    print(look_at_all(**asked) if "users" in asked else one_by_one(**asked))
