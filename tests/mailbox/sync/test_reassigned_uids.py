"""A server restored from a backup gives old UIDs to new mail and keeps its UIDVALIDITY: all of it is fetched."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import Account, Message, MessagePlace, Quarantine, RetentionRule, SyncState
from mailbox.storage.raw_store import digest_of
from mailbox.sync import flags_and_expunges, folder_sync
from prx_email_site.retention import sweep
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail, stored
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Mail, ScriptedImap, Talk

__all__ = ["account"]

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def dated(number: int, **headers: str) -> Mail:
    when = datetime(2024, 3, 1, 12, number, tzinfo=UTC)
    return Mail(mail(number, Date=format_datetime(when), **headers), date=f'"{when:%d-%b-%Y %H:%M:%S} +0000"')


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: dated(uid) for uid in range(1, 11)}).start()
    yield server
    server.stop()


def restore(server: ScriptedImap, first_lost: int, *new: int) -> None:
    """Bring the server back to before it had this UID; mails of these numbers arrive afterwards."""
    server.mails = {uid: each for uid, each in server.mails.items() if uid < first_lost}
    server.mails |= {first_lost + place: dated(number) for place, number in enumerate(new)}


def equal(account: Account, server: ScriptedImap) -> bool:
    return stored(account) == {("INBOX", uid, digest_of(each.raw)) for uid, each in server.mails.items()}


def shown(account: Account) -> set[str]:
    return set(Message.objects.visible().filter(account=account).values_list("subject", flat=True))


def bodies_asked_for(server: ScriptedImap) -> list[str]:
    asked: list[str] = []

    def note(_talk: Talk, _tag: str, arguments: str) -> bool:
        asked.append(arguments.split(" ")[0])
        return False

    server.faults["BODY"] = note
    return asked


def sync_all(account: Account, now: datetime | None = None) -> list[str]:
    notes = []
    for _ in range(6):
        outcome = folder_sync.sync(account.pk, now=now)
        assert outcome.ok, outcome.error
        notes.append(outcome.note)
        if not outcome.more_waiting:
            return notes
    raise AssertionError(notes)


def make_comparison_due() -> None:
    SyncState.objects.update(compared_at=timezone.now() - flags_and_expunges.COMPARE_EVERY)


def test_when_uidnext_fell_the_new_mail_is_fetched_at_once(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    restore(server, 8, 28, 29)
    asked = bodies_asked_for(server)
    (note,) = sync_all(account)
    assert "gave UIDs to other messages" in note
    assert "7 kept, 2 fetched" in note
    assert equal(account, server)
    assert {"Mail 28", "Mail 29"} <= shown(account)
    assert sorted(uid for each in asked for uid in server.chosen(each)) == [8, 9]


def test_new_mail_under_uids_that_a_rule_let_go_of_is_fetched(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    RetentionRule.objects.create(what="received", days=1)
    sweep.remove_slice(timezone.now().isoformat())
    RetentionRule.objects.all().delete()
    assert not Message.objects.exists()
    make_comparison_due()
    assert sync_all(account) == [""] and not Message.objects.exists()
    restore(server, 8, *range(28, 33))  # more than there were: UIDNEXT did not fall
    make_comparison_due()
    sync_all(account)
    assert {"Mail 28", "Mail 29", "Mail 30"} <= shown(account)
    assert equal(account, server)


def test_what_the_restore_lost_is_hidden_and_kept(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    restore(server, 8, 28, 29)
    sync_all(account)
    lost = Message.objects.filter(subject__in=["Mail 8", "Mail 9", "Mail 10"])
    assert lost.count() == 3
    assert all(message.gone_at for message in lost)


def test_when_mod_sequences_fell_the_new_mail_is_fetched_at_once(account: Account, server: ScriptedImap) -> None:
    server.capabilities, server.highestmodseq = "IMAP4rev1 CONDSTORE", 900
    sync_all(account)
    restore(server, 8, *range(28, 33))  # more than there were: UIDNEXT did not fall
    server.highestmodseq = 700
    assert "gave UIDs to other messages" in sync_all(account)[0]
    assert equal(account, server)


def test_without_a_fall_the_comparison_finds_it(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    restore(server, 8, *range(28, 33))
    sync_all(account)
    assert "Mail 28" not in shown(account)
    make_comparison_due()
    assert "gave UIDs to other messages" in sync_all(account)[0]
    assert equal(account, server)


def test_flags_of_the_new_mail_are_not_put_on_the_old(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    restore(server, 8, *range(28, 33))
    server.mails[8].flags = "\\Seen"
    make_comparison_due()
    sync_all(account)
    assert not Message.objects.get(subject="Mail 8").seen
    assert Message.objects.get(subject="Mail 28").seen


def test_uids_that_were_gone_already_are_fetched_when_given_again(account: Account, server: ScriptedImap) -> None:
    """Between the restore and the new mail a sync saw the folder short: nothing held is at those UIDs any more."""
    sync_all(account)
    restore(server, 8)
    sync_all(account)
    assert len(shown(account)) == 7
    server.mails[8] = dated(28)
    del server.mails[2]  # the folder holds as many as before
    sync_all(account)
    assert equal(account, server)
    assert "Mail 28" in shown(account)


def test_it_may_happen_twice(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    restore(server, 8, 28, 29)
    sync_all(account)
    restore(server, 6, 36, 37)
    sync_all(account)
    assert equal(account, server)
    restored = {f"Mail {number}" for number in (8, 9, 10, 28, 29, 36, 37)}
    assert restored <= set(Message.objects.values_list("subject", flat=True))


def test_a_mail_that_has_moved_to_another_uid_keeps_its_row(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    before = Message.objects.get(subject="Mail 9").pk
    restore(server, 8, 28, 9)
    server.mails[11] = server.mails.pop(9)
    make_comparison_due()
    sync_all(account)
    assert equal(account, server)
    assert Message.objects.visible().get(subject="Mail 9").pk == before


def test_a_size_that_the_server_only_estimates_is_no_restore(account: Account, server: ScriptedImap) -> None:
    """Exchange does: the header is the same, and that one mail is fetched again at most."""
    sync_all(account)
    before = dict(MessagePlace.objects.values_list("uid", "message_id"))
    server.mails[4].stated_size = 12_345
    make_comparison_due()
    asked = bodies_asked_for(server)
    assert sync_all(account) == [""]
    assert asked == ["4"]
    assert dict(MessagePlace.objects.values_list("uid", "message_id")) == before
    make_comparison_due()
    asked.clear()
    sync_all(account)
    assert asked == []


def test_another_body_under_the_same_header_is_fetched(account: Account, server: ScriptedImap) -> None:
    sync_all(account)
    server.mails[4] = dated(4, body="Another text, somewhat longer.")
    make_comparison_due()
    sync_all(account)
    assert equal(account, server)


def test_a_quarantined_uid_that_was_given_again_is_fetched(account: Account, server: ScriptedImap) -> None:
    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        if 5 not in server.chosen(arguments.split(" ")[0]):
            return False
        talk.say(f"{tag} NO cannot read this message")
        return True

    server.faults["BODY"] = refuse
    sync_all(account)
    assert Quarantine.objects.open().get().uid == 5
    server.mails[5] = dated(55, body="Quite another mail.")
    server.faults.clear()
    make_comparison_due()
    sync_all(account)
    assert equal(account, server)
    assert not Quarantine.objects.open().exists()


def test_a_server_whose_uidnext_falls_for_no_reason_is_not_read_anew(account: Account, server: ScriptedImap) -> None:
    """GMX does."""
    sync_all(account)
    server.uidnext = 5
    server.mails[11] = dated(31)
    asked = bodies_asked_for(server)
    sync_all(account)
    assert equal(account, server)
    assert asked == ["11"]


@pytest.mark.parametrize("held", [0, 1])
def test_a_new_folder_has_nothing_to_compare(account: Account, server: ScriptedImap, held: int) -> None:
    server.mails = {uid: dated(uid) for uid in range(1, held + 1)}
    server.uidnext = 1
    sync_all(account)
    assert equal(account, server)


def test_a_crash_in_the_middle_loses_nothing(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_all(account)
    restore(server, 8, 28, 29)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mailbox.sync.uidvalidity.survey", crash)
        with pytest.raises(KeyboardInterrupt):
            folder_sync.sync(account.pk)
    sync_all(account)
    assert equal(account, server)
