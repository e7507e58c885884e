"""The deletion of an account with much mail: by slices, whatever is killed, and never against a refusal."""

from __future__ import annotations

from itertools import count

import pytest
from django.db.models.signals import post_delete
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from alerts.models import Kind
from alerts.problems.find import find_problems
from mailbox.models import Account, AuditEntry, Lease, LegalHold, Message
from mailbox.resting_batches import RestingBatches
from outbox import account_deletion, tasks
from outbox.account_deletion import Outcome
from tests.api.calling import Program, program
from tests.rows import letter, outbox_row, store, tasks_queued

__all__ = ["program"]
pytestmark = pytest.mark.django_db


def one_by_one(seconds_each: float = 1.0) -> RestingBatches:
    """Batches of one row; its clock goes on by `seconds_each` at each look."""
    ticks = count()
    return RestingBatches(lambda: next(ticks) * seconds_each, lambda _seconds: None, most=1)


def taken() -> list[str]:
    """What workers are asked for, as if they took it."""
    found = tasks_queued()
    OrmQ.objects.all().delete()
    return found


@pytest.fixture
def asked(account: Account) -> Account:
    """An account with four mails whose deletion was asked for."""
    for number in range(3):
        store(account, letter(f"Mail {number}"))
    outbox_row(account, status="sent")
    Account.objects.update(deleting_since=timezone.now())
    return account


def test_a_slice_ends_in_time_and_leaves_no_lease(asked: Account) -> None:
    assert account_deletion.go_on(asked.pk, 7.0, one_by_one()) == Outcome(left=True)
    assert Message.objects.count() == 1, "two transactions of three seconds by that clock fit"
    assert not Lease.objects.exists()
    assert Account.objects.get().sync_enabled is False, "a sync would bring back what was removed"


def test_workers_go_on_until_the_account_is_gone(asked: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = []

    def short(account_id: int) -> Outcome:
        slices.append(account_deletion.go_on(account_id, 4.0, one_by_one()))
        return slices[-1]

    monkeypatch.setattr(account_deletion, "go_on_by_worker", short)
    while Account.objects.exists():
        assert tasks.delete_account(asked.pk)["left"] == (taken() == ["outbox.tasks.delete_account"])
    assert len(slices) > 2 and slices[-1] == Outcome()


def test_what_a_killed_process_left_is_found_by_the_sweep(asked: Account) -> None:
    Lease.acquire(asked.pk, "sync", "a process that was killed", seconds=60, now=timezone.now())
    tasks.sweep_operations()
    assert taken() == ["outbox.tasks.delete_account"]
    assert tasks.delete_account(asked.pk) == {"left": True}
    assert taken() == [], "the sweep asks again, not a task that finds the lease held"
    Lease.objects.update(expires_at=timezone.now())
    assert tasks.delete_account(asked.pk) == {"left": False}
    assert not Account.objects.exists() and not Message.objects.exists()


def test_a_task_that_runs_twice_finds_nothing_to_do(asked: Account) -> None:
    assert tasks.delete_account(asked.pk) == tasks.delete_account(asked.pk) == {"left": False}


def test_nothing_is_removed_without_having_been_asked_for(account: Account) -> None:
    store(account, letter())
    assert tasks.delete_account(account.pk) == {"left": False}
    assert Message.objects.exists() and Account.objects.get().sync_enabled is True


def test_a_hold_that_is_set_between_two_slices_ends_the_deletion_and_is_said(asked: Account) -> None:
    account_deletion.go_on(asked.pk, 5.0, one_by_one())
    LegalHold.objects.create(account=asked, reason="Case 1")
    assert tasks.delete_account(asked.pk) == {"left": False}
    row = Account.objects.get()
    assert (row.deleting_since, row.sync_enabled) == (None, False)
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.account_id) == ("stop_deletion", asked.pk) and "legal hold" in entry.detail
    assert Message.objects.exists()
    [problem] = [each for each in find_problems(timezone.now()).found if each.kind == Kind.DELETION]
    assert (problem.key, problem.account_id) == (f"deletion:{asked.pk}", asked.pk)


@pytest.fixture
def stopped(asked: Account) -> Account:
    """The account, after a worker found a legal hold."""
    hold = LegalHold.objects.create(account=asked, reason="Case 1")
    tasks.delete_account(asked.pk)
    hold.delete()
    asked.refresh_from_db()
    assert asked.deletion_stopped_at is not None
    return asked


def test_a_person_keeps_an_account_whose_deletion_was_stopped(administrator: Client, stopped: Account) -> None:
    url = reverse("account_delete", args=[stopped.pk])
    assert url in administrator.get("/").content.decode()
    assert "Keep the account" in administrator.get(url).content.decode()
    administrator.post(url, {"keep": "1"})
    row = Account.objects.get()
    assert (row.deletion_stopped_at, row.sync_enabled, row.send_enabled) == (None, True, True)
    assert AuditEntry.objects.latest("pk").verb == "keep_account"
    administrator.post(url, {"keep": "1"})
    assert AuditEntry.objects.filter(verb="keep_account").count() == 1
    assert "Keep the account" not in administrator.get(url).content.decode()


def test_the_account_of_the_sites_own_mail_is_kept_without_being_fetched(stopped: Account) -> None:
    stopped.sends_site_mail = True
    stopped.save()
    stopped.keep()
    row = Account.objects.get()
    assert (row.deletion_stopped_at, row.sync_enabled, row.send_enabled) == (None, False, True)


def test_it_may_be_deleted_after_all(administrator: Client, stopped: Account) -> None:
    administrator.post(reverse("account_delete", args=[stopped.pk]))
    assert not Account.objects.exists()


def test_a_refusal_leaves_it_stopped(stopped: Account) -> None:
    outbox_row(stopped, status="pending")
    assert account_deletion.ask(stopped, lambda: None).refusal
    assert Account.objects.get().deletion_stopped_at == stopped.deletion_stopped_at


def test_fetching_or_sending_again_is_to_keep_it(administrator: Client, stopped: Account, program: Program) -> None:
    found = program.get(f"/accounts/{stopped.pk}").json()["data"]
    assert found["deletion_stopped_at"] and found["deleting_since"] is None
    kinds = [each["kind"] for each in program.get(f"/accounts/{stopped.pk}/health").json()["data"]]
    assert kinds[0] == "deletion_stopped"
    at = Account.objects.filter(pk=stopped.pk)
    administrator.post(reverse("mailbox:account_fetching", args=[stopped.pk]), {"on": "1"})
    assert at.get().deletion_stopped_at is None
    at.update(deletion_stopped_at=stopped.deletion_stopped_at, sync_enabled=False)
    answer = program.ask("patch", f"/accounts/{stopped.pk}", {"fetches_mail": True})
    assert (answer.status_code, answer.json()["data"]["deletion_stopped_at"]) == (200, None)


def test_a_process_that_stood_still_until_its_leases_ran_out_removes_nothing_more(asked: Account) -> None:
    def take(sender: object, **_: object) -> None:
        Lease.objects.filter(purpose="sync").update(token="another's", holder="a sync")

    post_delete.connect(take, sender=Message)
    try:
        outcome = account_deletion.go_on(asked.pk, 1000.0, one_by_one(seconds_each=10.0))
    finally:
        post_delete.disconnect(take, sender=Message)
    assert outcome == Outcome(left=True, busy=True)
    assert Message.objects.count() == 2
    assert Lease.objects.get().holder == "a sync", "the other's lease stays"


def test_the_page_says_that_it_is_under_way_and_asks_nothing(administrator: Client, asked: Account) -> None:
    url = reverse("account_delete", args=[asked.pk])
    page = administrator.get(url).content.decode()
    assert "removed here part by part" in page and '<form method="post" class="panel"' not in page
    administrator.post(url)
    assert not AuditEntry.objects.exists() and Message.objects.count() == 3
