"""What servers leave out, refuse or state wrongly: nothing of it may pass for mail that is here, nor for damage."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from mailbox.completeness import sample, signature, walk
from mailbox.errors import Throttled
from mailbox.models import Account, Completeness, Folder, MessagePlace, RawMessage, StoreMiss, SyncState
from mailbox.storage.durable_files import raw_storage
from mailbox.sync.flags_and_expunges import COMPARE_EVERY
from tests.mailbox.completeness.test_completeness import compared, line_of, named
from tests.mailbox.sync.odd_server import account, server, sync
from tests.rows import folder_of
from tests.servers.imap_script import Fault, ScriptedImap, Talk

__all__ = ["account", "server"]
pytestmark = pytest.mark.django_db


def leaving_out(server: ScriptedImap, uid: int, step: str) -> Fault:
    """The server says OK to SEARCH, META or BODY, and nothing of this UID."""

    def fault(talk: Talk, tag: str, arguments: str) -> bool:
        whole = dict(server.mails)
        del server.mails[uid]
        getattr(server, f"_{step.lower()}")(talk, arguments)
        server.mails.clear()
        server.mails.update(whole)
        talk.say(f"{tag} OK done")
        return True

    return fault


def refusing(server: ScriptedImap, uid: int) -> Fault:
    def fault(talk: Talk, tag: str, arguments: str) -> bool:
        is_asked = uid in server.chosen(arguments.split(" ")[0])
        if is_asked:
            talk.say(f"{tag} NO that message cannot be opened")
        return is_asked

    return fault


def place(uid: int) -> Any:
    return MessagePlace.objects.filter(uid=uid)


def test_what_fetch_leaves_out_is_missing_when_it_is_not_here(account: Account, server: ScriptedImap) -> None:
    sync(account)
    place(2).delete()
    server.faults["META"] = leaving_out(server, 2, "META")
    line = compared(account)
    assert named(line) == {(2, "missing", "fetch")}
    assert (line["on_server"], line["stored"], line["differ"]) == (3, 2, 1)


def test_what_search_leaves_out_is_no_expunged_mail(account: Account, server: ScriptedImap) -> None:
    sync(account)
    server.faults["SEARCH"] = leaving_out(server, 2, "SEARCH")
    line = compared(account)
    assert (line["on_server"], line["stored"], line["expunged"], line["error"]) == (3, 3, 0, "")


def test_what_search_leaves_out_and_is_not_here_is_said(
    account: Account, server: ScriptedImap, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sync(account)
    place(2).delete()
    server.faults["SEARCH"] = leaving_out(server, 2, "SEARCH")
    assert "states 1 more messages than it gives UIDs of" in compared(account)["error"]
    row = Completeness.objects.get()
    assert (row.document["report"]["not_compared"], signature.fault_of(row.document)) == (1, "")
    with pytest.raises(SystemExit):
        call_command("completeness")
    file = tmp_path / "report.json"
    file.write_bytes(signature.canonical(row.document))
    call_command("completeness", verify=str(file))
    assert "0 differ; folders could not be compared: 1." in capsys.readouterr().out


def test_a_folder_that_cannot_be_opened_is_counted_and_those_not_chosen_too(account: Account) -> None:
    sync(account)
    folder_of(account, "Gone")
    Folder.objects.filter(pk=folder_of(account, "Left").pk).update(sync_enabled=False)
    assert compared(account)["differ"] == 0
    report = Completeness.objects.get().document["report"]
    assert line_of(account, "Gone")["error"]
    assert (report["differ"], report["not_compared"], report["not_chosen"]) == (0, 1, 1)


def test_a_folder_that_the_server_has_trouble_with_keeps_no_other_from_being_compared(
    account: Account, server: ScriptedImap
) -> None:
    """As Dovecot has with a damaged index; it says so in the words of a server that asks to wait."""
    sync(account)
    folder_of(account, "Broken")
    broken = {"Broken"}

    def trouble(talk: Talk, tag: str, arguments: str) -> bool:
        is_broken = any(name in arguments for name in broken)
        if is_broken:
            talk.say(f"{tag} NO [SERVERBUG] Internal error occurred")
        return is_broken

    server.faults["EXAMINE"] = trouble
    assert compared(account)["stored"] == 3
    assert "Internal error" in line_of(account, "Broken")["error"]
    broken.add("INBOX")
    with pytest.raises(Throttled):
        walk.go_on(account.pk)
    assert line_of(account)["stored"] == 3  # the last report stands


def test_a_message_that_the_server_refuses_keeps_no_other_from_being_compared(
    account: Account, server: ScriptedImap
) -> None:
    sync(account)
    place(1).delete()
    server.faults["BODY"] = refusing(server, 2)
    line = compared(account)
    assert named(line) == {(1, "missing", "fetch")}
    assert (line["stored"], line["sampled"], line["error"]) == (2, 1, "")
    RawMessage.objects.filter(digest=place(2).get().raw_digest).delete()
    assert named(compared(account)) == {(1, "missing", "fetch"), (2, "damaged", "restore")}


def test_what_is_missing_is_asked_for_though_no_message_can_be_sampled(
    account: Account, monkeypatch: pytest.MonkeyPatch, server: ScriptedImap
) -> None:
    sync(account)
    place(1).delete()
    monkeypatch.setattr("mailbox.imap.around_refusals.MOST_REFUSED", 0)
    server.faults["BODY"] = refusing(server, 2)
    line = compared(account)
    assert line["error"] and named(line) == {(1, "missing", "fetch")}
    compared_at = SyncState.objects.get().compared_at
    assert compared_at is not None and compared_at < timezone.now() - COMPARE_EVERY


def test_a_header_is_no_whole_message(account: Account) -> None:
    sync(account)
    place(2).update(is_complete=False)
    line = compared(account)
    assert (line["stored"], line["header_only"], line["differ"]) == (2, 1, 0)


def test_a_store_out_of_reach_is_no_damage_while_another_host_may_have_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(account)
    raw = RawMessage.objects.get(digest=place(2).get().raw_digest)
    Path(raw_storage().path(raw.segment)).unlink()
    monkeypatch.setattr(sample.out_of_reach, "others_work", lambda _now: True)
    assert compared(account)["differ"] == 0 and StoreMiss.objects.exists()
    monkeypatch.setattr(sample.out_of_reach, "others_work", lambda _now: False)
    assert (2, "damaged", "stored") in named(compared(account))


def test_one_that_waited_for_the_lease_goes_on_from_what_the_other_left(account: Account) -> None:
    sync(account)
    row = Completeness.objects.create(account=account, started_at=timezone.now() - timedelta(hours=1))
    assert walk.go_on(account.pk)
    walk._begin(row, timezone.now())  # read before the other was done
    assert row.finished_at is not None and row.progress == {}
