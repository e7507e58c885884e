"""An incident is told in the language of whoever reads it; programs, metrics and notices have it in English."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from alerts import incidents
from alerts.models import AlertIncident, Kind, Webhook
from alerts.problems.find import find_problems
from alerts.problems.problem import isolated
from mailbox.models import (
    Account,
    Completeness,
    Folder,
    PushHeartbeat,
    Quarantine,
    RestoreProof,
    StoreMiss,
    SyncState,
    Transport,
    WorkerHeartbeat,
)
from outbox.models import DeliveryReport, SendingSwitch
from tests.pseudo_locale import CODE, pseudo
from tests.rows import folder_of, outbox_row

__all__ = ["pseudo"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def site_in_trouble(account: Account, now: datetime) -> None:
    """With as many kinds of incidents at once as there may be."""
    earlier = now - timedelta(hours=1)
    WorkerHeartbeat.objects.create(host="w1", cluster_pid=1, started_at=now, seen_at=now, disk_free_percent=3)
    WorkerHeartbeat.objects.create(host="w2", cluster_pid=1, started_at=earlier, seen_at=earlier)
    PushHeartbeat.objects.create(pk=1, token="t", host="w1", pid=1, started_at=earlier, seen_at=earlier)
    StoreMiss.objects.create(host="w1", file="f", first_at=earlier, last_at=now)
    RestoreProof.objects.create(proven_at=earlier, fault="F", detail="")
    SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": earlier})
    Webhook.objects.create(name="W", url="http://w.example/", failing_since=earlier)
    Account.objects.update(created_at=earlier, push_enabled=True, deletion_stopped_at=earlier)
    for hold, key in (("permanent", "alert:1"), ("uncertain", None), ("permanent", None)):
        row = outbox_row(account, status="failed", hold=hold, idempotency_key=key)
    for action in (DeliveryReport.Action.FAILED, DeliveryReport.Action.COMPLAINT):
        DeliveryReport.objects.create(outbox=row, address="a@b.example", action=action, reported_at=now)
    Quarantine.objects.create(account=account, folder=folder_of(account), uid=1, uidvalidity=1, error="E")
    SyncState.objects.create(account=account, folder=folder_of(account, "S"), stopped_at=earlier)
    Folder.objects.update(created_at=earlier)
    Transport.objects.filter(pk=account.smtp_id).update(needs_sign_in_since=earlier)
    Completeness.objects.create(account=account, differing=2, document={})
    token = {"oauth_expires_at": now, "encrypted_oauth_token": "t", "encrypted_password": None}
    Transport.objects.filter(pk=account.imap_id).update(**token)


def test_whatever_is_told_of_a_site_in_trouble_is_told_in_each_language(
    pseudo: None, administrator: Client, account: Account, now: datetime
) -> None:
    site_in_trouble(account, now)
    incidents.update(find_problems(now), now)
    rows = list(AlertIncident.objects.open())
    assert {row.kind for row in rows} >= {kind.value for kind in Kind} - {
        Kind.WORKERS,
        Kind.SCHEDULES,
        Kind.BROKER,
        Kind.SENDING,
        Kind.LATE,
    }
    for row in rows:
        assert "⟦" not in row.sentence
        outside = re.sub("⟦[^⟧]*⟧", " ", row.translations[CODE])
        values = {"ops", "example", "com", "UTC", "W", "S", "f", "w1", "w2", "localhost", "INBOX", "IMAP"}
        assert set(re.findall(r"[A-Za-z]\w*", outside)) <= values, row.translations
    page = administrator.get("/alerts/", HTTP_ACCEPT_LANGUAGE=CODE).content.decode()
    shown = next(row for row in rows if row.kind == Kind.FAILED)
    assert shown.translations[CODE] in page and shown.sentence not in page


def test_an_incident_of_before_this_was_kept_is_told_in_english(administrator: Client, now: datetime) -> None:
    AlertIncident.objects.create(key="k", kind=Kind.PAUSED, sentence="As it was.", opened_at=now, present_since=now)
    assert "As it was." in administrator.get("/alerts/", HTTP_ACCEPT_LANGUAGE="ko").content.decode()


def test_a_value_keeps_its_direction_where_one_reads_from_the_right() -> None:
    with override("ar"):
        assert isolated("2026-11-30 12:00 UTC") == "\u20682026-11-30 12:00 UTC\u2069"
    assert isolated("2026-11-30 12:00 UTC") == "2026-11-30 12:00 UTC"
