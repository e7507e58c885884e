"""The whole job of an operator, by real parts only: Chromium, the site, workers, Dovecot and an SMTP sink."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.compose import build as compose_build
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PATIENCE = 30_000  # ms: a worker starts, or polls, and the page asks again
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def a_question(sender: str, to: str) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Ann Example <{sender}>", to, "Where is the June invoice?"
    mail["Message-ID"], mail["Date"] = "<june@example.org>", "Mon, 02 Nov 2026 10:00:00 +0000"
    mail.set_content("Dear team,\n\nplease send the June invoice again.\n\nAnn\n")
    mail.add_alternative(
        "<p>Dear team,</p><p>please send the <b>June invoice</b> again.</p>"
        '<img src="https://tracker.example.net/open.gif"><script>document.title = "hacked"</script>',
        subtype="html",
    )
    return mail.as_bytes().replace(b"\n", b"\r\n")


def sign_in(page: Page, site: str, user: User) -> None:
    page.goto(site)
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill("sign-in-please")
    page.get_by_role("button", name="Sign in").click()


def add_account_from_a_preset_and_correct_it(page: Page, dovecot: Dovecot, email: str) -> None:
    page.get_by_role("link", name="Add account").click()
    page.get_by_role("link", name="Gmail").click()
    expect(page.locator("[name=imap_host]")).to_have_value("imap.gmail.com")
    expect(page.locator("[name=smtp_port]")).to_have_value("465")
    page.locator("[name=email]").fill(email)
    page.locator("summary").filter(has_text="imap.gmail.com").click()  # known servers are folded
    for name, value in (("imap_host", dovecot.host), ("imap_port", dovecot.imap_port), ("imap_user", email)):
        page.locator(f"[name={name}]").fill(str(value))
    page.locator("[name=imap_password]").fill("not the password")
    page.locator("[name=smtp_host]").fill(dovecot.host)
    page.locator("[name=smtp_port]").fill(str(dovecot.submission_port))
    page.locator("[name=smtp_security]").select_option("starttls")
    page.locator("main").get_by_text("Private server or bridge").click()
    page.locator("[name=ca_certificate]").fill(dovecot.ca_pem)
    page.get_by_role("button", name="Save and test").click()


def mend_the_password_until_the_test_passes(page: Page) -> None:
    expect(page.locator("main").get_by_text("AUTHENTICATIONFAILED")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("link", name="Sign in again").first.click()
    page.locator("[name=password]").fill(MAILBOX_PASSWORD)
    page.get_by_role("button").filter(has_text="Sign in").click()
    page.get_by_role("link", name="Accounts").first.click()
    page.get_by_role("link", name="@example.test").first.click()
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator("main").get_by_text("signed in", exact=True)).to_have_count(2, timeout=PATIENCE)


def choose_a_folder(page: Page) -> None:
    page.locator(".crumbs a").last.click()
    page.get_by_role("link", name="Choose folders").last.click()
    page.get_by_label("Ölmühle").wait_for(timeout=PATIENCE)  # listed by itself, once the password was right
    page.get_by_role("button", name="Refresh folder list").click()
    page.get_by_role("link", name="Show the new list").click(timeout=PATIENCE)
    expect(page.get_by_label("INBOX")).to_be_checked()
    page.get_by_label("Ölmühle").check()
    page.get_by_role("button", name="Save").click()


def sync_and_read(page: Page, site: str) -> None:
    page.goto(f"{site}/accounts/{Account.objects.get().pk}/")
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator("main").get_by_text("up to date", exact=True)).to_have_count(2, timeout=PATIENCE)
    page.get_by_role("link", name="Messages").first.click()
    expect(page.locator("main").get_by_text("Minutes of the mill")).to_be_visible()
    page.locator("main").get_by_text("Where is the June invoice?").click()
    frame = page.frame_locator("iframe.mail-frame")
    expect(frame.get_by_text("June invoice")).to_be_visible()
    expect(page.locator("main").get_by_text("1 remote image is blocked")).to_be_visible()
    assert "hacked" not in page.title()


def answer(page: Page, text: str) -> None:
    page.get_by_role("link", name="Reply", exact=True).click()
    page.locator("[name=body_text]").fill(text)
    page.locator("[name=attachments]").set_input_files(
        {"name": "invoice.pdf", "mimeType": "application/pdf", "buffer": PDF}
    )
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("link", name="Open it").click()  # one is back in the list


def frozen_as_sent(row: OutboxMessage) -> bytes:
    attempt = DeliveryAttempt.objects.filter(outbox=row).latest("number")
    return compose_build.stamped(raw_store.open_raw(row.mime_digest), attempt.message_id, attempt.prx_attempt)


def test_an_operator_does_the_whole_job(
    page: Page,
    live_site: str,
    make_user: Callable[..., User],
    dovecot: Dovecot,
    sink: SmtpServer,
    workers: Cluster,
    mail_user: str,
    foreign_requests: list[str],
) -> None:
    dovecot.append(mail_user, "INBOX", a_question("ann@customer.example", mail_user))
    dovecot.create_folder(mail_user, "Ölmühle")
    dovecot.append(mail_user, "Ölmühle", b"From: mill@example.org\r\nSubject: Minutes of the mill\r\n\r\nAll well.\r\n")
    before = dovecot.messages(mail_user)

    sign_in(page, live_site, make_user("administrator"))
    add_account_from_a_preset_and_correct_it(page, dovecot, mail_user)
    mend_the_password_until_the_test_passes(page)
    choose_a_folder(page)
    sync_and_read(page, live_site)

    # Refused for good: failed, in the server's words, and after mending one click on Retry.
    sink.refuse("RCPT", "550 5.1.1 No such user here")
    answer(page, "Here it is.\n\n.\n\nA line with a dot alone must arrive as it is: ünïcödé.")
    expect(page.locator("main").get_by_text("The server refused it for good")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("code").filter(has_text="No such user here").first).to_contain_text("550 5.1.1")
    sink.accept()
    page.get_by_role("button", name="Retry").click()
    accepted = page.locator("main").get_by_text("The server has accepted it for every recipient")
    expect(accepted).to_be_visible(timeout=PATIENCE)

    # Refused for now: retrying, with its countdown, and Send now does not wait for it.
    sink.refuse("DATA", "451 4.7.1 Greylisted, try again later")
    page.goto(f"{live_site}/outbox/compose/")
    page.locator("[name=to]").fill("Bob <bob@customer.example>")
    page.locator("[name=subject]").fill("Second mail")
    page.locator("[name=body_text]").fill("Hello Bob")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("code").filter(has_text="Greylisted").first).to_contain_text("451 4.7.1", timeout=PATIENCE)
    expect(page.locator("time[data-countdown]").first).to_be_visible()
    sink.accept()
    page.goto(f"{live_site}/outbox/?state=retrying")
    page.get_by_role("row").filter(has_text="Second mail").get_by_role("button", name="Send now").click()
    page.goto(f"{live_site}/outbox/{OutboxMessage.objects.latest('pk').pk}/")
    accepted = page.locator("main").get_by_text("The server has accepted it for every recipient")
    expect(accepted).to_be_visible(timeout=PATIENCE)

    first, second = OutboxMessage.objects.order_by("pk")
    mails = sink.mails()
    assert [mail.rcpt_tos for mail in mails] == [["ann@customer.example"], ["bob@customer.example"]]
    assert mails[0].submitted == frozen_as_sent(first)
    assert mails[1].submitted == frozen_as_sent(second)
    assert b"In-Reply-To: <june@example.org>" in mails[0].raw
    assert first.attachment_rows.get().digest == raw_store.digest_of(PDF)
    # The server's side is as it was: read-only means read-only.
    assert dovecot.messages(mail_user) == before
    assert not any(dovecot.flags(mail_user).values())
    assert foreign_requests == []
