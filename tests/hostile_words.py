"""Words that strangers choose, hostile to what reads them next, and a site whose every row of theirs holds them."""

from __future__ import annotations

import socketserver
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from alerts.models import AlertIncident, Webhook
from mailbox.completeness.compare import Finding, FolderLine
from mailbox.models import (
    Account,
    Attachment,
    AuditEntry,
    Completeness,
    Folder,
    Quarantine,
    StoreMiss,
    SyncRun,
    SyncRunFolder,
    SyncState,
    Transport,
    WorkerHeartbeat,
)
from mailbox.search.index import index_messages
from outbox.models import DeliveryReport, OutboxAttachment, OutboxMessage
from tests.rows import attempt, folder_of, letter_with, outbox_row, store

FORGED = "FORGED"  # what must not begin a line
# No database takes NUL or halves of a character: UNSTORABLE is for what is pure.
WORDS = {
    "line breaks": f"Hi\r\n{FORGED}: 1\n{FORGED}\rBcc: evil@example.net\r\n\r\n{FORGED}\x85{FORGED}\u2028{FORGED}"
    f"\u2029{FORGED}\x0b{FORGED}\x0c{FORGED}\x1c{FORGED}\x1e{FORGED}",
    "controls": "\x9b31m\x1b[2J\x9d52;c;eA==\x9c\x1b]0;title\x07\x7f"
    + "".join(map(chr, (*range(1, 32), *range(127, 160)))),
    "bidi": "\u202egpj.exe \u202d \u2066a\u2069\u2069\u2067b \u202aq\u202bq\u202c \ufeff\u200b\u200d\u2060\u3164\u00ad",
    "formula": '\u3000\u200b\x0b=HYPERLINK("http://e.example")\n@SUM(1);\u200b+1\t-1 \ufffe\U0010ffff',
    "quotes": """<!channel> [x](http://evil.example) {"} 1\\n\\" ' \\\\ \\ "=x" } {{7*7}} %s %(x)s $(date) `date`""",
    "long": "Hi \x1b\x9b " + "\x01" * 100_000,
}
UNSTORABLE = {"NUL": "a\0b", "half of a character": "a\ud800b\udfff", "no UTF-8": "a\udcffb"}
COMMANDS_TO_A_TERMINAL = {chr(code) for code in (*range(32), *range(127, 160))} - {"\n"}
TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # classes of UAX 9
TURNING = {each for each in map(chr, range(0x10000)) if unicodedata.bidirectional(each) in TURNS}
HOSTILE_ON_A_LINE = COMMANDS_TO_A_TERMINAL | TURNING | {"\u2028", "\u2029"}


def is_one_line(text: str) -> bool:
    return not set(text) & HOSTILE_ON_A_LINE and len(text.splitlines()) <= 1


def site_of_strangers(account: Account, words: str) -> None:
    """Rows of every kind in which a mail, a folder's name or a server's answer stands; the folders' are failing."""
    now = timezone.now()
    earlier = now - timedelta(hours=1)
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=now + timedelta(minutes=1))
    _received(account, words)
    _folders(account, words, earlier)
    _sent(account, words, now)
    Transport.objects.update(last_reply=words[:2000], needs_sign_in_since=earlier)
    Account.objects.update(created_at=earlier)
    Webhook.objects.create(name=words[:80], url="https://example.com/", encrypted_secret="x", failing_since=earlier)
    StoreMiss.objects.create(host="web1", file=words[:200], first_at=earlier, last_at=now)
    AuditEntry.objects.create(account=account, verb=words[:20], target="x", detail=words[:500])


def _received(account: Account, words: str) -> None:
    hostile: dict[str, Any] = dict.fromkeys(("subject", "sender", "recipients", "cc", "reply_to"), words[:5000])
    hostile |= {"body_text": words, "snippet": words[:120], "sender_address": words[:200]}
    message = store(account, letter_with(b"%PDF", "x.pdf"), **hostile)
    Attachment.objects.update(filename=words[:255], content_type=words[:200])
    index_messages([message])


def _folders(account: Account, words: str, earlier: datetime) -> None:
    folder = folder_of(account, words[:400])
    Folder.objects.update(created_at=earlier)
    failing: dict[str, Any] = {"last_error": words[:500], "last_error_code": "provider", "failure_count": 9}
    SyncState.objects.create(account=account, folder=folder, **failing)
    stopped = folder_of(account, f"{words[:300]} stopped")
    SyncState.objects.create(account=account, folder=stopped, stopped_at=earlier)
    run = SyncRun.objects.create(trigger="command", started_at=earlier)
    line = {"folder_name": words[:400], "ok": False, "error": words[:500], "note": words[:300]}
    SyncRunFolder.objects.create(run=run, account=account, folder=folder, **line)
    Quarantine.objects.create(account=account, folder=folder, uid=7, uidvalidity=1, error=words[:500])
    compared = FolderLine(words, differ=1, error=words, findings=[asdict(Finding(7, words, words))])
    report = {"report": {"folders": [asdict(compared)]}}
    Completeness.objects.create(
        account=account, started_at=earlier, finished_at=earlier, differing=1, error=words[:300], document=report
    )


def _sent(account: Account, words: str, now: datetime) -> OutboxMessage:
    said: dict[str, Any] = {"error": words[:2000], "to": words[:500], "provider_message_id": words[:200]}
    row = outbox_row(account, words[:900], raw=letter_with(b"%PDF", "x.pdf"), status="failed", hold="permanent", **said)
    OutboxAttachment.objects.update(filename=words[:255], content_type=words[:200])
    attempt(row, outcome="refused", reply=words[:2000], transcript=[words])
    about = {"address": words[:300], "status_code": "5.1.1", "words": words[:500], "reporter": words[:200]}
    DeliveryReport.objects.create(outbox=row, action="failed", reported_at=now, **about)
    return row


def incidents_said() -> list[str]:
    """The sentences of all incidents, in all languages."""
    rows = AlertIncident.objects.all()
    return [each for row in rows for each in (row.sentence, *row.translations.values())]


@contextmanager
def rude_server(words: str) -> Iterator[int]:
    """A server that ends each connection with these words; its port."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            said = words.encode("utf-8", "replace")
            self.request.sendall(b"* BYE " + said + b"\r\n554 " + said + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
