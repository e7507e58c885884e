"""What is deleted, moved or flagged on the server, at any age, with CONDSTORE and without."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from mailbox.imap import select as imap_select
from mailbox.imap.session import ImapSession
from mailbox.imap.transport import ImapClient
from mailbox.messages import purge
from mailbox.models import Account, Message, MessagePlace, MessageSearch, Quarantine, RawMessage, SyncState
from mailbox.sync import flags_and_expunges, folder_sync
from outbox.models import OutboxMessage
from tests.mailbox.sync.synced import fill, mail, on_server, stored
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.django_db


MISSING = {"qresync": (), "condstore": ("QRESYNC",), "plain": ("QRESYNC", "CONDSTORE")}


@pytest.fixture(params=MISSING)
def account(
    make_account: Callable[..., Account], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Account:
    """On a Dovecot that can follow changes by QRESYNC, by CONDSTORE alone, or that says nothing of either."""
    has_capability = ImapClient.has_capability

    def without(self: ImapClient, capability: str) -> bool:
        return capability not in MISSING[request.param] and bool(has_capability(self, capability))

    monkeypatch.setattr(ImapClient, "has_capability", without)
    return make_account()


def seen(account: Account) -> set[int]:
    return set(MessagePlace.objects.filter(folder__account=account, seen=True).values_list("uid", flat=True))


def test_expunged_mail_is_hidden_and_kept(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 6)
    folder_sync.sync(account.pk)
    dovecot.expunge(account.email, "INBOX", "2:3,6")
    assert folder_sync.sync(account.pk).ok
    assert stored(account) == on_server(dovecot, account)
    assert set(Message.objects.visible().values_list("subject", flat=True)) == {"Mail 1", "Mail 4", "Mail 5"}
    assert Message.objects.count() == 6


def test_as_many_new_as_expunged_is_no_disguise(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    dovecot.expunge(account.email, "INBOX", "1")
    fill(dovecot, account, 1, first=4)
    folder_sync.sync(account.pk)
    assert stored(account) == on_server(dovecot, account)


def test_what_was_expunged_during_the_backfill_is_noticed_at_its_end(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 6)
    folder_sync.sync(account.pk, max_messages=2)
    dovecot.expunge(account.email, "INBOX", "1,5")
    for _ in range(3):
        folder_sync.sync(account.pk, max_messages=2)
    assert stored(account) == on_server(dovecot, account)


def test_a_folder_that_was_emptied_is_empty_here(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    dovecot.expunge(account.email, "INBOX", "1:3")
    folder_sync.sync(account.pk)
    assert stored(account) == set()
    assert not Message.objects.visible().exists()


def test_a_move_between_folders_keeps_the_message(account: Account, dovecot: Dovecot) -> None:
    dovecot.create_folder(account.email, "Done")
    fill(dovecot, account, 2)
    folder_sync.sync(account.pk)
    pk = Message.objects.get(subject="Mail 1").pk
    dovecot.append(account.email, "Done", mail(1))
    dovecot.expunge(account.email, "INBOX", "1")
    folder_sync.sync(account.pk)
    assert Message.objects.get(pk=pk).gone_at is not None
    folder_sync.sync(account.pk, "Done")
    assert Message.objects.get(pk=pk).gone_at is None
    assert stored(account) == on_server(dovecot, account, "INBOX", "Done")


def test_flags_of_old_mail_follow(account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags_and_expunges, "FLAG_WINDOW", 2)
    fill(dovecot, account, 5)
    folder_sync.sync(account.pk)
    dovecot.store(account.email, "INBOX", "1,5", "\\Seen")
    folder_sync.sync(account.pk)
    assert 5 in seen(account)
    SyncState.objects.update(compared_at=timezone.now() - flags_and_expunges.COMPARE_EVERY)
    folder_sync.sync(account.pk)
    assert seen(account) == {1, 5}
    dovecot.store(account.email, "INBOX", "1", "\\Seen", "-FLAGS")
    SyncState.objects.update(compared_at=timezone.now() - flags_and_expunges.COMPARE_EVERY)
    folder_sync.sync(account.pk)
    assert seen(account) == {5}


def test_with_condstore_any_age_follows_at_once_and_quiet_costs_no_question(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    monkeypatch.setattr(flags_and_expunges, "FLAG_WINDOW", 1)
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk)
    dovecot.store(account.email, "INBOX", "1:2", "\\Seen")
    assert folder_sync.sync(account.pk).updated == 2
    assert seen(account) == {1, 2}

    def refuse(*_: object) -> None:
        raise AssertionError("nothing has changed")

    for question in (name for name in vars(ImapSession) if name.startswith(("fetch_", "search_"))):
        monkeypatch.setattr(ImapSession, question, refuse)
    assert folder_sync.sync(account.pk).ok


def test_flags_changed_during_the_backfill_are_not_forgotten(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 6)
    folder_sync.sync(account.pk, max_messages=2)
    dovecot.store(account.email, "INBOX", "6", "\\Seen")
    folder_sync.sync(account.pk, max_messages=2)
    folder_sync.sync(account.pk, max_messages=2)
    folder_sync.sync(account.pk, max_messages=2)
    assert seen(account) == {6}


def test_the_comparison_finds_what_is_missing_here_and_says_so(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk)
    MessagePlace.objects.filter(uid=2).delete()
    MessagePlace.objects.filter(uid=3).update(gone_at=timezone.now())
    assert folder_sync.sync(account.pk).note == ""
    SyncState.objects.update(compared_at=timezone.now() - flags_and_expunges.COMPARE_EVERY)
    outcome = folder_sync.sync(account.pk)
    assert "2 messages on the server were missing here" in outcome.note
    assert stored(account) == on_server(dovecot, account)
    assert SyncState.objects.get().cursor == 4


def test_an_expunged_mail_in_quarantine_is_settled(account: Account, dovecot: Dovecot) -> None:
    fill(dovecot, account, 2)
    folder_sync.sync(account.pk)
    place = MessagePlace.objects.get(uid=1)
    Quarantine.objects.create(
        account=account, folder=place.folder, uidvalidity=place.uidvalidity, uid=1, error="a bug in the parser"
    )
    place.delete()
    dovecot.expunge(account.email, "INBOX", "1")
    folder_sync.sync(account.pk)
    assert not Quarantine.objects.open().exists()


def test_a_search_that_is_cut_short_hides_nothing(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk)
    dovecot.expunge(account.email, "INBOX", "1")
    with monkeypatch.context() as patch:
        patch.setattr(ImapSession, "search_uids", lambda self, low, high: [2])
        assert folder_sync.sync(account.pk).ok
        assert {2, 3, 4} <= {uid for _, uid, _ in stored(account)}
    folder_sync.sync(account.pk)
    assert stored(account) == on_server(dovecot, account)


def test_after_the_grace_period_what_lies_nowhere_is_removed_with_its_words(
    make_account: Callable[..., Account], dovecot: Dovecot, settings: Any
) -> None:
    account, now = make_account(), timezone.now()
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    answered = Message.objects.get(subject="Mail 1")
    OutboxMessage.objects.create(account=account, subject="Re", parent=answered, mime_digest="0" * 64, mime_size=1)
    dovecot.expunge(account.email, "INBOX", "1:2")
    folder_sync.sync(account.pk)
    assert purge.remove_expunged(now + timedelta(days=settings.EXPUNGED_GRACE_DAYS - 1)) == 0
    assert purge.remove_expunged(now + timedelta(days=settings.EXPUNGED_GRACE_DAYS + 1)) == 2
    assert Message.objects.get().subject == "Mail 3"
    assert (MessagePlace.objects.count(), MessageSearch.objects.count()) == (1, 1)
    assert OutboxMessage.objects.get().parent is None
    assert RawMessage.objects.count() == 3  # until the raw store's own sweep
    assert stored(account) == on_server(dovecot, account)


def unread_and_there(account: Account) -> set[tuple[int, bool]]:
    rows = MessagePlace.objects.present().filter(folder__account=account)
    return set(rows.values_list("uid", "seen"))


@pytest.mark.parametrize("passed", [flags_and_expunges.FOLLOW_EVERY, timedelta(days=-365)])
def test_flags_and_expunges_are_followed_during_a_long_backfill(
    account: Account, dovecot: Dovecot, passed: timedelta
) -> None:
    """Also where they were last followed in the future, by a clock that was ahead."""
    now = timezone.now()
    fill(dovecot, account, 9)
    folder_sync.sync(account.pk, max_messages=3, now=now)
    dovecot.store(account.email, "INBOX", "9", "\\Seen")
    dovecot.expunge(account.email, "INBOX", "8")
    outcome = folder_sync.sync(account.pk, max_messages=2, now=now + passed)
    assert outcome.more_waiting
    assert unread_and_there(account) == {(5, False), (6, False), (7, False), (9, True)}


def test_what_qresync_tells_is_followed_in_each_run(make_account: Callable[..., Account], dovecot: Dovecot) -> None:
    account, now = make_account(), timezone.now()
    fill(dovecot, account, 9)
    folder_sync.sync(account.pk, max_messages=3, now=now)
    for uid in (9, 8):
        dovecot.store(account.email, "INBOX", str(uid), "\\Seen")
        folder_sync.sync(account.pk, max_messages=1, now=now)
        assert (uid, True) in unread_and_there(account)
    dovecot.expunge(account.email, "INBOX", "8")
    assert folder_sync.sync(account.pk, max_messages=1, now=now).more_waiting
    assert 8 not in {uid for uid, _ in unread_and_there(account)}


def test_a_vanished_range_may_span_all_there_can_be(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may say "1:4294967295": it is compared with what we hold, and never written out. Where no message can
    be missing by the counts, none is hidden, as iCloud and Cyrus report messages that are there."""
    account = make_account()
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    dropped: list[object] = []
    monkeypatch.setattr(flags_and_expunges, "drop", lambda run, uids: dropped.extend(uids))
    examine = imap_select.examine

    def vanishing(client: Any, folder: str, parameter: str, enabling: str | None) -> dict[bytes, Any]:
        answer = examine(client, folder, parameter, enabling)
        return answer | ({b"VANISHED": [b"(EARLIER) 1:4294967295"]} if "QRESYNC" in parameter else {})

    monkeypatch.setattr(imap_select, "examine", vanishing)
    for came in (0, 1, 2):  # new mail may hide that old mail was expunged, so SEARCH is asked
        fill(dovecot, account, came, first=10 * came)
        outcome = folder_sync.sync(account.pk)
        assert (outcome.ok, outcome.fetched, outcome.note, dropped) == (True, came, "", [])
        assert stored(account) == on_server(dovecot, account)


def test_a_server_that_offers_qresync_and_refuses_it_is_followed_without(
    make_account: Callable[..., Account], dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 3)
    folder_sync.sync(account.pk)
    monkeypatch.setattr(imap_select, "enable_qresync", lambda client: client._imap._command("NOOP"))
    dovecot.store(account.email, "INBOX", "1", "\\Seen")
    dovecot.expunge(account.email, "INBOX", "2")
    assert folder_sync.sync(account.pk).ok
    assert stored(account) == on_server(dovecot, account)
    assert seen(account) == {1}


def test_a_folder_renumbered_while_it_is_compared_is_not_mixed_up(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dovecot, account, 4)
    folder_sync.sync(account.pk)
    dovecot.expunge(account.email, "INBOX", "1")
    SyncState.objects.update(compared_at=timezone.now() - flags_and_expunges.COMPARE_EVERY)
    search = ImapSession.search_uids
    done: list[bool] = []

    def recreating(self: ImapSession, low: int, high: int) -> list[int]:
        found = search(self, low, high)
        if not done:
            done.append(True)
            dovecot.doveadm("mailbox", "delete", "-u", account.email, "-s", "INBOX")
            fill(dovecot, account, 3, first=3)
        return found

    monkeypatch.setattr(ImapSession, "search_uids", recreating)
    folder_sync.sync(account.pk)
    for _ in range(2):
        folder_sync.sync(account.pk)
    assert stored(account) == on_server(dovecot, account)
    assert all(place.raw_digest == place.message.raw_digest for place in MessagePlace.objects.present())
