"""Words of strangers in what commands print, in logs, in metrics and in JSON (test_hostile_words_sent: mail and files).

A table for each way. What is new joins one: a test fails until each command and each label of a metric is in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from alerts import incidents
from alerts.models import AlertIncident, Webhook
from alerts.problems.find import find_problems
from api.v1.protocol.rendering import Renderer
from mailbox.exports import manifest
from mailbox.logs import EventFormatter, JsonFormatter
from mailbox.models import Account, Message
from tests.hostile_words import FORGED, HOSTILE_ON_A_LINE, UNSTORABLE, WORDS, is_one_line, rude_server
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
each_word = pytest.mark.parametrize("words", {**WORDS, **UNSTORABLE}.values(), ids=[*WORDS, *UNSTORABLE])


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


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


@each_word
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


# --- JSON that programs read ----------------------------------------------------------------------------------


@each_word
def test_json_that_is_printed_as_it_is_says_the_same_and_no_command(words: str) -> None:
    now = timezone.now()
    rendered = Renderer().render(HttpRequest(), {words: [words]}, response_status=200)
    assert json.loads(rendered) == {words: [words]}
    listed = manifest.as_json([manifest.line(folder=words)], query=words, made_at=now, mails=1, missing=0)
    assert (json.loads(listed)["query"], json.loads(listed)["lines"][0]["folder"]) == (words, words)
    for text in (rendered, listed):
        assert not set(text.decode()) & HOSTILE_ON_A_LINE
