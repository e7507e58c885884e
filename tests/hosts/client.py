"""python -m tests.hosts.client TOKEN, on a host: asks its own web server and its submission.

A line of JSON asks, a line answers.
"""

from __future__ import annotations

import json
import smtplib
import ssl
import sys
import urllib.error
import urllib.request
from email.message import EmailMessage
from typing import Any

WEB = "http://127.0.0.1:8000/api/v1"
PROXY = {"Host": "mail.example.org", "X-Forwarded-Proto": "https", "Content-Type": "application/json"}
SECONDS = 15


def ask(token: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The status, 0 where there was no answer, and the body."""
    headers = {**PROXY, "Authorization": f"Bearer {token}", **asked.get("headers", {})}
    body = json.dumps(asked["body"]).encode() if "body" in asked else None
    request = urllib.request.Request(WEB + asked["path"], body, headers, method=asked["method"])
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return {"status": answer.status, "body": json.load(answer)}
    except urllib.error.HTTPError as refused:
        return {"status": refused.code, "body": refused.read().decode(errors="replace")}
    except OSError as error:
        return {"status": 0, "body": str(error)}


def submit(token: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Hand over a mail by SMTP; raises what smtplib raises."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = asked["account"], asked["to"], asked["subject"]
    mail.set_content("A text.")
    with smtplib.SMTP("localhost", 587, timeout=SECONDS) as client:
        client.starttls(context=ssl.create_default_context(cadata=asked["ca"]))
        client.login(asked["account"], token)
        client.send_message(mail)
    return {"status": 250, "body": ""}


if __name__ == "__main__":
    for line in sys.stdin:
        one = json.loads(line)
        print(json.dumps((submit if "account" in one else ask)(sys.argv[1], one)), flush=True)
