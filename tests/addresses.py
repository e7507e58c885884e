"""Every address of the site: who may read it, who may post to it, and a row of each kind that addresses name."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from alerts.models import AlertRule, Webhook
from api.models import Token
from mailbox.models import (
    Account,
    AccountAlias,
    Completeness,
    ConnectionTest,
    Export,
    LaterReading,
    LegalHold,
    Message,
    OAuthApp,
    OAuthSignIn,
    PersonSearch,
    Quarantine,
    RetentionRule,
    SettingsLookup,
)
from outbox.models import Draft, Operation, SavedReply, SuppressedAddress
from prx_email_site.monitoring import health_checks
from tests.rows import folder_of, letter, letter_with, outbox_row, passkey_of, store, workers_keep_running

VIEWER, OPERATOR, ADMINISTRATOR = ROLES = ("viewer", "operator", "administrator")
OPEN, SIGNED_IN, EVERYWHERE, SOMEWHERE = "open", "signed in", "everywhere", "somewhere"


@dataclass(frozen=True)
class Expected:
    """Who may use an address: a role for the account it names, OPEN, SIGNED_IN, EVERYWHERE (see `everywhere`), or
    SOMEWHERE: operators of any account."""

    to_read: str = ""  # "" means that GET is no method of it
    to_post: str = ""
    names: tuple[str, ...] = ()  # which rows of `rows` stand in the address
    everywhere: str = ""  # the role for all accounts it asks for, when it belongs to no account
    args: tuple[str, ...] = field(default=())


def of_account(to_read: str = "", to_post: str = "", *names: str, args: tuple[str, ...] = ()) -> Expected:
    return Expected(to_read, to_post, names or ("account",), args=args)


EXPECTED: dict[str, Expected] = {
    "dashboard": Expected(SIGNED_IN),
    "charts": Expected(SIGNED_IN),
    "login": Expected(OPEN, OPEN),
    "account_login": Expected(OPEN, OPEN),
    "sso_begin": Expected(SIGNED_IN),  # no provider is configured: both lead to the sign-in page
    "sso_callback": Expected(SIGNED_IN),
    "logout": Expected("", SIGNED_IN),
    "mfa_index": Expected(SIGNED_IN),
    "mfa_list_webauthn": Expected(SIGNED_IN),
    "mfa_authenticate": Expected(SIGNED_IN, SIGNED_IN),  # who is signed in needs it no more, who is not has to begin
    "account_reauthenticate": Expected(SIGNED_IN, SIGNED_IN),
    "mfa_reauthenticate": Expected(SIGNED_IN, SIGNED_IN),
    "mfa_reauthenticate_webauthn": Expected(SIGNED_IN, SIGNED_IN),
    "mfa_activate_totp": Expected(SIGNED_IN, SIGNED_IN),
    "mfa_deactivate_totp": Expected("own", "own"),
    "mfa_add_webauthn": Expected(SIGNED_IN, SIGNED_IN),
    "mfa_remove_webauthn": Expected("own", "own", ("factor",)),
    "mfa_view_recovery_codes": Expected("own"),
    "mfa_generate_recovery_codes": Expected(SIGNED_IN, SIGNED_IN),
    "password_change": Expected(SIGNED_IN, SIGNED_IN),
    "password_forgotten": Expected(OPEN, OPEN),
    "password_link": Expected(OPEN, args=("password", "1", "no-token")),
    "password_new": Expected(OPEN, OPEN),  # who opened no link is told so
    "email": Expected(SIGNED_IN, SIGNED_IN),
    "email_confirm": Expected(SIGNED_IN, SIGNED_IN, args=("no-token",)),
    "profile": Expected(SIGNED_IN, SIGNED_IN),
    "people:sign_out_everywhere": Expected("", SIGNED_IN),
    "people:list": Expected(EVERYWHERE, "", everywhere=ADMINISTRATOR),
    "people:person": Expected(EVERYWHERE, "", ("writer",), ADMINISTRATOR),
    "people:invite": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "people:site_mail": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "people:details": Expected("", EVERYWHERE, ("writer",), ADMINISTRATOR),
    "people:link": Expected("", EVERYWHERE, ("writer",), ADMINISTRATOR),
    "people:withdraw": Expected("", EVERYWHERE, ("writer",), ADMINISTRATOR),
    "people:role": Expected("", EVERYWHERE, ("writer",), ADMINISTRATOR),
    "people:grant": Expected("", EVERYWHERE, ("writer",), ADMINISTRATOR),
    "people:switch": Expected("", EVERYWHERE, ("writer",), ADMINISTRATOR),
    "people:end_sessions": Expected("", EVERYWHERE, ("writer",), ADMINISTRATOR),
    "people:rules": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "badges": Expected(SIGNED_IN),
    "keyboard": Expected(SIGNED_IN),
    "api:documentation": Expected(SIGNED_IN),
    "api:tokens": Expected(SIGNED_IN, SIGNED_IN),
    "api:token_end": Expected("", EVERYWHERE, ("token",), ADMINISTRATOR),
    "health_live": Expected(OPEN),
    "health_ready": Expected(OPEN),
    "health_workers": Expected(OPEN),
    "metrics": Expected(""),  # no page: a token or a network, and neither is set
    "connection_test_start": of_account("", OPERATOR),
    "connection_test": of_account(VIEWER, "", "test"),
    "test_mail": of_account(OPERATOR, OPERATOR),
    "test_mail_sent": of_account(VIEWER, "", "test_mail"),
    "account_delete": of_account(ADMINISTRATOR, ADMINISTRATOR),
    "mailbox:filters": Expected("", SIGNED_IN),
    "mailbox:messages": Expected(SIGNED_IN),
    "mailbox:messages_new": Expected(SIGNED_IN),
    "mailbox:search": Expected(SIGNED_IN),
    "mailbox:messages_csv": Expected(SIGNED_IN),
    "list_export": Expected(SIGNED_IN, SIGNED_IN, args=("outbox",)),
    "mailbox:export_new": Expected(SOMEWHERE, SOMEWHERE),
    "mailbox:exports": Expected(SIGNED_IN),
    "mailbox:export": Expected(EVERYWHERE, "", ("export",), ADMINISTRATOR),
    "mailbox:export_file": Expected(EVERYWHERE, "", ("export",), ADMINISTRATOR),
    "mailbox:export_manifest": Expected(EVERYWHERE, "", ("export",), ADMINISTRATOR),
    "mailbox:export_remove": Expected("", EVERYWHERE, ("export",), ADMINISTRATOR),
    "mailbox:message": of_account(VIEWER, "", "message"),
    "mailbox:message_html": of_account(VIEWER, "", "message"),
    "mailbox:message_html_measured": of_account(VIEWER, "", "message"),
    "mailbox:message_team": of_account(OPERATOR, OPERATOR, "message"),
    "mailbox:message_eml": of_account(VIEWER, "", "message"),
    "mailbox:message_print": of_account(VIEWER, "", "message"),
    "mailbox:message_images": of_account(VIEWER, VIEWER, "message"),
    "mailbox:message_preview": of_account(VIEWER, "", "message", "position"),
    "mailbox:message_picture": of_account(VIEWER, "", "message", "position"),
    "mailbox:trusted_senders": Expected(SIGNED_IN, SIGNED_IN),
    "mailbox:message_fetch": of_account("", OPERATOR, "message"),
    "mailbox:message_attachment": of_account(VIEWER, "", "message", "position"),
    "mailbox:message_attachment_remove": of_account(OPERATOR, OPERATOR, "message", "position"),
    "mailbox:quarantine": Expected(SIGNED_IN),
    "mailbox:quarantine_fetch": of_account("", OPERATOR, "quarantine"),
    "mailbox:read_again": of_account("", OPERATOR, "reading"),
    "mailbox:accounts": Expected(SIGNED_IN),
    "mailbox:account_add": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "mailbox:account_import": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "mailbox:account_import_csv": Expected(EVERYWHERE, everywhere=ADMINISTRATOR),
    "mailbox:account_find": Expected("", EVERYWHERE, everywhere=ADMINISTRATOR),
    "mailbox:account_found": Expected("own", "", ("lookup",)),
    "mailbox:account": of_account(VIEWER),
    "mailbox:account_runs": of_account(VIEWER),
    "mailbox:account_completeness": of_account(VIEWER),
    "mailbox:account_completeness_report": of_account(VIEWER),
    "mailbox:account_compare": of_account("", OPERATOR),
    "mailbox:account_edit": of_account(ADMINISTRATOR, ADMINISTRATOR),
    "mailbox:account_sign_in": of_account(ADMINISTRATOR, ADMINISTRATOR, args=("imap",)),
    "mailbox:oauth_begin": of_account("", ADMINISTRATOR),
    "mailbox:oauth_begin_new": Expected("", EVERYWHERE, everywhere=ADMINISTRATOR),
    "mailbox:oauth_callback": Expected(SIGNED_IN),
    "mailbox:oauth_sign_in": Expected("own", "", ("sign_in",)),
    "mailbox:providers": Expected(EVERYWHERE, "", everywhere=ADMINISTRATOR),
    "mailbox:provider_add": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "mailbox:provider": Expected(EVERYWHERE, EVERYWHERE, ("provider",), ADMINISTRATOR),
    "mailbox:provider_remove": Expected("", EVERYWHERE, ("provider",), ADMINISTRATOR),
    "mailbox:provider_known": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR, args=("google",)),
    "mailbox:account_sync": of_account("", OPERATOR),
    "mailbox:account_pause": of_account("", OPERATOR),
    "mailbox:account_resume": of_account("", OPERATOR),
    "mailbox:account_go_on": of_account("", OPERATOR),
    "mailbox:account_fetching": of_account("", ADMINISTRATOR),
    "mailbox:alias_add": of_account(ADMINISTRATOR, ADMINISTRATOR),
    "mailbox:alias_edit": of_account(ADMINISTRATOR, ADMINISTRATOR, "alias"),
    "mailbox:alias_remove": of_account("", ADMINISTRATOR, "alias"),
    "mailbox:account_folders": of_account(VIEWER, ADMINISTRATOR),
    "mailbox:account_folders_refresh": of_account("", OPERATOR),
    "mailbox:account_folders_listed": of_account(VIEWER),
    "mailbox:features": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "mailbox:activity": Expected(SIGNED_IN),
    "mailbox:stored_mail": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "system": Expected(EVERYWHERE, "", everywhere=ADMINISTRATOR),
    "retention": Expected(EVERYWHERE, "", everywhere=ADMINISTRATOR),
    "retention_rule_add": Expected("", EVERYWHERE, everywhere=ADMINISTRATOR),
    "retention_rule_remove": Expected("", EVERYWHERE, ("retention_rule",), ADMINISTRATOR),
    "retention_hold_add": Expected("", EVERYWHERE, everywhere=ADMINISTRATOR),
    "retention_hold_release": Expected("", EVERYWHERE, ("hold",), ADMINISTRATOR),
    "personal_data": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "personal_data_search": Expected(EVERYWHERE, "", ("person",), ADMINISTRATOR),
    "personal_data_export": Expected("", EVERYWHERE, ("person",), ADMINISTRATOR),
    "personal_data_erase": Expected("", EVERYWHERE, ("person",), ADMINISTRATOR),
    "personal_data_report": Expected(EVERYWHERE, "", ("person",), ADMINISTRATOR),
    "alerts:list": Expected(EVERYWHERE, "", everywhere=ADMINISTRATOR),
    "alerts:endings": Expected(EVERYWHERE, "", everywhere=ADMINISTRATOR),
    "alerts:add": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "alerts:edit": Expected(EVERYWHERE, EVERYWHERE, ("alert",), ADMINISTRATOR),
    "alerts:test": Expected("", EVERYWHERE, ("alert",), ADMINISTRATOR),
    "alerts:delete": Expected("", EVERYWHERE, ("alert",), ADMINISTRATOR),
    "alerts:webhooks": Expected(EVERYWHERE, "", everywhere=ADMINISTRATOR),
    "alerts:webhook_add": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "alerts:webhook": Expected(EVERYWHERE, EVERYWHERE, ("webhook",), ADMINISTRATOR),
    "alerts:webhook_test": Expected("", EVERYWHERE, ("webhook",), ADMINISTRATOR),
    "alerts:webhook_again": Expected("", EVERYWHERE, ("webhook",), ADMINISTRATOR),
    "alerts:webhook_delete": Expected("", EVERYWHERE, ("webhook",), ADMINISTRATOR),
    "outbox:list": Expected(SIGNED_IN),
    "outbox:changes": Expected(SIGNED_IN),
    "outbox:compose": Expected(SIGNED_IN, SIGNED_IN),
    "outbox:bulk": Expected("", SOMEWHERE),
    "outbox:acknowledge_listed": Expected("", SOMEWHERE),
    "outbox:bulk_all": Expected(SOMEWHERE, SOMEWHERE),
    "outbox:correct": Expected(SOMEWHERE, SOMEWHERE),
    "outbox:operation": Expected(EVERYWHERE, "", ("operation",), everywhere=VIEWER),
    "outbox:stop_operation": Expected("", EVERYWHERE, ("operation",), everywhere=OPERATOR),
    "outbox:convert": Expected("", SOMEWHERE),
    "outbox:compose_picture": Expected(SIGNED_IN),
    "outbox:saved_replies": Expected(SOMEWHERE, SOMEWHERE),
    "outbox:saved_reply": of_account(OPERATOR, OPERATOR, "reply"),
    "outbox:saved_reply_remove": of_account("", OPERATOR, "reply"),
    "outbox:saved_reply_text": of_account(OPERATOR, "", "reply"),
    "outbox:drafts": Expected(SIGNED_IN),
    "outbox:suppressed": Expected(SIGNED_IN),
    "outbox:suppress": Expected("", SOMEWHERE),
    "outbox:suppressed_import": Expected("", SOMEWHERE),
    "outbox:unsuppress": of_account("", OPERATOR, "suppressed"),
    "outbox:draft_save": Expected("", SIGNED_IN),
    "outbox:draft_discard": Expected("own", "own", ("draft",)),
    "outbox:addresses": Expected(SIGNED_IN, SOMEWHERE),
    "outbox:pause_sending": Expected("", EVERYWHERE, everywhere=ADMINISTRATOR),
    "outbox:resume_sending": Expected("", EVERYWHERE, everywhere=ADMINISTRATOR),
    "outbox:attachments": Expected(SIGNED_IN),
    "outbox:storage": Expected(SIGNED_IN),
    "outbox:preview": of_account(VIEWER, "", "outbox", "position"),
    "outbox:picture": of_account(VIEWER, "", "outbox", "position"),
    "outbox:policy": Expected(EVERYWHERE, EVERYWHERE, everywhere=ADMINISTRATOR),
    "outbox:detail": of_account(VIEWER, "", "outbox"),
    "outbox:state": of_account(VIEWER, "", "outbox"),
    "outbox:html": of_account(VIEWER, "", "outbox"),
    "outbox:eml": of_account(VIEWER, "", "outbox"),
    "outbox:attachment": of_account(VIEWER, "", "outbox", "position"),
    "outbox:retry": of_account("", OPERATOR, "outbox"),
    "outbox:send_now": of_account("", OPERATOR, "outbox"),
    "outbox:cancel": of_account("", OPERATOR, "outbox"),
    "outbox:mark_as_sent": of_account("", OPERATOR, "outbox"),
    "outbox:send_again": of_account("", OPERATOR, "outbox"),
    "outbox:undo": of_account("", OPERATOR, "outbox"),
    "outbox:reschedule": of_account("", OPERATOR, "outbox"),
    "outbox:look_in_sent": of_account("", OPERATOR, "outbox"),
    "outbox:copy_again": of_account("", OPERATOR, "outbox"),
    "outbox:acknowledge_bounce": of_account("", OPERATOR, "outbox"),
}


@pytest.fixture(autouse=True)
def probes_ask_in_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of its own has a connection of its own, which does not see the rows of a test's transaction."""
    monkeypatch.setattr(health_checks.Check, "answer", lambda check: check._ask())


def unread(message: Message) -> int:
    """A message that could not be read as a report."""
    note = LaterReading.objects.create(message=message, account_id=message.account_id, purpose="report", error="x")
    return note.pk


@pytest.fixture
def rows(account: Account, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A row of every kind, all of the one account, and the position of an attachment."""
    raw = letter_with(b"%PDF-1.4", "report.pdf")
    now = timezone.now()
    workers_keep_running(monkeypatch)
    quarantined = Quarantine.objects.create(account=account, folder=folder_of(account), uid=7, uidvalidity=1, error="x")
    Completeness.objects.create(account=account, finished_at=now, document={"report": {"folders": []}})
    return {
        "account": account.pk,
        "test": ConnectionTest.objects.create(account=account).pk,
        "message": store(account, raw).pk,
        "position": 0,
        "quarantine": quarantined.pk,
        "reading": unread(store(account, letter("Unread"))),
        "draft": Draft.objects.create(user=User.objects.create_user("its writer")).pk,
        "lookup": SettingsLookup.objects.create(
            asked_by=User.objects.get(username="its writer"), email="a@b.example"
        ).pk,
        "provider": (provider := OAuthApp.objects.create(kind="discovery", name="Example")).pk,
        "sign_in": OAuthSignIn.objects.create(
            app=provider, asked_by=User.objects.get(username="its writer"), email="a@b.example", state_digest="d"
        ).pk,
        "writer": User.objects.get(username="its writer").pk,
        "factor": passkey_of(User.objects.get(username="its writer")).pk,
        "test_mail": outbox_row(account, idempotency_key="test-mail:0123456789").pk,
        "token": Token.objects.create(
            user=User.objects.get(username="its writer"), name="x", digest="d", scopes=["read"], expires_at=now
        ).pk,
        "export": Export.objects.create(
            form="zip", finished_at=now, ends_at=now + timedelta(days=1), user=User.objects.get(username="its writer")
        ).pk,
        "person": PersonSearch.objects.create(
            address="eve@example.net", digest="0123456789abcdef", state="counted", document={"report": {}}
        ).pk,
        "operation": Operation.objects.create(verb="retry", upto_pk=0).pk,
        "alert": AlertRule.objects.create(channel="mail", address="ops@example.com", sender=account).pk,
        "retention_rule": RetentionRule.objects.create(what="drafts", days=9).pk,
        "hold": LegalHold.objects.create(address="a@b.example", reason="Case 1").pk,
        "suppressed": SuppressedAddress.objects.create(account=account, address="a@b.example", reason="bounced").pk,
        "reply": SavedReply.objects.create(account=account, name="Late", text="Dear {{ recipient name }}").pk,
        "alias": AccountAlias.objects.create(account=account, email="desk@example.com").pk,
        "webhook": Webhook.objects.create(name="x", url="https://example.com/", encrypted_secret="x").pk,
        "outbox": outbox_row(account, raw=raw, status="failed", hold="uncertain").pk,
    }
