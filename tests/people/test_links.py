"""Links that set a password: who gets one, that it stands nowhere here, is good once, and for as long as it says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, AuditEntry
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from people.links import site_mail, tokens
from people.links.tokens import LinkPurpose
from people.models import Session
from tests.filled_pages import all_factors_of
from tests.people.site_mails import (
    GOOD,
    INVITED,
    LINK,
    administrator,
    boss,
    choose,
    deliver_all,
    everything_stored,
    is_over,
    sender,
    server,
    signs_in,
    texts,
    vera,
)
from tests.rows import NOWHERE
from tests.servers.smtp import SmtpServer

__all__ = ["administrator", "boss", "sender", "server", "vera"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


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
    files = [path for path in settings.DATA_DIR.rglob("raw/**/*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files).decode(errors="replace")
    logged = caplog.text + str([vars(each) for each in caplog.records])
    assert "Ann@example.test" in everything_stored() and row.mime_digest and "Ann@example.test" in kept
    for where in (shown, everything_stored(), kept, logged):
        assert token not in where


def test_a_servers_refusal_that_quotes_the_link_is_kept_without_it(
    administrator: Client, sender: Account, server: SmtpServer, vera: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tokens.link_for(vera, LinkPurpose.PASSWORD)
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
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
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

    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
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
    ("purpose", "lasts"), [(LinkPurpose.PASSWORD, timedelta(hours=1)), (LinkPurpose.INVITATION, timedelta(days=7))]
)
def test_a_link_ends_by_its_time(
    vera: User, purpose: LinkPurpose, lasts: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tokens.link_for(vera, purpose).removeprefix("http://127.0.0.1:8000")
    for after, status in ((lasts - timedelta(seconds=5), 302), (lasts + timedelta(seconds=5), 410)):
        monkeypatch.setattr(tokens.LinkTokens, "_now", lambda self, after=after: datetime.now() + after)
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
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    opened = Client()
    opened.get(link)
    User.objects.filter(pk=vera.pk).update(**change)
    assert is_over(Client().get(link)) and is_over(opened.get(reverse("password_new")))


def test_a_link_of_one_kind_person_or_key_is_none_of_another(vera: User, boss: User, settings: Any) -> None:
    token = tokens.link_for(vera, LinkPurpose.PASSWORD).rstrip("/").rpartition("/")[2]
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
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
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
    all_factors_of(vera)
    factors = vera.authenticator_set.count()
    browser = Client()
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    choose(browser, link)
    assert not browser.get(reverse("login")).wsgi_request.user.is_authenticated
    assert not elsewhere.get(reverse("login")).wsgi_request.user.is_authenticated
    assert not Session.objects.filter(user=vera).exists()
    assert vera.authenticator_set.count() == factors == 3
    asked = Client().post(reverse("login"), {"username": "vera", "password": GOOD})
    assert asked.headers["Location"] != reverse("dashboard")  # the second factor is asked for
    deliver.deliver_account(sender.pk)
    assert "Every session was ended" in texts(server)[0]


def test_a_weak_password_is_refused_and_the_link_stays_good(vera: User) -> None:
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    browser = Client()
    assert choose(browser, link, "vera").status_code == 200
    assert "Your password is set" in choose(browser, link).content.decode()


def test_an_invitation_that_waited_holds_no_link_for_whoever_chose_a_password_meanwhile(
    administrator: Client, sender: Account, server: SmtpServer
) -> None:
    administrator.post(reverse("people:invite"), INVITED)
    ann = User.objects.get(username="ann@example.test")
    ann.set_password(GOOD)
    ann.save()
    assert deliver_all(sender, server) == []
    assert server.mails() == []


def test_a_user_with_all_rights_is_sent_none_by_whatever_way(
    administrator: Client, boss: User, vera: User, sender: Account, server: SmtpServer
) -> None:
    User.objects.filter(pk=boss.pk).update(is_superuser=True)
    administrator.post(reverse("people:link", args=[vera.pk]), {"how": "mail"})
    User.objects.filter(pk=vera.pk).update(is_superuser=True)  # while it waits
    assert deliver_all(sender, server) == []
    assert 'value="mail"' not in administrator.get(reverse("people:person", args=[vera.pk])).content.decode()
    answer = administrator.post(reverse("people:link", args=[vera.pk]), {"how": "mail"}, follow=True)
    assert "gets no link by mail" in answer.content.decode()
    assert OutboxMessage.objects.count() == 1


def test_another_account_for_the_sites_mail_ends_the_links_that_its_former_one_may_hold(
    vera: User, sender: Account, make_account: Callable[..., Account]
) -> None:
    link = tokens.link_for(vera, LinkPurpose.PASSWORD).removeprefix("http://127.0.0.1:8000")
    Account.objects.filter(pk=sender.pk).update(send_enabled=False)
    assert Client().get(link).status_code == 302
    site_mail.choose(None, None)
    assert is_over(Client().get(link))


def test_a_link_names_the_sites_address_and_no_header_of_a_request(administrator: Client, vera: User) -> None:
    given = {"HTTP_HOST": "localhost", "HTTP_X_FORWARDED_HOST": "evil.example"}
    page = administrator.post(reverse("people:link", args=[vera.pk]), {"how": "copy"}, **given).content.decode()
    assert LINK.search(page) and "evil.example" not in page and "//localhost" not in page


def test_a_withdrawn_invitation_opens_nothing(administrator: Client, sender: Account, server: SmtpServer) -> None:
    administrator.post(reverse("people:invite"), INVITED)
    [link] = deliver_all(sender, server)
    ann = User.objects.get(username="ann@example.test")
    page = administrator.post(reverse("people:withdraw", args=[ann.pk]), follow=True).content.decode()
    assert "The invitation is withdrawn" in page and is_over(Client().get(link))
    administrator.post(reverse("people:withdraw", args=[User.objects.get(username="boss").pk]))
    assert User.objects.filter(username="boss").exists()
