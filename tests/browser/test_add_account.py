"""From an address to mail in the list, and a test mail to its outcome: in Chromium, with scripts and without."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from mailbox.autoconfig import lookup as autoconfig_lookup
from mailbox.models import Account, SettingsLookup
from outbox.models import OutboxMessage
from tests.mailbox.autoconfig.one_domain import DOMAIN, Domain, domain
from tests.mailbox.autoconfig.test_servers_found import config, server_xml
from tests.servers.dovecot import Dovecot
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

__all__ = ["domain"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PATIENCE = 30_000  # ms


@pytest.fixture(params=[True, False], ids=["with scripts", "without scripts"])
def scripted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def page(browser: Browser, live_site: str, make_user: Callable[..., User], scripted: bool) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=scripted, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    page = context.new_page()
    user = make_user("administrator")
    page.goto(f"{live_site}/login/")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    page.wait_for_url(lambda url: "/login" not in url)
    yield page
    context.close()


def wait_for(page: Page, words: str, scripted: bool) -> None:
    """With scripts the page asks by itself; without, a person presses Reload."""
    if scripted:
        expect(page.locator("main").get_by_text(words).first).to_be_visible(timeout=PATIENCE)
        return
    for _ in range(60):
        if page.locator("main").get_by_text(words).count():
            return
        page.wait_for_timeout(500)
        reload = page.get_by_role("link", name="Reload")
        if reload.count():
            reload.click()
        else:
            page.reload()
    raise AssertionError(f"waited for {words!r}")


@pytest.mark.in_part(2)
def test_from_an_address_to_the_first_mail(
    page: Page,
    live_site: str,
    scripted: bool,
    domain: Domain,
    dovecot: Dovecot,
    start_workers: Callable[..., Cluster],
    mail_user: str,
) -> None:
    """The look-up runs here, as the domain is on loopback, before there are workers; these do everything else."""
    user, email = mail_user, f"ann@{DOMAIN}"
    dovecot.append(user, "INBOX", b"From: bob@example.org\r\nSubject: Welcome here\r\n\r\nHello.\r\n")
    dovecot.create_folder(user, "Projects")
    domain.publishes(
        config(
            server_xml(host="localhost", port="143", security="STARTTLS"),
            server_xml(host="localhost", port=str(dovecot.imap_port)).replace("%EMAILADDRESS%", user),
            server_xml("smtp", "localhost", str(dovecot.submission_port), "STARTTLS").replace("%EMAILADDRESS%", user),
        )
    )
    page.goto(f"{live_site}/accounts/")
    page.get_by_role("link", name="Add account").first.click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Find the servers").click()
    expect(page.locator("main").get_by_text("Waiting for a worker.")).to_be_visible()
    look_up_here(domain)
    wait_for(page, f"Found for {email}", scripted)
    expect(page.locator("[name=imap_port]")).to_have_value(str(dovecot.imap_port))
    expect(page.locator("[name=smtp_security]")).to_have_value("starttls")
    expect(page.locator("[name=imap_user]")).to_have_value(user)
    expect(page.locator(".found")).to_contain_text(f"autoconfig.{DOMAIN}/mail/config-v1.1.xml")
    start_workers()
    assert not Account.objects.exists(), "nothing is saved before the person says so"

    page.locator("[name=imap_password]").fill(dovecot.password)
    page.locator("main").get_by_text("Private server or bridge").click()
    page.locator("[name=ca_certificate]").fill(dovecot.ca_pem)
    page.get_by_role("button", name="Save and test").click()

    wait_for(page, "Both servers work. Next: choose which folders are fetched.", scripted)
    page.get_by_role("link", name="Choose folders").click()
    if not scripted:
        for _ in range(40):
            if page.get_by_label("Projects").count():
                break
            page.wait_for_timeout(500)
            page.reload()
    page.get_by_label("Projects").check(timeout=PATIENCE)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main").get_by_text("2 folders are synced now.")).to_be_visible()
    wait_for(page, "Mail is fetched as it comes.", scripted)
    page.get_by_role("link", name="Messages", exact=True).last.click()
    expect(page.locator("main").get_by_text("Welcome here")).to_be_visible()


def look_up_here(domain: Domain) -> None:
    """What the worker does, with the domain's own network, in which `localhost` may be named as a server."""
    domain.hosts.add("localhost")
    autoconfig_lookup.run(SettingsLookup.objects.latest("pk").pk, domain.reach())


def test_a_providers_address_fills_the_form_without_asking_anybody(page: Page, live_site: str) -> None:
    page.goto(f"{live_site}/accounts/add/")
    page.get_by_label("E-mail address").fill("ann@gmail.com")
    page.get_by_role("button", name="Find the servers").click()
    expect(page.locator("[name=imap_host]")).to_have_value("imap.gmail.com")
    expect(page.locator("[name=email]")).to_have_value("ann@gmail.com")
    expect(page.locator("main").get_by_text("whose domain gmail.com is").first).to_be_visible()


@pytest.mark.in_part(2)
def test_a_test_mail_is_sent_with_one_click_and_followed(
    page: Page,
    live_site: str,
    scripted: bool,
    make_account: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    workers: Cluster,
) -> None:
    server = smtp_server("tls")
    account = make_account(
        "ops@example.com",
        imap_host="localhost",
        imap_port=1,
        smtp_host=server.host,
        smtp_port=server.port,
        ca_certificate=server.ca_pem,
        sync_enabled=False,
    )
    page.goto(f"{live_site}/accounts/{account.pk}/")
    page.get_by_role("button", name="Send a test mail").click()
    wait_for(page, "The server has accepted it for every recipient", scripted)
    assert [mail.rcpt_tos for mail in server.mails()] == [["ops@example.com"]]
    page.get_by_role("link", name="Open this send").click()
    assert page.url.endswith(f"/outbox/{OutboxMessage.objects.get().pk}/")


def test_back_and_a_second_press_send_no_second_mail(
    page: Page, live_site: str, make_account: Callable[..., Account]
) -> None:
    account = make_account(
        "ops@example.com", imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1, sync_enabled=False
    )
    page.goto(f"{live_site}/accounts/{account.pk}/test-mail/")
    page.get_by_label("To", exact=True).fill("ann@example.org")
    page.get_by_role("button", name="Send test mail").dblclick()
    # The second press breaks off the first one's navigation, which wait_for_url would take for a failure.
    expect(page).to_have_url(re.compile(r"/accounts/test-mails/\d+/$"), timeout=PATIENCE)
    assert [row.to for row in OutboxMessage.objects.all()] == ["ann@example.org"]
