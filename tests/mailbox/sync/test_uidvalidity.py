"""UIDVALIDITY changed: what is surely the same is kept without a download, the rest is fetched, nothing is lost."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from math import inf
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import (
    Account,
    Folder,
    Message,
    MessagePlace,
    Quarantine,
    SurveyedUid,
    SyncRun,
    SyncRunFolder,
    SyncState,
)
from mailbox.scheduler import account_queue, runner
from mailbox.storage.raw_store import digest_of
from mailbox.sync import folder_sync, uidvalidity
from tests.mailbox.sync.quiet import due_jobs
from tests.mailbox.sync.scripted_account import account
from tests.mailbox.sync.synced import mail, stored
from tests.servers.certificates import Certificates
from tests.servers.imap_script import HangUp, Mail, ScriptedImap, Talk

__all__ = ["account"]

pytestmark = pytest.mark.django_db


def dated(number: int, minute: int | None = None, **headers: str) -> Mail:
    """A mail with an INTERNALDATE of its own."""
    when = datetime(2024, 3, 1, 12, number if minute is None else minute, tzinfo=UTC)
    return Mail(mail(number, Date=format_datetime(when), **headers), date=f'"{when:%d-%b-%Y %H:%M:%S} +0000"')


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: dated(uid) for uid in range(1, 7)}).start()
    yield server
    server.stop()


def renumbered(server: ScriptedImap, by: int = 100) -> None:
    """The server gives each mail another UID, under another UIDVALIDITY."""
    server.uidvalidity += 1
    server.mails = {uid + by: each for uid, each in server.mails.items()}


def equal(account: Account, server: ScriptedImap) -> bool:
    return stored(account) == {("INBOX", uid, digest_of(each.raw)) for uid, each in server.mails.items()}


def bodies_asked_for(server: ScriptedImap) -> list[str]:
    """Notes the UID sets of the bodies that are fetched from now on."""
    asked: list[str] = []

    def note(talk: Talk, tag: str, arguments: str) -> bool:
        asked.append(arguments.split(" ")[0])
        return False

    server.faults["BODY"] = note
    return asked


def state() -> SyncState:
    return SyncState.objects.get()


def test_what_is_surely_the_same_is_not_downloaded_again(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    before = dict(MessagePlace.objects.values_list("pk", "message_id"))
    renumbered(server)
    server.mails[102].flags = "\\Seen"
    server.mails[120] = dated(20)
    asked = bodies_asked_for(server)
    outcome = folder_sync.sync(account.pk)
    assert outcome.note == "UIDVALIDITY changed from 1 to 2: 6 kept, 1 fetched."
    assert asked == ["120"]
    assert equal(account, server)
    assert before.items() <= dict(MessagePlace.objects.values_list("pk", "message_id")).items()
    assert MessagePlace.objects.get(uid=102).seen
    assert Message.objects.get(subject="Mail 2").seen
    assert (state().cursor, state().backfill_cursor, state().former_uidvalidity) == (120, 1, None)
    assert not SurveyedUid.objects.exists()


def test_what_was_expunged_with_the_renumbering_is_hidden(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    del server.mails[103]
    folder_sync.sync(account.pk)
    assert equal(account, server)
    assert not Message.objects.visible().filter(subject="Mail 3").exists()


def test_twins_on_either_side_are_downloaded(account: Account, server: ScriptedImap) -> None:
    """Same date, size and header, and only the body tells them apart: to take one for the other would lose one."""
    server.mails = {1: dated(1, body="aaa"), 2: dated(1, body="bbb"), 3: dated(3, body="ccc"), 4: dated(4)}
    folder_sync.sync(account.pk)
    renumbered(server)
    server.mails[103] = dated(3, body="ddd")
    server.mails[90] = dated(3, body="ccc")
    asked = bodies_asked_for(server)
    outcome = folder_sync.sync(account.pk)
    assert outcome.note == "UIDVALIDITY changed from 1 to 2: 1 kept, 4 fetched."
    assert sorted(uid for each in asked for uid in server.chosen(each)) == [90, 101, 102, 103]
    assert equal(account, server)


def test_same_date_and_size_with_another_header_is_another_mail(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    server.mails[103] = dated(3, Subject="Mail X")
    asked = bodies_asked_for(server)
    folder_sync.sync(account.pk)
    assert asked == ["103"]
    assert equal(account, server)
    assert Message.objects.visible().filter(subject="Mail X").exists()


@pytest.mark.parametrize("max_messages", [1, 2, 4])
def test_jobs_are_bounded_and_the_cursors_move_over_what_is_stored_only(
    account: Account, server: ScriptedImap, max_messages: int
) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    server.mails[103] = dated(33, minute=3)
    for _ in range(10):
        outcome = folder_sync.sync(account.pk, max_messages=max_messages)
        rows = MessagePlace.objects.present().filter(uidvalidity=2)
        assert rows.count() <= len(server.mails)
        low, high = state().backfill_cursor or 0, state().cursor
        assert {uid for uid in server.mails if low <= uid <= high} == set(rows.values_list("uid", flat=True))
        if not outcome.more_waiting:
            break
    assert equal(account, server)


def test_a_survey_that_takes_several_runs_goes_on_where_it_was(
    account: Account, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    monkeypatch.setattr(uidvalidity, "SURVEYED_AT_ONCE", 2)
    notes = []
    while (outcome := folder_sync.sync(account.pk)).more_waiting:
        notes.append(outcome.note)
    assert notes == [""] * 2
    assert outcome.note == "UIDVALIDITY changed from 1 to 2: 6 kept, 0 fetched."
    assert equal(account, server)


def test_new_mail_comes_before_the_old_is_compared(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    server.mails[150] = dated(50)
    outcome = folder_sync.sync(account.pk, max_messages=1)
    assert outcome.note == "UIDVALIDITY changed from 1 to 2: about 6 kept, about 1 to fetch."
    assert outcome.more_waiting
    assert Message.objects.filter(subject="Mail 50").exists()
    assert Message.objects.visible().count() == 7


def test_the_report_has_one_entry_however_many_rounds_it_takes(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    job = account_queue.SyncJob(account.pk, "INBOX", 2)
    run = runner.run_sync([job], inf, trigger=SyncRun.Trigger.COMMAND)
    assert run.folders.get().note == "UIDVALIDITY changed from 1 to 2: about 6 kept, about 0 to fetch."
    assert equal(account, server)
    runner.run_sync([job], inf, trigger=SyncRun.Trigger.COMMAND)
    assert SyncRunFolder.objects.filter(note__contains="UIDVALIDITY").count() == 1


@pytest.mark.parametrize("step", ["SEARCH", "META", "HEADER", "BODY"])
def test_a_connection_lost_at_any_command_loses_nothing(account: Account, server: ScriptedImap, step: str) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    server.mails[120] = dated(20)
    for breaks_at in range(1, 4):
        calls = iter(range(1, 1000))

        def drop(talk: Talk, tag: str, arguments: str, at: int = breaks_at, calls: Iterator[int] = calls) -> bool:
            if next(calls) == at:
                raise HangUp
            return False

        server.faults[step] = drop
        folder_sync.sync(account.pk, max_messages=3)
        assert Message.objects.visible().count() >= 6
    server.faults.clear()
    while folder_sync.sync(account.pk, max_messages=3).more_waiting:
        pass
    assert equal(account, server)
    assert Message.objects.visible().count() == 7


def test_a_header_without_end_is_read_in_part_only(account: Account, server: ScriptedImap) -> None:
    long = {f"X-{number}": "x" * 900 for number in range(100)}
    server.mails[6] = dated(6, None, **long)
    folder_sync.sync(account.pk)
    renumbered(server)
    lengths: list[str] = []

    def cut(talk: Talk, tag: str, arguments: str) -> bool:
        lengths.append(arguments)
        for uid in server.chosen(arguments.split(" ")[0]):
            raw = server.mails[uid].raw
            header = raw[: raw.index(b"\r\n\r\n") + 4][:65536]
            start = f"* {server.number(uid)} FETCH (UID {uid} FLAGS () BODY[HEADER]<0> {{{len(header)}}}\r\n"
            talk.send(start.encode() + header + b")\r\n")
        talk.say(f"{tag} OK done")
        return True

    server.faults["HEADER"] = cut
    asked = bodies_asked_for(server)
    folder_sync.sync(account.pk)
    assert "HEADER]<0.65536>" in lengths[0]
    assert asked == ["106"]
    assert equal(account, server)


def test_a_uidvalidity_that_comes_back_is_walked_again(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    renumbered(server)
    folder_sync.sync(account.pk, max_messages=3)
    server.uidvalidity = 1
    server.mails = {1: dated(5), 2: dated(6), 3: dated(1), 4: dated(7), 9: dated(2)}
    while folder_sync.sync(account.pk, max_messages=2).more_waiting:
        pass
    assert equal(account, server)
    subjects = set(Message.objects.visible().values_list("subject", flat=True))
    assert subjects == {f"Mail {number}" for number in (1, 2, 5, 6, 7)}
    places = MessagePlace.objects.present().values_list("uid", "message__raw_digest")
    assert all(digest_of(server.mails[uid].raw) == digest for uid, digest in places)


def test_quarantined_mail_is_tried_again_under_its_new_number(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    place = MessagePlace.objects.get(uid=2)
    Quarantine.objects.create(account=account, folder=place.folder, uidvalidity=1, uid=2, error="a bug")
    place.message.delete()
    renumbered(server)
    folder_sync.sync(account.pk)
    assert equal(account, server)
    assert not Quarantine.objects.open().exists()


def test_five_changes_in_a_row_stop_the_folder_until_somebody_lets_it_go_on(
    account: Account, server: ScriptedImap
) -> None:
    folder_sync.sync(account.pk)
    for number in range(1, 5):
        renumbered(server)
        assert folder_sync.sync(account.pk).ok, number
        assert equal(account, server)
    renumbered(server)
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code) == (False, "stopped")
    assert "5 times in a row" in outcome.error
    assert Message.objects.visible().count() == 6
    assert state().stopped_at is not None
    assert due_jobs(timezone.now()) == []
    before = len(server.seen)
    assert folder_sync.sync(account.pk).error_code == "stopped"
    assert "EXAMINE" not in server.seen[before:]
    uidvalidity.let_go_on(account.pk)
    assert due_jobs(timezone.now()) != []
    asked = bodies_asked_for(server)
    assert folder_sync.sync(account.pk).ok
    assert asked == []
    assert equal(account, server)


def test_a_quiet_run_between_changes_starts_the_count_again(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    for _ in range(7):
        renumbered(server)
        assert folder_sync.sync(account.pk).ok
        assert folder_sync.sync(account.pk).ok
    assert state().stopped_at is None


def test_other_folders_of_a_stopped_one_go_on(account: Account, server: ScriptedImap) -> None:
    folder_sync.sync(account.pk)
    SyncState.objects.update(stopped_at=timezone.now())
    Folder.objects.create(account=account, name="Other", sync_enabled=True)
    assert [job.folder for job in due_jobs(timezone.now())] == ["Other"]


def test_a_folder_with_ten_times_the_mail_asks_for_bounded_answers(
    account: Account, server: ScriptedImap, settings: Any
) -> None:
    server.mails = {uid: dated(uid, minute=uid % 60) for uid in range(1, 61)}
    folder_sync.sync(account.pk)
    renumbered(server)
    before = len(server.seen)
    folder_sync.sync(account.pk, max_messages=10)
    assert server.seen[before:].count("BODY") == 0
    assert server.seen[before:].count("HEADER") == 1
    assert MessagePlace.objects.filter(uidvalidity=2).count() == 10
