"""What the navigation and the tab's title count is what the dashboard says in sentences, problem by problem."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from alerts.models import AlertIncident, Kind
from mailbox.accounts.health import conditions
from mailbox.accounts.needing import in_trouble
from mailbox.accounts.waiting_mail import of_failing
from mailbox.errors import OverQuota
from mailbox.models import (
    Account,
    AccountGrant,
    Folder,
    OAuthApp,
    OAuthGrant,
    PushHeartbeat,
    Quarantine,
    RestoreProof,
    SyncState,
    Transport,
    WorkerHeartbeat,
)
from outbox.models import DeliveryReport, SendingSwitch
from prx_email_site.needs import OF_INCIDENTS
from tests.dashboard.board import account, board, needs, workers_alive
from tests.rows import NOWHERE, folder_of, outbox_row

__all__ = ["account"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
NOW = timezone.now
CERTIFICATE = "certificate has expired"


def ago(**time: float) -> datetime:
    return NOW() - timedelta(**time)


def host(name: str, seen_at: datetime | None = None, **fields: Any) -> None:
    at = seen_at or NOW()
    WorkerHeartbeat.objects.create(host=name, cluster_pid=2, started_at=at, seen_at=at, **fields)


def behind(_account: Account) -> None:
    SyncState.objects.update(last_success_at=ago(hours=3))


def never_fetched(_account: Account) -> None:
    SyncState.objects.all().delete()
    Account.objects.update(created_at=ago(hours=3))
    Folder.objects.update(created_at=ago(hours=3))


def no_folder(_account: Account) -> None:
    Folder.objects.update(sync_enabled=False)
    Account.objects.update(folders_listed_at=NOW())


def folder_gone(_account: Account) -> None:
    Folder.objects.update(gone_at=NOW())
    Account.objects.update(folders_listed_at=NOW())


def stopped(_account: Account) -> None:
    SyncState.objects.update(stopped_at=NOW())


def deletion_stopped(_account: Account) -> None:
    Account.objects.update(sync_enabled=False, send_enabled=False, deletion_stopped_at=NOW())


def fetching_off(_account: Account) -> None:
    Account.objects.update(sync_enabled=False)


def fails(times: int, words: str) -> Callable[[Account], None]:
    def make(_account: Account) -> None:
        SyncState.objects.update(failure_count=times, last_error=words)

    return make


def two_folders_fail(account: Account) -> None:
    """One for a reason that waiting does not mend, the other more often."""
    SyncState.objects.update(failure_count=1, last_error=CERTIFICATE)
    SyncState.objects.create(
        account=account,
        folder=folder_of(account, "Work"),
        failure_count=2,
        last_error="no answer",
        last_success_at=NOW(),
    )


def server(kind: str, **fields: Any) -> Callable[[Account], None]:
    def make(account: Account) -> None:
        Transport.objects.filter(pk=getattr(account, f"{kind}_id")).update(**fields)

    return make


def no_mail_is_taken(account: Account) -> None:
    server("smtp", failing_since=ago(minutes=11), last_reply="451 Later")(account)
    outbox_row(account)


def paused(_account: Account) -> None:
    Account.objects.update(sending_paused_at=NOW())


def all_paused(_account: Account) -> None:
    SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": NOW()})


def no_worker(account: Account) -> None:
    """All is late then, which is no further problem."""
    WorkerHeartbeat.objects.update(seen_at=ago(minutes=10))
    host("web2", ago(minutes=20))
    behind(account)


def no_worker_since_a_clock_was_ahead(account: Account) -> None:
    """A worker beat while its machine stood in the wrong year, and died: its beat says nothing of now."""
    no_worker(account)
    host("web3", ago(days=-365))


def host_ahead(_account: Account) -> None:
    host("web2", ago(hours=-1))


def hosts(_account: Account) -> None:
    host("web2", ago(minutes=3))
    host("web3", store_failed_since=ago(minutes=3))
    host("web4", broker_away_since=ago(minutes=3))
    host("web5", fetching_stopped_since=ago(minutes=3), disk_free_percent=1)
    host("web6", disk_free_percent=3)


def host_moved(_account: Account) -> None:
    """An old process of a host whose new one works."""
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=9, started_at=NOW(), seen_at=ago(minutes=5))


def no_push(_account: Account) -> None:
    PushHeartbeat.objects.update(seen_at=ago(minutes=2))


def no_push_wanted(account: Account) -> None:
    no_push(account)
    Account.objects.update(push_enabled=False)


def restores(*faults: str) -> Callable[[Account], None]:
    def make(_account: Account) -> None:
        for fault in faults:
            RestoreProof.objects.create(proven_at=NOW(), fault=fault, detail=fault and "A file is missing.")

    return make


def provider_refuses(_account: Account) -> None:
    app = OAuthApp.objects.create(kind="google", name="Google")
    for _ in range(2):
        OAuthGrant.objects.create(
            app=app, flow="person", encrypted_access_token="x", failure="app", last_reply="Google: invalid_client"
        )


def incident(key: str, **fields: Any) -> Callable[[Account], None]:
    def make(_account: Account) -> None:
        given = {"kind": key.split(":")[0], "sentence": "Something ends.", "path": "/alerts/", **fields}
        AlertIncident.objects.create(key=key, opened_at=NOW(), present_since=NOW(), **given)

    return make


def held(account: Account) -> None:
    for hold in ("uncertain", "permanent", "gave_up"):
        outbox_row(account, status="failed", hold=hold)


def reported(account: Account) -> None:
    for action in ("failed", "complaint", "delayed"):
        row = outbox_row(account, status="sent", sent_at=NOW())
        DeliveryReport.objects.create(outbox=row, address="a@x.example", action=action, reported_at=NOW())


def quarantined(account: Account) -> None:
    Quarantine.objects.create(account=account, folder=folder_of(account), uid=1, uidvalidity=1, error="Unreadable")


# (what is wrong, the address of the section that counts it, the number)
PROBLEMS: list[tuple[Callable[[Account], None], str, int]] = [
    (behind, "/accounts/", 1),
    (never_fetched, "/accounts/", 1),
    (no_folder, "/accounts/", 1),
    (folder_gone, "/accounts/", 1),
    (stopped, "/accounts/", 1),
    (deletion_stopped, "/accounts/", 1),
    (fails(3, "no answer"), "/accounts/", 1),
    (fails(1, CERTIFICATE), "/accounts/", 1),
    (two_folders_fail, "/accounts/", 1),
    (no_mail_is_taken, "/accounts/", 1),
    (server("imap", needs_sign_in_since=NOW()), "/accounts/", 1),
    (server("smtp", needs_sign_in_since=NOW()), "/accounts/", 1),
    (server("imap", next_allowed_at=ago(hours=-1), last_reply=OverQuota.WORDS), "/accounts/", 1),
    (server("smtp", next_allowed_at=ago(hours=-1), last_reply=CERTIFICATE), "/accounts/", 1),
    (paused, "/accounts/", 1),
    (all_paused, "/", 1),
    (no_worker, "/", 1),
    (no_worker_since_a_clock_was_ahead, "/", 1),
    (host_ahead, "/", 1),
    (hosts, "/", 5),
    (no_push, "/", 1),
    (restores("", "missing"), "/", 1),
    (provider_refuses, "/", 1),
    (incident("ending:1"), "/", 1),
    (incident("restore:old"), "/", 1),
    (incident("store-miss:web1", kind="store"), "/", 1),
    (held, "/outbox/", 3),
    (reported, "/outbox/", 2),
    (quarantined, "/messages/", 1),
]
CALM: list[Callable[[Account], None]] = [
    lambda account: None,
    fetching_off,
    lambda account: (behind(account), fetching_off(account)),
    fails(2, "no answer"),
    server("smtp", failing_since=ago(minutes=11), last_reply="451 Later"),  # nothing waits for it
    server("smtp", next_allowed_at=ago(hours=-1), last_reply="451 Later"),
    host_moved,
    no_push_wanted,
    restores("missing", ""),
    incident("ending:1", absent_since=NOW()),
    incident("ending:1", closed_at=NOW()),
    incident("disk:web1"),  # which the dashboard finds by itself while it lasts
]


def counted(page: str) -> dict[str, int]:
    """Address of a section -> the number on its badge."""
    links = re.findall(r'<a href="([^"]+)" data-go="\w"[^>]*>[^<]+<span class="count needs"[^>]*>(\d+)<', page)
    return {address: int(number) for address, number in links}


@pytest.mark.parametrize(("problem", "section", "number"), PROBLEMS)
def test_each_problem_of_the_dashboard_is_counted_on_every_page(
    administrator: Client, account: Account, problem: Callable[[Account], None], section: str, number: int
) -> None:
    workers_alive()
    problem(account)
    page = board(administrator)
    part = needs(page)
    assert '<div class="notice tone-' in part and "Nothing needs you." not in part
    assert f'Needs you <span class="count needs">{number}</span>' in part
    assert f"<title>({number}) Dashboard" in page
    assert counted(page) == {section: number}
    assert counted(administrator.get("/keyboard/").content.decode()) == {section: number}


@pytest.mark.parametrize("state", CALM)
def test_what_needs_nobody_is_neither_said_nor_counted(
    administrator: Client, account: Account, state: Callable[[Account], None]
) -> None:
    workers_alive()
    state(account)
    page = board(administrator)
    assert "Nothing needs you." in needs(page)
    assert "<title>Dashboard" in page
    assert counted(page) == {}


@pytest.mark.parametrize("make", [*[each[0] for each in PROBLEMS], *CALM])
def test_an_account_is_found_in_trouble_where_its_health_says_so(
    account: Account, make: Callable[[Account], None]
) -> None:
    """Both decide from the same facts, one for each account of a page and one in the database for all of them."""
    workers_alive()
    make(account)
    now, row = NOW(), Account.objects.select_related("imap", "smtp").get(pk=account.pk)
    folders = list(Folder.objects.chosen().filter(account=row).select_related("sync_state"))
    works = WorkerHeartbeat.objects.alive(now).exists()
    said = conditions(row, folders, now, of_failing([row], now), has_workers=works)
    wrong = [each for each in said if each.tone in ("needs", "broken") and each.remedy != "resume"]
    wrong = wrong if works else [each for each in wrong if each.kind not in ("behind", "no_worker")]
    assert Account.objects.filter(in_trouble(now)).exists() == bool(wrong)


def test_alerts_of_an_account_or_of_the_site_are_for_those_who_may_see_them(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    workers_alive()
    other = make_account("other@example.com", **NOWHERE)
    for number in range(8):
        incident(f"incomplete:{number}", account=account)(account)
    incident("incomplete:other", account=other, sentence="Not of this one.")(account)
    incident("events:1")(account)
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    page = board(client)
    assert "<title>(8) Dashboard" in page
    assert needs(page).count("Something ends.") == 2 * 6  # in the sentence and in the button's name
    assert "2 more alerts" in needs(page)
    assert "Not of this one." not in page


def test_each_kind_of_alert_has_a_line_of_its_own_or_is_told_by_its_incident() -> None:
    """A new kind is put in one of the two: else `status` and alerts would say what no page counts."""
    own = "workers host push store broker disk restore paused sending sign_in uncertain failed bounce complaint"
    own += " stopped deletion behind quarantine alert_mail"
    assert set(own.split()) | set(OF_INCIDENTS) == set(Kind.values)
    assert not set(own.split()) & set(OF_INCIDENTS)


def test_who_sees_no_account_is_needed_by_nothing(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    no_push(account)
    all_paused(account)
    client.force_login(make_user(""))
    assert "<title>Dashboard" in board(client)
