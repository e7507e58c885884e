"""Every operation of the API with what it asks for: one table for who may use it and for who may not."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from api.models import Scope
from mailbox.models import Account, ConnectionTest
from tests.rows import attempt, folder_of, letter_with, outbox_row, store

READ, SEND, OPERATE, ADMINISTER = Scope.READ, Scope.SEND, Scope.OPERATE, Scope.ADMINISTER
SERVERS = {
    "imap": {"host": "imap.example.com", "user": "new@example.com", "password": "open-sesame"},
    "smtp": {"host": "smtp.example.com", "same_as_imap": True},
}


@dataclass(frozen=True)
class Operation:
    """`of`: what it is about: rows of one "account"; "everything", which needs token and role for all accounts; or a
    "list" of what the token sees."""

    method: str
    path: str
    body: Any = None
    scope: Scope = READ
    of: str = "account"


def of_accounts(account: Account) -> dict[str, Operation]:
    folder, test = folder_of(account), ConnectionTest.objects.create(account=account)
    at = f"/accounts/{account.pk}"
    return {
        "list_accounts": Operation("get", "/accounts", of="list"),
        "create_account": Operation(
            "post", "/accounts", {"email": "new@example.com", **SERVERS}, ADMINISTER, of="everything"
        ),
        "get_account": Operation("get", at),
        "change_account": Operation("patch", at, {"display_name": "Desk"}, ADMINISTER),
        "account_health": Operation("get", f"{at}/health"),
        "test_account": Operation("post", f"{at}/tests", None, OPERATE),
        "get_test": Operation("get", f"{at}/tests/{test.pk}"),
        "sync_account": Operation("post", f"{at}/sync", None, OPERATE),
        "go_on": Operation("post", f"{at}/go-on", {}, OPERATE),
        "pause_sending": Operation("post", f"{at}/pause", None, OPERATE),
        "resume_sending": Operation("post", f"{at}/resume", None, OPERATE),
        "list_folders": Operation("get", f"{at}/folders"),
        "choose_folders": Operation("patch", f"{at}/folders", {"synced": [folder.pk]}, ADMINISTER),
        "refresh_folders": Operation("post", f"{at}/folders/refresh", None, OPERATE),
    }


def of_messages(account: Account) -> dict[str, Operation]:
    message = store(account, letter_with(b"%PDF-1.4", "report.pdf"))
    return {
        "list_messages": Operation("get", f"/messages?account={account.pk}"),
        "search_messages": Operation("get", "/messages/search?q=Hello", of="list"),
        "get_message": Operation("get", f"/messages/{message.pk}"),
        "get_source": Operation("get", f"/messages/{message.pk}/source"),
        "get_attachment": Operation("get", f"/messages/{message.pk}/attachments/0"),
        "reply": Operation(
            "post", "/reply", {"account_id": account.pk, "message": message.pk, "body_text": "Yes"}, SEND
        ),
    }


def of_outbox(account: Account) -> dict[str, Operation]:
    failed, queued = outbox_row(account, status="failed", hold="uncertain"), outbox_row(account)
    number = attempt(failed, outcome="unknown", finished_at=timezone.now()).number
    new = {"account_id": account.pk, "to": ["ann@example.com"], "subject": "Hi", "body_text": "Dear Ann"}
    raw = f"From: {account.email}\r\nMessage-ID: <a@example.com>\r\n\r\nHi".encode()
    whole = {"mail_from": account.email, "rcpt_to": ["ann@example.com"], "base64": b64encode(raw).decode()}
    return {
        "send": Operation("post", "/send", new, SEND),
        "submit": Operation("post", "/submit", whole, SEND),
        "list_outbox": Operation("get", f"/outbox?account={account.pk}"),
        "get_outbox": Operation("get", f"/outbox/{failed.pk}"),
        "retry": Operation("post", f"/outbox/{queued.pk}/retry", {"now_anyway": True}, OPERATE),
        "cancel": Operation("post", f"/outbox/{queued.pk}/cancel", None, OPERATE),
        "mark_as_sent": Operation("post", f"/outbox/{failed.pk}/mark-as-sent", {"attempt": number}, OPERATE),
        "send_again": Operation("post", f"/outbox/{failed.pk}/send-again", {"attempt": number}, OPERATE),
        "list_events": Operation("get", "/events?after=0", of="list"),
    }


def operations(account: Account) -> dict[str, Operation]:
    last = {"delete_account": Operation("delete", f"/accounts/{account.pk}", None, ADMINISTER)}
    return of_accounts(account) | of_messages(account) | of_outbox(account) | last
