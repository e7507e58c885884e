"""Every operation of the API with what it asks for: one table for who may use it and for who may not."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from alerts.models import AlertIncident
from mailbox.models import (
    Account,
    AccountAlias,
    AuditEntry,
    ConnectionTest,
    Export,
    LegalHold,
    MessagePlace,
    Quarantine,
    RetentionRule,
    SyncRun,
    SyncRunFolder,
)
from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.compose.build import Request
from outbox.compose.create import SendRequest, create
from outbox.models import DeliveryReport, OutboxMessage, SentCopy, SuppressedAddress
from outbox.models import Operation as BulkOperation
from tests.api.administration import of_administration
from tests.api.operation import ADMINISTER, OPERATE, READ, SEND, Operation
from tests.api.operations_of_writing import of_drafts, of_people_and_mail, of_saved_replies
from tests.rows import attempt, folder_of, letter, letter_with, outbox_row, store

SERVERS = {
    "imap": {"host": "imap.example.com", "user": "new@example.com", "password": "open-sesame"},
    "smtp": {"host": "smtp.example.com", "same_as_imap": True},
}


def of_accounts(account: Account) -> dict[str, Operation]:
    folder, test = folder_of(account), ConnectionTest.objects.create(account=account)
    at = f"/accounts/{account.pk}"
    names = ("desk@example.com", "gone@example.com")
    desk, gone = (AccountAlias.objects.create(account=account, email=each) for each in names)
    return {
        "list_accounts": Operation("get", "/accounts", of="list"),
        "create_account": Operation(
            "post", "/accounts", {"email": "new@example.com", **SERVERS}, ADMINISTER, of="everything"
        ),
        "get_account": Operation("get", at),
        "change_account": Operation("patch", at, {"display_name": "Desk"}, ADMINISTER),
        "account_health": Operation("get", f"{at}/health"),
        "completeness": Operation("get", f"{at}/completeness"),
        "test_account": Operation("post", f"{at}/tests", None, OPERATE),
        "get_test": Operation("get", f"{at}/tests/{test.pk}"),
        "sync_account": Operation("post", f"{at}/sync", None, OPERATE),
        "go_on": Operation("post", f"{at}/go-on", {}, OPERATE),
        "pause_sending": Operation("post", f"{at}/pause", None, OPERATE),
        "resume_sending": Operation("post", f"{at}/resume", None, OPERATE),
        "list_aliases": Operation("get", f"{at}/aliases"),
        "add_alias": Operation("post", f"{at}/aliases", {"email": "more@example.com"}, ADMINISTER),
        "get_alias": Operation("get", f"/aliases/{desk.pk}"),
        "change_alias": Operation("put", f"/aliases/{desk.pk}", {"email": "desk@example.com"}, ADMINISTER),
        "remove_alias": Operation("delete", f"/aliases/{gone.pk}", None, ADMINISTER),
        "list_folders": Operation("get", f"{at}/folders"),
        "choose_folders": Operation("patch", f"{at}/folders", {"synced": [folder.pk]}, ADMINISTER),
        "refresh_folders": Operation("post", f"{at}/folders/refresh", None, OPERATE),
    }


def of_messages(account: Account) -> dict[str, Operation]:
    message = store(account, letter_with(b"%PDF-1.4", "report.pdf"))
    at = f"/messages/{message.pk}"
    partial = store(account, letter("Headers only"))
    MessagePlace.objects.filter(message=partial).update(is_complete=False)
    return {
        "get_team_marks": Operation("get", f"{at}/team"),
        "change_team_marks": Operation("put", f"{at}/team", {"note": "Ask Bob", "done": True}, OPERATE),
        "fetch_message": Operation("post", f"/messages/{partial.pk}/fetch", None, OPERATE),
        "remove_attachment": Operation("delete", f"{at}/attachments/0", None, OPERATE),
        "list_messages": Operation("get", f"/messages?account={account.pk}"),
        "get_conversation": Operation("get", f"{at}/conversation"),
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
        "correct_addresses": _correction(account),
        "list_events": Operation("get", "/events?after=0", of="list"),
        "stream_events": Operation("get", "/events/stream?after=0", of="list"),
        **of_one_mail(account),
    }


def _correction(account: Account) -> Operation:
    """Of a mail that was written and then refused."""
    made = api.queue(account.pk, "anm@example.com", "Hi", "Dear Ann")
    assert made.data
    row = OutboxMessage.objects.get(pk=made.data.outbox_id)
    number = attempt(row, outcome="permanent", finished_at=timezone.now()).number
    OutboxMessage.objects.filter(pk=row.pk).update(status="failed", hold="permanent")
    body = {"attempt": number, "addresses": {"anm@example.com": "ann@example.com"}}
    return Operation("post", f"/outbox/{row.pk}/correct-addresses", body, OPERATE)


def of_one_mail(account: Account) -> dict[str, Operation]:
    """What is done to a mail that came about in other ways than by the operations themselves."""
    user = User.objects.create(username=f"asked for {account.pk}")
    sent = with_file(account)
    report = DeliveryReport.objects.create(outbox=sent, action="failed", reported_at=timezone.now())
    SentCopy.objects.filter(outbox=sent).update(state="failed")
    fresh = outbox_row(account, undo_until=timezone.now() + timedelta(days=1))
    uncertain = outbox_row(account, status="failed", hold="uncertain")
    attempt(uncertain, outcome="uncertain", finished_at=timezone.now())
    running = BulkOperation.objects.create(verb="retry", upto_pk=0, user=user, query=f"account={account.pk}")
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    filtered = {"action": "cancel", "filter": {"account": account.pk}}
    return {
        "get_outbox_source": Operation("get", f"/outbox/{sent.pk}/source"),
        "get_outbox_attachment": Operation("get", f"/outbox/{sent.pk}/attachments/0"),
        "undo": Operation("post", f"/outbox/{fresh.pk}/undo", None, OPERATE),
        "reschedule": Operation("post", f"/outbox/{fresh.pk}/reschedule", {"send_at": tomorrow}, OPERATE),
        "look_in_sent": Operation("post", f"/outbox/{uncertain.pk}/look-in-sent", None, OPERATE),
        "copy_again": Operation("post", f"/outbox/{sent.pk}/copy-again", None, OPERATE),
        "acknowledge": Operation(
            "post", f"/outbox/{sent.pk}/acknowledge", {"last_report": report.pk}, OPERATE, also=(READ,)
        ),
        "bulk": Operation("post", "/outbox/bulk", filtered, OPERATE),
        "get_operation": Operation("get", f"/outbox/operations/{running.pk}"),
        "stop_operation": Operation("post", f"/outbox/operations/{running.pk}/stop", None, OPERATE),
    }


def with_file(account: Account) -> OutboxMessage:
    """A sent mail with its frozen bytes and an attachment."""
    file = AttachmentInput("report.pdf", "application/pdf", base64=b64encode(b"%PDF-1.4").decode())
    mail = SendRequest(Request("ann@example.com", "Report", "See the file."), [file])
    pk = create(account.pk, mail, now=timezone.now())
    OutboxMessage.objects.filter(pk=pk).update(status="sent", sent_at=timezone.now())
    return OutboxMessage.objects.get(pk=pk)


def of_operation(account: Account) -> dict[str, Operation]:
    folder, run = folder_of(account), SyncRun.objects.create()
    SyncRunFolder.objects.create(run=run, account=account, folder=folder, folder_name="INBOX", ok=True)
    poison = Quarantine.objects.create(account=account, folder=folder, uidvalidity=1, uid=7, error="?")
    AuditEntry.objects.create(account=account, verb="sync_now", target=f"account:{account.pk}")
    AlertIncident.objects.create(
        key=f"x{account.pk}",
        kind="sign_in",
        account=account,
        sentence="?",
        opened_at=timezone.now(),
        present_since=timezone.now(),
    )
    return {
        "list_runs": Operation("get", f"/runs?account={account.pk}"),
        "list_incidents": Operation("get", "/incidents", None, ADMINISTER, of="everything"),
        "health": Operation("get", "/health", of="list"),
        "list_activity": Operation("get", f"/activity?account={account.pk}"),
        "list_quarantine": Operation("get", f"/quarantine?account={account.pk}"),
        "fetch_again": Operation("post", f"/quarantine/{poison.pk}/fetch", None, OPERATE, also=(READ,)),
    }


def of_whole_site(account: Account) -> dict[str, Operation]:
    listed = SuppressedAddress.objects.create(account=account, address="gone@example.com", reason="bounced")
    policy = {"max_size_bytes": 1000, "allowed_content_types": ["text/plain"]}
    new = {"account_id": account.pk, "address": "no@example.com"}
    file = {"csv": f"account,address\n{account.email},file@example.com\n"}
    site = {"scope": ADMINISTER, "of": "everything"}
    operate: dict[str, Any] = {"scope": OPERATE, "of": "everything"}
    over = timezone.now() + timedelta(days=1)
    made = [Export.objects.create(form="zip", finished_at=timezone.now(), ends_at=over) for _ in range(2)]
    return {
        "list_features": Operation("get", "/features", **site),
        "get_feature": Operation("get", "/features/inbox_read", **site),
        "change_feature": Operation("put", "/features/email_send", {"percent": 100}, **site),
        "change_feature_of_account": Operation(
            "put", f"/features/email_send/accounts/{account.pk}", {"on": True}, **site
        ),
        "create_export": Operation(
            "post", "/exports", {"form": "zip", "account_id": account.pk}, **operate, also=(READ,)
        ),
        "get_export": Operation("get", f"/exports/{made[0].pk}", **operate),
        "get_export_file": Operation("get", f"/exports/{made[0].pk}/file", **operate, also=(READ,)),
        "remove_export": Operation("delete", f"/exports/{made[1].pk}", **operate),
        "list_suppressed": Operation("get", f"/suppressed?account={account.pk}"),
        "export_suppressed": Operation("get", f"/suppressed/csv?account={account.pk}"),
        "get_suppressed": Operation("get", f"/suppressed/{listed.pk}"),
        "import_suppressed": Operation("post", "/suppressed/csv", file, OPERATE),
        "suppress": Operation("post", "/suppressed", new, OPERATE),
        "unsuppress": Operation("delete", f"/suppressed/{listed.pk}", None, OPERATE),
        "get_policy": Operation("get", "/policy", None, SEND, of="list"),
        "change_policy": Operation("put", "/policy", policy, ADMINISTER, of="everything"),
        "get_sending": Operation("get", "/sending", of="list"),
        "pause_all_sending": Operation("post", "/sending/pause", {"reason": "a drill"}, ADMINISTER, of="everything"),
        "resume_all_sending": Operation("post", "/sending/resume", {}, ADMINISTER, of="everything"),
    }


def of_retention(account: Account) -> dict[str, Operation]:
    rule, ended = (RetentionRule.objects.create(what="runs", days=90) for _ in range(2))
    hold = LegalHold.objects.create(address="eve@example.com", reason="Case 1")
    site = {"scope": ADMINISTER, "of": "everything"}
    given = {"what": "received", "days": 365, "account_id": account.pk}
    return {
        "list_rules": Operation("get", "/retention/rules", **site),
        "preview_rule": Operation("post", "/retention/preview", given, **site),
        "create_rule": Operation("post", "/retention/rules", given, **site),
        "get_rule": Operation("get", f"/retention/rules/{rule.pk}", **site),
        "change_rule": Operation("put", f"/retention/rules/{rule.pk}", given, **site),
        "remove_rule": Operation("delete", f"/retention/rules/{ended.pk}", **site),
        "list_holds": Operation("get", "/retention/holds", **site),
        "create_hold": Operation("post", "/retention/holds", {"account_id": account.pk, "reason": "Case 2"}, **site),
        "get_hold": Operation("get", f"/retention/holds/{hold.pk}", **site),
        "release_hold": Operation("post", f"/retention/holds/{hold.pk}/release", **site),
    }


def operations(account: Account) -> dict[str, Operation]:
    last = {"delete_account": Operation("delete", f"/accounts/{account.pk}", None, ADMINISTER)}
    found = of_accounts(account) | of_messages(account) | of_outbox(account)
    found |= of_whole_site(account) | of_operation(account) | of_retention(account)
    found |= of_drafts(account) | of_saved_replies(account) | of_people_and_mail(account)
    return found | of_administration(account) | last
