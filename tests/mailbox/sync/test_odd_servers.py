"""Servers' ways that differ from the RFCs, and all mail comes in all the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from mailbox.models import Account, Message, MessagePlace, Quarantine
from mailbox.sync import folder_sync
from tests.mailbox.sync.odd_server import account, all_stored, server, sync
from tests.mailbox.sync.synced import mail
from tests.servers.imap_script import Mail, ScriptedImap, Talk

__all__ = ["account", "server"]
pytestmark = [pytest.mark.django_db, pytest.mark.wire]


# --- INTERNALDATE -------------------------------------------------------------------------------------------------
RECEIVED = datetime(2024, 2, 29, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"8-Mar-2023 12:16:47 +0800"', datetime(2023, 3, 8, 4, 16, 47, tzinfo=UTC)),
        ('" 8-Mar-2023 12:16:47 +0800"', datetime(2023, 3, 8, 4, 16, 47, tzinfo=UTC)),
        ('"Wed, 08 Mar 2023 12:16:47 -0130"', datetime(2023, 3, 8, 13, 46, 47, tzinfo=UTC)),
        ('"08-Mar-2023 12:16:47 GMT"', datetime(2023, 3, 8, 12, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 12:16:47 EST"', datetime(2023, 3, 8, 17, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 12:16:47 +08:00"', datetime(2023, 3, 8, 4, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 06:16:47 PM +0800"', RECEIVED),
        ('"08-Mar-2023 12:16:47"', datetime(2023, 3, 8, 12, 16, 47, tzinfo=UTC)),
        ('"08-Mar-2023 24:00:00 +0000"', datetime(2023, 3, 9, tzinfo=UTC)),
        ('"00-Jan-0000 00:00:00 +0000"', RECEIVED),
        ('"01-Jan-0001 00:00:00 +0000"', RECEIVED),
        ('"31-Feb-2024 00:00:00 +0000"', RECEIVED),
        ('"31-Dec-9999 23:59:59 -1200"', RECEIVED),
        ('"yesterday"', RECEIVED),
        ('""', RECEIVED),
        ("NIL", RECEIVED),
    ],
)
@pytest.mark.in_part(3)
def test_no_mail_is_quarantined_for_its_date(
    account: Account, server: ScriptedImap, written: str, read: datetime
) -> None:
    received = b"Received: from a by b; Thu, 29 Feb 2024 11:30:00 +0100\r\n"
    older = b"Received: from c\r\n\tby a; Thu, 29 Feb 2024 09:00:00 +0100\r\n"
    server.mails = {1: Mail(received + older + mail(1), date=written)}
    sync(account)
    assert all_stored(account, server)
    assert Message.objects.get().received_at == MessagePlace.objects.get().received_at == read


def test_without_received_it_is_the_date_and_without_that_now(account: Account, server: ScriptedImap) -> None:
    server.mails = {1: Mail(mail(1), date="NIL"), 2: Mail(b"Subject: Bare\r\n\r\nText\r\n", date="NIL")}
    before = timezone.now()
    sync(account)
    assert Message.objects.get(subject="Mail 1").received_at == datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert before <= Message.objects.get(subject="Bare").received_at <= timezone.now()


# --- ID -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("offers_it", ["before", "after"])
def test_netease_opens_a_folder_after_id(account: Account, server: ScriptedImap, offers_it: str) -> None:
    server.capabilities = "IMAP4rev1 ID"
    known: set[object] = set()

    def say(talk: Talk, _tag: str, arguments: str) -> None:
        assert '"name"' in arguments
        known.add(talk.connection)

    def unsafe(talk: Talk, tag: str, _arguments: str) -> bool:
        if talk.connection in known:
            return False
        talk.say(f"{tag} NO EXAMINE Unsafe Login. Please contact kefu@188.com for help")
        return True

    server.faults["ID"], server.faults["EXAMINE"] = say, unsafe
    if offers_it == "after":
        greeted: set[object] = set()

        def only_then(talk: Talk, tag: str, _arguments: str) -> bool:
            if talk.connection in greeted:
                return False
            greeted.add(talk.connection)
            talk.say("* CAPABILITY IMAP4rev1", f"{tag} OK done")
            return True

        server.faults["CAPABILITY"] = only_then
    sync(account)
    assert all_stored(account, server)
    assert server.seen.count("ID") == 1


def test_a_server_that_refuses_id_is_synced_all_the_same(account: Account, server: ScriptedImap) -> None:
    def refuse(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say(f"{tag} BAD unknown command")
        return True

    server.capabilities, server.faults["ID"] = "IMAP4rev1 ID", refuse
    sync(account)
    assert all_stored(account, server)


def test_id_is_not_said_where_it_is_not_offered(account: Account, server: ScriptedImap) -> None:
    sync(account)
    assert "ID" not in server.seen


# --- The grammar, loosely -----------------------------------------------------------------------------------------
def test_double_blanks_blank_lines_and_small_letters_are_read_as_meant(account: Account, server: ScriptedImap) -> None:
    def examine(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("*  3   exists", "", "* ok [uidvalidity 1]", "* OK  [UIDNEXT 4] next", f"{tag} OK")
        return True

    def search(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("* search 1 2 3", "", f"{tag}  ok")
        return True

    def meta(talk: Talk, tag: str, arguments: str) -> bool:
        for uid in server.chosen(arguments.split(" ")[0]):
            size = server.mails[uid].size
            date = 'internaldate " 1-Mar-2024 12:00:00 +0000"'
            talk.say(f"*  {uid} fetch (rfc822.size {size} {date} uid {uid} flags (\\seen))", "")
        talk.say(f"{tag} OK ")
        return True

    def body(talk: Talk, tag: str, arguments: str) -> bool:
        for uid in server.chosen(arguments.split(" ")[0]):
            raw = server.mails[uid].raw
            talk.send(f"* {uid} fetch (uid {uid} body[] {{{len(raw)}}}\r\n".encode() + raw + b"\r\n)\r\n")
        talk.say(f"{tag} OK")
        return True

    server.faults = {"EXAMINE": examine, "SEARCH": search, "META": meta, "BODY": body}
    sync(account)
    assert all_stored(account, server)
    assert Message.objects.filter(seen=True).count() == 3


@pytest.mark.parametrize("literal", ["BODY[] ~{%d}", "RFC822  {%d+} ", "BODY.PEEK[]<0> {%d}"])
@pytest.mark.parametrize("search", [("* SEARCH 1 2", "*SEARCH 3"), ("* ESEARCH (TAG x) UID ALL 1:2,3",)])
def test_other_forms_of_answers_are_read_as_meant(
    account: Account, server: ScriptedImap, literal: str, search: tuple[str, ...]
) -> None:
    def found(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say(*search, f"{tag.lower()} OK: done")
        return True

    def meta(talk: Talk, tag: str, arguments: str) -> bool:
        for uid in server.chosen(arguments.split(" ")[0]):
            date = "INTERNALDATE 01-Mar-2024 12:00:00 +0000"
            talk.say(f'*{uid} FETCH ( FLAGS  ( \\Seen ) {date} UID\t"{uid}" RFC822.SIZE "{server.mails[uid].size}")')
        talk.say(f" {tag} OK")
        return True

    def body(talk: Talk, tag: str, arguments: str) -> bool:
        for uid in server.chosen(arguments.split(" ")[0]):
            raw = server.mails[uid].raw
            talk.send(f"* {uid} FETCH (UID {uid} {literal % len(raw)}\r\n".encode() + raw + b")\r\n")
        talk.say(f"{tag} OK")
        return True

    def greet(talk: Talk, _tag: str, _arguments: str) -> bool:
        talk.say("* PREAUTH known by its certificate")
        return True

    server.capabilities = "IMAP4rev2"
    server.faults = {"GREETING": greet, "SEARCH": found, "META": meta, "BODY": body}
    sync(account)
    assert all_stored(account, server)
    assert "LOGIN" not in server.seen


def test_a_body_of_nothing_is_no_message_that_was_given(account: Account, server: ScriptedImap) -> None:
    def body(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say("* 2 FETCH (UID 2 BODY[] {0}", ")", f"{tag} OK")
        return True

    server.mails, server.faults["BODY"] = {2: Mail(mail(2))}, body
    sync(account)
    assert "does not give it" in Quarantine.objects.get().error


@pytest.mark.parametrize("asked", ["META", "BODY"])
def test_a_server_that_says_ok_and_gives_nothing_is_asked_again_later(
    account: Account, server: ScriptedImap, asked: str
) -> None:
    sync(account)
    server.mails[4] = Mail(mail(4))

    def nothing(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say(f"{tag} OK FETCH completed. [THROTTLED]")
        return True

    server.faults |= {asked: nothing, "BODY": nothing, "HEADER": nothing}
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.quarantined) == (False, 0)
    assert "gives none of them" in outcome.error
    server.faults.clear()
    sync(account)
    assert all_stored(account, server)


@pytest.mark.parametrize("uidnext", [0, 1, 3, 4, 100, 2**32])
def test_a_uidnext_that_stays_as_it_was_hides_no_mail(account: Account, server: ScriptedImap, uidnext: int) -> None:
    server.uidnext = uidnext
    for uid in (4, 9):
        sync(account)
        assert all_stored(account, server)
        server.mails[uid] = Mail(mail(uid))
    sync(account)
    assert all_stored(account, server)


def test_lines_that_end_in_a_bare_line_feed_are_lines(account: Account, server: ScriptedImap) -> None:
    def examine(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.send(f"* 3 EXISTS\n* OK [UIDVALIDITY 1]\n* OK [UIDNEXT 4]\n{tag} OK done\n".encode())
        return True

    server.faults["EXAMINE"] = examine
    sync(account)
    assert all_stored(account, server)


@pytest.mark.parametrize("written", [r'"\\Seen" "\\Flagged"', r'"\Seen" \Flagged', r"\SEEN \flagged"])
def test_flags_in_quotes_are_the_flags(account: Account, server: ScriptedImap, written: str) -> None:
    server.mails = {1: Mail(mail(1), flags=written)}
    sync(account)
    place = MessagePlace.objects.get()
    assert (place.seen, place.flagged, place.keywords) == (True, True, [])


def test_flags_of_others_between_and_an_expunge_during_fetch(account: Account, server: ScriptedImap) -> None:
    def chatter(talk: Talk, _tag: str, _arguments: str) -> bool:
        talk.say("* 2 FETCH (FLAGS (\\Seen))", "* 3 FETCH (UID 3 FLAGS (\\Seen))", "* 9 EXPUNGE", "* 3 EXISTS")
        return False

    server.faults = {"META": chatter, "BODY": chatter}
    sync(account)
    assert all_stored(account, server)


def test_an_answer_nested_without_end_is_the_messages_failure(account: Account, server: ScriptedImap) -> None:
    def body(talk: Talk, tag: str, _arguments: str) -> bool:
        talk.say("* 1 FETCH (UID 1 X-NEST " + "(" * 20_000 + ")" * 20_001, f"{tag} OK done")
        return True

    server.faults["BODY"] = body
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.quarantined) == (True, 3)
    assert "makes no sense" in Quarantine.objects.earliest("uid").error


def test_exists_that_shrinks_and_a_missing_uidnext(account: Account, server: ScriptedImap) -> None:
    server.uidnext = None
    sync(account)
    del server.mails[2]
    sync(account)
    assert all_stored(account, server)


def test_a_goodbye_in_the_middle_is_a_network_error_and_the_next_run_comes_through(
    account: Account, server: ScriptedImap
) -> None:
    def goodbye(talk: Talk, _tag: str, _arguments: str) -> bool:
        server.faults.clear()
        talk.say("*  bye Shutting down")
        talk.connection.close()
        return True

    server.faults["BODY"] = goodbye
    outcome = folder_sync.sync(account.pk)
    assert outcome.error_code == "network"
    assert "Shutting down" in outcome.error
    sync(account)
    assert all_stored(account, server)
