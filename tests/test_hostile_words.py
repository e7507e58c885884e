"""Words of strangers where they leave the site by other ways than pages: commands, logs, metrics, files, alerts, hooks.

A table for each way. What is new joins one: a test fails until each command, list, and module that writes JSON or
headers stands in its table.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands
from django.http import QueryDict
from django.test import Client
from django.utils import timezone
from imapclient.exceptions import IMAPClientError
from prometheus_client.parser import text_string_to_metric_families

from alerts import incidents, notice_delivery
from alerts.events import webhook_delivery
from alerts.models import AlertIncident, AlertNotice, AlertRule, Event, Webhook, WebhookDelivery
from alerts.problems.find import find_problems
from mailbox.exports import list_pages
from mailbox.imap.transport import ImapClient
from mailbox.logs import EventFormatter, JsonFormatter
from mailbox.mime.filenames import safe_filename
from mailbox.models import Account, Export, Message
from mailbox.storage import raw_store
from mailbox.views.reading.message_parts import download
from outbox.models import OutboxMessage
from prx_email_site.list_exports.lists import LISTS, source_of
from tests.hostile_words import FORGED, HOSTILE_ON_A_LINE, UNSTORABLE, WORDS, incidents_said, rude_server
from tests.hostile_words import site_of_strangers as fill
from tests.read_sources import APPS, MODULES, source
from tests.rows import NOWHERE

TOKEN = "a-token-of-the-test"
# Command -> its arguments, {account}, {message} and {token} filled in: each prints what strangers chose.
COMMANDS: dict[str, tuple[str, ...]] = {
    "accounts": ("test", "{account}"),
    "completeness": ("{account}",),
    "doctor": ("{account}",),
    "folders": ("{account}",),
    "messages": (),
    "outbox": (),
    "reply": ("{account}", "{message}", "--body", "Hi"),
    "search": ("hi OR -nothing",),
    "status": (),
    "sync": ("{account}",),
}
# What prints counts, keys, names of ours, or the words of who runs it.
WITHOUT_STRANGERS = {
    *("add_account", "alerts", "backup", "conversations", "export_messages", "feature", "gather_texts", "idle"),
    *("invite", "languages", "move_store", "oauth_login", "person", "prepare", "prove", "qcluster", "reindex"),
    *("reload_auth", "remove_second_factor", "reparse", "restore", "retry", "rotate_keys", "seed", "send"),
    *("set_secret", "store_users", "submission", "token"),
}
# Modules that write JSON themselves, and where what they write goes.
WRITES_JSON = {
    "alerts.events.webhook_delivery": "test_an_event_is_json_of_bounded_size_for_its_webhook",
    "alerts.notice_delivery": "test_an_alert_is_one_line_for_mail_and_chat",
    "api.v1.administration.events": "keys and columns, ASCII",
    "api.v1.protocol.rendering": "tests/api",
    "mailbox.completeness.signature": "ASCII, signed",
    "mailbox.db.ignoring_case": "a search",
    "mailbox.exports.manifest": "a file, UTF-8",
    "mailbox.logs": "test_a_log_line_is_one_line_of_bounded_length",
    "mailbox.plain_words": "test_no_command_prints_what_a_terminal_obeys",
    "mailbox.search.gmail_labels": "a search",
    "mailbox.storage.installations": "names of ours",
    "outbox.compose.create": "a digest",
    "outbox.delivery.claims": "the database",
    "outbox.delivery.finalization": "the database",
    "outbox.forms": "a page, escaped",
    "outbox.restore_guard": "names of ours",
    "outbox.views.writing.compose": "a page, escaped",
    "prx_email_site.backup.manifest": "names of ours",
    "prx_email_site.personal_data.exporting": "a file, UTF-8",
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
# Label of a metric -> why it has few values, whatever strangers send.
LABELS = {
    "account": "a key; at most 100 for the metrics that have it",
    "code": "a class of reply codes",
    "error": "of mailbox.errors",
    "event": "of Counter.Name",
    "hold": "a state",
    "host": "of ours, at most 200",
    "kind": "of an incident, of storage, or of a database's failure",
    "le": "a bucket",
    "method": "of HTTP; others count together",
    "outcome": "of an attempt",
    "purpose": "of a lease",
    "role": "of a process",
    "route": "a pattern of ours",
    "rows": "of Bounds",
    "sentence": "of an open incident, at most 100; a new one at most once an hour for each problem",
    "state": "a state",
    "status": "a state, or a class of HTTP's",
    "webhook": "a key; at most 100",
}
KINDS = ("imap", "smtp")
every_word = pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


def is_one_line(text: str) -> bool:
    return not set(text) & HOSTILE_ON_A_LINE and len(text.splitlines()) <= 1


# --- commands -------------------------------------------------------------------------------------------------


def test_each_command_is_in_a_table() -> None:
    ours = {name for name, app in get_commands().items() if app in APPS}
    assert ours == COMMANDS.keys() | WITHOUT_STRANGERS


@pytest.mark.django_db(transaction=True)
@every_word
def test_no_command_prints_what_a_terminal_obeys(
    make_account: Callable[..., Account], capsys: pytest.CaptureFixture[str], words: str
) -> None:
    with rude_server(words[:1500]) as port:
        server = {f"{kind}_{name}": value for kind in KINDS for name, value in (("host", "127.0.0.1"), ("port", port))}
        account = make_account("ops@example.com", **server, smtp_security="starttls")
        fill(account, words)
        facts = {"account": account.email, "message": Message.objects.get().message_id}
        for command, arguments in COMMANDS.items():
            given = [each.format(**facts) for each in arguments]
            assert_plain(capsys, command, given)
            json.loads(assert_plain(capsys, command, [*given, "--json"]))


def assert_plain(capsys: pytest.CaptureFixture[str], command: str, arguments: list[str]) -> str:
    with contextlib.suppress(SystemExit, CommandError):
        call_command(command, *arguments)
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert not set(text) & HOSTILE_ON_A_LINE, command
        assert not [line for line in text.splitlines() if line.startswith(FORGED)], command
    return printed.out


# --- logs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", {**WORDS, **UNSTORABLE}.values(), ids=[*WORDS, *UNSTORABLE])
@pytest.mark.parametrize("formatter", [EventFormatter, JsonFormatter])
def test_a_log_line_is_one_line_of_bounded_length(formatter: type[logging.Formatter], words: str) -> None:
    record = logging.LogRecord("mailbox", logging.WARNING, "x.py", 1, "said %s", (words,), None)
    record.fields = {"reply": words, "folders": [words] * 3, words[:100]: {words: words}, "message_id": words}
    try:
        raise ValueError(words)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    line = formatter().format(record)
    assert is_one_line(line) and "Traceback" in line
    assert len(line.encode("utf-8", "backslashreplace")) <= 16 * 1024
    if formatter is JsonFormatter:
        assert json.loads(line)["event"].startswith("said ")


# --- metrics --------------------------------------------------------------------------------------------------


def scraped(client: Client, settings: Any) -> list[Any]:
    settings.METRICS_TOKEN = TOKEN
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return [each for family in text_string_to_metric_families(answer.content.decode()) for each in family.samples]


@pytest.mark.django_db
@every_word
def test_metrics_can_be_read_and_no_series_stands_twice(
    account: Account, client: Client, settings: Any, words: str
) -> None:
    fill(account, words)
    now = timezone.now()
    incidents.update(find_problems(now), now)
    for number in range(2):  # two webhooks of one name, as two people may give it
        Webhook.objects.create(name=words[:80], url=f"https://{number}.example/", encrypted_secret="x")
        said = {"kind": "events", "sentence": words[:500], "path": "/", "opened_at": now, "present_since": now}
        AlertIncident.objects.create(key=f"events:{number}", **said)
    samples = scraped(client, settings)
    series = [(each.name, *sorted(each.labels.items())) for each in samples]
    assert len(series) == len(set(series))
    sentences = {each.labels["sentence"]: each.value for each in samples if each.name == "prx_email_incident"}
    assert sentences and all(is_one_line(each) for each in sentences)
    assert {label for each in samples for label in each.labels} <= LABELS.keys()


@pytest.mark.django_db
def test_each_label_of_a_metric_has_few_values() -> None:
    written = {module: source(module) for module in MODULES if module.startswith("prx_email_site.monitoring.")}
    named = re.compile(r"(?:labelled\([^()]*?, |labels=|labels = )\(((?:\"\w+\",? ?)+)\)")
    found = {label for text in written.values() for each in named.findall(text) for label in re.findall(r"\w+", each)}
    assert found <= LABELS.keys() and len(found) > 10


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
@pytest.mark.parametrize("words", {**WORDS, **UNSTORABLE}.values(), ids=[*WORDS, *UNSTORABLE])
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


def test_a_cut_list_is_said_to_be_cut() -> None:
    """Metrics that have at most so many rows tell when there are more."""
