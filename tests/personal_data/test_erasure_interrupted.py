"""An erasure that is killed, that rests, or that two workers go on with: each row is counted once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User

from mailbox.models import Account, Message, PersonSearch
from mailbox.resting_batches import RestingBatches
from prx_email_site.personal_data import requests, walking
from prx_email_site.personal_data.tables import TABLES
from tests.personal_data.everywhere import EVE, NOW, fill, searched, worked
from tests.rows import letter, store

pytestmark = pytest.mark.django_db


def test_killed_in_the_middle_of_any_batch_it_goes_on_and_counts_each_row_once(
    account: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    fill(account, make_user("administrator"))
    for number in range(5):
        store(account, letter(f"Mail {number}", From=EVE))
    monkeypatch.setattr(walking, "BATCH", 2)
    note, calls = walking._note, iter(range(10_000))

    def killed(*args: Any) -> None:
        note(*args)
        if next(calls) % 3 == 0:
            raise Killed

    search = searched()
    requests.confirm(search, None, mentions=False, now=NOW)
    monkeypatch.setattr(walking, "_note", killed)
    died = 0
    while True:
        try:
            search = worked(PersonSearch.objects.get(pk=search.pk))
            break
        except Killed:
            died += 1
    assert died > len(TABLES) // 4
    assert search.found["mailbox.Message"] == {"removed": 6, "mentioned": 1}
    assert not Message.objects.filter(sender_address=EVE).exists()


def test_it_rests_after_each_transaction_as_long_as_that_took(account: Account) -> None:
    for number in range(5):
        store(account, letter(f"Mail {number}", From=EVE))
    search = searched()
    requests.confirm(search, None, mentions=False, now=NOW)
    search.refresh_from_db()
    before, ticks, rests = search.steps, count(), list[float]()
    batches = RestingBatches(lambda: next(ticks) * 0.25, rests.append, most=2)  # the clock goes on at each look
    walking.run(search, seconds=1e9, batches=batches)
    search.refresh_from_db()
    assert search.state == "erased" and search.found["mailbox.Message"] == {"removed": 5}
    assert rests == [0.25] * (search.steps - before) and len(rests) >= len(TABLES) + 2


def test_of_two_workers_one_is_too_late(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    store(account, letter("Mail", From=EVE))
    search = searched()
    requests.confirm(search, None, mentions=False, now=NOW)
    search.refresh_from_db()
    slow = PersonSearch.objects.get(pk=search.pk)
    assert worked(search).found["mailbox.Message"] == {"removed": 1}
    assert walking._step(slow, NOW, RestingBatches()) is False
    assert PersonSearch.objects.get(pk=search.pk).found["mailbox.Message"] == {"removed": 1}
