"""The outbox in Django's admin: everything is seen, nothing is edited, the clicks obey the same rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account
from outbox.models import (
    AddressCursor,
    AttachmentPolicy,
    DeliveryCall,
    DeliveryReport,
    Draft,
    DraftFile,
    Installation,
    KnownAddress,
    Operation,
    OperationRow,
    OutboxCount,
    OutboxMessage,
    ReportCursor,
    SavedReply,
    SendingSwitch,
    SendPace,
    SentCopy,
    SentLookup,
    SuppressedAddress,
)
from tests.rows import attempt, letter_with, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
LIST = "admin:outbox_outboxmessage_changelist"


@pytest.fixture
def row(account: Account) -> OutboxMessage:
    row = outbox_row(account, "Refused one", letter_with(b"%PDF", "a.pdf"), status="failed", hold="permanent")
    tried, now = attempt(row, reply="550 no such user"), timezone.now()
    SentLookup.objects.create(attempt=tried, uncertain_at=now)
    SentCopy.objects.create(outbox=row, next_try_at=now)
    DeliveryReport.objects.create(outbox=row, address="a@example.com", action="failed", reported_at=now)
    draft = Draft.objects.create(user=User.objects.create_user("writer"), account=account)
    DraftFile.objects.create(draft=draft, filename="a.pdf", content_type="application/pdf", size=4)
    KnownAddress.objects.create(account=account, address="a@example.com", last_at=now)
    SavedReply.objects.create(name="Thanks", text="Thank you.")
    operation = Operation.objects.create(verb="retry", upto_pk=0)
    SendPace.objects.create(account=account, next_at=now)
    SuppressedAddress.objects.create(account=account, address="refused@example.com", reason="bounced")
    OutboxCount.objects.create(account=account, status="sent", number=3, counted_at=now)
    OperationRow.objects.create(operation=operation, outbox=row, attempt=1)
    for singleton in (AddressCursor, ReportCursor, DeliveryCall):
        singleton.objects.get_or_create(pk=1)
    SendingSwitch.current()
    Installation.objects.create(place="p", mark="m")
    AttachmentPolicy.current()
    return row


@pytest.fixture
def staff(client: Client, make_user: Callable[..., User]) -> Client:
    user = make_user("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(user)
    return client


def act(client: Client, name: str, *rows: OutboxMessage) -> str:
    page = client.get(reverse(LIST))
    return act_from(page.content.decode(), client, name, *rows)


def act_from(page: str, client: Client, name: str, *rows: OutboxMessage) -> str:
    """As from the list that was shown then."""
    shown_at = re.search(r'name="shown_at" value="([^"]*)"', page)
    fields = {"action": name, "_selected_action": [row.pk for row in rows], "shown_at": shown_at[1] if shown_at else ""}
    response = client.post(reverse(LIST), fields | {"confirmed": "1"}, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


@pytest.mark.parametrize("model", list(apps.get_app_config("outbox").get_models()), ids=lambda model: model.__name__)
@pytest.mark.in_part(2)
def test_every_table_is_listed_searched_and_shown(staff: Client, row: OutboxMessage, model: type) -> None:
    meta = model._meta  # type: ignore[attr-defined]
    changelist = reverse(f"admin:outbox_{meta.model_name}_changelist")
    assert staff.get(changelist).status_code == 200
    if admin.site.get_model_admin(model).search_fields:
        assert staff.get(changelist, {"q": "refused"}).status_code == 200
    key = model.objects.first().pk  # type: ignore[attr-defined]
    shown = staff.get(reverse(f"admin:outbox_{meta.model_name}_change", args=[key]))
    assert shown.status_code == 200
    assert staff.get(reverse(f"admin:outbox_{meta.model_name}_add")).status_code == 403


def test_history_cannot_be_edited_or_deleted(staff: Client, row: OutboxMessage) -> None:
    change = reverse("admin:outbox_outboxmessage_change", args=[row.pk])
    assert staff.post(change, {"subject": "other"}).status_code == 403
    assert staff.post(reverse("admin:outbox_outboxmessage_delete", args=[row.pk])).status_code == 403
    assert "delete_selected" not in staff.get(reverse(LIST)).content.decode()


def test_the_actions_obey_the_rules_of_the_outbox(staff: Client, account: Account, row: OutboxMessage) -> None:
    later = timezone.now() + timedelta(minutes=5)
    waiting = outbox_row(account, status="failed", next_attempt_at=later)
    uncertain = outbox_row(account, status="failed", hold="uncertain")
    said = act(staff, "retry", row, waiting, uncertain)
    assert said.startswith("2 handed to a worker to be retried, 1 skipped")
    OutboxMessage.objects.filter(pk=waiting.pk).update(next_attempt_at=later)
    assert act(staff, "send_now", waiting) == "1 handed to a worker to be sent now."
    assert act(staff, "cancel", row) == "1 cancelled."
    uncertain.refresh_from_db()
    row.refresh_from_db()
    assert (row.status, uncertain.hold) == ("cancelled", "uncertain")


def test_the_actions_leave_alone_what_changed_since_the_list_was_shown(staff: Client, row: OutboxMessage) -> None:
    page = staff.get(reverse(LIST)).content.decode()
    OutboxMessage.objects.filter(pk=row.pk).update(hold="", updated_at=timezone.now())
    assert act_from(page, staff, "cancel", row) == "0 cancelled, 1 skipped: 1 because: it changed meanwhile."
    assert "too old" in act_from("", staff, "cancel", row)
    row.refresh_from_db()
    assert row.status == "failed"


def test_cancelling_for_good_asks_by_a_page_that_keeps_what_was_ticked(staff: Client, row: OutboxMessage) -> None:
    listed = staff.get(reverse(LIST)).content.decode()
    shown_at = re.search(r'name="shown_at" value="([^"]*)"', listed)
    assert shown_at
    fields = {"action": "cancel", "_selected_action": [row.pk], "shown_at": shown_at[1]}
    page = staff.post(reverse(LIST), fields).content.decode()
    row.refresh_from_db()
    assert row.status == "failed"
    assert "Cancel 1 mail for good?" in page and row.subject in page
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page[page.index("asked-about") :])
    assert {"action", "_selected_action", "shown_at", "confirmed"} <= dict(hidden).keys()
    staff.post(reverse(LIST), dict(hidden))
    row.refresh_from_db()
    assert row.status == "cancelled"


def test_staff_without_the_role_may_look_and_not_click(
    client: Client, make_user: Callable[..., User], row: OutboxMessage
) -> None:
    user = make_user("viewer")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_outboxmessage"))
    client.force_login(user)
    assert client.get(reverse(LIST)).status_code == 200
    act(client, "cancel", row)
    row.refresh_from_db()
    assert row.status == "failed"


def test_the_policy_is_edited_with_the_same_sentences(staff: Client, row: OutboxMessage) -> None:
    change = reverse("admin:outbox_attachmentpolicy_change", args=[1])
    assert "must be greater than 0" in staff.post(change, {"max_size": "0", "types": "a/b"}).content.decode()
    staff.post(change, {"max_size": "2 MiB", "types": "a/b"})
    policy = AttachmentPolicy.objects.get()
    assert (policy.max_size_bytes, policy.allowed_content_types) == (2 * 1024 * 1024, ["a/b"])
    assert policy.updated_by is not None
