"""Words of strangers in what the site sends and hands out: alerts, webhooks, answers, IMAP commands, files.

A test fails until each module that writes JSON or names a file is in its table.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import QueryDict
from django.utils import timezone
from imapclient.exceptions import IMAPClientError

from alerts import incidents, notice_delivery
from alerts.events import webhook_delivery
from alerts.models import AlertIncident, AlertNotice, AlertRule, Event, Webhook, WebhookDelivery
from alerts.problems.find import find_problems
from mailbox.exports import list_pages
from mailbox.imap.transport import ImapClient
from mailbox.mime.filenames import safe_filename
from mailbox.models import Account, Export, Message
from mailbox.storage import raw_store
from mailbox.views.reading.message_parts import download
from outbox.models import OutboxMessage
from prx_email_site.list_exports.lists import LISTS, source_of
from tests.hostile_words import FORGED, HOSTILE_ON_A_LINE, UNSTORABLE, WORDS, incidents_said, is_one_line
from tests.hostile_words import site_of_strangers as fill
from tests.read_sources import MODULES, source
from tests.rows import NOWHERE

# Modules that write JSON themselves, and where what they write goes.
WRITES_JSON = {
    "alerts.events.webhook_delivery": "test_an_event_is_json_of_bounded_size_for_its_webhook",
    "alerts.notice_delivery": "test_an_alert_is_one_line_for_mail_and_chat",
    "api.v1.administration.events": "keys and columns, ASCII",
    "api.v1.protocol.rendering": "test_hostile_words",
    "mailbox.completeness.signature": "ASCII, signed",
    "mailbox.db.ignoring_case": "a search",
    "mailbox.exports.manifest": "test_hostile_words",
    "mailbox.logs": "test_hostile_words",
    "mailbox.plain_words": "test_hostile_words",
    "mailbox.search.gmail_labels": "a search",
    "mailbox.storage.installations": "names of ours",
    "outbox.compose.create": "a digest",
    "outbox.delivery.claims": "the database",
    "outbox.delivery.finalization": "the database",
    "outbox.forms": "a page, escaped",
    "outbox.restore_guard": "names of ours",
    "outbox.views.writing.compose": "a page, escaped",
    "prx_email_site.backup.manifest": "names of ours",
    "prx_email_site.personal_data.exporting": "test_hostile_words",
    "prx_email_site.personal_data.walking": "a search",
    "prx_email_site.script_text": "a page, escaped",
    "prx_email_site.seed.mailboxes": "the database",
    "prx_email_site.seed.tables": "the database",
}
# Modules that name a download, and the names.
NAMES_A_FILE = {
    "mailbox.mime.body_parts": "reads names",
    "mailbox.mime.part": "reads names",
    "mailbox.views.accounts.completeness": "of keys",
    "mailbox.views.csv_export": "of ours",
    "mailbox.views.exports": "of keys",
    "mailbox.views.reading.message_parts": "test_a_download_has_one_header_and_a_name_that_says_what_it_is",
    "outbox.compose.mime_parts": "test_an_answer_to_hostile_mail_has_no_header_of_its_making",
    "prx_email_site.personal_data.pages": "of digests",
    "prx_email_site.seed.letters": "of ours",
}
every_word = pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
each_word = pytest.mark.parametrize("words", {**WORDS, **UNSTORABLE}.values(), ids=[*WORDS, *UNSTORABLE])


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


# --- alerts and webhooks --------------------------------------------------------------------------------------


@pytest.mark.django_db
@every_word
def test_an_alert_is_one_line_for_mail_and_chat(
    account: Account, make_account: Callable[..., Account], words: str, settings: Any
) -> None:
    settings.LANGUAGES = [("en", "English"), ("ar", "Arabic")]
    fill(account, words)
    now = timezone.now()
    other = make_account("other@example.com", **NOWHERE)
    sender = AlertRule.objects.create(channel="mail", sender=other, address="me@b.example")
    incidents.update(find_problems(now), now)
    assert AlertIncident.objects.filter(kind="stopped").exists()
    for sentence in incidents_said():
        isolates = {"\u2068", "\u2069"} if re.search("[\u0600-\u06ff]", sentence) else set()
        assert not set(sentence) & (HOSTILE_ON_A_LINE - isolates) and "\n" not in sentence
    for incident in AlertIncident.objects.all():
        notice = AlertNotice(incident=incident, rule=sender, phase="begin", target=str(incident.pk), next_try_at=now)
        notice.save()
        sent = notice_delivery._mail(notice, foreground=False)
        assert sent.is_sent, sent.result
        told = json.loads(body := notice_delivery.payload_of(notice))
        assert is_one_line(told["text"]) and len(body) < 10_000
        assert not set(told["text"]) & set("<>[]") and told["sentence"] == incident.sentence
    for row in OutboxMessage.objects.filter(idempotency_key__startswith="alert:"):
        mail = message_from_bytes(raw_store.open_raw(row.mime_digest), policy=policy.default)
        assert is_one_line(row.subject) and mail["Subject"] == row.subject
        assert mail["Bcc"] is None and mail["To"] == "me@b.example" and FORGED not in mail


@pytest.mark.django_db
@every_word
def test_an_event_is_json_of_bounded_size_for_its_webhook(account: Account, words: str) -> None:
    fill(account, words)
    Message.objects.update(seen=True, message_id=words[:900])
    OutboxMessage.objects.update(status="sent", hold="")
    hook = Webhook.objects.create(name="crm", url="https://example.com/", encrypted_secret="x")
    assert Event.objects.count() > 3
    for event in Event.objects.all():
        _, body = webhook_delivery.payload_of(WebhookDelivery(webhook=hook, event=event))
        told = json.loads(body)
        assert told["type"] == event.kind and told["data"]["detail"] == event.detail
        assert len(body) < 16_384 and body.isascii() and is_one_line(body.decode())


# --- files ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@every_word
def test_no_list_as_a_file_has_a_formula_or_a_command_to_a_terminal(
    account: Account, make_user: Callable[..., User], words: str
) -> None:
    fill(account, words)
    user, controls = make_user("administrator"), {*map(chr, (*range(32), *range(127, 160)))} - set("\t\r\n")
    for name in LISTS:
        cells = [cell for line in read_list(name, account, user) for cell in line]
        assert not set("".join(cells)) & controls, name
        formulas = [cell for cell in cells if cell.strip(" \u3000\u200b\ufeff").startswith(("=", "+", "-", "@"))]
        assert formulas == [], name


def read_list(name: str, account: Account, user: User) -> list[list[str]]:
    query = QueryDict(mutable=True)
    query.update({"list": name} | ({"account": str(account.pk)} if name in ("runs", "suppressed") else {}))
    source = source_of(Export(what="list", form="csv", query=query.urlencode(), user=user), user)
    content, after = b"", None
    while (piece := list_pages.next_piece(source, after, len(content))) is not None:
        content, after = content + piece.content, piece.after
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert {len(line) for line in lines} == {len(source.head)}
    return lines


@pytest.mark.django_db
@each_word
def test_a_download_has_one_header_and_a_name_that_says_what_it_is(words: str) -> None:
    name = safe_filename(f"{words}.exe", "application/pdf", 0)
    assert name.endswith(".exe") and len(name.encode()) <= 255 and not set(name) & HOSTILE_ON_A_LINE
    said = download(b"x", name, words)["Content-Disposition"]
    quoted, encoded = r'(?:[^"\\\x00-\x1f\x7f]|\\.)+', r"[\w.%~!$&'()*+,;=:@-]+"  # and no parameter but the name
    assert re.fullmatch(rf"attachment; filename(?:\*=utf-8''{encoded}|=\"{quoted}\")", said, re.A)


@pytest.mark.django_db(transaction=True)
@every_word
def test_an_answer_to_hostile_mail_has_no_header_of_its_making(account: Account, words: str) -> None:
    fill(account, words)
    Message.objects.update(reply_to="ann@example.net", references_header=f"{words[:2000]} <a@b.example>")
    with contextlib.suppress(SystemExit):  # as nobody listens
        call_command("reply", account.email, Message.objects.get().message_id, "--body", "Hi")
    row = OutboxMessage.objects.order_by("-pk")[0]
    mail = message_from_bytes(raw_store.open_raw(row.mime_digest), policy=policy.default)
    fields = {"Date", "From", "To", "Subject", "In-Reply-To", "References", "MIME-Version"}
    assert set(mail.keys()) <= fields | {"Content-Type", "Content-Transfer-Encoding"}
    assert mail.get_content().strip() == "Hi" and mail["To"] == "ann@example.net"


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("is_encoded", [True, False], ids=["modified UTF-7", "UTF8=ACCEPT"])
def test_no_name_of_a_folder_ends_a_command_to_the_server(words: str, is_encoded: bool) -> None:
    """A folder that others share has a name of theirs; a server may list it as a literal, line breaks and all."""
    client = ImapClient.__new__(ImapClient)
    client.folder_encode = is_encoded
    for written in ({}, {words: words.encode()}):
        client.written_names = written
        with contextlib.suppress(IMAPClientError):
            said = client._normalise_folder(words)
            assert not re.search(rb"[\r\n]", said if isinstance(said, bytes) else said.encode())


def modules_with(*marks: str) -> set[str]:
    return {module for module in MODULES if any(mark in source(module) for mark in marks)}


def test_each_module_that_writes_json_or_names_a_file_is_in_a_table() -> None:
    assert modules_with("json.dumps(") == WRITES_JSON.keys()
    assert modules_with("Content-Disposition", "content_disposition_header(") == NAMES_A_FILE.keys()
