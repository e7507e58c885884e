"""What the frame of every page and the forms in it say: where one is, what to press, and nothing that is not so."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from alerts.forms import AlertForm
from alerts.models import AlertRule
from mailbox.models import Account, ConnectionTest, OAuthApp
from mailbox.oauth.app_form import AppForm
from outbox.models import DeliveryReport
from prx_email_site.context_processors import SECTIONS
from tests.filled_pages import (
    Rows,
    accounts,
    addresses,
    person,
    probes_ask_in_this_thread,
    rows,
)
from tests.rows import outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
__all__ = ["accounts", "person", "probes_ask_in_this_thread", "rows"]


@pytest.mark.parametrize("person", ["administrator"], indirect=True)
def test_a_page_whose_crumbs_lead_to_a_section_shows_that_section_as_where_one_is(
    client: Client, person: User, rows: Rows
) -> None:
    client.force_login(person)
    sections = {reverse(name) for _label, name, _key in SECTIONS}
    wrong, led = [], 0
    for address in addresses(rows):
        answer = client.get(address)
        page = "" if answer.streaming else answer.content.decode(errors="replace")
        crumb = re.search(r'<div class="crumbs"><a href="([^"?]*)', page)
        if crumb and crumb[1] in sections and "/lists/" not in address:
            led += 1
            if not re.search(rf'<a href="{crumb[1]}" data-go="\w" aria-current="page"', page):
                wrong.append(address)
    assert led > 15
    assert wrong == []


def test_an_alert_by_mail_offers_a_secret_for_the_webhook_it_may_become(account: Account) -> None:
    rule = AlertRule.objects.create(channel="mail", address="ops@example.com", sender=account)
    assert AlertForm(rule=rule).initial["secret"]
    rule.secret = "a secret of a webhook"
    assert "secret" not in AlertForm(rule=rule).initial


def test_a_provider_without_a_secret_is_not_told_to_keep_the_stored_one() -> None:
    app = OAuthApp(kind="discovery", name="Example")
    assert AppForm(app=app).fields["client_secret"].help_text == ""
    app.client_secret = "of the provider"
    assert "keep the stored one" in str(AppForm(app=app).fields["client_secret"].help_text)


@pytest.mark.parametrize(("number", "said"), [(1, "somebody did not get it."), (2, "somebody did not get them.")])
def test_the_dashboard_speaks_of_one_bounce_as_one_and_of_two_as_two(
    operator: Client, account: Account, number: int, said: str
) -> None:
    for _ in range(number):
        sent = outbox_row(account, status="sent", sent_at=timezone.now())
        DeliveryReport.objects.create(outbox=sent, address="a@x.example", action="failed", reported_at=timezone.now())
    assert said in operator.get("/").content.decode()


@pytest.mark.parametrize(
    ("reply", "offered"),
    [("[AUTHENTICATIONFAILED] Authentication failed.", True), ("The host name imap.example was not found", False)],
)
def test_a_failed_test_offers_to_sign_in_again_where_that_may_help(
    administrator: Client, account: Account, reply: str, offered: bool
) -> None:
    code = "sign_in" if offered else "network"
    test = ConnectionTest.objects.create(
        account=account, finished_at=timezone.now(), imap_ok=False, imap_reply=reply, imap_code=code, smtp_ok=True
    )
    page = administrator.get(reverse("connection_test", args=[test.pk])).content.decode()
    assert (reverse("mailbox:account_sign_in", args=[account.pk, "imap"]) in page) is offered
