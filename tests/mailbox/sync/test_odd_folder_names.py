"""Folders whose names servers write in ways of their own, and what they ask to show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, Folder
from mailbox.sync import folder_sync
from tests.mailbox.sync.odd_server import account, server, sync
from tests.mailbox.sync.synced import list_folders, mail, stored
from tests.servers.imap_script import Box, Mail, ScriptedImap, Talk

__all__ = ["account", "server"]
pytestmark = [pytest.mark.django_db, pytest.mark.wire]


# --- Folder names -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"Entw\xc3\xbcrfe", "Entwürfe"),
        (b"Entw\xfcrfe", "Entwürfe"),
        (b"R&D", "R&D"),
        (b"&AGE-bc", "&AGE-bc"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"R&-D", "R&D"),
    ],
)
def test_a_folder_is_opened_by_the_name_that_the_server_wrote(
    account: Account, server: ScriptedImap, written: bytes, shown: str
) -> None:
    server.listed.append(b'() "/" "' + written + b'"')
    server.boxes = {written.decode("latin-1"): Box({5: Mail(mail(5))})}
    listed = {folder.name for folder in list_folders(account)}
    assert listed == {"INBOX", shown}
    sync(account, shown)  # on a connection that has listed nothing
    assert ("&" + shown, 5) not in stored(account)
    assert {(folder, uid) for folder, uid, _ in stored(account)} == {(shown, 5)}
    folder_sync.discover_folders(account.pk)
    assert Folder.objects.get(name=shown).gone_at is None


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ((b"R&-D", b"R&D"), ("R&D", "R&D [raw]")),
        ((b"Entw&APw-rfe", b"Entw\xc3\xbcrfe", b"Entw\xfcrfe"), ("Entwürfe", "Entwürfe [raw]", "Entwürfe [Latin-1]")),
        ((b"Entw\xc3\xbcrfe", b"Entw\xfcrfe"), ("Entwürfe", "Entwürfe [Latin-1]")),
    ],
)
def test_folders_whose_names_have_one_text_stay_apart(
    account: Account, server: ScriptedImap, written: tuple[bytes, ...], shown: tuple[str, ...], order: int
) -> None:
    server.listed += [b'() "/" "' + name + b'"' for name in written[::order]]
    server.boxes = {name.decode("latin-1"): Box({uid: Mail(mail(uid))}) for uid, name in enumerate(written, 1)}
    assert {folder.name for folder in list_folders(account)} == {"INBOX", *shown}
    for name in shown:
        sync(account, name)
    assert {(folder, uid) for folder, uid, _ in stored(account)} == {(name, uid) for uid, name in enumerate(shown, 1)}


WRITTEN = {
    b'() "/" Sent Items': "Sent Items",
    b'()  "/"  "Two"': "Two",
    b'() "\\" "A\\\\B"': "A\\B",
    b'() "/" "Q\\"B"': 'Q"B',
    b'NIL "/" "N"': "N",
    b'() "/" Foo(bar)': "Foo(bar)",
    b'() "/" "Foo (bar)"': "Foo (bar)",
    b'() "/" "Ext" ("CHILDINFO" ("SUBSCRIBED"))': "Ext",
    b'() "/" 2023': "2023",
    b'() "/" \xb7\xa2\xbc\xfe': "·¢¼þ",
    b'() "/" "&g0l6P3ux-"': "草稿箱",
    b'() "/" "&-&-"': "&&",
    b"(\\HasNoChildren) NIL NIL2": "NIL2",
    b'() "/" [Gmail]/All': "[Gmail]/All",
    b"() / Bare": "Bare",
    b'() "//" "x"': "x",
    b'() "" "flat"': "flat",
    b'() "/" {5}\r\nA"B\\C': 'A"B\\C',
    b'() "/" {4+}\r\nPlus': "Plus",
    b'() "/" INBOX/Da\tOggetto\t': "INBOX/Da\tOggetto\t",
}


def test_names_in_any_form_are_folders(account: Account, server: ScriptedImap) -> None:
    server.listed += WRITTEN
    assert {folder.name for folder in list_folders(account)} == {"INBOX", *WRITTEN.values()}


def test_a_folder_whose_name_ends_in_a_tab_is_opened(account: Account, server: ScriptedImap) -> None:
    """Exchange has them, made by pasting a row of a table."""
    server.listed.append(b'() "/" Da\tOggetto\t')
    server.boxes = {"Da\tOggetto\t": Box({5: Mail(mail(5))})}
    folder_sync.discover_folders(account.pk)
    sync(account, "Da\tOggetto\t")
    assert {(folder, uid) for folder, uid, _ in stored(account)} == {("Da\tOggetto\t", 5)}


@pytest.mark.parametrize("listed", [['() "/" Lists'], ['() "/" INBOX', '(\\Noselect) "/" Inbox', '() "/" Lists']])
def test_inbox_is_there_though_list_leaves_it_out_or_says_otherwise_in_another_line(
    account: Account, server: ScriptedImap, listed: list[bytes | str]
) -> None:
    server.listed = listed
    found = {folder.name: folder for folder in list_folders(account)}
    assert set(found) == {"INBOX", "Lists"}
    assert (found["INBOX"].selectable, found["INBOX"].sync_enabled) == (True, True)


@pytest.mark.parametrize("words", ["BAD Syntax error", "NO not supported"])
def test_list_extended_that_is_offered_and_refused_is_left_out(
    account: Account, server: ScriptedImap, words: str
) -> None:
    server.capabilities = "IMAP4rev1 LIST-EXTENDED SPECIAL-USE"

    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        if "RETURN" not in arguments:
            return False
        talk.say(f"{tag} {words}")
        return True

    server.faults["LIST"] = refuse
    assert {folder.name for folder in list_folders(account)} == {"INBOX"}


def test_nil_is_no_folder(account: Account, server: ScriptedImap) -> None:
    server.listed += ['() "/" NIL', '(\\Noselect) "/" Parent', '() NIL "Flat"', '() "." "A.B"', '() "/" "NIL"']
    found = {folder.name: folder for folder in list_folders(account)}
    assert set(found) == {"INBOX", "Parent", "Flat", "A.B", "NIL"}
    assert not found["Parent"].selectable
    assert (found["A.B"].delimiter, found["Flat"].delimiter) == (".", "")


def test_a_name_that_came_as_a_literal(account: Account, server: ScriptedImap) -> None:
    server.listed.append(b'() "/" {6}\r\nLetter')
    assert {folder.name for folder in list_folders(account)} == {"INBOX", "Letter"}


@pytest.mark.parametrize("answer", ['(("" "/")) NIL (("#shared/" "/"))', '(("" "/")) (("#shared/" "/")) NIL'])
def test_shared_folders_that_list_leaves_out_are_found(account: Account, server: ScriptedImap, answer: str) -> None:
    server.capabilities = "IMAP4rev1 NAMESPACE"

    def namespace(talk: Talk, _tag: str, _arguments: str) -> None:
        talk.say(f"* NAMESPACE {answer}")

    def listing(talk: Talk, tag: str, arguments: str) -> bool:
        if "#shared" not in arguments:
            return False
        talk.say('* LIST () "/" "#shared/Team"', f"{tag} OK done")
        return True

    server.faults = {"NAMESPACE": namespace, "LIST": listing}
    server.boxes = {"#shared/Team": Box({5: Mail(mail(5))})}
    assert {folder.name for folder in list_folders(account)} == {"INBOX", "#shared/Team"}
    sync(account, "#shared/Team")
    assert {folder for folder, _, _ in stored(account)} == {"#shared/Team"}


# --- ALERT --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("step", ["LOGIN", "EXAMINE", "SEARCH", "META"])
def test_an_alert_is_shown_on_the_accounts_page(
    account: Account, server: ScriptedImap, client: Client, make_user: Callable[..., User], step: str
) -> None:
    def alert(talk: Talk, _tag: str, _arguments: str) -> bool:
        talk.say("* OK [ALERT] Mailbox is at 98% of <b>quota</b>")
        return False

    server.mails = {uid: Mail(mail(uid)) for uid in range(1, 4)}
    server.faults[step] = alert
    sync(account)
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert "Mailbox is at 98% of &lt;b&gt;quota&lt;/b&gt;" in page
    account.imap.refresh_from_db()
    assert account.imap.alerted_at


@pytest.mark.parametrize("reply", ["NO [ALERT] Sign in at <b>web</b> first", "NO [AUTHENTICATIONFAILED] No."])
def test_an_alert_at_a_refused_sign_in_is_shown_too(
    account: Account, server: ScriptedImap, client: Client, make_user: Callable[..., User], reply: str
) -> None:
    def refuse(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("* OK [ALERT] Sign in at <b>web</b> first", f"{tag} {reply}")
        return True

    server.faults["LOGIN"] = refuse
    assert folder_sync.sync(account.pk).error_code == "sign_in"
    client.force_login(make_user("viewer"))
    page = client.get(reverse("mailbox:account", args=[account.pk])).content.decode()
    assert page.count("asked to show this") == 1 and "Sign in at &lt;b&gt;web&lt;/b&gt; first" in page
