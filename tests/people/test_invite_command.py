"""manage.py invite: what the page does, by its rules, with the link on stdout where no account sends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from mailbox.models import Account, AuditEntry
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from outbox.models import OutboxMessage
from tests.people.site_mails import choose, deliver_all, everything_stored, sender, server, signs_in, texts
from tests.rows import NOWHERE
from tests.servers.smtp import SmtpServer

__all__ = ["sender", "server"]
pytestmark = pytest.mark.django_db
ANN = ("invite", "Ann@example.test", "--role", "operator", "--name", "Ann Lee")
SITE = "http://127.0.0.1:8000"


def test_the_invitation_goes_out_by_the_sites_mail(
    sender: Account, server: SmtpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command(*ANN)
    assert capsys.readouterr().out == "An invitation is on its way to Ann@example.test.\n"
    [link] = deliver_all(sender, server)
    assert "An administrator invites you to PRX-Email" in texts(server)[0]
    choose(Client(), link)
    ann = User.objects.get(username="ann@example.test")
    assert signs_in(ann.username) and has_role_everywhere(ann, Role.OPERATOR) and ann.get_full_name() == "Ann Lee"
    assert not AuditEntry.objects.filter(verb="copy_link").exists()


def test_without_such_an_account_the_link_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    call_command(*ANN)
    printed = capsys.readouterr()
    link = printed.out.removesuffix("\n")
    assert link.startswith(f"{SITE}/password/link/invitation/") and "good once, for 7 days" in printed.err
    token = link.rstrip("/").rpartition("/")[2]
    assert token not in everything_stored() and token not in printed.err
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "user")) == [
        ("invite", None),
        ("copy_link", None),
    ]
    assert "Your password is set" in choose(Client(), link.removeprefix(SITE)).content.decode()
    assert not OutboxMessage.objects.exists()


def test_it_answers_in_json_and_gives_a_role_for_some_accounts_alone(
    make_account: Callable[..., Account], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, _third = [make_account(f"{name}@example.com", **NOWHERE) for name in "abc"]
    call_command(*ANN, "--account", "A@example.com", "--account", "b@example.com", "--json")
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    ann = User.objects.get()
    assert answer["ok"] and (answer["data"]["user_id"], answer["data"]["user"]) == (ann.pk, "ann@example.test")
    assert not answer["data"]["is_mailed"]
    choose(Client(), answer["data"]["link"].removeprefix(SITE))
    assert signs_in("ann@example.test")
    assert set(accounts_for(ann, Role.OPERATOR)) == {first, second} and not ann.groups.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["VERA@example.test"], "Somebody here has this address already"),
        (["vera"], "valid email"),
        (["ann@example.test", "--account", "nobody@example.com"], "There is no account nobody@example.com"),
        (["ann@example.test", "off"], "Passwords are switched off here"),
    ],
)
def test_what_the_page_refuses_is_refused(
    make_user: Callable[..., User],
    settings: Any,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    make_user("viewer", "vera@example.test")
    settings.LOCAL_PASSWORDS = arguments[-1] != "off"
    given = [each for each in arguments if each != "off"]
    for as_json in ([], ["--json"]):
        with pytest.raises(SystemExit) as leaving:
            call_command("invite", *given, "--role", "viewer", *as_json)
        assert leaving.value.code == 1
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert said in printed.err and said in answer["error"]["message"] and not answer["ok"]
    assert User.objects.count() == 1
