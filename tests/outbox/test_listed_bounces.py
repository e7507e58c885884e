"""Bounces in the list: why each came back, and all that a page shows noted as seen with one click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AccountGrant, AuditEntry
from outbox.models import DeliveryReport, OutboxMessage
from tests.rows import NOWHERE, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
UNSEEN = "/outbox/?mark=unseen"


def bounce(account: Account, subject: str, **fields: Any) -> OutboxMessage:
    row = outbox_row(account, subject, status="sent", sent_at=timezone.now())
    values: dict[str, Any] = {"action": "failed", "status_code": "5.1.1", "words": "550 no such user"} | fields
    DeliveryReport.objects.create(outbox=row, address="a@x.example", reported_at=timezone.now(), **values)
    return row


def test_the_list_says_why_and_one_click_notes_all_it_shows_but_what_came_since(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    first, second = bounce(account, "One"), bounce(account, "Two", action="complaint")
    page = client.get(UNSEEN)
    shown = page.content.decode()
    assert "<bdi>There is no such mailbox.</bdi> <bdi>5.1.1</bdi> <bdi>550 no such user</bdi>" in shown
    assert "The recipient calls it unwanted." in shown
    assert "I have seen these 2" in shown
    seen = page.context["unseen"]
    DeliveryReport.objects.create(outbox=second, address="b@x.example", action="failed", reported_at=timezone.now())
    url = reverse("outbox:acknowledge_listed")
    assert "2 mails noted as seen." in client.post(url, {"seen": seen, "next": UNSEEN}, follow=True).content.decode()
    assert not first.reports.unacknowledged().exists()
    click = AuditEntry.objects.get(part_of=None)
    assert (click.verb, click.detail) == ("ticked_acknowledge_bounce", "2 of 2")
    assert sorted(click.parts.values_list("target", flat=True)) == sorted(f"outbox:{row.pk}" for row in (first, second))
    assert second.reports.unacknowledged().count() == 1
    assert "There is no such mailbox" not in client.get("/outbox/").content.decode()


def test_only_operators_of_the_account_note_its_bounces(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    row = bounce(account, "One")
    url, seen = reverse("outbox:acknowledge_listed"), {"seen": [f"{row.pk}.999999", "x", "5"]}
    client.force_login(make_user("viewer"))
    assert "seen-all" not in client.get(UNSEEN).content.decode()
    assert client.post(url, seen).status_code == 403
    stranger = make_user("")
    AccountGrant.objects.create(user=stranger, account=make_account("b@example.com", **NOWHERE), role="operator")
    client.force_login(stranger)
    assert client.post(url, seen).status_code == 302
    assert row.reports.unacknowledged().exists()


def test_one_bounce_that_is_seen_is_one_entry_and_none_is_none(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    row = bounce(account, "One")
    url, seen = reverse("outbox:acknowledge_listed"), {"seen": [f"{row.pk}.{row.reports.get().pk}"]}
    client.post(url, seen)
    assert list(AuditEntry.objects.values_list("verb", "part_of")) == [("acknowledge_bounce", None)]
    client.post(url, seen)
    client.post(url, {"seen": [*seen["seen"], f"{bounce(account, 'Two').pk}.0"]})
    assert AuditEntry.objects.count() == 1


def test_reports_that_anybody_could_have_written_are_told_from_proven_ones(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("operator"))
    unproven = bounce(account, "One")
    proven = bounce(account, "Two", is_proven=True)
    bounce(account, "Three", action="complaint")
    for row in (unproven, proven):  # of an other recipient, by no attempt's mark
        DeliveryReport.objects.create(outbox=row, address="b@x.example", action="failed", reported_at=timezone.now())

    def told(url: str) -> dict[str, tuple[bool, bool]]:
        """subject -> (its badge says "not proven", its reason says so)."""
        rows = client.get(url).content.decode().split("<tr>")[2:]
        names = {name: row for row in rows for name in ("One", "Two", "Three") if f">{name}</a>" in row}
        return {name: ("not proven</span>" in row, "Not proven: anybody" in row) for name, row in names.items()}

    assert told("/outbox/") == {"One": (True, False), "Two": (False, False), "Three": (False, False)}
    DeliveryReport.objects.filter(address="b@x.example").delete()
    assert told(UNSEEN) == {"One": (True, True), "Two": (False, False), "Three": (False, True)}
