"""Retention by rules: what is old goes, what is held or not over stays, and nothing goes without a rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.db.models import CASCADE
from django.db.models.signals import post_delete
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.models import AlertIncident
from mailbox import deletions
from mailbox.messages import purge
from mailbox.messages.holds import Holds
from mailbox.models import (
    Account,
    AuditEntry,
    Lease,
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
from outbox.views import account_delete
from outbox.views.account_delete import delete_account
from outbox.views.legal_holds import keeps_account
from prx_email_site import environment
from prx_email_site.retention import ends, forms, kinds, sweep
from prx_email_site.retention.ends import ByAge, ByRule, With
from prx_email_site.retention.kinds import KINDS, Preview, preview
from prx_email_site.settings import retention as retention_settings
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.rows import NOWHERE, folder_of, letter, outbox_row, store
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.django_db
NOW = timezone.now()
OLD = NOW - timedelta(days=400)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


def rule(what: str, days: int = 365, **fields: Any) -> RetentionRule:
    return RetentionRule.objects.create(what=what, days=days, **fields)


def swept() -> None:
    sweep.remove_slice(NOW.isoformat())


def subjects() -> set[str]:
    return set(Message.objects.values_list("subject", flat=True))


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
    assert preview(archive, NOW) == Preview(1, Message.objects.get(subject="In the archive").size, 0, False)
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


@pytest.mark.parametrize("by", ["account", "address", "message"])
def test_a_hold_keeps_what_it_names_from_rules_and_from_the_grace_period(
    account: Account, make_account: Callable[..., Account], by: str
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    held = store(account, letter("Held", To="Bob <BOB@example.com>"), at=OLD)
    store(other, letter("Free", To="carl@example.com"), at=OLD)
    names = {"account": {"account": account}, "address": {"address": "bob@example.com"}, "message": {"message": held}}
    hold = LegalHold.objects.create(reason="Case 1", **names[by])
    found = rule("received")
    assert (preview(found, NOW).number, preview(found, NOW).held) == (1, 1)
    swept()
    assert subjects() == {"Held"}
    Message.objects.update(gone_at=OLD)
    MessagePlace.objects.update(gone_at=OLD)
    assert purge.remove_expunged(NOW) == 0
    assert MessagePlace.objects.filter(message=held).exists()
    assert "hold" in delete_account(account) and Account.objects.filter(pk=account.pk).exists()
    assert keeps_account(other.pk, Holds.standing()) is False
    LegalHold.objects.filter(pk=hold.pk).update(released_at=NOW)
    swept()
    assert not Message.objects.exists()


def test_what_was_written_to_a_held_address_keeps_its_account(account: Account) -> None:
    outbox_row(account, status="sent", to="eve@example.com")
    LegalHold.objects.create(address="eve@example.com", reason="Case 1")
    assert "hold" in delete_account(account) and OutboxMessage.objects.exists()


def test_a_hold_that_is_put_while_an_account_is_deleted_keeps_what_is_left(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        store(account, letter(f"Mail {number}"))
    monkeypatch.setattr(account_delete, "BATCH", 1)

    def put(sender: object, **_: object) -> None:
        LegalHold.objects.get_or_create(account=account, defaults={"reason": "Case 1"})

    post_delete.connect(put, sender=Message)
    try:
        refusal = delete_account(account)
    finally:
        post_delete.disconnect(put, sender=Message)
    account.refresh_from_db()
    assert "hold" in refusal and Message.objects.count() == 2 and account.sync_enabled
    assert not Lease.objects.filter(account=account, expires_at__gt=timezone.now()).exists()


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


def test_a_slice_ends_in_time_and_queues_the_next(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[str] = []
    monkeypatch.setattr(sweep, "queue", lambda function, *_args, **_: queued.append(function))
    monkeypatch.setattr(sweep, "BATCH", 2)
    for number in range(5):
        AuditEntry.objects.create(verb=f"v{number}", at=OLD)
    rule("activity")
    sweep.remove_slice(NOW.isoformat(), seconds=0)
    assert AuditEntry.objects.filter(verb__startswith="v").count() == 3
    assert queued == ["prx_email_site.retention.sweep.remove_slice"]
    assert AuditEntry.objects.get(verb="retention_removed").detail.endswith(": 2 removed")
    sweep.remove_slice(NOW.isoformat())
    assert not AuditEntry.objects.filter(verb__startswith="v").exists() and len(queued) == 1
    assert AuditEntry.objects.latest("pk").detail.endswith(": 3 removed")


def test_all_slices_go_by_the_time_that_two_looks_agreed_on(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[tuple[object, ...]] = []
    monkeypatch.setattr(sweep, "queue", lambda *arguments, **_: queued.append(arguments))
    monkeypatch.setattr(deletions, "two_looks_agree", lambda name, now: True)
    AuditEntry.objects.create(verb="retry", at=NOW - timedelta(days=100))
    rule("activity")
    sweep.begin()
    monkeypatch.setattr(timezone, "now", lambda: NOW + timedelta(days=3650))
    sweep.remove_slice(str(queued[0][1]))
    assert AuditEntry.objects.filter(verb="retry").exists()


def test_a_slice_walks_over_what_is_held_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BATCH", 2)
    for number in range(9):  # of the same second, too
        names = "eve@example.com" if number % 2 else "bob@example.com"
        store(account, letter(f"Mail {number}", To=names), at=OLD + timedelta(days=number // 3))
    LegalHold.objects.create(address="eve@example.com", reason="Case 1")
    rule("received")
    with CaptureQueriesContext(connection) as asked:
        swept()
    assert subjects() == {f"Mail {number}" for number in (1, 3, 5, 7)}
    batches = [each["sql"] for each in asked if "LIKE" in each["sql"] and "LIMIT 2" in each["sql"]]
    assert len(batches) == 4 and all(">=" in each for each in batches[1:])


def test_nothing_begins_before_two_looks_agree(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[str] = []
    monkeypatch.setattr(sweep, "queue", lambda function, *_args, **_: queued.append(function))
    sweep.begin()
    assert queued == []
    monkeypatch.setattr(deletions, "two_looks_agree", lambda name, now: name == "retention")
    sweep.begin()
    assert len(queued) == 1


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


def test_every_table_has_an_end_or_a_reason() -> None:
    models = {model._meta.label: model for model in apps.get_models(include_auto_created=True)}
    assert models.keys() == ends.ENDS.keys()
    for label, end in ends.ENDS.items():
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
        else:
            assert len(getattr(end, "reason", "") or getattr(end, "how", "")) > 10, label


@pytest.fixture
def administrator(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("administrator"))
    return client


@pytest.mark.pages
def test_the_page_counts_before_a_rule_is_set(administrator: Client, account: Account) -> None:
    store(account, letter("Old"), at=OLD)
    given = {"what": "received", "days": "365", "account": account.pk, "folder": "", "larger_than_mb": ""}
    page = administrator.post("/retention/rules/", given).content.decode()
    assert "Remove received mail older than 365 days?" in page and "1 now" in page
    assert not RetentionRule.objects.exists()
    assert administrator.post("/retention/rules/", {**given, "confirmed": "1"}).status_code == 302
    only = RetentionRule.objects.get()
    assert (only.what, only.days, only.account) == ("received", 365, account)
    assert AuditEntry.objects.filter(verb="retention_add", target=f"retention:{only.pk}").exists()
    assert "received mail" in administrator.get("/retention/").content.decode()
    administrator.post(f"/retention/rules/{only.pk}/remove/")
    assert not RetentionRule.objects.exists() and Message.objects.exists()


@pytest.mark.pages
@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"what": "sent", "days": "7"}, "From 30 to 36500 days."),
        ({"what": "activity", "days": "99", "folder": "INBOX"}, "Only received mail lies in folders."),
        ({"what": "drafts", "days": "99", "larger_than_mb": "1"}, "Only mail has a size."),
        ({"what": "everything", "days": "99"}, "everything"),
        ({"what": "runs", "days": "99999999999999999999"}, "days"),
    ],
)
def test_a_rule_that_says_nothing_sound_is_refused(
    administrator: Client, account: Account, given: dict[str, str], refused: str
) -> None:
    response = administrator.post("/retention/rules/", {**given, "confirmed": "1"})
    assert response.status_code == 422 and refused in response.content.decode()
    assert not RetentionRule.objects.exists()


@pytest.mark.pages
def test_a_hold_names_one_thing_and_is_released_after_a_question(administrator: Client, account: Account) -> None:
    message = store(account, letter("Old"), at=OLD)
    wrong: list[dict[str, object]] = [
        {"hold-reason": "x"},
        {"hold-reason": "x", "hold-address": "bob@example.com", "hold-account": account.email},
        {"hold-reason": "x", "hold-address": "no address"},
        {"hold-reason": "x", "hold-message_pk": message.pk + 1},
        {"hold-reason": "", "hold-message_pk": message.pk},
    ]
    for given in wrong:
        assert administrator.post("/retention/holds/", given).status_code == 422
    assert not LegalHold.objects.exists()
    administrator.post("/retention/holds/", {"hold-reason": "Case 1", "hold-message_pk": message.pk})
    hold = LegalHold.objects.get()
    assert hold.message == message and hold.created_by
    address = f"/retention/holds/{hold.pk}/release/"
    assert "Release this hold?" in administrator.post(address).content.decode()
    assert LegalHold.objects.standing().exists()
    administrator.post(address, {"confirmed": "1"})
    assert not LegalHold.objects.standing().exists()
    assert set(AuditEntry.objects.values_list("verb", flat=True)) == {"hold_add", "hold_release"}
    administrator.post("/retention/holds/", {"hold-reason": "Case 2", "hold-account": account.email})
    assert LegalHold.objects.standing().get().account == account


@pytest.mark.pages
def test_a_message_that_goes_while_a_hold_is_put_on_it_is_said_to_be_gone(
    administrator: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(hold: LegalHold) -> None:
        raise IntegrityError("FOREIGN KEY constraint failed")

    message = store(account, letter("Old"), at=OLD)
    monkeypatch.setattr(LegalHold, "save", gone)
    response = administrator.post("/retention/holds/", {"hold-reason": "Case 1", "hold-message_pk": message.pk})
    assert response.status_code == 422 and "is gone" in response.content.decode()


@pytest.mark.pages
def test_so_many_holds_as_a_query_takes_and_no_more_stand(administrator: Client, account: Account) -> None:
    store(account, letter("Old"), at=OLD)
    LegalHold.objects.bulk_create(
        LegalHold(address=f"a{number}@example.com", reason="Case 1") for number in range(forms.MOST)
    )
    response = administrator.post("/retention/holds/", {"hold-reason": "Case 2", "hold-account": account.email})
    assert response.status_code == 422 and "release one first" in response.content.decode()
    for what in KINDS:
        rule(what)
    swept()
    assert not Message.objects.exists()


def test_a_preview_tells_no_number_that_it_did_not_count(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, to in enumerate(("eve@example.com", "bob@example.com", "bob@example.com")):
        store(account, letter(f"Mail {number}", To=to), at=OLD + timedelta(days=number))
    LegalHold.objects.create(address="eve@example.com", reason="Case 1")
    found = rule("received")
    size = sum(Message.objects.order_by("received_at").values_list("size", flat=True)[1:])
    monkeypatch.setattr(kinds, "LOOKED_AT", 2)
    assert preview(found, NOW) == Preview(2, size, 1, False)
    monkeypatch.setattr(kinds, "LOOKED_AT", 1)
    told = preview(found, NOW)
    assert (told.number, told.held, told.is_more) == (1, None, True)


def test_the_cutoff_counts_days() -> None:
    assert RetentionRule(what="runs", days=7).cutoff(datetime(2026, 3, 8)) == datetime(2026, 3, 1)
