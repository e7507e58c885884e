"""A server with Gmail's extensions: each message once, its labels kept, followed, shown and searched."""

from collections.abc import Callable, Iterator
from math import inf

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, Folder, Message, MessagePlace, SyncRun
from mailbox.scheduler import account_queue, runner
from mailbox.search import results as search_results
from mailbox.sync import folder_sync
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.test_uidvalidity import bodies_asked_for, dated
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Box, ScriptedImap

__all__ = ["account"]

pytestmark = pytest.mark.django_db
ALL, SPAM, TRASH = "[Gmail]/All Mail", "[Gmail]/Spam", "[Gmail]/Trash"


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {1: dated(1), 2: dated(2)})
    server.capabilities, server.highestmodseq = "IMAP4rev1 X-GM-EXT-1 CONDSTORE SPECIAL-USE", 5
    server.listed = [
        '(\\HasNoChildren) "/" "INBOX"',
        '(\\HasChildren \\Noselect) "/" "[Gmail]"',
        f'(\\All \\HasNoChildren) "/" "{ALL}"',
        f'(\\Junk \\HasNoChildren) "/" "{SPAM}"',
        f'(\\Trash \\HasNoChildren) "/" "{TRASH}"',
        '(\\Sent \\HasNoChildren) "/" "[Gmail]/Sent Mail"',
        '(\\HasNoChildren) "/" "Muy &AOk-"',
    ]
    server.boxes = {
        ALL: Box({uid: dated(uid) for uid in range(1, 5)}),
        SPAM: Box({1: dated(8)}, uidvalidity=2),
        TRASH: Box({1: dated(9)}, uidvalidity=3),
    }
    for uid, given in {1: "\\Inbox", 2: '"\\\\Inbox" "Muy &AOk-"', 3: "\\Sent", 4: ""}.items():
        server.boxes[ALL].mails[uid].labels = given
    server.boxes[SPAM].mails[1].labels = server.boxes[TRASH].mails[1].labels = ""
    server.start()
    yield server
    server.stop()


def run(account: Account) -> SyncRun:
    return runner.run_sync(account_queue.jobs_of(account.pk), inf, trigger=SyncRun.Trigger.CLICK)


def labels() -> dict[str, list[str]]:
    rows = MessagePlace.objects.filter(folder__name=ALL, labels__isnull=False)
    return {subject: sorted(given or ()) for subject, given in rows.values_list("message__subject", "labels")}


def found(user: User, query: str) -> set[str]:
    page = search_results.search(user, query)
    assert page.problems == ()
    return {row.subject for row in page.rows}


def test_each_message_is_fetched_once_from_where_gmail_keeps_it(account: Account, server: ScriptedImap) -> None:
    asked = bodies_asked_for(server)
    assert run(account).failed == 0
    assert set(Folder.objects.chosen().values_list("name", flat=True)) == {ALL, SPAM, TRASH}
    assert Message.objects.count() == 6
    assert sum(len(each.split(",")) if ":" not in each else 4 for each in asked) == 6
    assert labels() == {
        "Mail 1": ["\\Inbox"],
        "Mail 2": ["Muy é", "\\Inbox"],
        "Mail 3": ["\\Sent"],
        "Mail 4": [],
    }


def test_changed_labels_follow_as_flags_do(account: Account, server: ScriptedImap) -> None:
    run(account)
    mails = server.boxes[ALL].mails
    mails[1].labels, mails[1].modseq = "Work", 6
    mails[2].labels, mails[2].modseq = '"Muy &AOk-"', 6
    server.highestmodseq = 6
    run(account)
    assert labels() == {"Mail 1": ["Work"], "Mail 2": ["Muy é"], "Mail 3": ["\\Sent"], "Mail 4": []}


def test_where_all_mail_is_kept_from_imap_the_folders_are_folders(account: Account, server: ScriptedImap) -> None:
    server.listed = [line for line in server.listed if b"\\All" not in str(line).encode()]
    folder_sync.discover_folders(account.pk)
    assert set(Folder.objects.chosen().values_list("name", flat=True)) == {"INBOX"}
    assert not Folder.objects.filter(is_label=True).exists()


def test_a_choice_made_later_is_kept(account: Account, server: ScriptedImap) -> None:
    run(account)
    Folder.objects.filter(name=SPAM).update(sync_enabled=False)
    Folder.objects.filter(name="INBOX").update(sync_enabled=True)
    folder_sync.discover_folders(account.pk)
    assert set(Folder.objects.chosen().values_list("name", flat=True)) == {"INBOX", ALL, TRASH}


def test_labels_are_searched_as_folders_are(
    account: Account, server: ScriptedImap, make_user: Callable[..., User]
) -> None:
    run(account)
    user = make_user("viewer")
    assert found(user, 'in:"muy é"') == {"Mail 2"}
    assert found(user, "in:inbox") == {"Mail 1", "Mail 2"}
    assert found(user, "in:sent") == {"Mail 3"}
    assert found(user, "-in:inbox") == {"Mail 3", "Mail 4", "Mail 8", "Mail 9"}
    assert found(user, "in:inbox mail") == {"Mail 1", "Mail 2"}
    assert found(make_user(""), "in:inbox") == set()


def test_labels_stand_on_the_message_and_are_no_folders_to_choose(
    account: Account, server: ScriptedImap, make_user: Callable[..., User], client: Client
) -> None:
    run(account)
    client.force_login(make_user("administrator"))
    message = Message.objects.get(subject="Mail 2")
    page = client.get(reverse("mailbox:message", args=[message.pk])).content.decode()
    assert ">Muy é</a>" in page and ">Inbox</a>" in page
    page = client.get(reverse("mailbox:account_folders", args=[account.pk])).content.decode()
    assert "a label; its mail lies in All Mail" in page
    label = Folder.objects.get(name="Muy é")
    assert f'value="{label.pk}"' not in page
    kept = Folder.objects.get(name=ALL)
    client.post(
        reverse("mailbox:account_folders", args=[account.pk]), {"folder": [label.pk], "shown": [label.pk, kept.pk]}
    )
    assert not Folder.objects.get(pk=label.pk).sync_enabled


def test_what_push_hears_of_the_inbox_is_fetched_from_all_mail(account: Account, server: ScriptedImap) -> None:
    run(account)
    server.boxes[ALL].mails[7] = dated(7)
    server.boxes[ALL].mails[7].labels = "\\Inbox"
    server.highestmodseq = 7
    sync_tasks.sync_pushed(account.pk)
    assert Message.objects.filter(subject="Mail 7").exists()
