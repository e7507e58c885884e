"""How far the older mail is: the numbers, the words, and the account page that shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.accounts.health import PUSH_WORDS, push_words
from mailbox.models import Account, Folder, MessagePlace, PushHeartbeat, SyncRun, SyncRunFolder, SyncState
from mailbox.push import watcher
from mailbox.views.accounts.backfill import FetchedByRun, about, progress, rate_of, together
from tests.rows import folder_of, letter, queries_of, store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def line(began: float, ended: float, count: int) -> FetchedByRun:
    """Seconds before NOW."""
    return FetchedByRun(NOW - timedelta(seconds=began), NOW - timedelta(seconds=ended), count)


def test_the_rate_is_by_the_clock_with_the_pauses_between_runs() -> None:
    assert rate_of([line(100, 80, 300), line(60, 0, 700)], NOW) == 10


def test_a_run_that_began_long_ago_counts_for_its_recent_part() -> None:
    assert rate_of([line(5000, 0, 900)], NOW) == 1


@pytest.mark.parametrize("lines", [[], [line(100, 90, 0)], [line(600, 300, 50)], [line(2000, 1000, 50)]])
def test_what_says_nothing_of_the_future_gives_no_rate(lines: list[FetchedByRun]) -> None:
    assert rate_of(lines, NOW) is None


def test_progress_never_passes_the_whole_and_says_100_only_when_all_is_here() -> None:
    assert (progress(50, 40, 1.0).done, progress(50, 40, 1.0).percent) == (40, 100)
    assert progress(99_999, 100_000, None).percent == 99
    assert progress(0, 3, 0.01).seconds_left == 300
    assert progress(1, 3, None).time_left == ""


def test_folders_that_take_turns_add_up() -> None:
    whole = together([progress(10, 20, 1.0), progress(0, 30, 0.5)])
    assert whole is not None
    assert (whole.done, whole.total, whole.seconds_left) == (10, 50, 70)
    half_known = together([progress(10, 20, 1.0), progress(0, 30, None)])
    assert half_known is not None
    assert half_known.time_left == ""
    assert together([]) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (44, "less than a minute"),
        (50, "about 1 minute"),
        (180, "about 3 minutes"),
        (5300, "about 88 minutes"),
        (5400, "about 2 hours"),
        (100_000, "about 28 hours"),
        (1_000_000, "about 12 days"),
    ],
)
def test_a_time_left_is_said_as_a_person_says_it(seconds: float, words: str) -> None:
    assert about(seconds) == words


# --- the page ---------------------------------------------------------------------------------------------------------
def fetching(account: Account, name: str, here: int, exists: int, *, per_second: float = 0) -> Folder:
    """A folder with so many of so many messages, the last of them fetched at this rate."""
    folder, now = folder_of(account, name), timezone.now()
    SyncState.objects.create(
        account=account, folder=folder, uidvalidity=7, exists=exists, more_waiting=True, last_success_at=now,
        last_attempt_at=now, cursor=exists, backfill_cursor=exists - here,
    )  # fmt: skip
    message = store(account, letter(), folder="Elsewhere")
    MessagePlace.objects.bulk_create(
        MessagePlace(
            folder=folder, message=message, uidvalidity=7, uid=uid, size=1, received_at=now, raw_digest="x",
            header_digest="x",
        )
        for uid in range(1, here + 1)
    )  # fmt: skip
    if per_second:
        run = SyncRun.objects.create(started_at=now - timedelta(seconds=here / per_second))
        SyncRunFolder.objects.create(
            run=run, account=account, folder=folder, folder_name=name, ok=True, fetched=here, finished_at=now
        )
    return folder


@pytest.mark.django_db
def test_the_page_says_how_far_it_is_and_how_long_it_takes_folder_by_folder(viewer: Client, account: Account) -> None:
    fetching(account, "INBOX", 20, 1220, per_second=10)
    fetching(account, "Lists", 30, 90, per_second=1)
    page = viewer.get(reverse("mailbox:account", args=[account.pk]), headers={"HX-Request": "true"}).content.decode()
    words = " ".join(page.split())
    assert (
        '<span class="number">50</span> of <span class="number">1,310</span> messages are here, about 3 minutes left'
        in words
    )
    assert "20 of 1,220, about 2 minutes left" in words
    assert "30 of 90, about 1 minute left" in words
    assert '<progress value="20" max="1220"' in words
    whole = viewer.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert "Older mail is being fetched" in whole  # without a script, too


@pytest.mark.django_db
def test_without_a_recent_run_there_is_no_guess(viewer: Client, account: Account) -> None:
    fetching(account, "INBOX", 20, 1220)
    page = viewer.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert "20 of 1,220" in page
    assert "left" not in page.split("backfill-words")[1].split("</p>")[0]


@pytest.mark.django_db
def test_a_folder_in_step_has_no_bar(viewer: Client, account: Account) -> None:
    SyncState.objects.create(account=account, folder=folder_of(account), exists=5, last_success_at=timezone.now())
    assert "<progress" not in viewer.get(reverse("mailbox:account", args=[account.pk])).content.decode()


@pytest.mark.django_db
def test_more_folders_cost_no_more_questions(viewer: Client, account: Account) -> None:
    fetching(account, "INBOX", 2, 10, per_second=1)
    url = reverse("mailbox:account", args=[account.pk])
    before, after = queries_of(viewer, url, lambda: [fetching(account, name, 2, 9, per_second=1) for name in "abc"])
    assert before == after


# --- push -----------------------------------------------------------------------------------------------------------
def test_each_state_of_a_connection_has_its_words() -> None:
    assert set(PUSH_WORDS) == {state.value for state in watcher.State}


@pytest.mark.django_db
def test_the_page_says_how_push_does(viewer: Client, account: Account, settings: Any) -> None:
    folder = folder_of(account)
    now = timezone.now()
    url = reverse("mailbox:account", args=[account.pk])
    assert "no process listens" in viewer.get(url).content.decode()
    PushHeartbeat.beat("of web1", "web1", 5, {}, now)
    PushHeartbeat.beat("of web2", "web2", 6, {str(account.pk): "connected"}, now)
    assert "Push: connected" in viewer.get(url).content.decode()
    rows = list(PushHeartbeat.objects.alive(now))
    later = now + PushHeartbeat.SILENT_AFTER + timedelta(seconds=1)
    assert "no process listens" in push_words(account, [folder], list(PushHeartbeat.objects.alive(later)))
    settings.PUSH_CONNECTIONS = 1
    assert push_words(account, [folder], rows[:1]) == "connecting"
    rows[0].states = {"0": "connected"}
    assert "as many accounts as they may" in push_words(account, [folder], rows[:1])
    account.push_enabled = False
    assert push_words(account, [folder], rows).startswith("off")
    account.push_enabled, account.sync_enabled = True, False
    assert push_words(account, [folder], rows) == "off, as fetching is off"
    account.sync_enabled = True
    assert push_words(account, [], rows) == "off, as INBOX is not synced"
    account.imap.needs_sign_in_since = now
    assert push_words(account, [folder], rows) == "waits for a new sign-in"
