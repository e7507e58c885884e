"""What lists ask is answered by an index, in its order: no plan walks a whole table of what grows with the years, and
none sorts it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from mailbox.models import Account, AccountGrant, Folder, Message
from outbox.models import OutboxMessage
from tests.query_plans import Statement, plan_of, statements

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.pages]
GROWS = [
    "attachments",
    "audit_entries",
    "conversation_links",
    "delivery_attempts",
    "message_places",
    "messages",
    "outbox",
    "outbox_attachments",
    "outbox_recipients",
    "sync_run_folders",
    "sync_runs",
]
LISTS = [
    "/",
    "/charts/",
    "/messages/",
    "/messages/?account={account}",
    "/messages/?folder={folder}",
    "/messages/?order=oldest",
    "/messages/?order=oldest&account={account}",
    "/messages/?order=oldest&folder={folder}",
    "/messages/{message}/",
    "/outbox/",
    *(f"/outbox/?state={name}" for name in ("queued", "retrying", "needs_decision", "failed_for_good", "sent")),
    "/outbox/?state=cancelled",
    "/outbox/?order=oldest",
    "/outbox/?order=oldest&state=sent",
    "/outbox/?order=oldest&account={account}",
    "/outbox/?account={account}",
    "/outbox/?account={account}&state=sent",
    "/outbox/?account={account}&state=cancelled",
    *(f"/outbox/?mark={name}" for name in ("scheduled", "drill", "bounced", "unseen")),
    "/outbox/?code=550",
    "/outbox/?reason=sign_in",
    "/outbox/?error=Network",
    "/outbox/?age=under-1d",
    "/outbox/?age=over-7d",
    "/outbox/?age=under-1h&account={account}",
    "/outbox/{outbox}/",
    "/outbox/attachments/",
    *(f"/outbox/attachments/?direction={name}" for name in ("received", "sent")),
    *(f"/outbox/attachments/?type={name}" for name in ("pdf", "image", "archive")),
    *(f"/outbox/attachments/?size={name}" for name in ("100k", "25m")),
    "/outbox/attachments/?account={account}",
    "/outbox/attachments/?account={account}&type=pdf&size=1m",
    "/outbox/attachments/?since=2026-01-01&until=2026-02-01",
    "/outbox/attachments/?q=pdf",
    "/accounts/{account}/",
    "/accounts/{account}/runs/",
    "/accounts/{account}/delete/",
    "/activity/",
    "/activity/?account={account}",
    "/admin/mailbox/message/",
    "/admin/mailbox/messageplace/",
    "/admin/mailbox/attachment/",
    "/admin/mailbox/auditentry/",
    "/admin/outbox/outboxmessage/",
    "/admin/outbox/outboxrecipient/",
    "/admin/outbox/deliveryattempt/",
    "/admin/outbox/outboxattachment/",
]


@pytest.fixture
def names(db: None) -> dict[str, int]:
    call_command("seed", messages=600, outbox=600, accounts=3, stdout=StringIO())
    account = Account.objects.earliest("pk")
    return {
        "account": account.pk,
        "folder": Folder.objects.get(account=account, name="INBOX").pk,
        "message": Message.objects.filter(account=account).latest("pk").pk,
        "outbox": OutboxMessage.objects.filter(account=account).latest("pk").pk,
    }


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def operator(client: Client, names: dict[str, int]) -> Client:
    """Of all accounts but one."""
    user = User.objects.create_user("operator")
    for account in Account.objects.order_by("pk")[:2]:
        AccountGrant.objects.create(user=user, account=account, role="operator")
    client.force_login(user)
    return client


def walks(statement: Statement) -> list[str]:
    """What of the statement's plan reads a table of GROWS from end to end, or sorts it to find a list's first rows."""
    names = {**dict(re.findall(r'"(\w+)" (\w\d+)', statement[0])), **{name: name for name in GROWS}}
    grows = {alias for table, alias in names.items() if table in GROWS}
    plan = plan_of(statement)
    if connection.vendor != "sqlite":
        return [line for line in plan if (scan := re.search(r"Seq Scan on (\w+)", line)) and scan[1] in GROWS]
    scanned = [line for line in plan if (scan := re.match(r"SCAN (\w+)", line)) and scan[1] in grows]
    if any("TEMP B-TREE FOR ORDER BY" in line for line in plan):
        return scanned
    # In the order of the key, or of an index, until the page is full; what filters on the way may never fill it.
    counted = re.fullmatch(r"SELECT COUNT\(\*\) FROM \((.*)\) subquery", statement[0])  # of a list that ends
    outer = counted[1] if counted else statement[0]
    while (inner := re.sub(r"\([^()]*\)", "", outer)) != outer:
        outer = inner
    is_list = " ORDER BY " in outer and " LIMIT " in outer and " WHERE " not in outer
    return [line for line in scanned if " USING " not in line and not is_list]


@pytest.fixture
def indexed() -> Iterator[None]:
    """PostgreSQL: at this size reading all of a table is cheapest; asked here is whether there is another way.

    What has no other way is then so dear that PostgreSQL would compile each query first, for half a second.
    """
    names = ("enable_seqscan", "jit") if connection.vendor == "postgresql" else ()
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SET {name} = off")
        yield
        for name in names:
            cursor.execute(f"RESET {name}")


def all_that_walk(client: Client, names: dict[str, int], lists: list[str]) -> dict[str, list[str]]:
    found = {}
    for address in lists:
        url = address.format(**names)
        with statements() as seen:
            assert client.get(url).status_code == 200, url
        for statement in seen:
            if statement[0].startswith("SELECT") and (lines := walks(statement)):
                found[f"{url}: {statement[0]}"] = lines
    return found


def test_no_list_walks_a_table_that_grows(root: Client, names: dict[str, int], indexed: None) -> None:
    assert all_that_walk(root, names, LISTS) == {}


@pytest.mark.long
def test_nor_does_a_list_of_some_accounts(operator: Client, names: dict[str, int], indexed: None) -> None:
    administrators = re.compile("/admin/|/delete/")
    assert all_that_walk(operator, names, [url for url in LISTS if not administrators.search(url)]) == {}


@pytest.mark.long
def test_the_list_of_attachments_comes_in_the_order_of_an_index(root: Client, names: dict[str, int]) -> None:
    expected = {
        "": "newest",
        "type=pdf": "kind",
        "size=25m": "large",
        f"account={names['account']}": "account",
    }
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics, and here there are few rows")
    for query, index in expected.items():
        with statements() as seen:
            root.get(f"/outbox/attachments/?{query}")
        listed = [each for each in seen if "ORDER BY" in each[0] and "attachments" in each[0].split("ORDER BY")[1]]
        assert len(listed) == 2
        for statement in listed:
            plan = plan_of(statement)
            assert any(f"{index}" in line for line in plan), (query, plan)
            assert not any("TEMP B-TREE" in line for line in plan), (query, plan)
