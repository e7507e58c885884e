"""Stored mail as one file: each mail once and byte for byte, whatever happens to the workers that make it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from mailbox.exports import mbox, requests, selection, writing, zip_pieces
from mailbox.exports.selection import Selection, SelectionInvalid, estimate
from mailbox.models import Account, AccountGrant, Export, ExportPart, Message, MessagePlace, RawMessage
from mailbox.search.index import index_messages
from mailbox.storage import disk_budget, raw_store, sweeping
from mailbox.tasks.exports import export_slice, export_sweep
from tests.mailbox.exports.asking import NOW, asked, made, mails, operator
from tests.rows import folder_of, letter, store

__all__ = ["operator"]
pytestmark = pytest.mark.django_db


def manifest_of(archive: zipfile.ZipFile) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode("utf-8-sig"))))


def unquoted(entry: bytes, size: int) -> bytes:
    """A mail out of an mbox: without its first line, and without the quoting."""
    return re.sub(rb"(?m)^>(>*From )", rb"\1", entry.split(b"\n", 1)[1])[:size]


def test_a_zip_has_each_mail_byte_for_byte_and_a_manifest_that_says_where_it_lay(
    account: Account, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PIECE_BYTES", 1)  # a piece for each mail
    rows = mails(account)
    archive = zipfile.ZipFile(io.BytesIO(made(export := asked(operator))))
    assert archive.testzip() is None
    lines = manifest_of(archive)
    assert [line["uid"] for line in lines] == [str(row.places.get().uid) for row in rows]
    for row, line in zip(rows, lines, strict=True):
        assert hashlib.sha256(archive.read(line["file"])).hexdigest() == line["sha256"] == row.raw_digest
        assert (line["account"], line["folder"], line["uidvalidity"]) == ("ops@example.com", "INBOX", "1")
        assert (line["message_id"], line["size"]) == (row.message_id, str(row.size))
        assert datetime.fromisoformat(line["internal_date"]) == row.received_at
    said = json.loads(archive.read("manifest.json"))
    assert (said["mails"], said["missing"], len(said["lines"])) == (3, 0, 3)
    assert (export.done, export.total, export.accounts, export.parts) == (3, 3, [account.pk], 4)


def test_an_mbox_gives_the_stored_bytes_back_once_it_is_unquoted(account: Account, operator: User) -> None:
    rows = mails(account)
    content = made(export := asked(operator, form="mbox"))
    lines = list(writing.lines_of(export))
    ends = [*(line["offset"] for line in lines[1:]), len(content)]
    for row, line, end in zip(rows, lines, ends, strict=True):
        entry = content[line["offset"] : end]
        assert entry.startswith(b"From ann@example.com ")
        assert hashlib.sha256(unquoted(entry, line["size"])).hexdigest() == row.raw_digest
    assert len(re.findall(rb"(?m)^From ", content)) == 3, "what begins a line of a mail so is quoted"


def test_an_mbox_says_who_and_when_as_the_rfc_has_it() -> None:
    at = datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)
    assert mbox.separator("ann@example.com", at) == b"From ann@example.com Sun Mar  1 09:05:07 2026\n"
    assert mbox.separator("no address", at).startswith(b"From MAILER-DAEMON ")
    assert mbox.entry(b"x", "", at).endswith(b"2026\nx\n\n")
    assert mbox.entry(b">>From a\nFrom\n", "", at).endswith(b"\n>>>From a\nFrom\n\n")


def test_pieces_of_a_zip_that_lie_beyond_four_gigabytes_are_found_by_its_directory() -> None:
    begin, at = 2**32 + 5, datetime(1970, 1, 1, tzinfo=UTC)  # older than a zip can say
    first, entries = zip_pieces.piece(begin, [("a.eml", b"a" * 99, at)])
    end = zip_pieces.end(begin + len(first), entries, [("manifest.csv", b"")], at)

    class Sparse(io.BytesIO):
        """The file without what lies before."""

        def seek(self, position: int, whence: int = 0) -> int:
            return begin + super().seek(position - begin if whence == 0 else position, whence)

        def tell(self) -> int:
            return begin + super().tell()

    archive = zipfile.ZipFile(Sparse(first + end))
    assert archive.read("a.eml") == b"a" * 99
    assert archive.getinfo("a.eml").header_offset == begin


def test_a_worker_that_is_killed_between_any_two_steps_costs_nothing(
    account: Account, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    monkeypatch.setattr(writing, "PIECE_BYTES", 1)
    rows = mails(account, 4)
    export = asked(operator)
    save, add = raw_store.save_batch, writing._add
    kills = iter(range(1000))

    def killed_after_saving(*args: Any, **more: Any) -> list[str]:
        found = save(*args, **more)
        if next(kills) % 2 == 0:
            raise Killed
        return found

    def killed_before_the_commit(*args: Any) -> None:
        add(*args)
        if next(kills) % 3 == 0:
            raise Killed

    monkeypatch.setattr(raw_store, "save_batch", killed_after_saving)
    monkeypatch.setattr(writing, "_add", killed_before_the_commit)
    died = 0
    while Export.objects.unfinished().exists():
        try:
            export_slice(export.pk)
        except Killed:
            died += 1
    assert died >= 3
    export.refresh_from_db()
    archive = zipfile.ZipFile(io.BytesIO(b"".join(requests.pieces(export))))
    assert archive.testzip() is None
    assert [line["sha256"] for line in manifest_of(archive)] == [row.raw_digest for row in rows]


def test_two_workers_at_one_export_put_each_mail_in_it_once(
    account: Account, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PIECE_BYTES", 1)
    mails(account, 3)
    export = asked(operator)
    keep = writing._store_piece

    def overtaken(*args: Any) -> bool:
        monkeypatch.setattr(writing, "_store_piece", keep)
        export_slice(export.pk)  # the other worker ends it
        return keep(*args)

    monkeypatch.setattr(writing, "_store_piece", overtaken)
    archive = zipfile.ZipFile(io.BytesIO(made(export)))
    assert len([name for name in archive.namelist() if name.endswith(".eml")]) == 3


def test_what_a_worker_left_is_taken_up_and_what_is_over_goes_with_its_bytes(
    account: Account, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails(account, 1)
    export = asked(operator)
    queued: list[int] = []
    monkeypatch.setattr(requests, "queue_slice", queued.append)
    Export.objects.update(moved_at=NOW - timedelta(hours=1))
    assert export_sweep() == {"exports": 1, "removed": 0} and queued == [export.pk]
    made(export)
    own = list(ExportPart.objects.values_list("raw_digest", flat=True))
    RawMessage.objects.update(stored_at=NOW - timedelta(days=3))
    sweeping.sweep(NOW)
    assert RawMessage.objects.filter(pk__in=own).count() == len(own) == 2
    Export.objects.update(ends_at=NOW - timedelta(seconds=1))
    assert export_sweep()["removed"] == 3
    sweeping.sweep(NOW)
    assert not RawMessage.objects.filter(pk__in=own).exists() and Message.objects.count() == 1


def test_it_waits_while_the_disk_has_no_room(account: Account, operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    mails(account, 1)
    export = asked(operator)
    monkeypatch.setattr(disk_budget, "is_spent", lambda wanted=0: wanted > 0)
    export_slice(export.pk)
    export.refresh_from_db()
    assert (export.error, export.finished_at, export.parts) == (writing.NO_ROOM, None, 0)
    monkeypatch.undo()
    export_slice(export.pk)
    assert made(export) and export.error == ""


def test_mail_whose_bytes_are_missing_is_named_and_the_rest_is_there(account: Account, operator: User) -> None:
    gone, _ = mails(account, 2)
    RawMessage.objects.filter(pk=gone.raw_digest).delete()
    archive = zipfile.ZipFile(io.BytesIO(made(export := asked(operator))))
    assert (export.done, export.missing) == (2, 1)
    first, second = manifest_of(archive)
    assert (first["file"], first["sha256"]) == ("", gone.raw_digest) and second["file"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {0, 1, 2}),
        ("q=subject:1", {1}),
        ("folder={folder}", {2}),
        ("folder={folder}&q=mail", {2}),
        ("q=nothing", set()),
    ],
)
def test_it_holds_what_the_list_or_search_shows(account: Account, operator: User, query: str, found: set[int]) -> None:
    rows = mails(account)
    MessagePlace.objects.filter(message=rows[2]).update(folder=folder_of(account, "Filed"))
    index_messages(rows)
    query = query.format(folder=folder_of(account, "Filed").pk)
    export = asked(operator, query)
    lines = manifest_of(zipfile.ZipFile(io.BytesIO(made(export))))
    assert {line["sha256"] for line in lines} == {rows[each].raw_digest for each in found}
    assert estimate(Selection.of(query), operator).number == len(found)


def test_it_holds_mail_of_operated_accounts_alone_and_stops_with_the_right(
    account: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    other = make_account("other@example.com", imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)
    mails(account, 1)
    store(other, letter("Not theirs"))
    user = make_user("")
    grant = AccountGrant.objects.create(user=user, account=account, role="operator")
    AccountGrant.objects.create(user=user, account=other, role="viewer")
    made(export := asked(user))
    assert (export.done, export.accounts) == (1, [account.pk])
    assert requests.may_read(user, export)
    grant.delete()
    assert not requests.may_read(User.objects.get(pk=user.pk), export)
    late = asked(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    export_slice(late.pk)
    late.refresh_from_db()
    assert late.error == writing.NOT_ALLOWED and late.finished_at


def test_more_than_it_takes_is_refused_by_its_number(
    account: Account, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails(account, 2)
    monkeypatch.setattr(writing, "MOST", 1)
    export_slice((export := asked(operator)).pk)
    export.refresh_from_db()
    assert export.error == writing.TOO_MANY and export.finished_at
    monkeypatch.setattr(selection, "COUNTED", 1)
    assert estimate(Selection(), operator).is_more
    for wrong in ("account=x", "folder=" + "9" * 19, "team=nobody", "q=larger:x"):
        with pytest.raises(SelectionInvalid):
            Selection.of(wrong)


@pytest.mark.parametrize("form", ["zip", "mbox"])
def test_the_command_writes_the_same_file(account: Account, tmp_path: Path, capsys: Any, form: str) -> None:
    rows = mails(account)
    path = tmp_path / f"mail.{form}"
    call_command("export_messages", str(path), "--account", "ops@example.com", "--folder", "INBOX", "--json")
    assert json.loads(capsys.readouterr().out)["data"]["mails"] == 3
    if form == "zip":
        assert {line["sha256"] for line in manifest_of(zipfile.ZipFile(path))} == {row.raw_digest for row in rows}
    else:
        assert path.with_name("mail.mbox.csv").read_text().count(rows[0].raw_digest) == 1
    RawMessage.objects.filter(pk=rows[0].raw_digest).delete()
    with pytest.raises(SystemExit):
        call_command("export_messages", str(path), "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["error"]["code"], said["data"]["missing"]) == (False, "Storage", 1)
    wrong = (["mail.txt"], [str(path), "--folder", "INBOX"], [str(path), "--query", "larger:x"], ["/nowhere/a.zip"])
    for refused in wrong:
        with pytest.raises(SystemExit):
            call_command("export_messages", *refused)
