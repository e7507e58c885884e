"""What another process does between deciding and writing, and a COMMIT whose answer is lost: each mail is here once."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from mailbox.messages import purge, store
from mailbox.models import Account, Folder, Lease, Message, MessagePlace, Quarantine, SyncState
from mailbox.storage import raw_store
from mailbox.storage.raw_store import digest_of
from mailbox.sync import folder_sync
from mailbox.sync.prefetch import Prefetcher
from tests import rows
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap, Talk

__all__ = ["account"]

pytestmark = pytest.mark.django_db(transaction=True)
MAILS = 9


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in range(1, MAILS + 1)}).start()
    yield server
    server.stop()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prefetcher.bring, "__kwdefaults__", {"count": 3, "asked": 500})


def bad_one(server: ScriptedImap) -> None:
    """Each run meets a message that is refused, so that quarantine is written too."""

    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        if 5 not in server.chosen(arguments.split(" ")[0]):
            return False
        talk.say(f"{tag} NO cannot read it")
        return True

    server.faults["BODY"] = refuse


class LostAnswers:
    """The COMMIT with this number is done, and its answer never comes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int | None) -> None:
        self.number, self.count = number, 0
        wrapper_class: Any = type(connections["default"])
        commit = wrapper_class._commit

        def committed(wrapper: Any) -> None:
            commit(wrapper)
            self.count += 1
            if self.count == self.number:
                raise OperationalError("the connection was lost")

        monkeypatch.setattr(wrapper_class, "_commit", committed)


def each_is_here_once(account: Account, server: ScriptedImap) -> None:
    found = MessagePlace.objects.present().filter(folder__account=account).values_list("uid", "raw_digest")
    assert sorted(found) == [(uid, digest_of(each.raw)) for uid, each in sorted(server.mails.items()) if uid != 5]
    assert Message.objects.filter(account=account).count() == len(server.mails) - 1
    assert [row.uid for row in Quarantine.objects.open().filter(account=account)] == [5]
    assert all(raw_store.is_sound(digest) for _, digest in found)
    state = SyncState.objects.get(account=account)
    assert (state.cursor, state.backfill_cursor) == (max(server.mails), 1)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("is_first", [True, False], ids=["a new folder", "a renumbered folder"])
@pytest.mark.in_part(2)
def test_the_answer_to_a_commit_is_lost_at_each_commit_of_a_session(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    bad_one(server)

    def begin() -> None:
        Folder.objects.all().delete()
        Message.objects.all().delete()
        if not is_first:
            folder_sync.sync(account.pk)
            server.uidvalidity += 1

    begin()
    with monkeypatch.context() as patched:
        counting = LostAnswers(patched, None)
        assert folder_sync.sync(account.pk).ok
    assert counting.count >= 6
    for number in range(1, counting.count + 1):
        begin()
        with monkeypatch.context() as patched:
            LostAnswers(patched, number)
            with contextlib.suppress(OperationalError):
                folder_sync.sync(account.pk)
        Lease.objects.all().delete()  # as it lapses
        for _ in range(3):
            outcome = folder_sync.sync(account.pk)
        assert outcome.ok, (number, outcome.error)
        each_is_here_once(account, server)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something once, when it is decided which mail becomes which row, and nothing is written."""

    def once(act: Callable[[], object]) -> None:
        decide = store.decide

        def decide_and_act(*arguments: Any) -> store.StoreDecision:
            decision = decide(*arguments)
            monkeypatch.setattr(store, "decide", decide)
            act()
            return decision

        monkeypatch.setattr(store, "decide", decide_and_act)

    return once


Meanwhile = Callable[[Callable[[], object]], None]


def test_a_purge_in_between_takes_nothing_that_comes_again(
    account: Account, server: ScriptedImap, meanwhile: Meanwhile
) -> None:
    """The mail had gone long ago and lies in another folder now: its row is purged when the new place is decided."""
    folder_sync.sync(account.pk)
    long_ago = timezone.now() - timedelta(days=60)
    MessagePlace.objects.filter(uid=3).update(gone_at=long_ago)
    Message.objects.filter(subject="Mail 3").update(gone_at=long_ago)
    server.mails[20] = server.mails.pop(3)
    removed: list[int] = []
    meanwhile(lambda: removed.append(purge.remove_expunged(timezone.now())))
    assert folder_sync.sync(account.pk).ok
    assert removed == [1]
    message = Message.objects.get(subject="Mail 3")
    assert message.gone_at is None
    assert list(message.places.present().values_list("uid", flat=True)) == [20]


def test_an_account_that_is_deleted_in_between_leaves_no_rows(account: Account, meanwhile: Meanwhile) -> None:
    meanwhile(lambda: Account.objects.get(pk=account.pk).delete())
    outcome = folder_sync.sync(account.pk)
    assert outcome.error_code == "busy"
    for table in (Message, MessagePlace, Folder, SyncState, Quarantine, Lease):
        assert not table.objects.exists()  # type: ignore[attr-defined]


def test_the_same_mail_that_another_process_stores_in_between_is_one_message_in_two_places(
    account: Account, server: ScriptedImap, meanwhile: Meanwhile
) -> None:
    meanwhile(lambda: rows.store(account, mail(4), folder="Archive"))
    assert folder_sync.sync(account.pk).ok
    message = Message.objects.get(subject="Mail 4")
    assert sorted(message.places.values_list("folder__name", flat=True)) == ["Archive", "INBOX"]
    assert Message.objects.count() == MAILS
    assert not Quarantine.objects.exists()


def test_and_one_that_claims_its_message_id_is_kept_beside_it(
    account: Account, server: ScriptedImap, meanwhile: Meanwhile
) -> None:
    meanwhile(lambda: rows.store(account, mail(4, body="Forged."), folder="Archive"))
    assert folder_sync.sync(account.pk).ok
    assert sorted(Message.objects.filter(subject="Mail 4").values_list("variant", flat=True)) == [0, 1]
