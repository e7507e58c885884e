"""What one look at a large folder costs: round trips after sign-in, and rows touched in the database."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbox.imap import transport
from mailbox.models import Account, Folder, Message, MessagePlace, SyncState
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import fill, mail, on_server, state_of, stored
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.imap_script import Mail, ScriptedImap, Talk

pytestmark = [pytest.mark.django_db, pytest.mark.wire]
MANY = 2_000


class Wire:
    """Notes what is sent and when the socket is read: a send after a read begins another round trip."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[bytes] = []
        send, readinto = transport._Beneath.send, transport.SocketReader.readinto

        def sending(beneath: Any, data: bytes) -> None:
            self.events.append(bytes(data))
            send(beneath, data)

        def reading(wire: Any, buffer: Any) -> int:
            if self.events and self.events[-1]:
                self.events.append(b"")
            return readinto(wire, buffer)

        monkeypatch.setattr(transport._Beneath, "send", sending)
        monkeypatch.setattr(transport.SocketReader, "readinto", reading)

    def round_trips(self) -> list[list[str]]:
        """The commands of each, after sign-in."""
        trips: list[list[str]] = [[]]
        for event in self.events:
            if event:
                trips[-1].append(" ".join(event.decode().split()[1:3]))
            elif trips[-1]:
                trips.append([])
        signed_in = next(place for place, trip in enumerate(trips) if trip and trip[0].startswith("LOGIN"))
        return [trip for trip in trips[signed_in + 1 :] if trip]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def test_what_is_said_in_one_round_trip_leaves_in_one_write(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One packet, which the server answers at once; two would wake it twice."""
    writes: list[bytes] = []
    send = transport.IMAP4_TLS.send

    def writing(beneath: Any, data: bytes) -> None:
        writes.append(data)
        send(beneath, data)

    monkeypatch.setattr(transport.IMAP4_TLS, "send", writing)
    account = make_account()
    fill(dovecot, account, 1)
    assert folder_sync.sync(account.pk).ok
    (write,) = (write for write in writes if b"EXAMINE" in write)
    assert [line.split()[1] for line in write.splitlines()] == [b"ID", b"ENABLE", b"EXAMINE"]


def test_with_nothing_new_examine_tells_it_all(
    make_account: Callable[..., Account], dovecot: Dovecot, wire: Wire
) -> None:
    account = make_account()
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    wire.events.clear()
    assert folder_sync.sync(account.pk).ok
    assert wire.round_trips() == [['ID ("name"', "ENABLE QRESYNC", 'EXAMINE "INBOX"'], ["LOGOUT"]]


def test_a_new_mail_takes_three_round_trips_and_what_else_changed_takes_none(
    make_account: Callable[..., Account], dovecot: Dovecot, wire: Wire
) -> None:
    account = make_account()
    fill(dovecot, account, 6)
    folder_sync.sync(account.pk)
    fill(dovecot, account, 1, first=7)
    dovecot.store(account.email, "INBOX", "2,7", "\\Seen")
    dovecot.expunge(account.email, "INBOX", "3")
    wire.events.clear()
    outcome = folder_sync.sync(account.pk)
    assert (outcome.fetched, outcome.updated) == (1, 2)
    trips = wire.round_trips()
    assert len(trips) == 4 and trips[-1] == ["LOGOUT"], trips  # LOGOUT is not waited for
    assert stored(account) == on_server(dovecot, account)
    assert set(MessagePlace.objects.filter(seen=True).values_list("uid", flat=True)) == {2, 7}


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates).start()
    yield server
    server.stop()


@pytest.fixture
def large(make_account: Callable[..., Account], server: ScriptedImap) -> Account:
    """An account with MANY mails in INBOX, in step with its server but for one that has just come."""
    account = make_account(
        imap_host="localhost", imap_port=server.port, ca_certificate=server.certificates.ca_pem,
        smtp_host="localhost", smtp_port=1,
    )  # fmt: skip
    hold_many(account, MANY)
    server.capabilities, server.highestmodseq = "IMAP4rev1 CONDSTORE", 6
    server.mails = {MANY + 1: Mail(mail(1), modseq=6)}

    def examine(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"* {MANY + 1} EXISTS", "* OK [UIDVALIDITY 1] x", f"* OK [UIDNEXT {MANY + 2}] x")
        talk.say("* OK [HIGHESTMODSEQ 6] x", f"{tag} OK done")
        return True

    def log_in(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"{tag} OK [CAPABILITY {server.capabilities}] signed in")  # as Gmail and Dovecot do: one trip less
        return True

    server.faults["EXAMINE"], server.faults["LOGIN"] = examine, log_in
    return account


def hold_many(account: Account, count: int) -> None:
    folder = Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    message = Message.objects.create(
        account=account, message_id="<x>", received_at=datetime(2024, 1, 1, tzinfo=UTC), raw_digest="0" * 64
    )
    start = datetime(2020, 1, 1, tzinfo=UTC)
    common = {"message": message, "folder": folder, "uidvalidity": 1, "size": 1, "raw_digest": "0" * 64}
    rows = [
        MessagePlace(uid=uid, received_at=start + timedelta(minutes=uid), header_digest="0" * 64, **common)
        for uid in range(1, count + 1)
    ]
    MessagePlace.objects.bulk_create(rows, batch_size=500)
    now = timezone.now()
    SyncState.objects.create(
        account=account, folder=folder, uidvalidity=1, cursor=count, backfill_cursor=1, uidnext=count + 1, exists=count,
        highestmodseq=5, compared_at=now, followed_at=now, former_places=False, last_success_at=now,
    )  # fmt: skip


def test_one_new_mail_in_a_large_folder_takes_few_round_trips_and_touches_few_rows(
    large: Account, server: ScriptedImap, wire: Wire
) -> None:
    with CaptureQueriesContext(connection) as queries:
        outcome = folder_sync.sync(large.pk)
    assert (outcome.ok, outcome.fetched) == (True, 1)
    assert len(wire.round_trips()) - 1 <= 4, wire.round_trips()  # LOGOUT is not waited for
    assert len(queries) <= 60
    assert walks_over_places([query["sql"] for query in queries]) == []
    state = state_of(large)
    assert (state.cursor, state.exists, state.highestmodseq) == (MANY + 1, MANY + 1, 6)


def silent_about_itself(server: ScriptedImap, after: str, before: str) -> None:
    """A server that volunteers nothing, whose list after sign-in may be another than before."""
    del server.faults["LOGIN"]
    signed_in = []

    def log_in(talk: Talk, tag: str, arguments: str) -> bool:
        signed_in.append(talk)
        return False

    def capability(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"* CAPABILITY {after if talk in signed_in else before}", f"{tag} OK done")
        return True

    server.faults["LOGIN"], server.faults["CAPABILITY"] = log_in, capability


@pytest.mark.parametrize("before", ["IMAP4rev1 CONDSTORE", "IMAP4rev1"])
@pytest.mark.parametrize("after", ["IMAP4rev1 CONDSTORE", "IMAP4rev1"])
def test_a_server_that_volunteers_no_capabilities_costs_no_round_trip_more(
    large: Account, server: ScriptedImap, wire: Wire, before: str, after: str
) -> None:
    """Also where it offers something else before sign-in than after it."""
    silent_about_itself(server, after, before)
    server.mails[MANY] = Mail(mail(2), flags="\\Seen", modseq=6)
    outcome = folder_sync.sync(large.pk)
    assert (outcome.ok, outcome.fetched, outcome.updated) == (True, 1, 1)
    trips = wire.round_trips()
    assert [command.split()[0] for command in trips[0]] == ["CAPABILITY", "EXAMINE"]
    assert len(trips) - 1 <= 4, trips  # LOGOUT is not waited for
    assert MessagePlace.objects.get(seen=True).uid == MANY


def test_a_wrong_guess_at_what_a_server_offers_is_made_once(large: Account, server: ScriptedImap, wire: Wire) -> None:
    """It hides CONDSTORE before sign-in, volunteers nothing and states mod-sequences only when asked by name."""
    silent_about_itself(server, "IMAP4rev1 CONDSTORE", "IMAP4rev1")
    said: list[str] = []

    def examine(talk: Talk, tag: str, arguments: str) -> bool:
        said.append(arguments)
        talk.say(f"* {MANY + 1} EXISTS", "* OK [UIDVALIDITY 1] x", f"* OK [UIDNEXT {MANY + 2}] x")
        if "CONDSTORE" in arguments:
            talk.say("* OK [HIGHESTMODSEQ 6] x")
        talk.say(f"{tag} OK done")
        return True

    server.faults["EXAMINE"] = examine
    assert folder_sync.sync(large.pk).fetched == 1
    assert state_of(large).highestmodseq == 6
    assert folder_sync.sync(large.pk).ok
    assert said == ['"INBOX"', '"INBOX" (CONDSTORE)', '"INBOX" (CONDSTORE)']


def test_an_extension_that_is_offered_only_before_sign_in_is_done_without(
    large: Account, server: ScriptedImap, wire: Wire
) -> None:
    silent_about_itself(server, "IMAP4rev1", "IMAP4rev1 ENABLE CONDSTORE QRESYNC")
    examine = server.faults["EXAMINE"]

    def plain_only(talk: Talk, tag: str, arguments: str) -> bool:
        if "(" in arguments:
            talk.say(f"{tag} BAD no such parameter")
            return True
        return bool(examine(talk, tag, arguments))

    server.faults["EXAMINE"] = plain_only
    outcome = folder_sync.sync(large.pk)
    assert (outcome.ok, outcome.fetched) == (True, 1)


def test_a_refusal_that_is_no_wrong_guess_is_not_asked_for_twice(large: Account, server: ScriptedImap) -> None:
    silent_about_itself(server, "IMAP4rev1 CONDSTORE", "IMAP4rev1 CONDSTORE")

    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say(f"{tag} NO [UNAVAILABLE] later")
        return True

    server.faults["EXAMINE"] = refuse
    assert folder_sync.sync(large.pk).error_code == "throttled"
    assert server.seen.count("EXAMINE") == 1


def test_capabilities_in_the_greeting_are_not_asked_for(large: Account, server: ScriptedImap, wire: Wire) -> None:
    def greeting(talk: Talk, tag: str, arguments: str) -> bool:
        talk.say("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready")
        return True

    server.faults["GREETING"] = greeting
    assert folder_sync.sync(large.pk).ok
    assert b"CAPABILITY" not in b"".join(wire.events)


def walks_over_places(statements: list[str]) -> list[str]:
    """The statements for which the database would read all places, by its own plan."""
    found = []
    for sql in dict.fromkeys(statements):
        if "message_places" not in sql or not sql.startswith(("SELECT", "UPDATE")):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}")
            plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
        walks = "SCAN message_places" in plan or "Seq Scan on message_places" in plan
        # All of a folder: found by its name alone, when it is not a UID or what people want that is looked for.
        walks = walks or "(folder_id=?)" in plan or "(folder_id=? AND uidvalidity=?)" in plan
        if walks and "place_wanted" not in plan and "LIMIT" not in sql:
            found.append(f"{sql}\n{plan}")
    return found


def test_the_header_digest_is_of_what_the_server_gives_as_the_header(
    make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = make_account()
    fill(dovecot, account, 2)
    folder_sync.sync(account.pk)
    with dovecot.login(account.email) as imap:
        imap.select("INBOX", readonly=True)
        for place in MessagePlace.objects.all():
            _, answer = imap.uid("FETCH", str(place.uid), "(BODY.PEEK[HEADER]<0.65536>)")
            header: Any = answer[0][1]
            assert hashlib.sha256(header).hexdigest() == place.header_digest
