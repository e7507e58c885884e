"""What no form or list of ours asked for: a sentence or a page that says so, never a page of our own mistakes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, Transport
from outbox.models import OutboxMessage, SendingSwitch
from tests.addresses import EXPECTED, rows

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
__all__ = ["rows"]

# As they stand in an address: NUL, numbers no column holds, digits of other scripts, no UTF-8, half of a pair.
JUNK = ["%00", "a%00b", "0", "-1", "9" * 19, "9" * 5000, "%D9%A1", "%C2%B2", "1_0", "%20", "%FF%FE", "%ED%A0%80", "'"]
JUNK += [
    "--",
    "1-",
    "9999999999999999-1",
    f"1-{'9' * 40}",
    "-62135596800000000-1",
    "%0d%0a",
    "9999-12-31T23:59:59-14:00",
]
LIMITS = ["0", "-1", "501", "abc", "000000001999", "9" * 5000, "%D9%A1", "1e2", "%00", "1.5", "+5", "%20"]
LISTS = [
    "mailbox:messages",
    "mailbox:search",
    "mailbox:quarantine",
    "mailbox:accounts",
    "mailbox:account_runs",
    "mailbox:activity",
    "outbox:list",
    "outbox:attachments",
]
PARAMETERS = {
    "dashboard": ["period"],
    "charts": ["period"],
    "mailbox:messages": ["before", "account", "folder"],
    "mailbox:search": ["q", "before", "q=report&before"],
    "mailbox:message": ["view"],
    "mailbox:quarantine": ["before"],
    "mailbox:accounts": ["after"],
    "mailbox:account_add": ["preset", "lookup", "preset=gmail&lookup"],
    "mailbox:account_runs": ["before"],
    "mailbox:account_folders": ["asked"],
    "mailbox:activity": ["before", "account"],
    "outbox:list": ["before", "account", "state", "reason", "q"],
    "outbox:changes": ["rows", "tabs", "top", "account"],
    "outbox:compose": ["reply_to", "account"],
    "outbox:attachments": ["before", "account", "direction", "type"],
    "outbox:detail": ["view"],
    "outbox:state": ["seen"],
}


@pytest.fixture
def administrator(client: Client, make_user: Callable[..., User]) -> Client:
    user = make_user("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=user.pk))
    return client


def address(name: str, rows: dict[str, int]) -> str:
    return reverse(name, args=[*(rows[each] for each in EXPECTED[name].names), *EXPECTED[name].args])


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.in_part(3)
def test_no_parameter_breaks_a_page(administrator: Client, rows: dict[str, int], name: str) -> None:
    for parameter in PARAMETERS[name]:
        for junk in JUNK:
            status = administrator.get(f"{address(name, rows)}?{parameter}={junk}").status_code
            assert status in (200, 204, 400, 404), f"{parameter}={junk}"


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.in_part(3)
def test_each_list_refuses_a_limit_outside_1_to_500_in_words(
    administrator: Client, rows: dict[str, int], name: str
) -> None:
    for limit in LIMITS:
        response = administrator.get(f"{address(name, rows)}?limit={limit}")
        assert response.status_code == 400, limit
        assert "The limit is a number from 1 to 500" in response.content.decode()
    for limit in ("1", "500"):
        assert administrator.get(f"{address(name, rows)}?limit={limit}").status_code == 200


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.names])
@pytest.mark.in_part(3)
def test_a_number_no_row_can_have_names_nothing(administrator: Client, name: str) -> None:
    method = "get" if EXPECTED[name].to_read else "post"
    for pk in (0, 2**63, 10**30, int("9" * 4000)):
        url = reverse(name, args=[*(pk for _ in EXPECTED[name].names), *EXPECTED[name].args])
        assert getattr(administrator, method)(url).status_code == 404, pk


def test_what_asks_the_admin_for_no_account_gets_an_answer(administrator: Client, account: Account) -> None:
    changelist = reverse("admin:mailbox_account_changelist")
    for key in ("abc", "_5F", "9" * 40):
        assert administrator.get(f"{changelist}{key}/delete/").status_code in (302, 404)
    grants = "app_label=mailbox&model_name=accountgrant&field_name=account"
    response = administrator.get(f"{reverse('admin:autocomplete')}?term=a%00&{grants}")
    assert response.status_code == 400


# --- secrets and hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["x\r\nA1 DELETE INBOX", "x\ny", "x\x7f", "x\x1by"])
def test_a_secret_that_would_be_a_second_command_is_refused(
    administrator: Client, account: Account, secret: str
) -> None:
    before = Transport.objects.get(pk=account.imap.pk).encrypted_password
    url = reverse("mailbox:account_sign_in", args=[account.pk, "imap"])
    page = administrator.post(url, {"password": secret, "both": "on"}).content.decode()
    assert "no line breaks or control characters" in page
    assert Transport.objects.get(pk=account.imap.pk).encrypted_password == before


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("imap.example.com:993", "its port has a field of its own"),
        ("https://imap.example.com", "its port has a field of its own"),
        ("<script>", "only the name"),
        ("-x.example.com", "only the name"),
        ("mail example", "only the name"),
        ("", "Give the server&#x27;s host name."),
    ],
)
def test_what_is_no_host_name_is_refused_with_what_to_write(
    administrator: Client, account: Account, host: str, said: str
) -> None:
    fields = {"email": account.email, "imap_host": host, "imap_port": 993, "imap_user": "u"}
    fields |= {"smtp_host": "smtp.example.com", "smtp_port": 465, "smtp_same": "on"}
    page = administrator.post(reverse("mailbox:account_edit", args=[account.pk]), fields).content.decode()
    assert said in page
    assert Transport.objects.get(pk=account.imap.pk).host == "localhost"


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "::1", "2001:db8::1", "mail_1.example.com", "почта.рф", "a."]
)
def test_names_of_any_script_and_addresses_are_hosts(account: Account, host: str) -> None:
    account.imap.host = host
    account.imap.full_clean()


# --- too much -------------------------------------------------------------------------------------------------


def test_a_form_over_the_limit_is_refused_in_words(administrator: Client, account: Account) -> None:
    text = "x" * (11 * 1024 * 1024)
    fields = {"account": account.pk, "to": "a@example.com", "subject": "S", "body_text": text}
    response = administrator.post(reverse("outbox:compose"), fields)
    assert response.status_code == 400
    assert "Shorten it, or attach it as a file" in response.content.decode()
    assert not OutboxMessage.objects.exists()


def test_a_form_with_too_many_fields_is_refused_in_words(administrator: Client, account: Account) -> None:
    response = administrator.post(reverse("outbox:bulk"), {"pk": list(range(1001)), "action": "retry"})
    assert response.status_code == 400
    assert "tick fewer rows" in response.content.decode()


@pytest.mark.parametrize(
    "where", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_no_form_leads_away_from_the_site(administrator: Client, account: Account, where: str) -> None:
    response = administrator.post(reverse("mailbox:account_pause", args=[account.pk]), {"next": where})
    assert response.headers["Location"] == reverse("mailbox:account", args=[account.pk])
    administrator.logout()
    User.objects.create_user("vera", password="sesame-sesame")
    response = administrator.post(
        f"{reverse('login')}?next={where}", {"username": "vera", "password": "sesame-sesame", "next": where}
    )
    assert response.headers["Location"] == reverse("dashboard")


@pytest.mark.parametrize("where", ["dashboard", "abc", "\x00", "", "?x=1", "/outbox/\r\nSet-Cookie: a=b"])
def test_a_way_back_that_is_no_path_breaks_nothing(administrator: Client, account: Account, where: str) -> None:
    response = administrator.post(reverse("mailbox:account_pause", args=[account.pk]), {"next": where})
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/")
    assert "\n" not in response.headers["Location"]


def test_a_certificate_that_is_none_is_refused_in_words(administrator: Client, account: Account) -> None:
    for pem in ("ü", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"):
        fields = {"email": account.email, "imap_host": "h", "imap_port": 993, "imap_user": "u", "ca_certificate": pem}
        fields |= {"smtp_host": "h", "smtp_port": 465, "smtp_same": "on"}
        page = administrator.post(reverse("mailbox:account_edit", args=[account.pk]), fields).content.decode()
        assert "This is not a certificate in PEM" in page


def test_a_nul_in_a_reason_is_left_out(administrator: Client) -> None:
    administrator.post(reverse("outbox:pause_sending"), {"reason": "moving\x00 house", "confirmed": "1"})
    assert SendingSwitch.current().reason == "moving house"
