"""A person's sign-in: bound to the browser and the account, good once, and only for the account's own mailbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account, Folder, OAuthApp, OAuthGrant, OAuthSignIn
from mailbox.oauth import exchange, sign_in
from mailbox.views.accounts.accounts import NEWS_FOR
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.oidc import OidcProvider
from tests.servers.oidc_browser import Person

pytestmark = [pytest.mark.wire, pytest.mark.django_db]


def leave(client: Client, account: Account, app: OAuthApp, **more: str) -> OAuthSignIn:
    answer = client.post(reverse("mailbox:oauth_begin", args=[account.pk]), {"app": app.pk, **more})
    row = OAuthSignIn.objects.select_related("app").latest("pk")
    assert answer.url == reverse("mailbox:oauth_sign_in", args=[row.pk])  # type: ignore[attr-defined]
    return row


def come_back(client: Client, address: str) -> Any:
    return client.get(reverse("mailbox:oauth_callback"), dict(parse_qsl(urlsplit(address).query)), follow=True)


def signed_in(client: Client, account: Account, app: OAuthApp, name: str, **more: str) -> OAuthSignIn:
    row = leave(client, account, app, **more)
    come_back(client, Person(name).authorize(sign_in.address_of(row)))
    exchange.finish(row.pk)
    row.refresh_from_db()
    return row


def is_unchanged(account: Account) -> bool:
    now = Account.objects.with_transports().get(pk=account.pk)
    return (now.imap.password, now.imap.grant, OAuthGrant.objects.count()) == (MAILBOX_PASSWORD, None, 0)


def test_a_sign_in_takes_the_place_of_the_password(
    administrator: Client, app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    row = signed_in(administrator, account, app, mail_user)
    assert (row.status, row.error, row.encrypted_code) == ("done", "", None)
    account = Account.objects.with_transports().get()
    assert account.imap.grant and account.imap.grant_id == account.smtp.grant_id
    assert (account.imap.password, account.imap.grant.identity) == (None, mail_user)
    assert "mail" in account.imap.grant.scope.split()


def test_the_address_of_the_provider_holds_pkce_state_and_hint(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str
) -> None:
    row = leave(administrator, make_account(mail_user), app)
    page = administrator.get(reverse("mailbox:oauth_sign_in", args=[row.pk]))
    sent = dict(parse_qsl(urlsplit(page["Refresh"].partition("url=")[2]).query))
    assert sent["code_challenge_method"] == "S256" and len(sent["code_challenge"]) == 43
    assert (sent["login_hint"], sent["prompt"], sent["response_type"]) == (mail_user, "consent", "code")
    assert len(sent["state"]) == 64 and sent["redirect_uri"].endswith("/accounts/oauth/callback/")


def test_state_and_code_are_good_once(
    administrator: Client, app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    row = leave(administrator, account, app)
    address = Person(mail_user).authorize(sign_in.address_of(row))
    come_back(administrator, address)
    exchange.finish(row.pk)
    assert b"belongs to no sign-in of yours" in come_back(administrator, address).content
    assert exchange.finish(row.pk) is None
    assert oidc.token_requests("authorization_code") == [200]


def test_another_browser_of_the_same_person_is_refused(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    row = leave(administrator, account, app)
    elsewhere = Client()
    elsewhere.force_login(User.objects.get(pk=row.asked_by_id))
    answer = come_back(elsewhere, Person(mail_user).authorize(sign_in.address_of(row)))
    assert b"belongs to no sign-in of yours" in answer.content
    assert OAuthSignIn.objects.get().status == "away"


def test_another_person_in_the_same_browser_is_refused(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], make_user: Any, mail_user: str
) -> None:
    row = leave(administrator, make_account(mail_user), app)
    administrator.force_login(make_user("administrator"))
    answer = come_back(administrator, Person(mail_user).authorize(sign_in.address_of(row)))
    assert b"belongs to no sign-in of yours" in answer.content


@pytest.mark.parametrize("state", ["", "0" * 64, "x"])
def test_a_state_of_nobody_is_refused(administrator: Client, state: str) -> None:
    answer = administrator.get(reverse("mailbox:oauth_callback"), {"state": state, "code": "c"}, follow=True)
    assert b"belongs to no sign-in of yours" in answer.content


def test_a_sign_in_of_half_an_hour_ago_is_refused(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str
) -> None:
    row = leave(administrator, make_account(mail_user), app)
    OAuthSignIn.objects.update(created_at=timezone.now() - timedelta(minutes=31))
    answer = come_back(administrator, Person(mail_user).authorize(sign_in.address_of(row)))
    assert b"belongs to no sign-in of yours" in answer.content


def test_another_mailbox_is_refused(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    row = signed_in(administrator, account, app, "somebody.else@example.test")
    assert row.status == "failed" and "You signed in as somebody.else@example.test" in row.error
    assert is_unchanged(account)


def test_a_shared_mailbox_is_taken_when_its_server_opens_it(
    administrator: Client, app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    oidc.control(mailboxes={"ann@example.test": mail_user})
    row = signed_in(administrator, make_account(mail_user), app, "ann@example.test", shared="1")
    assert row.status == "done", row.error
    assert OAuthGrant.objects.get().identity == "ann@example.test"


def test_a_shared_mailbox_that_the_server_does_not_open_is_refused(
    administrator: Client, app: OAuthApp, dovecot: Dovecot, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    row = signed_in(administrator, account, app, "ann@example.test", shared="1")
    assert row.status == "failed" and "AUTHENTICATIONFAILED" in row.error
    assert is_unchanged(account)


def test_a_refused_consent_changes_nothing(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    row = leave(administrator, account, app)
    answer = come_back(administrator, Person(mail_user, consents=False).authorize(sign_in.address_of(row)))
    assert b"was not given the consent" in answer.content
    assert is_unchanged(account)


@pytest.mark.parametrize(
    ("behaves", "said"),
    [
        ({"scope": "openid offline_access"}, "leaves out what the mailbox needs: mail"),
        ({"withhold": ["refresh_token"]}, "gave no refresh token"),
        ({"fail": {"count": 1, "status": 503}}, "asks to wait"),
        ({"fail": {"count": 1, "status": 401, "body": {"error": "invalid_client"}}}, "own client id or secret"),
        ({"fail": {"count": 1, "status": 200, "body": {"error": "invalid_grant"}}}, "ended the sign-in"),
        ({"fail": {"count": 1, "status": 302, "headers": {"Location": "/token"}}}, "HTTP 302"),
    ],
)
def test_what_would_not_last_or_open_no_mail_is_refused(
    administrator: Client,
    app: OAuthApp,
    oidc: OidcProvider,
    make_account: Callable[..., Account],
    mail_user: str,
    behaves: dict[str, Any],
    said: str,
) -> None:
    account = make_account(mail_user)
    oidc.control(**behaves)
    row = signed_in(administrator, account, app, mail_user)
    assert row.status == "failed" and said in row.error
    assert is_unchanged(account)


def test_an_account_whose_grant_is_dead_is_signed_in_again(
    administrator: Client, app: OAuthApp, granted: Callable[..., Account], mail_user: str
) -> None:
    account = granted(failure="ended", expires_in=-1)
    former = account.imap.grant_id
    account.imap.mark_needs_sign_in("over", timezone.now())
    assert Account.objects.with_transports().get().imap.needs_sign_in_since
    row = signed_in(administrator, account, app, mail_user)
    assert row.status == "done", row.error
    now = Account.objects.with_transports().get()
    assert now.imap.needs_sign_in_since is None and now.imap.grant_id != former
    assert not OAuthGrant.objects.filter(pk=former).exists()


def test_the_code_and_the_verifier_are_stored_encrypted(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str
) -> None:
    row = leave(administrator, make_account(mail_user), app)
    address = Person(mail_user).authorize(sign_in.address_of(row))
    come_back(administrator, address)
    code = dict(parse_qsl(urlsplit(address).query))["code"]
    stored = OAuthSignIn.objects.values().get()
    assert stored["encrypted_code"] and code not in str(stored)


def test_who_is_led_away_twice_is_told_though_the_first_answer_is_lost(
    administrator: Client, app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    row = signed_in(administrator, make_account(mail_user), app, mail_user)
    polls = [
        administrator.get(reverse("mailbox:oauth_sign_in", args=[row.pk]), headers={"HX-Request": "true"})
        for _ in range(2)  # each answered while the browser is about to leave
    ]
    assert len({answer.headers["HX-Redirect"] for answer in polls}) == 1
    for _ in range(2):  # the first answer comes when the browser has left for the second
        page = administrator.get(polls[0].headers["HX-Redirect"]).content.decode()
        assert page.count(f"{mail_user} is signed in.") == 1


def test_nobody_but_who_signed_in_a_moment_ago_is_told(
    administrator: Client, app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    account = make_account(mail_user)
    row = signed_in(administrator, account, app, mail_user)
    page = reverse("mailbox:account", args=[account.pk])
    told = f"{mail_user} is signed in."
    for address in (page, f"{page}?signed_in=x", f"{page}?signed_in={row.pk + 1}", f"{page}?signed_in={'9' * 30}"):
        assert told not in administrator.get(address).content.decode()
    OAuthSignIn.objects.update(moved_at=timezone.now() - NEWS_FOR)
    assert told not in administrator.get(f"{page}?signed_in={row.pk}").content.decode()


def test_an_added_account_fetches_nothing_before_its_folders_are_chosen_and_leads_to_them(
    administrator: Client, app: OAuthApp, oidc: OidcProvider, dovecot: Dovecot, mail_user: str
) -> None:
    app.servers = {"imap_host": dovecot.host, "imap_port": dovecot.imap_port}
    app.servers |= {"smtp_host": dovecot.host, "smtp_port": dovecot.submission_port, "smtp_security": "starttls"}
    app.ca_certificate = dovecot.ca_pem
    app.save()
    administrator.post(reverse("mailbox:oauth_begin_new"), {"app": app.pk, "email": mail_user})
    row = OAuthSignIn.objects.select_related("app").get()
    come_back(administrator, Person(mail_user).authorize(sign_in.address_of(row)))
    account_id = exchange.finish(row.pk)
    assert account_id is not None and Folder.objects.filter(account=account_id).exists()
    assert not Folder.objects.chosen().exists()
    page = administrator.get(reverse("mailbox:oauth_sign_in", args=[row.pk]), follow=True)
    folders = reverse("mailbox:account_folders", args=[account_id])
    assert page.redirect_chain == [(f"{folders}?signed_in={row.pk}", 302)]
    assert f"{mail_user} is signed in." in page.content.decode()
    assert [each.label for each in page.context["rows"] if each.is_ticked] == ["INBOX"]
    inbox = Folder.objects.get(account=account_id)
    administrator.post(folders, {"shown": [inbox.pk], "folder": [inbox.pk]})
    assert list(Folder.objects.chosen()) == [inbox]
