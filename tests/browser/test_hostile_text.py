"""Text that would be a script stands everywhere a stranger can put it; every page is opened in a real browser.

The browser is told to ignore our Content-Security-Policy: escaping must hold without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Dialog, FilePayload, Page

from alerts.models import AlertRule, Webhook
from api.models import Token
from mailbox import credentials
from mailbox.autoconfig.servers import (
    Discovery,
    LookupOutcome,
    LookupStep,
    ServerRefusal,
    ServerSettings,
    SettingsSource,
    to_json,
)
from mailbox.completeness.compare import Finding, FolderLine
from mailbox.csv_text import lines_of
from mailbox.models import (
    Account,
    AccountAlias,
    Attachment,
    AuditEntry,
    Completeness,
    ConnectionTest,
    Export,
    Folder,
    LaterReading,
    OAuthApp,
    OAuthSignIn,
    PersonSearch,
    Quarantine,
    SettingsLookup,
    SyncRun,
    SyncRunFolder,
    WorkerHeartbeat,
)
from outbox.models import (
    DeliveryReport,
    Draft,
    Operation,
    OutboxAttachment,
    OutboxMessage,
    SavedReply,
    SendingSwitch,
    SentCopy,
    SentLookup,
    SuppressedAddress,
)
from tests.addresses import EXPECTED
from tests.rows import NOWHERE, attempt, folder_of, letter, letter_with, outbox_row, passkey_of, store

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIDE = "W" * 45  # wider than a phone, and nowhere to break
LONG_ADDRESS = f"{'w' * 60}@{'x' * 60}.example"
EVIL = f"{WIDE}\"'><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>{{{{7*7}}}}"
SHORT = "\"'><img src=x onerror=alert(4)>"


# The page, and what reaches beyond it, where it can be scrolled sideways.
TOO_WIDE = """() => {
  const { scrollWidth, clientWidth } = document.scrollingElement;
  if (scrollWidth <= Math.max(clientWidth, 390) || !document.styleSheets.length) return []; // a fragment is no page
  const beyond = [...document.querySelectorAll("body *")].filter((each) => each.getBoundingClientRect().right > 391);
  return [`${scrollWidth}`, ...beyond.slice(-3).map((each) => each.outerHTML.slice(0, 160))];
}"""


@pytest.fixture
def rows(make_account: Callable[..., Account]) -> dict[str, int]:
    now = timezone.now()
    account = make_account(LONG_ADDRESS, **NOWHERE, display_name=EVIL)
    for transport in (account.imap, account.smtp):
        transport.user, transport.last_reply, transport.needs_sign_in_since = EVIL, EVIL, now
        transport.save()
    folder = folder_of(account, EVIL)
    Folder.objects.filter(pk=folder.pk).update(special_use="<svg/onload=alert()>")
    run = SyncRun.objects.create(trigger="command", started_at=now)
    SyncRunFolder.objects.create(
        run=run, account=account, folder=folder, folder_name=EVIL, ok=False, error=EVIL, note=EVIL
    )
    for key in range(2):  # two that claim one Message-ID
        hostile: dict[str, Any] = {
            "subject": EVIL,
            "sender": EVIL,
            "sender_address": SHORT,
            "recipients": EVIL,
            "cc": EVIL,
        }
        hostile |= {"reply_to": EVIL, "snippet": EVIL[:120], "body_text": EVIL}
        raw = letter_with(b"%PDF-1.4", "report.pdf") if key else letter("x", EVIL, html=f"<p>{EVIL}</p>")
        message = store(account, raw, folder=EVIL, message_id="<same@example.com>", variant=key, **hostile)
    Attachment.objects.update(filename=EVIL, content_type=SHORT)
    row = outbox_row(
        account,
        EVIL,
        raw=letter_with(b"%PDF-1.4", "report.pdf"),
        status="failed",
        hold="permanent",
        error=EVIL,
        to=EVIL,
        cc=EVIL,
        bcc=EVIL,
        body_text=EVIL,
        body_html=EVIL,
        provider_message_id=EVIL,
        in_reply_to=EVIL,
    )
    row.recipients.update(address=EVIL, status="refused", reply=EVIL, reply_code=550)
    OutboxAttachment.objects.update(filename=EVIL, content_type=SHORT)
    lines = [EVIL, {"at": EVIL, "phase": EVIL, "reply": EVIL}]
    tried = attempt(
        row, outcome="refused", reply=EVIL, worker=SHORT, message_id=EVIL, prx_attempt=SHORT, transcript=lines
    )
    SentLookup.objects.create(attempt=tried, uncertain_at=now, next_look_at=now, last_words=EVIL, found_in=EVIL)
    SentCopy.objects.create(outbox=row, state="failed", next_try_at=now, folder=EVIL, error=EVIL)
    DeliveryReport.objects.create(
        outbox=row, address=EVIL, action="failed", status_code="5.1.1", words=EVIL, reporter=EVIL, reported_at=now
    )
    user = User.objects.create_user(SHORT)
    AuditEntry.objects.create(user=user, account=account, verb=SHORT, target=f"outbox:{row.pk}", detail=EVIL)
    switch = SendingSwitch.current()
    switch.paused_at, switch.paused_by, switch.reason = now, user, EVIL
    switch.save()
    test = ConnectionTest.objects.create(
        account=account, imap_ok=False, imap_reply=EVIL, smtp_ok=True, smtp_reply=EVIL, finished_at=now
    )
    compared = FolderLine(EVIL, differ=1, error=EVIL, findings=[asdict(Finding(7, EVIL, EVIL))])
    report = {"report": {"folders": [asdict(compared)]}}
    Completeness.objects.create(account=account, started_at=now, finished_at=now, error=EVIL, document=report)
    quarantined = Quarantine.objects.create(account=account, folder=folder, uid=7, uidvalidity=1, error=EVIL)
    return {
        "account": account.pk,
        "test": test.pk,
        "message": message.pk,
        "position": OutboxAttachment.objects.get().position,
        "quarantine": quarantined.pk,
        "reading": LaterReading.objects.create(message=message, account=account, purpose="report", error=EVIL).pk,
        "outbox": row.pk,
        "draft": Draft.objects.create(
            user=user, account=account, to=EVIL, cc=EVIL, bcc=EVIL, subject=EVIL, body_text=EVIL
        ).pk,
        "operation": Operation.objects.create(
            user=user, verb="retry", query=f"q={EVIL}", upto_pk=0, skipped={EVIL: 1}, finished_at=now
        ).pk,
        "person": PersonSearch.objects.create(
            user=user, address=SHORT, digest="0123456789abcdef", state="refused", error=EVIL
        ).pk,
        "export": Export.objects.create(form="zip", user=user, query=f"q={SHORT}", error=EVIL).pk,
        "token": Token.objects.create(
            user=user,
            name=EVIL[:80],
            digest="d",
            scopes=[EVIL],
            last_address=SHORT[:45],
            last_used_at=now,
            expires_at=now,
        ).pk,
        "alert": AlertRule.objects.create(channel="mail", address=SHORT, sender=account).pk,
        "suppressed": SuppressedAddress.objects.create(
            account=account, address=SHORT, reason="bounced", words=EVIL[:80]
        ).pk,
        "reply": SavedReply.objects.create(account=account, name=SHORT, text=EVIL).pk,
        "alias": AccountAlias.objects.create(
            account=account, email="desk@example.com", display_name=SHORT, signature=EVIL
        ).pk,
        "webhook": Webhook.objects.create(name=SHORT, url="https://example.com/", encrypted_secret="x").pk,
        "provider": OAuthApp.objects.create(kind="discovery", name=SHORT).pk,
        "sign_in": OAuthSignIn.objects.create(
            app=OAuthApp.objects.create(kind="google"),
            asked_by=user,
            email="a@b.example",
            state_digest="d",
            encrypted_verifier=credentials.encrypt("verifier") or "",
            error=EVIL,
        ).pk,
        "writer": user.pk,
        "factor": passkey_of(user).pk,
        "test_mail": hostile_test_mail(account).pk,
        "lookup": hostile_lookup(user).pk,
    }


def hostile_test_mail(account: Account) -> OutboxMessage:
    row = outbox_row(account, EVIL, status="failed", hold="permanent", error=EVIL, to=EVIL)
    OutboxMessage.objects.filter(pk=row.pk).update(idempotency_key=f"test-mail:{EVIL}")
    return row


def hostile_lookup(user: User) -> SettingsLookup:
    """What a domain's owner may publish."""
    found = Discovery()
    found.add(ServerSettings("imap", SHORT, 993, "tls", EVIL), SettingsSource.SRV)
    found.steps += [
        LookupStep(SettingsSource.SRV, EVIL, LookupOutcome.FOUND, EVIL, kind="imap"),
        LookupStep(SettingsSource.AUTOCONFIG, EVIL, LookupOutcome.UNUSABLE, EVIL, ServerRefusal.PLAIN, "smtp"),
        LookupStep(SettingsSource.MX, EVIL, LookupOutcome.NOTHING, EVIL),
    ]
    return SettingsLookup.objects.create(asked_by=user, email=SHORT, finished_at=timezone.now(), found=to_json(found))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def page_without_policy(
    browser: Browser, live_site: str, make_user: Callable[..., User], said: list[str]
) -> Iterator[Page]:
    user = make_user("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()

    def note(dialog: Dialog) -> None:
        said.append(f"{page.url}: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", note)
    page.goto(f"{live_site}/login/")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    page.wait_for_url(lambda url: "/login" not in url)
    yield page
    context.close()


def addresses(rows: dict[str, int]) -> list[str]:
    """Every page that can be read; downloads are no pages."""
    downloads = ("eml", "attachment", "export_file", "manifest", "report", "csv")
    names = [name for name, expected in EXPECTED.items() if expected.to_read and not name.endswith(downloads)]
    return [
        reverse(name, args=[*(rows[each] for each in EXPECTED[name].names), *EXPECTED[name].args]) for name in names
    ]


def test_the_browser_would_notice(page_without_policy: Page, live_site: str, said: list[str]) -> None:
    with page_without_policy.expect_event("dialog"):
        page_without_policy.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(5)>')")
    assert len(said) == 1


@pytest.mark.parametrize("third", range(3))
@pytest.mark.in_part(3)
def test_no_text_runs_on_any_page_or_makes_it_wider_than_a_phone(
    page_without_policy: Page, live_site: str, rows: dict[str, int], said: list[str], third: int
) -> None:
    page = page_without_policy
    page.set_viewport_size({"width": 390, "height": 844})
    too_wide: list[str] = []
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=now)
    Draft.objects.update(user=User.objects.get(is_superuser=True))  # a draft is shown to its writer only
    SettingsLookup.objects.update(asked_by=User.objects.get(is_superuser=True))
    message = reverse("mailbox:message", args=[rows["message"]])
    more = [f"{message}?view={view}" for view in ("text", "headers", "source")]
    more += [f"{reverse('outbox:detail', args=[rows['outbox']])}?view=text", f"{reverse('outbox:list')}?q=%22%3E%3Cimg"]
    more += [f"{reverse('mailbox:search')}?q=script", f"{reverse('mailbox:search')}?q=%22%3E%3Cimg+src%3Dx+larger:x"]
    more += [
        f"{reverse('mailbox:messages')}?account={rows['account']}",
        f"{reverse('outbox:attachments')}?direction=sent",
    ]
    more += [f"{reverse('outbox:compose')}?reply_to={rows['message']}", f"{reverse('outbox:list')}?state=%3Cimg%3E"]
    more.append(f"{reverse('mailbox:account_add')}?lookup={rows['lookup']}")
    admins = [
        "mailbox_settingslookup",
        "mailbox_account",
        "mailbox_message",
        "mailbox_quarantine",
        "mailbox_auditentry",
        "outbox_outboxmessage",
    ]
    more += [reverse(f"admin:{name}_changelist") for name in admins]
    more += [reverse("admin:outbox_outboxmessage_change", args=[rows["outbox"]])]
    more += [reverse("admin:mailbox_message_change", args=[rows["message"]])]
    for address in (addresses(rows) + more)[third::3]:
        answered = page.goto(f"{live_site}{address}")
        assert answered is not None and answered.status < 500, address
        assert page.locator("img[src=x]").count() == 0, address
        assert said == [], address
        too_wide += [f"{address}: {each}" for each in page.evaluate(TOO_WIDE)]
    if third == 0:  # no page to be read: what a file said
        named = [LONG_ADDRESS, LONG_ADDRESS, EVIL, '"<img/src=x/onerror=alert(6)>"@example.com']
        lines = lines_of(["email", "imap_host", "imap_port"], [[each, EVIL, SHORT] for each in named])
        page.goto(f"{live_site}{reverse('mailbox:account_import')}")
        file: FilePayload = {"name": "accounts.csv", "mimeType": "text/csv", "buffer": "".join(lines).encode()}
        page.set_input_files("[name=file]", file)
        page.click("#look")
        page.wait_for_selector("table.list")
        assert page.locator("tbody tr").count() == 4 and page.locator("img").count() == 0 and said == []
        too_wide += page.evaluate(TOO_WIDE)
    assert too_wide == []
    assert OutboxMessage.objects.filter(pk=rows["outbox"], status="failed").exists()
