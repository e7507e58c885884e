"""Folders that are renamed, deleted, nested, odd or come back: what was stored stays with them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from math import inf
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.imap.fetch import ListedFolder
from mailbox.imap.special_use import with_common_uses
from mailbox.messages import purge
from mailbox.models import Account, Folder, Lease, Message, MessagePlace, SyncRun, SyncState
from mailbox.scheduler import account_queue, runner
from mailbox.storage.raw_store import digest_of
from mailbox.sync import folder_sync
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import list_folders, mail, on_server, stored
from tests.mailbox.sync.test_uidvalidity import dated
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.imap_script import Box, ScriptedImap, Talk

__all__ = ["account"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates).start()
    yield server
    server.stop()


def rename(dovecot: Dovecot, account: Account, former: str, name: str) -> None:
    dovecot.doveadm("mailbox", "rename", "-u", account.email, former, name)


def choose(account: Account, *names: str) -> None:
    Folder.objects.filter(account=account, name__in=names).update(sync_enabled=True)


def with_folder(server: ScriptedImap, name: str, numbers: range, **box: Any) -> Box:
    """A folder besides INBOX, listed and filled."""
    server.boxes[name] = Box({number: dated(number) for number in numbers}, **box)
    server.listed = ['() "/" INBOX', *(f'() "/" "{each}"' for each in server.boxes)]
    return server.boxes[name]


def renamed_on(server: ScriptedImap, former: str, name: str) -> None:
    server.boxes[name] = server.boxes.pop(former)
    server.listed = ['() "/" INBOX', *(f'() "/" "{each}"' for each in server.boxes)]


@pytest.mark.parametrize("name", ["Projekte", "Büro/2024", "日本語 & more"])
def test_a_renamed_folder_keeps_its_mail_without_a_download(
    make_account: Callable[..., Account], dovecot: Dovecot, name: str
) -> None:
    account = make_account()
    dovecot.create_folder(account.email, "Work")
    dovecot.append_many(account.email, "Work", [(mail(number), (), None) for number in range(1, 4)])
    folder_sync.discover_folders(account.pk)
    choose(account, "Work")
    folder_sync.sync(account.pk, "Work")
    row = Folder.objects.get(name="Work")
    rename(dovecot, account, "Work", name)
    folder_sync.discover_folders(account.pk)
    again = Folder.objects.get(pk=row.pk)
    assert (again.name, again.sync_enabled, again.gone_at) == (name, True, None)
    assert not Folder.objects.filter(account=account, name="Work").exists()
    outcome = folder_sync.sync(account.pk, name)
    assert (outcome.ok, outcome.fetched) == (True, 0)
    assert stored(account) == on_server(dovecot, account, name)


def test_a_run_that_misses_a_folder_looks_for_it_in_the_next(
    make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = make_account()
    dovecot.create_folder(account.email, "Work")
    dovecot.append(account.email, "Work", mail(1))
    folder_sync.discover_folders(account.pk)
    choose(account, "Work")
    runner.run_sync(account_queue.jobs_of(account.pk), inf, trigger=SyncRun.Trigger.CLICK)
    rename(dovecot, account, "Work", "Done")
    runner.run_sync(account_queue.jobs_of(account.pk), inf, trigger=SyncRun.Trigger.CLICK)
    runner.run_sync(account_queue.jobs_of(account.pk), inf, trigger=SyncRun.Trigger.CLICK)
    assert {job.folder for job in account_queue.jobs_of(account.pk)} == {"INBOX", "Done"}
    run = runner.run_sync(account_queue.jobs_of(account.pk), inf, trigger=SyncRun.Trigger.CLICK)
    assert run.failed == 0
    assert stored(account) == on_server(dovecot, account, "INBOX", "Done")


def test_a_mailbox_id_tells_a_renamed_folder_whatever_else_is_alike(account: Account, server: ScriptedImap) -> None:
    """RFC 8474: two folders of one UIDVALIDITY change their names, and only the id tells which is which."""
    server.capabilities = "IMAP4rev1 OBJECTID"
    with_folder(server, "A", range(1, 4), mailbox_id="Fa")
    with_folder(server, "B", range(4, 7), mailbox_id="Fb")
    folder_sync.discover_folders(account.pk)
    for name in "AB":
        folder_sync.sync(account.pk, name)
    rows = {folder.name: folder.pk for folder in Folder.objects.exclude(name="INBOX")}
    renamed_on(server, "A", "X")
    renamed_on(server, "B", "Y")
    folder_sync.discover_folders(account.pk)
    assert dict(Folder.objects.exclude(name="INBOX").values_list("name", "pk")) == {"X": rows["A"], "Y": rows["B"]}
    assert [folder_sync.sync(account.pk, name).fetched for name in "XY"] == [0, 0]


def test_without_an_id_two_folders_of_one_uidvalidity_are_not_guessed_at(
    account: Account, server: ScriptedImap
) -> None:
    with_folder(server, "A", range(1, 4))
    with_folder(server, "B", range(1, 4))
    folder_sync.discover_folders(account.pk)
    for name in "AB":
        folder_sync.sync(account.pk, name)
    renamed_on(server, "A", "X")
    renamed_on(server, "B", "Y")
    folder_sync.discover_folders(account.pk)
    names = dict(Folder.objects.values_list("name", "gone_at"))
    assert names.keys() == {"INBOX", "A", "B", "X", "Y"}
    assert names["A"] is not None and names["B"] is not None


def test_another_folder_that_looks_alike_is_not_taken_for_the_renamed_one(
    account: Account, server: ScriptedImap
) -> None:
    """One UIDVALIDITY for all folders, as some servers have: the messages tell."""
    with_folder(server, "A", range(1, 4))
    folder_sync.discover_folders(account.pk)
    folder_sync.sync(account.pk, "A")
    renamed_on(server, "A", "X")
    server.boxes["X"].mails = {uid: dated(uid + 20) for uid in range(1, 9)}
    folder_sync.discover_folders(account.pk)
    assert Folder.objects.get(name="A").gone_at is not None
    folder_sync.sync(account.pk, "X")
    expected = {("X", uid, digest_of(each.raw)) for uid, each in server.boxes["X"].mails.items()}
    assert stored(account) == expected


def test_a_deleted_folder_hides_its_mail_and_keeps_it_for_a_while(
    make_account: Callable[..., Account], dovecot: Dovecot, settings: Any
) -> None:
    account, now = make_account(), timezone.now()
    dovecot.create_folder(account.email, "Work")
    dovecot.append(account.email, "Work", mail(1))
    dovecot.append(account.email, "Work", mail(2))
    dovecot.append(account.email, "INBOX", mail(2))
    folder_sync.discover_folders(account.pk)
    folder_sync.sync(account.pk, "Work")
    folder_sync.sync(account.pk)
    dovecot.doveadm("mailbox", "delete", "-u", account.email, "Work")
    folder_sync.discover_folders(account.pk)
    assert Folder.objects.get(name="Work").gone_at is not None
    assert stored(account) == on_server(dovecot, account)
    assert set(Message.objects.visible().values_list("subject", flat=True)) == {"Mail 2"}
    assert purge.remove_expunged(now + timedelta(days=settings.EXPUNGED_GRACE_DAYS - 1)) == 0
    assert purge.remove_expunged(now + timedelta(days=settings.EXPUNGED_GRACE_DAYS + 1)) == 2  # a message, a place


def test_a_list_that_leaves_a_folder_out_has_not_deleted_it(account: Account, server: ScriptedImap) -> None:
    with_folder(server, "Work", range(1, 4))
    folder_sync.discover_folders(account.pk)
    folder_sync.sync(account.pk, "Work")
    for names in (["INBOX"], []):
        server.listed = [f'() "/" {name}' for name in names]
        folder_sync.discover_folders(account.pk)
        assert Folder.objects.get(name="Work").gone_at is None
        assert len(stored(account)) == 3


def test_a_refused_list_deletes_nothing(account: Account, server: ScriptedImap) -> None:
    with_folder(server, "Work", range(1, 4))
    folder_sync.discover_folders(account.pk)
    folder_sync.sync(account.pk, "Work")

    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"{tag} NO [UNAVAILABLE] try again later")
        return True

    server.faults["LIST"] = refuse
    with pytest.raises(Exception, match="asks to wait"):
        folder_sync.discover_folders(account.pk)
    assert Folder.objects.get(name="Work").gone_at is None
    assert len(stored(account)) == 3


def test_a_folder_that_comes_back_shows_its_mail_again_without_a_download(
    account: Account, server: ScriptedImap
) -> None:
    box = with_folder(server, "Work", range(1, 4))
    folder_sync.discover_folders(account.pk)
    folder_sync.sync(account.pk, "Work")
    server.boxes, server.listed = {}, ['() "/" INBOX']
    folder_sync.discover_folders(account.pk)
    assert stored(account) == set()
    server.boxes, server.listed = {"Work": box}, ['() "/" INBOX', '() "/" Work']
    del box.mails[2]
    folder_sync.discover_folders(account.pk)
    assert folder_sync.sync(account.pk, "Work").fetched == 0
    assert {uid for _, uid, _ in stored(account)} == {1, 3}
    assert set(Message.objects.visible().values_list("subject", flat=True)) == {"Mail 1", "Mail 3"}


def test_odd_names_neither_hide_other_folders_nor_break_the_list(account: Account, server: ScriptedImap) -> None:
    server.listed = [
        '() "/" INBOX',
        '(\\Noselect \\HasChildren) "/" Parent',
        '(\\NonExistent) "/" "Parent/Gone"',
        '() "/" "Parent/Child \\"quoted\\""',
        '() "/" "Entw&APw-rfe"',
        '() "/" "A &- B"',
        '() "/" "broken &zzz"',
        b'() "/" "r\xc3\xa4w"',
        "() NIL flat",
        '() "/" {5}\r\nliter',
        "nonsense",
        '() "/" 2024',
    ]
    server.subscribed = ['() "/" "Entw&APw-rfe"', '() "/" INBOX']
    found = {folder.name: folder for folder in list_folders(account)}
    assert {"INBOX", "Parent", 'Parent/Child "quoted"', "Entwürfe", "A & B", "räw", "flat", "liter", "2024"} <= set(
        found
    )
    assert (found["Parent"].selectable, found["Parent/Gone"].selectable, found["2024"].selectable) == (
        False,
        False,
        True,
    )
    assert found["Entwürfe"].special_use == "\\Drafts"
    assert {name for name, folder in found.items() if folder.is_subscribed} == {"INBOX", "Entwürfe"}
    assert {name for name, folder in found.items() if not folder.is_name_encoded} == {"broken &zzz", "räw"}


def test_a_name_that_is_not_encoded_is_said_until_the_server_encodes_it(
    account: Account, server: ScriptedImap, client: Client, make_user: Callable[..., User]
) -> None:
    client.force_login(make_user("viewer"))
    page, told = reverse("mailbox:account_folders", args=[account.pk]), "modified UTF-7"
    for written, is_told in ((b'() "/" "r\xc3\xa4w"', True), ('() "/" "r&AOQ-w"', False)):
        server.listed = ['() "/" INBOX', written]
        folder_sync.discover_folders(account.pk)
        shown = client.get(page).content.decode()
        assert "räw" in shown and (told in shown) is is_told


def test_subscriptions_are_read_from_dovecot(make_account: Callable[..., Account], dovecot: Dovecot) -> None:
    account = make_account()
    for name in ("One", "Two"):
        dovecot.create_folder(account.email, name)
    dovecot.doveadm("mailbox", "subscribe", "-u", account.email, "Two")
    found = {folder.name: folder.is_subscribed for folder in list_folders(account)}
    assert (found["One"], found["Two"]) == (False, True)


def test_a_server_that_takes_utf8_only_is_spoken_to_in_utf8(account: Account, server: ScriptedImap) -> None:
    server.capabilities = "IMAP4rev1 ENABLE UTF8=ONLY"
    server.boxes["Büro".encode().decode("latin-1")] = Box({1: dated(1)})
    server.listed = ['() "/" INBOX', '() "/" "Büro"'.encode()]
    folder_sync.discover_folders(account.pk)
    assert folder_sync.sync(account.pk, "Büro").fetched == 1
    assert "ENABLE" in server.seen


def listed(name: str, use: str = "", *, selectable: bool = True) -> ListedFolder:
    return ListedFolder(name, "/", use, selectable)


def test_common_names_tell_the_use_where_the_server_does_not() -> None:
    folders = [listed("INBOX"), listed("Old/2019/Sent"), listed("Gesendet"), listed("휴지통"), listed("Spam", "\\Junk")]
    folders += [listed("Junk"), listed("Archive", selectable=False)]
    uses = {each.name: each.special_use for each in with_common_uses(folders)}
    assert uses == {
        "INBOX": "", "Old/2019/Sent": "", "Gesendet": "\\Sent", "휴지통": "\\Trash", "Spam": "\\Junk",
        "Junk": "", "Archive": "",
    }  # fmt: skip


def test_a_listing_waits_for_the_accounts_one_sync(make_account: Callable[..., Account], dovecot: Dovecot) -> None:
    """At most three connections: the sync's, the push's, and the one at work in Sent."""

    account = make_account()
    token = Lease.acquire(account.pk, Lease.Purpose.SYNC, "another", seconds=60, now=timezone.now())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_sync, "LISTING_WAIT_SECONDS", 0)
        with pytest.raises(Exception, match="Another worker"):
            folder_sync.discover_folders(account.pk)
    Lease.release(account.pk, Lease.Purpose.SYNC, token or "")
    assert list_folders(account)
    assert not SyncState.objects.exists() and not MessagePlace.objects.exists()
