"""A broker that loses its queue loses no work: each kind of task that is queued is found again by a sweep."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ, Schedule

from mailbox import tasks
from mailbox.models import Account, ConnectionTest, ImageFetch, OAuthApp, Preview, SettingsLookup
from mailbox.tasks.requeue_unstarted import take_up_forgotten
from tests.rows import NOWHERE, letter, store, tasks_queued
from tests.servers.site import ROOT

pytestmark = pytest.mark.django_db
FORGOTTEN = "mailbox.tasks.take_up_forgotten"
SWEPT_BY = {  # what is queued -> the schedule that finds it again
    "mailbox.tasks.compare_account": "mailbox.tasks.compare_due",
    "mailbox.tasks.compare_due": "mailbox.tasks.compare_due",
    "mailbox.tasks.export_slice": "mailbox.tasks.export_sweep",
    "mailbox.tasks.fetch_images": FORGOTTEN,
    "mailbox.tasks.list_folders": FORGOTTEN,
    "mailbox.tasks.look_up": FORGOTTEN,
    "mailbox.tasks.make_preview": FORGOTTEN,
    "mailbox.tasks.oauth_discover": FORGOTTEN,
    "mailbox.tasks.oauth_finish": FORGOTTEN,
    "mailbox.tasks.remove_expunged_slice": "mailbox.tasks.remove_expunged",
    "mailbox.tasks.reparse_slice": "mailbox.tasks.reparse_stalled",
    "mailbox.tasks.sync_account": FORGOTTEN,
    "mailbox.tasks.sync_pushed": "mailbox.tasks.sync_tick",
    "mailbox.tasks.sync_share": "mailbox.tasks.sync_tick",
    "mailbox.tasks.sync_tick": "mailbox.tasks.sync_tick",
    "outbox.tasks.copy_to_sent": "outbox.tasks.sweep_afterwards",
    "outbox.tasks.delete_account": "outbox.tasks.sweep_operations",
    "outbox.tasks.deliver": "outbox.tasks.sweep",
    "outbox.tasks.look_in_sent": "outbox.tasks.sweep_afterwards",
    "outbox.tasks.read_reports": "outbox.tasks.sweep_afterwards",
    "outbox.tasks.run_connection_test": FORGOTTEN,
    "outbox.tasks.run_operation": "outbox.tasks.sweep_operations",
    "alerts.tasks.send_due": "alerts.tasks.watch",
    "alerts.tasks.send_events": "alerts.tasks.send_events",
    "prx_email_site.list_exports.tasks.list_export_slice": "prx_email_site.list_exports.tasks.list_export_sweep",
    "prx_email_site.personal_data.tasks.person_export_slice": "prx_email_site.personal_data.tasks.person_sweep",
    "prx_email_site.personal_data.tasks.person_slice": "prx_email_site.personal_data.tasks.person_sweep",
    "people.tasks.answer_password_requests": "people.tasks.answer_password_requests",
}


def test_each_kind_of_task_that_the_sources_queue_has_a_sweep_that_runs() -> None:
    queued = set()
    for app in ("mailbox", "outbox", "alerts", "people", "api", "prx_email_site"):
        for file in (ROOT / app).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            queued |= set(re.findall(r'queue\(\s*f?"([a-z_.{}]+)"', text))
    queued.remove("outbox.tasks.{name}")  # that module names its functions without their package
    assert {each if "." in each else f"outbox.tasks.{each}" for each in queued} == set(SWEPT_BY)
    assert all(callable(import_string(each)) for each in SWEPT_BY)
    assert set(SWEPT_BY.values()) <= set(Schedule.objects.values_list("func", flat=True))


def test_what_pages_asked_for_is_queued_again_when_the_broker_has_lost_it(
    make_account: Callable[..., Account], make_user: Callable[..., User], client: Client
) -> None:
    user, account = make_user("administrator"), make_account("ops@example.com", **NOWHERE)
    client.force_login(user)
    client.post(reverse("mailbox:account_sync", args=[account.pk]))
    client.post(reverse("mailbox:account_folders_refresh", args=[account.pk]))
    asked, message = timezone.now() - timedelta(minutes=1), store(account, letter())
    Account.objects.update(sync_asked_at=asked, listing_asked_at=asked)
    SettingsLookup.objects.create(asked_by=user, email="a@example.com", asked_at=asked)
    ConnectionTest.objects.create(account=account, requested_at=asked)
    Preview.objects.create(digest="0" * 64, source="1" * 64, position=0, content_type="a/b", asked_at=asked)
    ImageFetch.objects.create(message=message, asked_at=asked, claimed_at=asked - timedelta(hours=1))
    OAuthApp.objects.create(kind="discovery", name="Own", discovery_url="https://id.example.com")
    assert len(tasks_queued()) == 2
    OrmQ.objects.all().delete()  # as Redis after FLUSHALL, or a restart without its file

    take_up_forgotten()

    assert sorted(tasks_queued()) == [
        "mailbox.tasks.fetch_images",
        "mailbox.tasks.list_folders",
        "mailbox.tasks.look_up",
        "mailbox.tasks.make_preview",
        "mailbox.tasks.oauth_discover",
        "mailbox.tasks.sync_account",
        "outbox.tasks.run_connection_test",
    ]


def test_so_is_what_was_asked_for_or_claimed_by_a_clock_that_was_ahead(make_account: Callable[..., Account]) -> None:
    account, ahead, asked = make_account(**NOWHERE), timezone.now() + timedelta(days=1), timezone.now()
    message, asked = store(account, letter()), asked - timedelta(minutes=1)
    Account.objects.update(sync_asked_at=ahead, listing_asked_at=ahead)
    claimed = {"asked_at": asked, "claimed_at": ahead}
    Preview.objects.create(digest="0" * 64, source="1" * 64, position=0, content_type="a/b", **claimed)
    ImageFetch.objects.create(message=message, **claimed)
    OrmQ.objects.all().delete()
    take_up_forgotten()
    assert {each.rpartition(".")[2] for each in tasks_queued()} == {
        "fetch_images",
        "list_folders",
        "make_preview",
        "sync_account",
    }


def test_what_a_worker_has_begun_is_not_queued_again(
    make_account: Callable[..., Account], make_user: Callable[..., User], client: Client
) -> None:
    account = make_account("ops@example.com", **NOWHERE)
    client.force_login(make_user("administrator"))
    client.post(reverse("mailbox:account_sync", args=[account.pk]))
    client.post(reverse("mailbox:account_folders_refresh", args=[account.pk]))
    account.refresh_from_db()
    assert account.sync_asked_at and account.listing_asked_at
    take_up_forgotten()
    assert len(tasks_queued()) == 2  # a moment ago: a worker is about to take them
    tasks.sync_account(account.pk, None)
    tasks.list_folders(account.pk)
    account.refresh_from_db()
    assert (account.sync_asked_at, account.listing_asked_at) == (None, None)


def test_an_account_whose_folders_could_not_be_listed_is_asked_for_them_again(
    make_account: Callable[..., Account],
) -> None:
    waiting, chosen, refused = (make_account(**NOWHERE) for _ in range(3))
    for account in (waiting, chosen, refused):
        account.folders.create(name="INBOX", sync_enabled=account == chosen)
    refused.imap.mark_needs_sign_in("no", timezone.now())
    OrmQ.objects.all().delete()
    take_up_forgotten()
    waiting.refresh_from_db()
    assert tasks_queued() == ["mailbox.tasks.list_folders"]
    assert waiting.listing_asked_at
