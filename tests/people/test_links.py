"""Links that set a password: who gets one, that it stands nowhere here, is good once, and for as long as it says."""

from __future__ import annotations

import email
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from email.policy import SMTP
from io import StringIO
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from people.links import site_mail, tokens
from people.links.tokens import Purpose
from people.models import PasswordRequest, Session
from people.tasks import answer_password_requests
from tests.rows import NOWHERE
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
GOOD = "correct-horse-battery"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/[^\s\"<]+)")


@pytest.fixture
def boss(make_user: Callable[..., User]) -> User:
    return make_user("administrator", "boss")


@pytest.fixture
def administrator(client: Client, boss: User) -> Client:
    client.force_login(boss)
    return client


@pytest.fixture
def server(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    return smtp_server("tls")


@pytest.fixture
def sender(account_on: Callable[..., Account], server: SmtpServer) -> Account:
    """The account that sends the site's own mails."""
    account = account_on(server, email="no-reply@example.com")
    site_mail.choose(None, account)
    return account


@pytest.fixture
def vera(make_user: Callable[..., User]) -> User:
    vera = make_user("viewer", "vera", "the-old-password")
    User.objects.filter(pk=vera.pk).update(email="Vera@example.test")
    return User.objects.get(pk=vera.pk)


def texts(server: SmtpServer) -> list[str]:
    mails = [email.message_from_bytes(each.raw, policy=SMTP) for each in server.mails()]
    return [str(each.get_content()).replace("\r\n", "\n") for each in mails]


def deliver_all(account: Account, server: SmtpServer) -> list[str]:
    """The links of the mails that went out, newest last."""
    deliver.deliver_account(account.pk)
    found = [match[1] for text in texts(server) if (match := LINK.search(text.split("\n\n", 1)[1])) is not None]
    return [each for each in found if "/link/" in each or "/profile/" in each]


def choose(client: Client, link: str, password: str = GOOD) -> Any:
    client.get(link)
    return client.post(reverse("password_new"), {"new_password1": password, "new_password2": password}, follow=True)


def signs_in(name: str) -> bool:
    answer = Client().post(reverse("login"), {"username": name, "password": GOOD})
    return answer.headers.get("Location") == reverse("dashboard")


def is_over(answer: Any) -> bool:
    return answer.status_code == 410 and "This link is over" in answer.content.decode()


def everything_stored() -> str:
    """Every value of every table, as the database has it."""
    values = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            values += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(values)


INVITED = {"email": "Ann@example.test", "full_name": "Ann Lee", "role": "operator", "accounts": ""}


def test_an_invited_colleague_chooses_a_password_by_the_link_in_the_mail_and_signs_in_with_the_role(
    administrator: Client, sender: Account, server: SmtpServer
) -> None:
    page = administrator.post(reverse("people:invite"), INVITED, follow=True).content.decode()
    assert "An invitation is on its way to Ann@example.test" in page and "has not chosen a password yet" in page
    [link] = deliver_all(sender, server)
    ann = User.objects.get(username="ann@example.test")
    assert (ann.get_full_name(), ann.has_usable_password()) == ("Ann Lee", False)
    browser = Client()
    assert "Your password is set" in choose(browser, link).content.decode()
    assert signs_in("ann@example.test")
    assert has_role_everywhere(User.objects.get(pk=ann.pk), Role.OPERATOR)


def test_the_link_is_in_the_mail_that_was_sent_and_nowhere_else(
    administrator: Client,
    sender: Account,
    server: SmtpServer,
    caplog: pytest.LogCaptureFixture,
    settings: Any,
) -> None:
    """Not in a row, a stored file, a page or a log, nor in the session of whoever opened it."""
    caplog.set_level(logging.DEBUG)
    administrator.post(reverse("people:invite"), INVITED)
    [link] = deliver_all(sender, server)
    token = link.rstrip("/").rpartition("/")[2]
    Client().get(link)
    row = OutboxMessage.objects.get()
    pages = [administrator.get(reverse(f"outbox:{name}", args=[row.pk])) for name in ("detail", "eml")]
    shown = b"".join(each.getvalue() for each in pages).decode()
    assert "in the mail that was sent, and nowhere else" in shown.replace("=\n", "").replace("=\r\n", "")
    kept = b"".join(path.read_bytes() for path in settings.DATA_DIR.rglob("raw/**/*") if path.is_file()).decode()
    logged = caplog.text + str([vars(each) for each in caplog.records])
    assert "Ann@example.test" in everything_stored() and row.mime_digest and "Ann@example.test" in kept
    for where in (shown, everything_stored(), kept, logged):
        assert token not in where


def test_a_servers_refusal_that_quotes_the_link_is_kept_without_it(
    administrator: Client, sender: Account, server: SmtpServer, vera: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tokens.link_for(vera, Purpose.PASSWORD)
    monkeypatch.setattr(tokens, "link_for", lambda *_: link)
    server.refuse(".", f"554 5.7.1 Message refused, it holds {link}")
    administrator.post(reverse("people:link", args=[vera.pk]), {"how": "mail"})
    deliver.deliver_account(sender.pk)
    row = OutboxMessage.objects.get()
    assert "Message refused" in row.error
    assert link.rstrip("/").rpartition("/")[2] not in everything_stored()


def test_without_an_account_for_it_the_link_is_shown_once_to_copy(administrator: Client) -> None:
    assert "you get a link to copy" in administrator.get(reverse("people:invite")).content.decode()
    answer = administrator.post(reverse("people:invite"), INVITED)
    found = LINK.search(answer.content.decode())
    assert found and "no-store" in answer.headers["Cache-Control"]
    assert found[1] not in administrator.get(reverse("people:list")).content.decode()
    link = found[1]
    assert link.rstrip("/").rpartition("/")[2] not in everything_stored()
    assert "Your password is set" in choose(Client(), link).content.decode()
    assert not OutboxMessage.objects.exists()


def test_roles_may_be_for_some_accounts_alone(administrator: Client, make_account: Callable[..., Account]) -> None:
    first, second, _third = [make_account(f"{name}@example.com", **NOWHERE) for name in "abc"]
    asked = INVITED | {"accounts": "A@example.com\nnobody@example.com"}
    assert (
        "There is no account nobody@example.com" in administrator.post(reverse("people:invite"), asked).content.decode()
    )
    administrator.post(reverse("people:invite"), INVITED | {"accounts": "A@example.com, b@example.com"})
    ann = User.objects.get(username="ann@example.test")
    assert set(accounts_for(ann, Role.OPERATOR)) == {first, second} and not ann.groups.exists()
    again = administrator.post(reverse("people:invite"), INVITED | {"email": "ANN@example.test"})
    assert "has this address already" in again.content.decode()


def test_a_link_is_good_once(vera: User) -> None:
    link = tokens.link_for(vera, Purpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    Session.objects.all().delete()
    first, second = Client(), Client()
    for each in (first, second):  # two browsers have it open at once
        each.get(link)
    form = {"new_password1": GOOD, "new_password2": GOOD}
    assert first.post(reverse("password_new"), form).status_code == 302
    other = {"new_password1": "another-good-one-1", "new_password2": "another-good-one-1"}
    assert is_over(second.post(reverse("password_new"), other))
    assert is_over(Client().get(link))
    assert User.objects.get(pk=vera.pk).check_password(GOOD)
    assert AuditEntry.objects.filter(verb="set_password_by_link", target=f"user:{vera.pk}").count() == 1


def test_of_two_who_send_the_form_at_one_instant_one_sets_the_password(
    vera: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one has read the user before the first one wrote."""
    from people.links import pages

    link = tokens.link_for(vera, Purpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    slow, real = Client(), pages.make_password
    slow.get(link)

    def meanwhile(password: str) -> str:
        monkeypatch.setattr(pages, "make_password", real)
        quick = Client()
        assert "Your password is set" in choose(quick, link, "the-first-password").content.decode()
        return real(password)

    monkeypatch.setattr(pages, "make_password", meanwhile)
    assert is_over(slow.post(reverse("password_new"), {"new_password1": GOOD, "new_password2": GOOD}))
    assert User.objects.get(pk=vera.pk).check_password("the-first-password")


@pytest.mark.parametrize(
    ("purpose", "lasts"), [(Purpose.PASSWORD, timedelta(hours=1)), (Purpose.INVITATION, timedelta(days=7))]
)
def test_a_link_ends_by_its_time(
    vera: User, purpose: Purpose, lasts: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tokens.link_for(vera, purpose).removeprefix("http://127.0.0.1:8000")
    for after, status in ((lasts - timedelta(seconds=5), 302), (lasts + timedelta(seconds=5), 410)):
        monkeypatch.setattr(tokens.Tokens, "_now", lambda self, after=after: datetime.now() + after)
        assert Client().get(link).status_code == status


@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"email": "elsewhere@example.test"},
        {"password": "md5$a$b"},
        {"last_login": timezone.now()},
        {"username": "other"},
    ],
)
def test_whatever_changes_about_the_person_ends_the_link(vera: User, change: dict[str, Any]) -> None:
    link = tokens.link_for(vera, Purpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    opened = Client()
    opened.get(link)
    User.objects.filter(pk=vera.pk).update(**change)
    assert is_over(Client().get(link)) and is_over(opened.get(reverse("password_new")))


def test_a_link_of_one_kind_person_or_key_is_none_of_another(vera: User, boss: User, settings: Any) -> None:
    token = tokens.link_for(vera, Purpose.PASSWORD).rstrip("/").rpartition("/")[2]
    for purpose, pk, given in (
        ("invitation", vera.pk, token),
        ("password", boss.pk, token),
        ("password", vera.pk, token[:-1] + ("0" if token[-1] != "0" else "1")),
        ("browser", vera.pk, tokens.proof_for_browser(vera)),
        ("password", vera.pk, tokens.proof_for_browser(vera)),
        ("password", 2**40, token),
        ("password", vera.pk, "x"),
    ):
        assert is_over(Client().get(reverse("password_link", args=[purpose, pk, given])))
    settings.SECRET_KEY = "another"
    assert is_over(Client().get(reverse("password_link", args=["password", vera.pk, token])))


def test_opening_a_link_changes_nothing_and_leads_to_an_address_without_it(vera: User) -> None:
    """Scanners of mail open links: it is good after that. What the next page asks for names no token (Referer)."""
    link = tokens.link_for(vera, Purpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    for _ in range(3):
        answer = Client().get(link)
        assert (answer.status_code, answer.headers["Location"]) == (302, reverse("password_new"))
        assert answer.headers["Referrer-Policy"] == "same-origin"
    assert Client().head(link).status_code == 302
    assert "Your password is set" in choose(Client(), link).content.decode()


def test_a_new_password_ends_every_session_keeps_the_second_factor_and_signs_nobody_in(
    vera: User, server: SmtpServer, sender: Account
) -> None:
    elsewhere = Client()
    elsewhere.force_login(vera)
    vera.refresh_from_db()
    browser = Client()
    link = tokens.link_for(vera, Purpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    choose(browser, link)
    assert not browser.get(reverse("login")).wsgi_request.user.is_authenticated
    assert not elsewhere.get(reverse("login")).wsgi_request.user.is_authenticated
    deliver.deliver_account(sender.pk)
    assert "Every session was ended" in texts(server)[0]


def test_a_weak_password_is_refused_and_the_link_stays_good(vera: User) -> None:
    link = tokens.link_for(vera, Purpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    browser = Client()
    assert choose(browser, link, "vera").status_code == 200
    assert "Your password is set" in choose(browser, link).content.decode()


def test_a_link_names_the_sites_address_and_no_header_of_a_request(administrator: Client, vera: User) -> None:
    given = {"HTTP_HOST": "localhost", "HTTP_X_FORWARDED_HOST": "evil.example"}
    page = administrator.post(reverse("people:link", args=[vera.pk]), {"how": "copy"}, **given).content.decode()
    assert LINK.search(page) and "evil.example" not in page and "//localhost" not in page


# --- Forgotten passwords ----------------------------------------------------------------------------------------


def forget(client: Client, address: str, **more: str) -> Any:
    return client.post(reverse("password_forgotten"), {"email": address}, **more)


def test_a_forgotten_password_is_chosen_anew_by_a_link_in_a_mail(
    client: Client, vera: User, sender: Account, server: SmtpServer
) -> None:
    forget(client, " vera@EXAMPLE.test ")
    assert (answer_password_requests(), answer_password_requests()) == (1, 0)
    [link] = deliver_all(sender, server)
    assert [each.rcpt_tos for each in server.mails()] == [["Vera@example.test"]]
    choose(client, link)
    assert signs_in("vera")


def test_the_answer_is_the_same_and_costs_the_same_for_an_address_that_nobody_has(
    client: Client, vera: User, sender: Account, django_assert_num_queries: Any
) -> None:
    pages, costs = [], []
    for address in ("vera@example.test", "nobody@example.test"):
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as asked:
            answer = forget(Client(), address)
        costs.append([re.sub(r"'[^']*'|\d+", "", each["sql"]) for each in asked])
        pages.append(answer.content.decode().partition("<main")[2])
    assert pages[0] == pages[1] and "If somebody here has this address" in pages[0]
    assert costs[0] == costs[1]
    assert "auth_user" not in str(costs)


def test_who_gets_no_link_by_mail(client: Client, vera: User, boss: User, sender: Account, settings: Any) -> None:
    """A user with all rights, one switched off, one who comes by the sign-on alone. An invited one gets one."""
    for change in ({"is_superuser": True}, {"is_active": False}):
        User.objects.filter(pk=vera.pk).update(is_superuser=False, is_active=True)
        User.objects.filter(pk=vera.pk).update(**change)
        forget(client, vera.email)
        answer_password_requests()
    User.objects.filter(pk=vera.pk).update(is_superuser=False, is_active=True, password="!unusable")
    SocialAccount.objects.create(user=vera, provider="company", uid="1")
    forget(client, vera.email)
    answer_password_requests()
    assert not OutboxMessage.objects.exists()
    SocialAccount.objects.all().delete()  # an invited person who lost the invitation
    PasswordRequest.objects.all().delete()
    forget(client, vera.email)
    answer_password_requests()
    assert OutboxMessage.objects.count() == 1
    settings.LOCAL_PASSWORDS = False
    assert "your company" in client.get(reverse("password_forgotten")).content.decode()


def test_one_client_and_one_address_get_only_so_many(client: Client, vera: User, sender: Account) -> None:
    answers = [forget(client, "vera@example.test", REMOTE_ADDR="203.0.113.7").status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]
    assert forget(client, "nobody@example.test", REMOTE_ADDR="203.0.113.7").headers["Retry-After"] == "900"
    assert forget(client, "vera@example.test", REMOTE_ADDR="203.0.113.8").status_code == 200
    answer_password_requests()
    assert OutboxMessage.objects.count() == 3


def test_without_an_account_for_it_the_page_says_whom_to_ask(client: Client, vera: User) -> None:
    assert reverse("password_forgotten") in client.get(reverse("login")).content.decode()
    for answer in (client.get(reverse("password_forgotten")), forget(client, vera.email)):
        assert "An administrator can make a link for you" in answer.content.decode()
    assert not PasswordRequest.objects.exists()


def test_a_mail_that_waited_holds_no_link_for_whom_it_is_no_more(
    administrator: Client, vera: User, sender: Account, server: SmtpServer
) -> None:
    administrator.post(reverse("people:link", args=[vera.pk]), {"how": "mail"})
    User.objects.filter(pk=vera.pk).update(email="elsewhere@example.test")
    deliver.deliver_account(sender.pk)
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold) == ("failed", "permanent") and "another address meanwhile" in row.error
    assert not server.mails()


def test_a_withdrawn_invitation_opens_nothing(administrator: Client, sender: Account, server: SmtpServer) -> None:
    administrator.post(reverse("people:invite"), INVITED)
    [link] = deliver_all(sender, server)
    ann = User.objects.get(username="ann@example.test")
    page = administrator.post(reverse("people:withdraw", args=[ann.pk]), follow=True).content.decode()
    assert "The invitation is withdrawn" in page and is_over(Client().get(link))
    administrator.post(reverse("people:withdraw", args=[User.objects.get(username="boss").pk]))
    assert User.objects.filter(username="boss").exists()


# --- The own address --------------------------------------------------------------------------------------------


def test_the_own_address_changes_once_it_is_confirmed_and_the_former_one_is_told(
    client: Client, vera: User, sender: Account, server: SmtpServer
) -> None:
    client.force_login(vera)
    client.post(reverse("email"), {"email": "new@example.test"})
    [link] = deliver_all(sender, server)
    assert User.objects.get(pk=vera.pk).email == "Vera@example.test"
    assert client.get(link).status_code == 200
    assert User.objects.get(pk=vera.pk).email == "Vera@example.test", "opening it is not confirming it"
    assert "Your address is now new@example.test" in client.post(link, follow=True).content.decode()
    assert User.objects.get(pk=vera.pk).email == "new@example.test"
    deliver.deliver_account(sender.pk)
    assert [each.rcpt_tos[0] for each in server.mails()] == ["new@example.test", "Vera@example.test"]
    assert "another address" in texts(server)[1] and is_over(client.post(link))


def test_a_confirmation_is_of_one_person_one_wish_and_an_hour(
    client: Client,
    vera: User,
    boss: User,
    sender: Account,
    server: SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.force_login(vera)
    client.post(reverse("email"), {"email": "first@example.test"})
    [link] = deliver_all(sender, server)
    assert Client().get(link).headers["Location"].startswith(reverse("login"))
    other = Client()
    other.force_login(boss)
    assert is_over(other.post(link))
    with monkeypatch.context() as later:
        later.setattr(tokens.Tokens, "_now", lambda self: datetime.now() + timedelta(seconds=3605))
        assert is_over(client.post(link))
    client.post(reverse("email"), {"email": "second@example.test"})
    assert is_over(client.post(link))
    User.objects.filter(pk=boss.pk).update(email="SECOND@example.test")
    deliver.deliver_account(sender.pk)
    assert len(server.mails()) == 1, "whose address it is is told to nobody"


def test_nobody_sends_mails_to_strangers_without_end(client: Client, vera: User, sender: Account) -> None:
    client.force_login(vera)
    for number in range(6):
        page = client.post(reverse("email"), {"email": f"n{number}@example.test"}, follow=True).content.decode()
    assert "too many addresses today" in page and OutboxMessage.objects.count() == 5


def test_an_administrator_changes_name_and_address_and_the_former_address_is_told(
    administrator: Client, vera: User, boss: User, sender: Account, server: SmtpServer
) -> None:
    User.objects.filter(pk=boss.pk).update(email="boss@example.test")
    url = reverse("people:details", args=[vera.pk])
    refused = administrator.post(url, {"full_name": "Vera", "email": "BOSS@example.test"})
    assert "has this address already" in refused.content.decode()
    administrator.post(url, {"full_name": "Vera van Dam", "email": "v@example.test"})
    vera.refresh_from_db()
    assert (vera.first_name, vera.last_name, vera.email) == ("Vera", "van Dam", "v@example.test")
    deliver.deliver_account(sender.pk)
    assert [each.rcpt_tos[0] for each in server.mails()] == ["Vera@example.test"]


# --- The account that sends them --------------------------------------------------------------------------------


def test_the_chosen_account_is_not_fetched_by_any_way(
    administrator: Client, make_account: Callable[..., Account]
) -> None:
    account = make_account("no-reply@example.com", **NOWHERE)
    page = administrator.post(reverse("people:site_mail"), {"account": "NO-reply@example.com"}, follow=True)
    assert "is no longer fetched" in page.content.decode()
    account.refresh_from_db()
    assert (account.sends_site_mail, account.sync_enabled) == (True, False)
    said = administrator.post(reverse("mailbox:account_fetching", args=[account.pk]), {"on": "1"}, follow=True)
    assert "so its mail is not fetched" in said.content.decode()
    edited = {"email": account.email, "imap_host": "localhost", "imap_port": 1, "imap_user": "u", "smtp_same": "on"}
    edited |= {"smtp_host": "localhost", "smtp_port": 1, "sync_enabled": "on", "send_enabled": "on"}
    said = administrator.post(reverse("mailbox:account_edit", args=[account.pk]), edited)
    assert "so its mail is not fetched" in said.content.decode()
    account.refresh_from_db()
    assert not account.sync_enabled
    administrator.post(reverse("people:site_mail"), {"account": ""})
    account.refresh_from_db()
    assert not account.sends_site_mail
    verbs = list(AuditEntry.objects.filter(account=account).order_by("pk").values_list("verb", flat=True))
    assert verbs == ["fetching_off", "site_mail_on", "site_mail_off"]


def test_a_sync_that_somebody_asks_for_reads_nothing_of_it(make_account: Callable[..., Account]) -> None:
    account = make_account("no-reply@example.test")  # on the real Dovecot
    site_mail.choose(None, account)
    with pytest.raises(SystemExit):
        call_command("sync", account.email, folder="INBOX", stdout=(said := StringIO()), stderr=(wrong := StringIO()))
    assert "its mail is not fetched" in wrong.getvalue() + said.getvalue()


def test_one_account_sends_them_and_only_administrators_of_all_accounts_change_it(
    make_account: Callable[..., Account], make_user: Callable[..., User], boss: User
) -> None:
    first, second = make_account("a@example.com", **NOWHERE), make_account("b@example.com", **NOWHERE)
    local = make_user("", "local")
    AccountGrant.objects.create(user=local, account=first, role=Role.ADMINISTRATOR)
    assert accounts_for(local, Role.ADMINISTRATOR).exists()
    site_mail.choose(boss, first)
    assert not accounts_for(local, Role.ADMINISTRATOR).exists() and accounts_for(local).exists()
    site_mail.choose(boss, second)
    assert site_mail.sender() == second and accounts_for(local, Role.ADMINISTRATOR).exists()
    Account.objects.filter(pk=second.pk).update(send_enabled=False)
    assert site_mail.sender() is None
