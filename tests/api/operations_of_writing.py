"""The operations of drafts, saved replies, stored mail and a person's data: see operations.py."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import Group, User
from django.utils import timezone

from mailbox.models import Account, PersonSearch, Reparse, SettingsLookup
from outbox.models import Draft, SavedReply
from tests.api.operation import ADMINISTER, OPERATE, SEND, Operation


def administrator() -> User:
    """Whose tokens the tests use: the administrator that was made last."""
    found = User.objects.filter(groups__name="administrator").order_by("pk").last()
    if found is None:
        found = User.objects.create(username="writer")
        found.groups.add(Group.objects.get(name="administrator"))
    return found


def of_drafts(account: Account) -> dict[str, Operation]:
    user = administrator()
    typed = {"to": "ann@example.com", "subject": "Hi", "body_text": "Dear Ann"}
    kept, gone, sent = (Draft.objects.create(user=user, account=account, **typed) for _ in range(3))
    given = typed | {"account_id": account.pk}
    return {
        "list_drafts": Operation("get", "/drafts", None, SEND, of="list"),
        "create_draft": Operation("post", "/drafts", given, SEND),
        "get_draft": Operation("get", f"/drafts/{kept.pk}", None, SEND),
        "change_draft": Operation("put", f"/drafts/{kept.pk}", given, SEND),
        "remove_draft": Operation("delete", f"/drafts/{gone.pk}", None, SEND),
        "send_draft": Operation("post", f"/drafts/{sent.pk}/send", {}, SEND),
    }


def of_saved_replies(account: Account) -> dict[str, Operation]:
    kept, gone = (
        SavedReply.objects.create(name=f"Thanks {number}", text="Thank you", account=account) for number in (1, 2)
    )
    given = {"name": "Thanks", "text": "Thank you, {{recipient name}}", "account_id": account.pk}
    at = f"/saved-replies/{kept.pk}"
    return {
        "list_saved_replies": Operation("get", "/saved-replies", None, SEND, of="list"),
        "add_saved_reply": Operation("post", "/saved-replies", given, OPERATE),
        "get_saved_reply": Operation("get", at, None, SEND),
        "change_saved_reply": Operation("put", at, given, OPERATE),
        "remove_saved_reply": Operation("delete", f"/saved-replies/{gone.pk}", None, OPERATE),
        "fill_saved_reply": Operation("post", f"{at}/fill", {"account_id": account.pk, "to": "ann@example.com"}, SEND),
    }


def of_people_and_mail(account: Account) -> dict[str, Operation]:
    user, now = administrator(), timezone.now()
    round_ = Reparse.objects.create(account=account, finished_at=now)
    lookup = SettingsLookup.objects.create(asked_by=user, email="new@example.org", finished_at=now)
    counted, erased = (
        PersonSearch.objects.create(user=user, address="mallory@example.com", digest="0" * 16, state=state)
        for state in ("counted", "erased")
    )
    PersonSearch.objects.filter(pk=erased.pk).update(document={"person": "0" * 16}, key=uuid.uuid4())
    at, again = f"/persons/{counted.pk}", {"address": "mallory@example.com"}
    return {
        "list_attachments": Operation("get", f"/attachments?account={account.pk}"),
        "list_reparses": Operation("get", "/reparse", None, ADMINISTER, of="everything"),
        "reparse": Operation("post", "/reparse", {}, ADMINISTER, of="everything"),
        "get_reparse": Operation("get", f"/reparse/{round_.pk}", None, ADMINISTER, of="everything"),
        "find_settings": Operation("post", "/autoconfig", {"email": "ann@gmail.com"}, ADMINISTER, of="everything"),
        "get_settings": Operation("get", f"/autoconfig/{lookup.pk}", None, ADMINISTER, of="everything"),
        "list_persons": Operation("get", "/persons", None, ADMINISTER, of="everything"),
        "find_person": Operation("post", "/persons", again, ADMINISTER, of="everything"),
        "get_person_data": Operation("get", at, None, ADMINISTER, of="everything"),
        "export_person": Operation("post", f"{at}/export", None, ADMINISTER, of="everything"),
        "erase_person": Operation("post", f"{at}/erase", again, ADMINISTER, of="everything"),
        "person_report": Operation("get", f"/persons/{erased.pk}/report", None, ADMINISTER, of="everything"),
    }
