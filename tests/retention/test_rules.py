"""Retention by rules: what is old goes, what is not over stays, and nothing goes without a rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import CASCADE
from django_q.models import Schedule

from alerts.models import AlertIncident
from mailbox import deletions
from mailbox.models import (
    Account,
    AuditEntry,
    LegalHold,
    LetGo,
    Message,
    MessagePlace,
    RetentionRule,
    SyncRun,
    SyncState,
)
from mailbox.sync import folder_sync
from outbox.models import DeliveryReport, Draft, OutboxMessage, SentCopy
from outbox.models.policy import Singleton
from prx_email_site import environment
from prx_email_site.retention import table_ends
from prx_email_site.retention.kinds import KINDS, RetentionPreview, preview
from prx_email_site.retention.table_ends import ByAge, ByRule, With
from prx_email_site.settings import retention as retention_settings
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.retention.rules import NOW, OLD, rule, subjects, swept
from tests.rows import NOWHERE, folder_of, letter, outbox_row, store
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.django_db


def test_without_a_rule_all_is_kept(account: Account) -> None:
    store(account, letter("Old"), at=OLD)
    outbox_row(account, status="sent", sent_at=OLD)
    OutboxMessage.objects.update(created_at=OLD, updated_at=OLD)
    swept()
    assert subjects() == {"Old"} and OutboxMessage.objects.exists()


def test_received_mail_goes_by_age_account_folder_and_size(
    account: Account, make_account: Callable[..., Account]
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    for name, at in (("Old", OLD), ("New", NOW)):
        store(account, letter(name), at=at)
    store(other, letter("Of the other"), at=OLD)
    store(account, letter("In the archive"), at=OLD, folder="Archive")
    both = store(account, letter("In both"), at=OLD, folder="Archive")
    MessagePlace.objects.create(
        message=both, folder=folder_of(account), uidvalidity=1, uid=999, size=1, received_at=OLD, raw_digest="0" * 64
    )
    archive = rule("received", account=account, folder="Archive")
    large = rule("received", account=account, larger_than=1_000_000)
    assert preview(large, NOW).number == 0
    assert preview(archive, NOW) == RetentionPreview(1, Message.objects.get(subject="In the archive").size, 0, False)
    swept()
    assert subjects() == {"Old", "New", "Of the other", "In both"}
    archive.refresh_from_db()
    assert (archive.removed, archive.last_removed_at is not None) == (1, True)
    entry = AuditEntry.objects.get(verb="retention_removed")
    assert (entry.detail, entry.account) == ("received older than 365 days: 1 removed", account)


def test_what_the_server_still_has_is_not_fetched_again(make_account: Callable[..., Account], dovecot: Dovecot) -> None:
    account = make_account()
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    rule("received", days=1, account=account)
    swept()
    assert not Message.objects.exists() and LetGo.objects.count() == 3
    fill(dovecot, account, 1, first=4)
    RetentionRule.objects.all().delete()
    SyncState.objects.update(compared_at=None)  # all UIDs are compared with the server's
    for _ in range(2):
        assert folder_sync.sync(account.pk).ok
    assert subjects() == {"Mail 4"}
    dovecot.expunge(account.email, "INBOX", "1:2")
    folder_sync.sync(account.pk)
    assert list(LetGo.objects.values_list("uid", flat=True)) == [3]
    # Numbered anew, all of it is another's: it is fetched, and rules take it again.
    dovecot.doveadm("mailbox", "update", "-u", account.email, "--uid-validity", "77777", "INBOX")
    for _ in range(3):
        folder_sync.sync(account.pk)
    assert not LetGo.objects.exists() and stored(account) == on_server(dovecot, account)


def test_of_the_outbox_only_what_is_over_goes(account: Account) -> None:
    kept = [
        outbox_row(account, status="pending"),
        outbox_row(account, status="failed"),
        outbox_row(account, status="failed", hold="uncertain"),
        outbox_row(account, status="sending"),
        (bounced := outbox_row(account, status="sent")),
        (copying := outbox_row(account, status="sent")),
        (held := outbox_row(account, status="sent", to="eve@example.com")),
    ]
    gone = [outbox_row(account, status="sent"), outbox_row(account, status="cancelled")]
    seen = DeliveryReport.objects.create(
        outbox=gone[0], address="a@b.example", action="failed", reported_at=OLD, acknowledged_at=OLD
    )
    DeliveryReport.objects.create(outbox=bounced, address="a@b.example", action="failed", reported_at=OLD)
    SentCopy.objects.create(outbox=copying, state="waiting", next_try_at=NOW)
    LegalHold.objects.create(address="eve@example.com", reason="Case 1")
    OutboxMessage.objects.update(created_at=OLD, updated_at=OLD)
    young = outbox_row(account, status="sent")
    assert preview(rule("sent"), NOW).held == 1
    swept()
    assert set(OutboxMessage.objects.values_list("pk", flat=True)) == {each.pk for each in (*kept, young)}
    assert not DeliveryReport.objects.filter(pk=seen.pk).exists() and held.pk


def test_activity_runs_drafts_and_incidents_go_by_their_rules(account: Account, make_user: Callable[..., User]) -> None:
    for at, ended in ((OLD, OLD), (NOW, None)):
        AuditEntry.objects.create(verb="retry", account=account, at=at)
        SyncRun.objects.create(started_at=at, finished_at=ended)
        says: dict[str, Any] = {"kind": "push", "sentence": "s", "path": "/", "opened_at": at, "present_since": at}
        AlertIncident.objects.create(key="push", closed_at=ended, **says)
    user = make_user("operator")
    Draft.objects.create(user=user)
    Draft.objects.update(updated_at=OLD)
    Draft.objects.create(user=user)
    for what in ("activity", "runs", "drafts", "incidents"):
        rule(what)
    swept()
    assert AuditEntry.objects.filter(verb="retry").count() == 1
    assert [model.objects.count() for model in (SyncRun, Draft, AlertIncident)] == [1, 1, 1]


def test_rules_of_the_environment_count_as_well(account: Account, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PRX_EMAIL_RETENTION", "activity=400,drafts=30")
    assert retention_settings.retention_days() == {"activity": 400, "drafts": 30}
    for wrong in ("sent=7", "everything=9", "activity=soon", "sessions=1"):
        monkeypatch.setenv("PRX_EMAIL_RETENTION", wrong)
        with pytest.raises(environment.SettingError):
            retention_settings.retention_days()
    AuditEntry.objects.create(verb="retry", at=NOW - timedelta(days=500))
    settings.RETENTION_DAYS = {"activity": 400}
    swept()
    assert not AuditEntry.objects.filter(verb="retry").exists()
    assert {what: kind.least_days for what, kind in KINDS.items()} == retention_settings.LEAST_DAYS


# Tables of one row, pk 1, that raw SQL and triggers write.
WRITTEN_BY_PK = {"outbox.DeliveryCall", "alerts.EventNumbers", "people.SignInRules"}


def test_every_table_has_an_end_or_a_reason() -> None:
    models = {model._meta.label: model for model in apps.get_models(include_auto_created=True)}
    assert models.keys() == table_ends.ENDS.keys()
    for label, end in table_ends.ENDS.items():
        if isinstance(end, With):
            fields = models[label]._meta.concrete_fields
            owners = {
                field.related_model._meta.label
                for field in fields
                if field.remote_field and getattr(field.remote_field, "on_delete", None) is CASCADE
            }
            assert end.table in owners, label
        elif isinstance(end, ByAge):
            assert end.name in deletions.BY_AGE, label
        elif isinstance(end, ByRule):
            assert end.what in KINDS, label
        elif end is table_ends.ONE_ROW:
            assert issubclass(models[label], Singleton) or label in WRITTEN_BY_PK, label
        else:
            assert len(getattr(end, "reason", "") or getattr(end, "how", "")) > 10, label


def test_the_cutoff_counts_days() -> None:
    assert RetentionRule(what="runs", days=7).cutoff(datetime(2026, 3, 8)) == datetime(2026, 3, 1)


def test_the_rules_are_run_by_the_clock() -> None:
    planned = {"prx_email_site.retention.sweep.begin", "prx_email_site.personal_data.tasks.person_sweep"}
    assert planned <= set(Schedule.objects.values_list("func", flat=True))
