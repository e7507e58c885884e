"""manage.py reparse and its page: stored mail is read again, whatever happens meanwhile, and nothing is lost."""

from __future__ import annotations

import mmap
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DataError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.messages import reparse
from mailbox.mime import message as mime_message
from mailbox.models import Account, Attachment, AuditEntry, Message, RawMessage, Reparse
from mailbox.parsing import pool as parsing_pool
from mailbox.parsing.parse_job import ParseJob
from mailbox.parsing.process import ParserPipe, Result
from mailbox.search.results import search
from mailbox.storage import durable_files, raw_store
from mailbox.tasks import reparse as reparse_tasks
from tests.mailbox.messages.reparsed import read_wrongly, run
from tests.mailbox.mime.mime_messages import multipart
from tests.rows import NOWHERE, letter, letter_with, store, tasks_queued
from tests.servers.site import ROOT, environment

pytestmark = pytest.mark.django_db


def test_rows_attachments_and_index_are_made_anew(account: Account, make_user: Callable[..., User]) -> None:
    plain, with_file = store(account, letter("Zebra", "Giraffe")), store(account, letter_with(b"%PDF", "report.pdf"))
    read_wrongly(plain, with_file, version=mime_message.PARSER_VERSION - 1)
    said = run()
    assert "Done: 2 messages read again, 2 of them differently.\n" in said
    assert "  attachments: 1\n" in said
    assert "  subject: 2\n" in said
    assert Reparse.objects.get().changed_fields["subject"] == 2
    plain.refresh_from_db()
    assert (plain.subject, plain.body_text, plain.parser_version) == ("Zebra", "Giraffe\n", mime_message.PARSER_VERSION)
    assert [each.filename for each in with_file.attachment_rows.all()] == ["report.pdf"]
    ann = make_user("viewer")
    assert [hit.pk for hit in search(ann, "giraffe").rows] == [plain.pk]
    assert [hit.pk for hit in search(ann, "filename:report").rows] == [with_file.pk]
    assert search(ann, "wrong").rows == ()


def test_only_what_an_older_parser_read_is_read_again(account: Account, make_account: Callable[..., Account]) -> None:
    other = make_account("other@example.com", **NOWHERE)
    mails = [store(account, letter()), store(account, letter()), store(other, letter())]
    Message.objects.filter(pk__in=[mails[0].pk, mails[2].pk]).update(parser_version=None)
    assert reparse.waiting() == 2
    assert run("--account", "OPS@example.com").startswith("Done: 1 messages")
    assert run().startswith("Done: 1 messages")
    assert run().startswith("Done: 0 messages")
    assert run("--all", "--account", other.email).startswith("Done: 1 messages")
    assert run("--all").startswith("Done: 3 messages read again, ")


def test_what_was_read_rightly_is_only_marked(account: Account) -> None:
    mail = store(account, letter_with(b"x", "a.pdf"))
    run("--all")  # rows of tests lack some columns that a sync fills
    attachment, changed_at = mail.attachment_rows.get().pk, Message.objects.get(pk=mail.pk).updated_at
    Message.objects.update(parser_version=1)
    assert run() == "Done: 1 messages read again, 0 of them differently.\n"
    mail.refresh_from_db()
    assert (mail.attachment_rows.get().pk, mail.updated_at) == (attachment, changed_at)
    assert mail.parser_version == mime_message.PARSER_VERSION


def test_an_attachment_that_a_person_removed_stays_removed(account: Account) -> None:
    part = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=%s\r\n\r\nx"
    mail = store(account, multipart(part % b"a.pdf", part % b"b.pdf"))
    now = timezone.now()
    Attachment.objects.filter(message=mail, position=1).update(removed_at=now, filename="wrong")
    Message.objects.update(parser_version=None, attachments=[])
    run()
    rows = mail.attachment_rows.order_by("position").values_list("filename", "removed_at")
    assert list(rows) == [("a.pdf", None), ("b.pdf", now)]


def test_a_mail_without_its_raw_bytes_keeps_its_row_and_is_counted(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, sound = store(account, letter("Zebra")), store(account, letter("Okapi"))
    read_wrongly(lost, sound)
    RawMessage.objects.filter(digest=lost.raw_digest).delete()
    with pytest.raises(SystemExit):
        call_command("reparse")
    assert "1 have lost their raw bytes and 0 could not be read" in capsys.readouterr().err
    lost.refresh_from_db()
    sound.refresh_from_db()
    assert (lost.subject, lost.parser_version, sound.subject) == ("wrong", None, "Okapi")


def test_a_mail_that_a_sync_changes_meanwhile_is_left_as_the_sync_wrote_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail, gone = store(account, letter("Header only", "")), store(account, letter("Soon gone"))
    read_wrongly(mail, gone)
    whole = letter("Whole", "All of it")

    def meanwhile(*_: object) -> Message | None:
        Message.objects.filter(pk=gone.pk).delete()
        Message.objects.filter(pk=mail.pk).update(subject="Whole", raw_digest=raw_store.save_batch([whole])[0])
        return None

    monkeypatch.setattr(reparse, "_next_rows", lambda round_: (next_rows(round_), meanwhile())[0])
    run()
    mail.refresh_from_db()
    assert mail.subject == "Whole"
    assert Attachment.objects.filter(message=gone.pk).count() == 0


next_rows = reparse._next_rows


def test_two_workers_on_one_round_do_each_batch_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reparse, "BATCH", 2)
    read_wrongly(*(store(account, letter(str(number))) for number in range(6)))
    mine, _ = reparse.begin(None, everything=False)
    others = Reparse.objects.get(pk=mine.pk)
    next(reparse.go_on(mine))
    assert list(reparse.go_on(others)) == []  # it began where the first no longer stands
    assert [each.done for each in reparse.go_on(mine)] == [4, 6, 6]
    assert (mine.changed, mine.total) == (6, 6)
    assert not Message.objects.filter(subject="wrong").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.long
def test_a_round_killed_in_the_middle_goes_on_and_leaves_nothing_out(account: Account) -> None:
    read_wrongly(*(store(account, letter_with(b"x%d" % number, f"{number}.pdf")) for number in range(9)))
    program = """
import django, os, signal
django.setup()
from mailbox.messages import reparse
reparse.BATCH = 2
write, calls = reparse.index_messages, []
def stop(*args):
    calls.append(1)
    write(*args)
    len(calls) == 3 and os.kill(os.getpid(), signal.SIGKILL)
reparse.index_messages = stop
from django.core.management import call_command
call_command("reparse", "--all")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Message.objects.filter(subject="wrong").count() == 5
    assert run("--all").startswith("Going on with the round of ")
    assert Reparse.objects.get().done == 9
    assert not Message.objects.filter(subject="wrong").exists()
    assert sorted(Attachment.objects.values_list("filename", flat=True)) == [f"{number}.pdf" for number in range(9)]


def test_a_mail_that_takes_its_parser_down_is_counted_and_holds_up_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [store(account, letter(f"{number}")) for number in range(3)]
    read_wrongly(*mails)
    read, words = ParserPipe.read, ["It took the parser down."]

    def fragile(parser: ParserPipe, orders: Sequence[ParseJob]) -> Iterator[Result]:
        for result in read(parser, orders):
            yield words.pop() if words else result

    monkeypatch.setattr(ParserPipe, "read", fragile)
    with pytest.raises(SystemExit):
        run()
    assert Reparse.objects.get().failed == 1
    assert Message.objects.filter(subject="wrong").get() == mails[0]


def test_a_worker_reads_in_slices_and_what_it_forgets_is_found(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reparse, "BATCH", 1)
    monkeypatch.setattr(reparse_tasks, "SLICE_SECONDS", 0)
    read_wrongly(*(store(account, letter()) for _ in range(2)))
    round_, _ = reparse.begin(None, everything=False)
    reparse_tasks.reparse_slice(round_.pk)
    assert (Reparse.objects.get().done, len(tasks_queued())) == (1, 1)  # and the next is queued
    reparse_tasks.reparse_stalled()
    assert len(tasks_queued()) == 1  # somebody was here a moment ago
    Reparse.objects.update(moved_at=timezone.now() - timedelta(minutes=5))
    monkeypatch.setattr(reparse_tasks, "SLICE_SECONDS", 30)
    reparse_tasks.reparse_stalled()
    assert len(tasks_queued()) == 2
    reparse_tasks.reparse_slice(round_.pk)
    assert Reparse.objects.get().finished_at
    reparse_tasks.reparse_slice(round_.pk)  # twice: nothing is left to do


def test_a_person_starts_it_and_sees_how_far_it_is(
    client: Client, account: Account, make_user: Callable[..., User]
) -> None:
    read_wrongly(store(account, letter()))
    client.force_login(make_user("administrator"))
    page = reverse("mailbox:stored_mail")
    assert "1 message was read by an older version" in client.get(page).content.decode()
    assert client.post(page).status_code == 302
    assert client.post(page).status_code == 302  # a double click
    assert Reparse.objects.count() == 1
    assert AuditEntry.objects.filter(verb="reparse").count() == 1
    assert (
        '0</span> of <span class="number">1</span>' in client.get(page, headers={"HX-Request": "true"}).content.decode()
    )
    reparse_tasks.reparse_slice(Reparse.objects.get().pk)
    shown = client.get(page).content.decode()
    assert "1 message read again" in shown
    assert "Every message was read by the present version" in shown


def test_what_has_no_older_reading_is_asked_of_the_index(account: Account) -> None:
    """Both questions, how many and which, at the cost of their answers: bodies lie between the row and its version."""
    rows = [*reparse._outdated(Message.objects.order_by("pk"))]
    plans = [query.filter(pk__gt=5).values_list("pk", flat=True)[:50].explain() for query in rows]
    if connection.vendor == "sqlite":
        assert all("message_parsed_by" in plan and "TEMP B-TREE" not in plan for plan in plans), plans


def test_an_unknown_account_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("reparse", "--account", "nobody@example.com")
    assert "There is no account nobody@example.com" in capsys.readouterr().err


def test_a_large_mail_is_read_where_it_lies(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this process nor a pipe to the parser holds it."""
    monkeypatch.setattr(raw_store, "MAPPED_FROM", 600_000)
    large, small = store(account, letter("Large", "word " * 200_000)), store(account, letter("Small"))
    read_wrongly(large, small)
    given: list[tuple[type, str]] = []
    read = parsing_pool.read

    def watched(orders: Sequence[ParseJob]) -> parsing_pool.Pending:
        given.extend((type(order.raw), order.path) for order in orders)
        return read(orders)

    monkeypatch.setattr(parsing_pool, "read", watched)
    run()
    segment = RawMessage.objects.get(digest=large.raw_digest).segment
    assert given == [(mmap.mmap, durable_files.raw_storage().path(segment)), (bytes, "")]
    large.refresh_from_db()
    assert (large.subject, len(large.body_text)) == ("Large", 1_000_001)


def test_a_large_file_that_was_damaged_is_not_taken_for_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_store, "MAPPED_FROM", 10)
    digest = raw_store.save_batch([b"Subject: one\r\n\r\nTwo"])[0]
    assert bytes(raw_store.map_raw(digest)[0]) == b"Subject: one\r\n\r\nTwo"
    path = Path(durable_files.raw_storage().path(RawMessage.objects.get().segment))
    path.write_bytes(b"Subject: one\r\n\r\nTwa")
    with pytest.raises(raw_store.RawMissing, match="damaged"):
        raw_store.map_raw(digest)
    path.unlink()
    with pytest.raises(raw_store.RawMissing, match="cannot be read"):
        raw_store.map_raw(digest)


def test_a_message_that_the_database_refuses_stops_no_other(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    first, poison, last = (store(account, letter(subject)) for subject in ("First", "Poison", "Last"))
    read_wrongly(first, poison, last)
    index = reparse.index_messages

    def refusing(messages: Sequence[Message], texts: dict[int, str]) -> None:
        if any(each.subject == "Poison" for each in messages):
            raise DataError("string is too long for tsvector")
        index(messages, texts)

    monkeypatch.setattr(reparse, "index_messages", refusing)
    with pytest.raises(SystemExit):
        run()
    round_ = Reparse.objects.get()
    assert (round_.done, round_.changed, round_.failed, round_.finished_at is not None) == (3, 2, 1, True)
    assert dict(Message.objects.values_list("pk", "subject")) == {
        first.pk: "First",
        poison.pk: "wrong",
        last.pk: "Last",
    }
    assert Message.objects.get(pk=poison.pk).parser_version != mime_message.PARSER_VERSION
