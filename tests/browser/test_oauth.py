"""From the button to synced and sent mail: Chromium, the site, workers, the identity provider, Dovecot and a sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mailbox.models import Account, Folder, Message, OAuthApp, OAuthGrant
from tests.mailbox.oauth.conftest import app, provider_allowed
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.oidc import OidcProvider
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

__all__ = ["app", "provider_allowed"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PATIENCE = 60_000  # ms: a worker starts, or polls, and the page asks again


def knows_the_servers(app: OAuthApp, dovecot: Dovecot) -> None:
    app.servers = {
        "imap_host": dovecot.host,
        "imap_port": dovecot.imap_port,
        "smtp_host": dovecot.host,
        "smtp_port": dovecot.submission_port,
        "smtp_security": "starttls",
    }
    app.ca_certificate = dovecot.ca_pem
    app.save()


def consent(page: Page, name: str) -> None:
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def add_by_button(page: Page, site: str, email: str) -> None:
    page.goto(f"{site}/accounts/add/")
    page.locator("[name=email]").fill(email)
    page.get_by_role("button", name="Find the servers").click()
    page.get_by_role("button", name="Sign in with Example").click(timeout=PATIENCE)


def test_an_account_is_added_by_a_consent_and_fetches_and_sends(
    signed_in_page: Page,
    live_site: str,
    settings: Any,
    app: OAuthApp,
    oidc: OidcProvider,
    dovecot: Dovecot,
    sink: SmtpServer,
    start_workers: Callable[..., Cluster],
    mail_user: str,
) -> None:
    settings.BASE_URL = live_site
    knows_the_servers(app, dovecot)
    dovecot.append(mail_user, "INBOX", b"From: ann@example.org\r\nSubject: Signed in by a button\r\n\r\nHello.\r\n")
    start_workers()
    page = signed_in_page
    add_by_button(page, live_site, mail_user)
    consent(page, mail_user)
    expect(page.locator("main").get_by_text(f"{mail_user} is signed in.")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("main").get_by_text("A worker is asking the server for its folders")).to_have_count(
        0, timeout=PATIENCE
    )
    expect(page.get_by_label("INBOX")).to_be_checked()
    assert not Message.objects.exists() and not Folder.objects.chosen().exists()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main").get_by_text(f"OAuth grant by Example, signed in as {mail_user}").first).to_be_visible()
    account = Account.objects.with_transports().get()
    assert account.imap.grant is not None and account.imap.grant_id == account.smtp.grant_id
    assert (account.imap.password, account.smtp.encrypted_oauth_token) == (None, None)
    page.goto(f"{live_site}/messages/")
    for _ in range(30):
        if page.locator("main").get_by_text("Signed in by a button").count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    expect(page.locator("main").get_by_text("Signed in by a button").first).to_be_visible()
    page.goto(f"{live_site}/outbox/compose/")
    page.locator("[name=to]").fill("Bob <bob@customer.example>")
    page.locator("[name=subject]").fill("Sent by a token")
    page.locator("[name=body_text]").fill("Hello Bob")
    page.get_by_role("button", name="Send").click()
    accepted = page.locator("main").get_by_text("The server has accepted it for every recipient")
    expect(accepted).to_be_visible(timeout=PATIENCE)
    assert [mail.rcpt_tos for mail in sink.mails()] == [["bob@customer.example"]]
    assert oidc.token_requests("authorization_code") == [200]


@pytest.mark.long
def test_another_mailbox_than_the_accounts_is_refused_and_nothing_changes(
    signed_in_page: Page,
    live_site: str,
    settings: Any,
    app: OAuthApp,
    oidc: OidcProvider,
    dovecot: Dovecot,
    start_workers: Callable[..., Cluster],
    make_account: Callable[..., Account],
    mail_user: str,
) -> None:
    settings.BASE_URL = live_site
    account = make_account(mail_user)
    start_workers()
    page = signed_in_page
    page.goto(f"{live_site}/accounts/{account.pk}/sign-in/imap/")
    page.get_by_role("button", name="Sign in with Example").click()
    consent(page, "somebody.else@example.test")
    expect(page.locator("main").get_by_text("You signed in as somebody.else@example.test")).to_be_visible(
        timeout=PATIENCE
    )
    assert Account.objects.with_transports().get().imap.password == MAILBOX_PASSWORD
    assert OAuthGrant.objects.count() == 0


@pytest.mark.long
def test_a_refused_consent_says_so_and_changes_nothing(
    signed_in_page: Page, live_site: str, settings: Any, app: OAuthApp, make_account: Callable[..., Account]
) -> None:
    settings.BASE_URL = live_site
    account = make_account("ann@example.test")
    page = signed_in_page
    page.goto(f"{live_site}/accounts/{account.pk}/sign-in/imap/")
    page.get_by_role("button", name="Sign in with Example").click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.locator("main").get_by_text("The provider was not given the consent")).to_be_visible()
    assert Account.objects.get().imap.password == MAILBOX_PASSWORD
