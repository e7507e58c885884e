"""A person comes back from the provider: with strange words, another's answer, two at once, or without rights."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, OAuthApp, OAuthGrant, OAuthSignIn
from mailbox.oauth import exchange, sign_in
from tests.mailbox.oauth.test_sign_in import come_back, leave
from tests.servers.oidc import OidcProvider
from tests.servers.oidc_browser import Person

pytestmark = [pytest.mark.wire, pytest.mark.django_db]


def test_what_no_database_can_hold_in_a_refusal_is_no_fault_of_ours(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str
) -> None:
    row = leave(administrator, make_account(mail_user), app)
    state = dict(parse_qsl(urlsplit(sign_in.address_of(row)).query))["state"]
    given = {"state": state, "error": "server_error\x00", "error_description": "a\x00b"}
    answer = administrator.get(reverse("mailbox:oauth_callback"), given, follow=True)
    assert answer.status_code == 200 and b"The provider refused the sign-in" in answer.content
    assert "\x00" not in OAuthSignIn.objects.get().error


@pytest.mark.parametrize("issuer", ["https://evil.example", ""])
def test_an_answer_of_another_issuer_is_refused(
    administrator: Client, app: OAuthApp, make_account: Callable[..., Account], mail_user: str, issuer: str
) -> None:
    row = leave(administrator, make_account(mail_user), app)
    state = dict(parse_qsl(urlsplit(sign_in.address_of(row)).query))["state"]
    administrator.get(reverse("mailbox:oauth_callback"), {"state": state, "code": "c", "iss": issuer})
    assert (OAuthSignIn.objects.get().status == "away") is bool(issuer)


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("ended", ["role", "user"])
def test_a_person_whose_rights_ended_meanwhile_finishes_nothing(
    administrator: Client,
    app: OAuthApp,
    oidc: OidcProvider,
    make_account: Callable[..., Account],
    mail_user: str,
    adds: bool,
    ended: str,
) -> None:
    row = leave(administrator, make_account(mail_user), app)
    if adds:
        Account.objects.get().delete()
        row = sign_in.begin(
            app, row.asked_by_id, row.session_digest, mail_user, row.callback, chosen={"imap_host": "x"}
        )
    come_back(administrator, Person(mail_user).authorize(sign_in.address_of(row)))
    user = User.objects.get(pk=row.asked_by_id)
    user.groups.clear() if ended == "role" else User.objects.filter(pk=user.pk).update(is_active=False)
    assert exchange.finish(row.pk) is None
    row.refresh_from_db()
    assert row.status == "failed" and "may no longer do so" in row.error
    assert (OAuthGrant.objects.count(), oidc.token_requests("authorization_code")) == (0, [])


def test_two_sign_ins_at_once_each_come_back_to_their_own(
    administrator: Client, app: OAuthApp, oidc: OidcProvider, make_account: Callable[..., Account], mail_user: str
) -> None:
    first, second = make_account(mail_user), make_account("second@example.test")
    rows = [leave(administrator, each, app) for each in (first, second)]
    for row, name in zip(reversed(rows), ("second@example.test", mail_user), strict=True):
        come_back(administrator, Person(name).authorize(sign_in.address_of(row)))
        exchange.finish(row.pk)
    assert set(OAuthSignIn.objects.values_list("status", "error")) == {("done", "")}
    for account in Account.objects.with_transports():
        assert account.imap.grant and account.imap.grant.identity == account.email
