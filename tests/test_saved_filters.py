"""Filters that get a name: one's own, and shared ones; and the outbox's list as a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry, SavedFilters
from prx_email_site.templatetags.prx import to_second
from tests.rows import NOWHERE, attempt, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
FAILED = "state=failed_for_good&code=550"


def another(make_user: Callable[..., User], role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def save(client: Client, name: str, query: str = FAILED, **more: str) -> int:
    data = {"page": "outbox", "name": name, "query": query} | more
    return client.post(reverse("mailbox:filters"), data).status_code


def test_a_filter_is_kept_above_its_list_for_its_person_and_taken_away_again(
    operator: Client, make_user: Callable[..., User]
) -> None:
    save(operator, "Refused <b>", f"{FAILED}&before=5&limit=2&operation=9")
    page = operator.get("/outbox/").content.decode()
    assert '<a class="chip" href="?state=failed_for_good&amp;code=550"><bdi>Refused &lt;b&gt;</bdi></a>' in page
    assert "Refused" not in operator.get("/activity/").content.decode()
    assert "Refused" not in another(make_user, "administrator").get("/outbox/").content.decode()
    assert ">Remove<" in operator.get(f"/outbox/?{FAILED}").content.decode()
    save(operator, "Refused <b>", do="remove")
    assert "<bdi>Refused" not in operator.get("/outbox/").content.decode()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("page", "address", "query"),
    [
        ("messages", "/messages/", "account={account}&by=conversation&team=open"),
        ("attachments", "/outbox/attachments/", "direction=received&type=pdf&size=1m"),
        ("accounts", "/accounts/", "state=trouble"),
        ("activity", "/activity/", "verb=retry"),
        ("search", "/messages/search/", "q=invoice"),
    ],
)
def test_each_list_with_filters_keeps_them_and_says_which_is_shown(
    operator: Client, account: Account, page: str, address: str, query: str
) -> None:
    asked = f"{address}?{query.format(account=account.pk)}"
    offered = re.search(r'name="query" value="([^"]+)"', operator.get(asked).content.decode())
    assert offered
    assert save(operator, "Mine", unescape(offered[1]), page=page) == 302
    assert 'aria-current="true"><bdi>Mine</bdi>' in operator.get(asked).content.decode()
    assert "<bdi>Mine</bdi>" in operator.get(address).content.decode()


def test_a_shared_filter_stands_there_for_all_and_only_its_person_or_an_administrator_changes_it(
    operator: Client, make_user: Callable[..., User]
) -> None:
    viewer, colleague = another(make_user, "viewer"), another(make_user, "operator")
    assert save(viewer, "Mine", shared="1") == 403
    assert save(operator, "Ours", shared="1") == 302
    assert "Ours" in viewer.get("/outbox/").content.decode()
    assert ">Remove<" not in colleague.get(f"/outbox/?{FAILED}").content.decode()
    assert save(colleague, "Ours", "state=sent", shared="1") == 403
    assert save(colleague, "Ours", shared="1", do="remove") == 403
    assert save(another(make_user, "administrator"), "Ours", shared="1", do="remove") == 302
    assert SavedFilters.objects.get(pk="shared").filters == []
    assert set(AuditEntry.objects.values_list("verb", flat=True)) == {"share_filter", "remove_filter"}


def test_what_is_no_filter_is_not_kept(operator: Client) -> None:
    for data in ({}, {"page": "outbox"}, {"page": "admin", "name": "x"}, {"page": "outbox", "name": "x" * 61}):
        response = operator.post(reverse("mailbox:filters"), data, follow=True)
        assert "Nothing was changed." in response.content.decode()
    long = {"page": "outbox", "name": "x", "query": f"q={'%E4%BC%9A' * 200}"}
    assert "Nothing was changed." in operator.post(reverse("mailbox:filters"), long, follow=True).content.decode()
    assert not SavedFilters.objects.exists()
    for number in range(SavedFilters.AT_MOST):
        assert save(operator, f"f{number}") == 302
    assert save(operator, "f0", "state=sent") == 302  # takes the other's place
    assert save(operator, "one more") == 400


def test_the_outbox_says_when_a_mail_failed_and_comes_as_a_file_without_formulas(
    operator: Client, make_account: Callable[..., Account]
) -> None:
    account, at = make_account("ops@example.com", **NOWHERE), timezone.now()
    failed = outbox_row(account, "=1+1", status="failed", hold="permanent", error="550 no such user")
    attempt(failed, finished_at=at)
    outbox_row(account, "Waits", status="pending")
    page = operator.get("/outbox/?state=failed_for_good").content.decode()
    assert "<th>Failed at</th>" in page
    assert f'data-label="failed at"><div id="row-{failed.pk}-failed"><time datetime="{to_second(at)}"' in page
    assert "failed <time" not in page
    assert "Failed at" not in operator.get("/outbox/?state=queued").content.decode()
    assert f'failed <time datetime="{to_second(at)}"' in operator.get("/outbox/").content.decode()
    shown = unescape(page.split(f'hx-get="{reverse("outbox:changes")}')[1].split('"')[0])
    attempt(failed, finished_at=at + timedelta(minutes=5))
    changed = operator.get(reverse("outbox:changes") + shown).content.decode()
    later = to_second(at + timedelta(minutes=5))
    assert f'<div id="row-{failed.pk}-failed" hx-swap-oob="true"><time datetime="{later}"' in changed
    assert 'href="?state=failed_for_good&amp;format=csv"' in page
    response = operator.get("/outbox/?state=failed_for_good&format=csv")
    text = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    head, line = csv.reader(io.StringIO(text))
    row = dict(zip(head, line, strict=True))
    assert (row["state"], row["subject"], row["error"]) == ("failed_for_good", "'=1+1", "550 no such user")
    assert row["last_try"].startswith(timezone.localtime(at + timedelta(minutes=5)).isoformat()[:16])
