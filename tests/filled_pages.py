"""Rows that fill every page, and the addresses of the pages: for tests that ask all of them.

A new address is among them as soon as `tests/addresses.py` expects it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from alerts.models import AlertIncident, AlertRule, Event, Webhook, WebhookDelivery
from api.models import Token
from mailbox import credentials, process_heartbeats
from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.models import (
    Account,
    AccountAlias,
    AccountGrant,
    AuditEntry,
    Completeness,
    ConnectionTest,
    Export,
    Lease,
    LegalHold,
    OAuthApp,
    OAuthSignIn,
    PersonSearch,
    Quarantine,
    RetentionRule,
    SettingsLookup,
    StorageUse,
    SyncRun,
    SyncRunFolder,
    TrustedSender,
    WorkerHeartbeat,
)
from mailbox.storage import table_sizes
from outbox.models import AttachmentPolicy, DeliveryReport, Draft, Operation, SavedReply, SuppressedAddress
from prx_email_site.monitoring import health_checks
from tests.addresses import EXPECTED
from tests.rows import NOWHERE, attempt, folder_of, letter, letter_with, outbox_row, passkey_of, store

A_PAGE = 55  # rows: more than a list shows at once
STATES: tuple[dict[str, Any], ...] = (
    {"status": "sent", "provider_message_id": "<a@b>"},
    {"status": "pending"},
    {"status": "failed", "hold": "permanent", "error": "550 5.1.1 No such user", "error_code": "permanent"},
    {"status": "failed", "hold": "uncertain"},
    {"status": "failed", "hold": "sign_in"},
    {"status": "cancelled"},
    {"status": "sending"},
)
# Lists that ask otherwise when their address says so.
QUERY_STRINGS = {
    "dashboard": ["?period=month"],
    "charts": ["?period=month"],
    "mailbox:messages": [
        "?by=conversation",
        "?account={account}",
        "?account={account}&by=conversation",
        "?folder={folder}",
        "?folder={folder}&by=conversation",
    ],
    "mailbox:message": [f"?view={name}" for name in ("text", "source")],
    "mailbox:activity": ["?account={account}"],
    "mailbox:search": ["?q=Dear", "?q=subject:number has:attachment account:ops"],
    "outbox:list": [
        *(f"?state={name}" for name in ("queued", "needs_decision", "failed_for_good", "sent")),
        "?account={account}",
        "?q=Invoice&account={account}&code=550&domain=example.com&age=under-1d",
        "?q=Invoice&before=1000000",
    ],
    "outbox:attachments": [
        "?direction=received",
        "?q=report",
        "?direction=sent&q=report",
        "?account={account}&type=pdf",
    ],
    "list_export": ["?state=sent&q=Invoice"],
    "outbox:compose": ["?reply_to={message}", "?reply_all_to={message}", "?forward={message}", "?draft={draft}"],
    "mailbox:account_add": ["?preset=gmail", "?lookup={found}"],
    "outbox:correct": ["?state=failed_for_good&domain=example.com"],
    "outbox:bulk_all": ["?verb=retry&state=failed_for_good"],
}
Rows = dict[str, int]


def fill(account: Account, number: int) -> None:
    """Several of everything that a list may show, of one account."""
    now, inbox = timezone.now(), folder_of(account)
    for each in range(number):
        answer = {"In_Reply_To": f"<{account.pk}-{each - 1}@x.example>"} if each % 3 else {}
        raw = letter(f"Mail number {each} of the quarter", html="<p>Dear Bob</p>", **answer)
        store(account, raw if each % 2 else letter_with(b"%PDF" * each, f"report {each}.pdf"), seen=bool(each % 4))
        row = outbox_row(account, raw=letter_with(b"%PDF", "report.pdf"), **STATES[each % len(STATES)])
        attempt(row, finished_at=now)
        Quarantine.objects.create(account=account, folder=inbox, uid=each, uidvalidity=1, error="Unreadable header")
        SuppressedAddress.objects.create(account=account, address=f"gone{each}@example.com", reason="bounced")
        SavedReply.objects.create(account=account, name=f"Reply {each}", text="Dear {{ recipient name }}")
        AccountAlias.objects.create(account=account, email=f"desk{each}@example.com", signature="The desk")
        AuditEntry.objects.create(account=account, verb="retry", target=f"outbox:{row.pk}", detail="done")
        run = SyncRun.objects.create(finished_at=now)
        SyncRunFolder.objects.create(run=run, account=account, folder=inbox, folder_name="INBOX", ok=bool(each % 5))
        if each % 7 == 0:
            folder_of(account, f"Folder {each}")
            DeliveryReport.objects.create(
                outbox=row, address="ann@example.com", action="failed", status_code="5.1.1", reported_at=now
            )
    StorageUse.objects.create(account=account, kind="received", items=9, size=900, counted_at=now)


@pytest.fixture
def accounts(make_account: Callable[..., Account]) -> list[Account]:
    made = [make_account(f"ops{number}@example.com", **NOWHERE) for number in range(4)]
    for account, number in zip(made, (A_PAGE, 9, 9, 9), strict=True):
        fill(account, number)
    for number in range(3):
        AlertRule.objects.create(channel="mail", address=f"ops{number}@example.com", sender=made[number])
        AlertIncident.objects.create(
            key=f"ending:{number}",
            kind="ending",
            sentence="A key ends.",
            path="/alerts/",
            opened_at=timezone.now(),
            present_since=timezone.now(),
        )
        webhook = Webhook.objects.create(name=f"crm{number}", url="https://example.com/", encrypted_secret="x")
        WebhookDelivery.objects.bulk_create(
            WebhookDelivery(webhook=webhook, event=each, next_try_at=timezone.now()) for each in Event.objects.all()
        )
        WorkerHeartbeat.objects.create(
            host=f"web{number}", cluster_pid=number, started_at=timezone.now(), seen_at=timezone.now()
        )
        process_heartbeats.note("web", timezone.now(), pid=number)
        Lease.acquire(made[number].pk, "sync", f"web{number}/1", seconds=60, now=timezone.now())
    table_sizes.measure(timezone.now())
    AttachmentPolicy.current()  # made from the defaults when first asked for
    return made


WHO = ["administrator", "operator of some accounts"]
# Both in `make test-long`; in CI whoever sees more, where it is pages that are looked at and not the way to their rows.
WHO_SEES_MOST = pytest.mark.parametrize("person", [WHO[0], pytest.param(WHO[1], marks=pytest.mark.long)], indirect=True)


@pytest.fixture(params=WHO)
def person(request: pytest.FixtureRequest, accounts: list[Account], make_user: Callable[..., User]) -> User:
    if request.param == "administrator":
        user = make_user("administrator")
        User.objects.filter(pk=user.pk).update(is_staff=True)
    else:
        user = make_user("")
        for account in accounts[:3]:
            AccountGrant.objects.create(user=user, account=account, role="operator")
    for number in range(5):
        TrustedSender.objects.create(user=user, address=f"a{number}@example.com")
        Token.objects.create(
            user=user, name=f"t{number}", digest=f"d{number}", scopes=["read"], expires_at=timezone.now()
        )
        Draft.objects.create(user=user, account=accounts[0], subject=f"Draft {number}", to="ann@example.com")
    return user


def known_lookup(person: User) -> int:
    """A look-up of a provider's own domain is done at once."""
    return autoconfig_lookup.ask(person.pk, "ann@gmail.com", now=timezone.now())[0].pk


@pytest.fixture(autouse=True)
def probes_ask_in_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of its own has a connection of its own, which does not see the rows of a test's transaction."""
    monkeypatch.setattr(health_checks.Check, "answer", lambda check: check._ask())


def all_factors_of(person: User) -> int:
    """An app, recovery codes and a passkey, whose key this is."""
    TOTP.activate(person, "JBSWY3DPEHPK3PXP")
    RecoveryCodes.activate(person)
    return passkey_of(person).pk


@pytest.fixture
def rows(accounts: list[Account], person: User) -> Rows:
    account = accounts[0]
    first = account.messages.order_by("pk")
    Completeness.objects.update_or_create(account=account, defaults={"finished_at": timezone.now()})
    return {
        "account": account.pk,
        "folder": folder_of(account).pk,
        "test": ConnectionTest.objects.create(account=account).pk,
        "message": first[0].pk,
        "position": 0,
        "quarantine": 0,
        "reading": 0,
        "draft": person.drafts.latest("pk").pk,
        "lookup": SettingsLookup.objects.create(asked_by=person, email="ann@example.com").pk,
        "found": known_lookup(person),
        "provider": OAuthApp.objects.create(kind="discovery", name="Example").pk,
        "sign_in": OAuthSignIn.objects.create(
            app=OAuthApp.objects.create(kind="google"),
            asked_by=person,
            email="a@b.example",
            state_digest="d",
            encrypted_verifier=credentials.encrypt("verifier") or "",
        ).pk,
        "writer": person.pk,
        "factor": all_factors_of(person),
        "test_mail": outbox_row(account, idempotency_key="test-mail:0123456789").pk,
        "token": person.api_tokens.latest("pk").pk,
        "operation": Operation.objects.create(verb="retry", upto_pk=0).pk,
        "alert": AlertRule.objects.latest("pk").pk,
        "webhook": Webhook.objects.latest("pk").pk,
        "retention_rule": RetentionRule.objects.create(what="received", days=9, account=account, larger_than=1).pk,
        "hold": LegalHold.objects.create(account=account, reason="Case 1").pk,
        "person": PersonSearch.objects.create(
            address="ann@example.com",
            digest="0123456789abcdef",
            state="counted",
            document={"report": {}},
            found={"mailbox.Message": {"removed": 3, "held": 1}, "mailbox.Account": {"kept": 1}},
            named={"mailbox.Message": {"held": [1]}, "mailbox.Account": {"kept": [1]}},
        ).pk,
        "export": Export.objects.create(form="zip", user=person, query=f"account={account.pk}", total=9, done=3).pk,
        "suppressed": SuppressedAddress.objects.latest("pk").pk,
        "reply": SavedReply.objects.filter(account=account).latest("pk").pk,
        "alias": account.aliases.latest("pk").pk,
        "outbox": account.outbox.filter(hold="uncertain").latest("pk").pk,
    }


def addresses(rows: Rows) -> list[str]:
    found = []
    for name, expected in EXPECTED.items():
        if expected.to_read:
            url = reverse(name, args=[*(rows[each] for each in expected.names), *expected.args])
            found += [url, *(url + query.format(**rows) for query in QUERY_STRINGS.get(name, []))]
    return found
