"""Who may do what: each page and button of accounts, the frame and the roles behind them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailbox import permissions as mailbox_permissions
from mailbox.models import Account, AccountGrant, AuditEntry, ConnectionTest
from mailbox.views.accounts.account_permissions import Rights
from outbox.models import SendingSwitch
from prx_email_site.context_processors import _chrome
from tests.rows import NOWHERE, outbox_row

pytestmark = [pytest.mark.django_db, pytest.mark.pages]

VIEWED = ["mailbox:accounts", "mailbox:account", "mailbox:account_runs", "mailbox:account_folders", "mailbox:activity"]
VIEWED += ["mailbox:account_completeness", "mailbox:account_completeness_report"]
OPERATED = ["mailbox:account_sync", "mailbox:account_pause", "mailbox:account_resume", "connection_test_start"]
OPERATED += ["mailbox:account_folders_refresh"]
ADMINISTERED = ["mailbox:account_edit", "mailbox:account_fetching", "account_delete"]
WITHOUT_ACCOUNT = ("mailbox:accounts", "mailbox:activity")


def address(name: str, account: Account) -> str:
    return reverse(name, args=[] if name in WITHOUT_ACCOUNT else [account.pk])


@pytest.mark.parametrize("name", [*VIEWED, *ADMINISTERED])
def test_signed_out_each_page_asks_to_sign_in(client: Client, account: Account, name: str) -> None:
    response = client.get(address(name, account))
    assert response.status_code == 302
    assert response.url.startswith(reverse("login") + "?next=")


@pytest.mark.parametrize("name", [*OPERATED, *ADMINISTERED])
def test_signed_out_no_button_works(client: Client, account: Account, name: str) -> None:
    assert client.post(address(name, account)).url.startswith(reverse("login"))
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("name", [*OPERATED, *ADMINISTERED])
def test_a_viewer_may_not_change_anything(
    client: Client, account: Account, make_user: Callable[..., User], name: str
) -> None:
    client.force_login(make_user("viewer"))
    assert client.post(address(name, account)).status_code == 403
    assert not AuditEntry.objects.exists()
    assert not ConnectionTest.objects.exists()


@pytest.mark.parametrize("name", ADMINISTERED)
def test_an_operator_may_not_administer(
    client: Client, account: Account, make_user: Callable[..., User], name: str
) -> None:
    client.force_login(make_user("operator"))
    assert client.post(address(name, account)).status_code == 403
    assert Account.objects.filter(sync_enabled=True).exists()


@pytest.mark.parametrize("name", OPERATED)
def test_an_operator_may_operate(client: Client, account: Account, make_user: Callable[..., User], name: str) -> None:
    client.force_login(make_user("operator"))
    assert client.post(address(name, account)).status_code == 302


@pytest.mark.parametrize("name", [*OPERATED, "mailbox:account_fetching"])
def test_a_button_is_never_pressed_by_following_a_link(
    client: Client, account: Account, make_user: Callable[..., User], name: str
) -> None:
    client.force_login(make_user("administrator"))
    assert client.get(address(name, account)).status_code == 405


@pytest.mark.parametrize("name", [each for each in [*VIEWED, *OPERATED, *ADMINISTERED] if each not in WITHOUT_ACCOUNT])
@pytest.mark.in_part(2)
def test_an_account_one_may_not_see_is_not_there(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User], name: str
) -> None:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=make_account("mine@example.com", **NOWHERE), role="administrator")
    client.force_login(user)
    assert client.post(address(name, account)).status_code in (404, 405)
    assert client.get(address(name, account)).status_code in (404, 405)
    assert not AuditEntry.objects.exists()


def test_a_test_of_an_unseen_account_is_not_there(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user(""))
    test = ConnectionTest.objects.create(account=account)
    assert client.get(reverse("connection_test", args=[test.pk])).status_code == 404


def test_buttons_one_may_not_use_are_not_shown(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    for label in ("Sync now", "Pause sending", "Test connection", "Delete account", "new password"):
        assert label not in page
    assert "Add account" not in client.get(reverse("mailbox:accounts")).content.decode()


def test_a_grant_shows_its_account_alone(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=make_account("mine@example.com", **NOWHERE), role="viewer")
    client.force_login(user)
    page = client.get(reverse("mailbox:accounts")).content.decode()
    assert "mine@example.com" in page
    assert "ops@example.com" not in page


def test_adding_needs_the_role_for_all_accounts(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="administrator")
    client.force_login(user)
    assert client.get(reverse("mailbox:account_add")).status_code == 403
    assert client.get(reverse("mailbox:account_edit", args=[account.pk])).status_code == 200


def test_rights_of_many_accounts_agree_with_each(
    account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    user, mine = make_user(""), make_account("mine@example.com", **NOWHERE)
    AccountGrant.objects.create(user=user, account=mine, role="operator")
    rights = Rights.of(user)
    assert rights.may_operate(mine.pk)
    assert not rights.may_administer(mine.pk)
    assert not rights.may_operate(account.pk)


@pytest.mark.parametrize("role", ["viewer", "operator", "administrator", ""])
def test_the_frame_costs_at_most_four_queries(
    account: Account, make_user: Callable[..., User], rf: RequestFactory, role: str
) -> None:
    user = User.objects.get(pk=make_user(role).pk)
    if not role:
        AccountGrant.objects.create(user=user, account=account, role="operator")
    request = rf.get("/")
    request.user = user
    with CaptureQueriesContext(connection) as captured:
        frame = _chrome(request)
    assert len(captured) <= 4
    assert frame["may_operate"] is (role != "viewer")


def test_the_frame_counts_what_needs_a_person(
    client: Client, account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    outbox_row(account, status="failed", hold="uncertain")
    hidden = make_account("hidden@example.com", **NOWHERE)
    for _ in range(2):
        outbox_row(hidden, status="failed", hold="uncertain")
    user = make_user("")
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    client.force_login(user)
    assert '<span class="count needs" title="need a decision: 1">1</span>' in client.get("/accounts/").content.decode()


def test_every_page_says_that_all_sending_is_paused(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    switch = SendingSwitch.current()
    switch.paused_at, switch.reason = account.created_at, "restored from a backup"
    switch.save()
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:accounts")).content.decode()
    assert "All sending is paused: restored from a backup" in page
    assert "Resume sending" not in page.split('class="banner"')[1].split("</div>")[0], "only administrators resume"


def test_the_groups_are_made_once_and_again_without_change() -> None:
    def permissions() -> dict[str, set[str]]:
        groups = Group.objects.prefetch_related("permissions")
        return {group.name: {each.codename for each in group.permissions.all()} for group in groups}

    before = permissions()
    mailbox_permissions.make_groups()
    assert permissions() == before
    assert before["viewer"] == {"view_account"}
    assert before["operator"] == {"view_account", "operate_account"}
    assert {"administer_account", "change_account", "change_outboxmessage", "add_user"} <= before["administrator"]


def test_an_inactive_user_may_nothing(account: Account, make_user: Callable[..., User]) -> None:
    user = make_user("administrator")
    user.is_active = False
    assert not mailbox_permissions.accounts_for(user).exists()
