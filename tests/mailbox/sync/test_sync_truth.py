"""After each fault and the syncs that follow, the set of (folder, UID, SHA-256) on the server is ours."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from mailbox.imap import transport
from mailbox.imap.session import ImapSession
from mailbox.messages import store
from mailbox.models import Account, Lease, Message, MessagePlace
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import WHEN, fill, mail, on_server, stored
from tests.mailbox.sync.test_sync_faults import uids_stored
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.imap_script import HangUp, Mail, ScriptedImap, Talk

pytestmark = pytest.mark.django_db


@pytest.fixture
def scripted_server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in range(1, 6)}).start()
    yield server
    server.stop()


@pytest.fixture
def scripted_account(make_account: Callable[..., Account], scripted_server: ScriptedImap) -> Account:
    return make_account(
        imap_host="localhost", imap_port=scripted_server.port, ca_certificate=scripted_server.certificates.ca_pem,
        smtp_host="localhost", smtp_port=1,
    )  # fmt: skip


def sync_to_the_end(account: Account, *folders: str) -> None:
    for folder in folders or ("INBOX",):
        for _ in range(20):
            if not folder_sync.sync(account.pk, folder, max_messages=4).more_waiting:
                break


def once(step: str, what: Callable[[], None], patch: pytest.MonkeyPatch, *, after: bool = True) -> list[bool]:
    """Do something once, when the session takes this step; what is returned is empty until then."""
    real, done = getattr(ImapSession, step), list[bool]()

    def doing(self: ImapSession, *arguments: Any, **options: Any) -> Any:
        answer = real(self, *arguments, **options) if after else None
        if not done:
            done.append(True)
            what()
        return answer if after else real(self, *arguments, **options)

    patch.setattr(ImapSession, step, doing)
    return done


def test_dovecot_killed_in_the_middle_of_a_literal(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 2)
    dovecot.append(account.email, "INBOX", mail(3, body="word " * 2_500_000))  # more than sockets hold
    readinto, got = transport.SocketReader.readinto, [0]

    def killing(wire: transport.SocketReader, buffer: Any) -> int:
        count = readinto(wire, buffer)
        got[0] += count
        if got[0] > 1_000_000 and dovecot.is_running():
            dovecot.kill()
        return count

    with monkeypatch.context() as patch:
        patch.setattr(transport.SocketReader, "readinto", killing)
        outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "network")
    assert 1_000_000 < got[0] < 12_000_000
    dovecot.start()
    sync_to_the_end(account)
    assert stored(account) == on_server(dovecot, account)


def refill(dovecot: Dovecot, account: Account, *numbers: int) -> None:
    dovecot.append_many(account.email, "Work", [(mail(number), (), WHEN) for number in numbers])


def recreated(dovecot: Dovecot, account: Account) -> None:
    """The name stands for another mailbox now. Dovecot's mdbox may make it once more, empty, as the session that had
    the former one open looks at it: then that is what the server has."""
    dovecot.doveadm("mailbox", "rename", "-u", account.email, "Work", "Former")
    dovecot.create_folder(account.email, "Work")
    refill(dovecot, account, 7, 6, 5, 4)


@pytest.mark.parametrize("moment", ["examine", "search_uids", "fetch_meta", "fetch_messages"])
@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
@pytest.mark.in_part(4)
def test_a_mailbox_recreated_while_it_is_read(
    make_account: Callable[..., Account],
    dovecot: Dovecot,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    after: bool,
) -> None:
    """Another UIDVALIDITY in the middle of a run: no bytes of the one mailbox get a number of the other."""
    account = make_account()
    dovecot.create_folder(account.email, "Work")
    refill(dovecot, account, 1, 2, 3, 4, 5, 6)
    folder_sync.sync(account.pk, "Work", max_messages=3)
    with monkeypatch.context() as patch:
        done = once(moment, lambda: recreated(dovecot, account), patch, after=after)
        folder_sync.sync(account.pk, "Work", max_messages=3)
    assert done
    refill(dovecot, account, 8, 9)
    sync_to_the_end(account, "Work")
    assert stored(account) == on_server(dovecot, account, "Work") != set()
    rows = MessagePlace.objects.present().select_related("message")
    assert all(place.raw_digest == place.message.raw_digest for place in rows)
    visible = set(Message.objects.visible().values_list("raw_digest", flat=True))
    assert visible == {digest for _, _, digest in stored(account)}


@pytest.mark.parametrize("moment", ["examine", "search_uids", "fetch_meta", "fetch_messages"])
@pytest.mark.in_part(2)
def test_mail_moved_while_a_sync_runs(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    account = make_account()
    dovecot.create_folder(account.email, "Done")
    fill(dovecot, account, 6)
    folder_sync.sync(account.pk, max_messages=3)
    folder_sync.sync(account.pk, "Done")

    def move() -> None:
        with dovecot.login(account.email) as imap:
            imap.select("INBOX")
            imap.uid("MOVE", "2,5", "Done")

    with monkeypatch.context() as patch:
        done = once(moment, move, patch)
        folder_sync.sync(account.pk, max_messages=2)
    assert done
    sync_to_the_end(account, "INBOX", "Done", "INBOX")
    assert stored(account) == on_server(dovecot, account, "INBOX", "Done")
    assert Message.objects.count() == Message.objects.visible().count() == 6


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("moment", ["examine", "fetch_meta", "fetch_messages"])
def test_the_database_ends_our_connection_in_the_middle_of_a_run(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server that could be killed")
    account = make_account()
    fill(dovecot, account, 5)

    def kill() -> None:
        others = connection.copy()
        with others.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        others.close()

    with monkeypatch.context() as patch:
        done = once(moment, kill, patch)
        try:
            outcome = folder_sync.sync(account.pk, max_messages=3)
        except Exception as error:  # the failure cannot be written down either
            assert "connection" in str(error)
        else:
            assert outcome.error_code == "storage"
    assert done
    connection.close()
    Lease.objects.all().delete()
    sync_to_the_end(account)
    assert stored(account) == on_server(dovecot, account)


@pytest.mark.parametrize("off_by", [-40, -1, 1, 40])
def test_a_literal_that_is_shorter_or_longer_than_it_says(
    scripted_account: Account, scripted_server: ScriptedImap, settings: Any, off_by: int
) -> None:
    """What comes is either the mail, or a broken connection; never another mail, and nothing is skipped."""
    settings.COMMAND_TIMEOUT_SECONDS = 0.5

    def lying(talk: Talk, tag: str, arguments: str) -> bool:
        for uid in scripted_server.chosen(arguments.split(" ")[0]):
            raw = scripted_server.mails[uid].raw
            talk.send(f"* {uid} FETCH (UID {uid} BODY[] {{{len(raw) + off_by}}}\r\n".encode() + raw + b")\r\n")
        talk.say(f"{tag} OK done")
        raise HangUp

    scripted_server.faults["BODY"] = lying
    folder_sync.sync(scripted_account.pk)
    scripted_server.faults.clear()
    settings.COMMAND_TIMEOUT_SECONDS = 5
    sync_to_the_end(scripted_account)
    assert uids_stored(scripted_account) == [1, 2, 3, 4, 5]


def test_a_batch_of_a_worker_that_lost_its_lease_is_refused_at_the_commit(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forced: the other takes the lease after our last look at it, and before our transaction."""
    account = make_account()
    fill(dovecot, account, 3)

    decide = store.decide

    def taken(*arguments: Any) -> store.StoreDecision:
        decision = decide(*arguments)
        Lease.objects.filter(account=account).update(token="theirs")
        return decision

    with monkeypatch.context() as patch:
        patch.setattr(store, "decide", taken)
        outcome = folder_sync.sync(account.pk)
    assert (outcome.error_code, Message.objects.count(), MessagePlace.objects.count()) == ("busy", 0, 0)
    assert Lease.objects.get().token == "theirs"
    Lease.objects.all().delete()
    sync_to_the_end(account)
    assert stored(account) == on_server(dovecot, account)
