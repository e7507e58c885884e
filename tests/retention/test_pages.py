"""The page of retention: it counts before it sets, and asks before it releases a hold."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.test import Client

from mailbox.models import (
    Account,
    AuditEntry,
    LegalHold,
    Message,
    RetentionRule,
)
from prx_email_site.retention import forms, kinds
from prx_email_site.retention.kinds import KINDS, RetentionPreview, preview
from tests.retention.rules import NOW, OLD, rule, swept
from tests.rows import letter, store

pytestmark = pytest.mark.django_db


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
@pytest.mark.parametrize("domain", ["example.com", "bücher.example"])  # the other has two forms
def test_so_many_holds_as_a_query_takes_and_no_more_stand(administrator: Client, account: Account, domain: str) -> None:
    store(account, letter("Old"), at=OLD)
    LegalHold.objects.bulk_create(
        LegalHold(address=f"a{number}@{domain}", reason="Case 1") for number in range(forms.MOST)
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
    assert preview(found, NOW) == RetentionPreview(2, size, 1, False)
    monkeypatch.setattr(kinds, "LOOKED_AT", 1)
    told = preview(found, NOW)
    assert (told.number, told.held, told.is_more) == (1, None, True)
