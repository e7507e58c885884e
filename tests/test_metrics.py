"""/metrics: who may read it, what it says, and that alerts and the dashboard for Grafana ask for what is there."""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import OperationalError
from django.test import Client
from django.utils import timezone, translation
from prometheus_client.parser import text_string_to_metric_families

from alerts.models import AlertIncident, Event, EventNumbers, Kind, Webhook, WebhookDelivery
from api import request_counts
from api.models import RequestCount
from mailbox.models import Account, Counter, RestoreProof, StorageUse, SyncState, WorkerHeartbeat
from prx_email_site.monitoring import metrics_collector
from tests.conftest import missing
from tests.rows import NOWHERE, attempt, folder_of, outbox_row
from tests.servers.site import ROOT

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-the-test"
NAMES = re.compile(r"prx_email_[a-z_]+")


def samples(client: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    found = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            found[(sample.name, tuple(sorted(sample.labels.values())))] = sample.value
    return found


@pytest.fixture
def account(make_account: Callable[..., Account], settings: Any) -> Account:
    settings.METRICS_TOKEN = TOKEN
    return make_account("ops@example.com", **NOWHERE)


def test_it_is_open_to_the_token_and_to_the_networks_and_to_nobody_else(client: Client, settings: Any) -> None:
    assert client.get("/metrics").status_code == 404  # not switched on
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer other"}).status_code == 403
    settings.METRICS_TOKEN, settings.METRICS_NETWORKS = "", [ipaddress.ip_network("10.0.0.0/8")]
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403  # no empty token
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": "10.1.2.3"}).status_code == 403


def test_it_says_what_the_rows_say(client: Client, account: Account) -> None:
    now = timezone.now()
    sent = outbox_row(account, status="sent", sent_at=now)
    type(sent).objects.filter(pk=sent.pk).update(created_at=now - timedelta(seconds=20))
    attempt(sent, started_at=now, finished_at=now, outcome="accepted", reply_code=250)
    refused = outbox_row(account, status="failed", hold="permanent")
    attempt(refused, started_at=now, finished_at=now, outcome="permanent", reply_code=550)
    outbox_row(account, next_attempt_at=now - timedelta(minutes=30))
    SyncState.objects.create(account=account, folder=folder_of(account), last_success_at=now - timedelta(hours=2))
    folder_of(account).__class__.objects.update(sync_enabled=True)
    WorkerHeartbeat.objects.create(
        host="web1", cluster_pid=1, started_at=now, seen_at=now, disk_free_percent=40, store_seconds=0.01
    )
    found = samples(client)

    assert found[("prx_email_outbox_messages", ("", "pending"))] == 1
    assert found[("prx_email_outbox_messages", ("failed", "permanent"))] == 1
    assert found[("prx_email_attempts", ("5xx", "permanent"))] == 1
    assert found[("prx_email_accept_seconds_bucket", ("10.0",))] == 0
    assert found[("prx_email_accept_seconds_bucket", ("30.0",))] == 1
    assert 1800 <= found[("prx_email_outbox_oldest_due_seconds", ())] < 1900
    assert 7200 <= found[("prx_email_sync_lag_seconds", (str(account.pk),))] < 7300
    assert found[("prx_email_disk_free_percent", ("web1",))] == 40
    assert found[("prx_email_store_answer_seconds", ("web1",))] == 0.01
    assert found[("prx_email_store_failures", ("web1",))] == 0


def test_an_incident_is_told_in_the_words_of_the_dashboard_without_an_address(client: Client, account: Account) -> None:
    now = timezone.now()
    said = {"kind": "sign_in", "account": account, "sentence": "ops@example.com: refused.", "path": "/"}
    AlertIncident.objects.create(key="sign_in:1", opened_at=now, present_since=now, **said)
    assert found_labels(client, "prx_email_incident") == [
        tuple(sorted(("sign_in", str(account.pk), "o***@example.com: refused.")))
    ]
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert b"ops@example.com" not in answer.content


def test_webhooks_are_told_with_what_waits_and_how_deliveries_ended(client: Client, account: Account) -> None:
    now = timezone.now()
    hook = Webhook.objects.create(name="crm", url="https://example.com/secret", encrypted_secret="x", failures=3)
    events = Event.objects.bulk_create([Event(kind="message.new", number=each) for each in (1, 2, 3, 4)])
    for event, state in zip(events, ("sent", "failed", "waiting", "waiting"), strict=True):
        made = now - timedelta(minutes=10 * event.number)
        WebhookDelivery.objects.create(webhook=hook, event=event, state=state, next_try_at=now, created_at=made)
    EventNumbers.objects.update_or_create(pk=1, defaults={"last": 9})
    Webhook.objects.update(cursor=4)
    found, key = samples(client), str(hook.pk)
    assert found[("prx_email_webhook_waiting", (key,))] == 2
    assert 1800 <= found[("prx_email_webhook_oldest_seconds", (key,))] < 1900  # the first in their order
    assert (found[("prx_email_webhook_events_behind", (key,))], found[("prx_email_webhook_failures", (key,))]) == (5, 3)
    ended = {name: found[("prx_email_webhook_deliveries", tuple(sorted((key, name))))] for name in ("sent", "failed")}
    assert ended == {"sent": 1, "failed": 1}
    assert b"crm" not in client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content


def test_the_api_is_counted_by_route_and_never_by_address(client: Client, account: Account) -> None:
    before = samples(client)
    client.get("/api/v1/messages/987654")
    request_counts.note("/api/v1/outbox", "GET", 200, 0.3)
    request_counts.note("/api/v1/outbox", "GET", 200, 99.0)
    found = samples(client)
    route = next(labels for name, labels in found if name == "prx_email_api_requests_total" and "4xx" in labels)
    assert "987654" not in str(found) and any("messages/" in label and "<" in label for label in route)
    assert found[("prx_email_api_requests_total", route)] == before.get(("prx_email_api_requests_total", route), 0) + 1

    def bucket(end: str) -> float:
        return found[("prx_email_api_request_seconds_bucket", tuple(sorted(("/api/v1/outbox", "GET", "2xx", end))))]

    assert (bucket("0.25"), bucket("0.5"), bucket("10.0"), bucket("+Inf")) == (0, 1, 1, 2)
    assert found[("prx_email_api_request_seconds_sum", tuple(sorted(("/api/v1/outbox", "GET", "2xx"))))] == 99.3


def test_methods_of_somebodys_own_making_are_counted_together(client: Client, account: Account) -> None:
    for method in ("PROPFINDPROPFIND", "BREW"):
        assert client.generic(method, "/api/v1/accounts").status_code == 405
    methods = {label for labels in found_labels(client, "prx_email_api_requests_total") for label in labels}
    assert "other" in methods
    assert not methods & {"PROPFINDPROPFIND", "BREW"}


def test_what_a_process_could_not_write_it_writes_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    request_counts.flush()
    request_counts.note("/api/v1/x", "GET", 200, 0.1)
    with monkeypatch.context() as patched, pytest.raises(OperationalError):
        patched.setattr(request_counts, "connection", Away())
        request_counts.flush()
    request_counts.note("/api/v1/x", "GET", 200, 0.1)
    request_counts.flush()
    assert RequestCount.objects.get(route="/api/v1/x").number == 2


class Away:
    def cursor(self) -> None:
        raise OperationalError


def found_labels(client: Client, name: str) -> list[tuple[str, ...]]:
    return [labels for sample, labels in samples(client) if sample == name]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_each_kind_of_incident_has_an_alert_with_its_words() -> None:
    by_kind = {rule["labels"].get("kind"): rule["annotations"] for rule in rules()}
    with translation.override("en"):
        assert {kind: str(Kind(kind).label) for kind in by_kind if kind} == {
            kind: by_kind[kind]["summary"] for kind in by_kind if kind
        }
    assert set(by_kind) - {None} == set(Kind.values)
    assert {by_kind[kind]["description"] for kind in Kind.values} == {"{{ $labels.sentence }}"}


def test_alerts_and_grafana_ask_for_metrics_that_there_are(client: Client, account: Account) -> None:
    request_counts.note("/api/v1/outbox", "GET", 200, 0.3)
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    there = set(NAMES.findall(answer.content.decode()))
    panels = json.loads((ROOT / "deploy/grafana.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules()]
    assert len(asked) > len(Kind.values) + 10
    assert {name for each in asked for name in NAMES.findall(each)} - there == set()


def test_promtool_takes_the_alerts() -> None:
    if shutil.which("promtool") is None:
        missing("promtool is missing: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", "check", "rules", str(ROOT / "deploy/alerts.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_scrape_costs_the_same_number_of_queries_however_much_there_is(
    client: Client, account: Account, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    for _ in range(5):
        attempt(outbox_row(account), started_at=now)
    Counter.add(account.pk, "sends", now)
    StorageUse.objects.create(account=account, kind="received", items=1, size=9, counted_at=now)
    RestoreProof.objects.create(proven_at=now)
    with django_assert_max_num_queries(26):
        assert samples(client)[("prx_email_storage_bytes", ("received",))] == 9


def test_a_proof_that_a_clock_that_was_ahead_has_dated_is_not_the_last_one(account: Account, client: Client) -> None:
    now = timezone.now()
    for proven_at in (now + timedelta(days=365), now - timedelta(hours=2)):
        RestoreProof.note(RestoreProof(proven_at=proven_at, backup_at=now))
    assert 7200 <= samples(client)[("prx_email_restore_proven_seconds", ())] < 7300


def test_a_metric_says_that_rows_are_left_out(client: Client, account: Account) -> None:
    def left_out() -> dict[str, float]:
        return {labels[0]: each for (name, labels), each in samples(client).items() if name == "prx_email_left_out"}

    now, most = timezone.now(), metrics_collector.INCIDENTS_SHOWN
    said = {"kind": "failed", "path": "/", "opened_at": now, "present_since": now}
    rows = [AlertIncident(key=f"failed:{each}", sentence=f"{each}.", **said) for each in range(most)]
    AlertIncident.objects.bulk_create(rows)
    before = left_out()
    assert set(before.values()) == {0}
    assert before.keys() >= {"accounts", "incidents", "webhooks", "clusters", "hosts", "processes", "database_failures"}
    AlertIncident.objects.create(key="failed:more", sentence="more.", **said)
    assert left_out() == before | {"incidents": 1}
    assert len(found_labels(client, "prx_email_incident")) == most


def test_rows_of_the_same_labels_are_one_series_of_their_sum(client: Client, account: Account) -> None:
    now = timezone.now()
    for number in (1, 2):
        said = {
            "kind": "events",
            "sentence": "Webhook crm is off.",
            "path": "/",
            "opened_at": now,
            "present_since": now,
        }
        AlertIncident.objects.create(key=f"events:{number}", **said)
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    assert [line for line in answer.splitlines() if "Webhook crm" in line] == [
        'prx_email_incident{account="",kind="events",sentence="Webhook crm is off."} 2.0'
    ]
