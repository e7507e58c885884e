"""A large message that is cut short, or of which the server changes its mind midway, is never stored as whole."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from mailbox.models import Account, Message, MessagePlace, Quarantine
from mailbox.storage import partial_files, raw_store
from mailbox.sync import folder_sync
from mailbox.views.reading.parse_warnings import sentences
from tests.mailbox.sync.large_mails import MB, _own_folder, account, big, server, small_pieces, whole
from tests.rows import letter
from tests.servers.imap_script import HangUp, Mail, ScriptedImap, Talk

__all__ = ["_own_folder", "account", "server", "small_pieces"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_pieces")]
Piece = Callable[[int, int], bytes | None]  # origin, count -> what is said instead of the truth


def give(server: ScriptedImap, piece: Piece) -> None:
    """Answer pieces of the message with UID 2 in another way."""

    def answer(talk: Talk, tag: str, arguments: str) -> bool:
        asked = re.search(r"\[\]<(\d+)\.(\d+)>", arguments)
        some = piece(int(asked[1]), int(asked[2])) if asked else None
        if asked is None or some is None:
            return False
        talk.send(f"* 1 FETCH (UID 2 BODY[]<{asked[1]}> {{{len(some)}}}\r\n".encode() + some + b")\r\n")
        talk.say(f"{tag} OK done")
        return True

    server.faults["BODY"] = answer


def stored_defects() -> list[str]:
    return Message.objects.get(subject="Big").parse_defects


def test_a_short_piece_in_the_middle_is_asked_for_again(account: Account, server: ScriptedImap) -> None:
    raw = big(2 * MB)
    server.mails = {2: Mail(raw)}
    give(server, lambda origin, count: raw[origin : origin + 65_536] if origin == 300_000 else None)
    assert folder_sync.sync(account.pk).ok
    assert whole(account, raw)
    assert stored_defects() == []


def test_a_server_that_gives_half_of_each_piece_gives_all_in_the_end(account: Account, server: ScriptedImap) -> None:
    raw = big(1 * MB)
    server.mails = {2: Mail(raw)}
    give(server, lambda origin, count: raw[origin : origin + count // 2])
    assert folder_sync.sync(account.pk).ok
    assert whole(account, raw)


def test_one_that_once_ended_too_early_is_begun_anew(account: Account, server: ScriptedImap) -> None:
    raw, begun = big(2 * MB), []

    def cut_at_first(origin: int, count: int) -> bytes | None:
        begun.extend([origin] if origin == 0 else [])
        return raw[:365_536][origin : origin + count] if len(begun) == 1 else None

    server.mails = {2: Mail(raw)}
    give(server, cut_at_first)
    assert folder_sync.sync(account.pk).ok
    assert whole(account, raw)
    assert begun == [0, 0]
    assert stored_defects() == []
    assert list(partial_files._folder().glob("*")) == []


def test_one_that_ends_too_early_each_time_has_a_defect(account: Account, server: ScriptedImap) -> None:
    raw = big(2 * MB)
    server.mails = {2: Mail(raw)}
    give(server, lambda origin, count: raw[:365_536][origin : origin + count])
    assert folder_sync.sync(account.pk).ok
    message = Message.objects.get(subject="Big")
    assert raw_store.open_raw(message.raw_digest) == raw[:365_536]
    assert "OtherLength" in message.parse_defects
    assert any("its end may be missing" in each for each in sentences(message.parse_defects))
    assert list(partial_files._folder().glob("*")) == []


def test_one_that_ends_elsewhere_each_time_is_quarantined(account: Account, server: ScriptedImap) -> None:
    raw, begun = big(2 * MB), []

    def cut(origin: int, count: int) -> bytes | None:
        begun.extend([origin] if origin == 0 else [])
        return raw[: 365_536 + 1000 * len(begun)][origin : origin + count]

    server.mails = {2: Mail(raw)}
    give(server, cut)
    assert folder_sync.sync(account.pk).ok
    assert "and gives 367,536" in Quarantine.objects.open().get().error
    assert not MessagePlace.objects.get(uid=2).is_complete
    assert list(partial_files._folder().glob("*")) == []


@pytest.mark.parametrize("stated", [1_000_000, 3_000_000])
def test_a_size_that_is_wrong_is_a_defect_and_no_loss(account: Account, server: ScriptedImap, stated: int) -> None:
    raw = big(2 * MB)
    server.mails = {2: Mail(raw, stated_size=stated)}
    assert folder_sync.sync(account.pk).ok
    assert whole(account, raw)
    assert stored_defects() == ["OtherLength"]


def test_the_second_try_goes_on_over_runs(account: Account, server: ScriptedImap) -> None:
    """A slow connection never gets it twice in one run; it must end all the same."""
    raw, given = big(2 * MB), []

    def cut_and_hang_up(origin: int, count: int) -> bytes | None:
        given.append(origin)
        if given.count(origin) % 2 and origin:
            raise HangUp
        return raw[:1_000_000][origin : origin + count]

    server.mails = {2: Mail(raw)}
    give(server, cut_and_hang_up)
    for _ in range(20):
        outcome = folder_sync.sync(account.pk)
        if outcome.ok and not outcome.more_waiting:
            break
    assert "OtherLength" in stored_defects()
    assert given.count(0) == 2


def begin(account: Account, server: ScriptedImap, raw: bytes) -> None:
    """A first run, which ends after the first piece."""

    def hang_up(origin: int, _count: int) -> bytes | None:
        if origin:
            raise HangUp
        return None

    server.mails = {1: Mail(letter()), 2: Mail(raw)}
    give(server, hang_up)
    assert folder_sync.sync(account.pk).error_code == "network"
    assert len(list(partial_files._folder().glob("*"))) == 1
    server.faults.clear()


@pytest.mark.parametrize("has_other_size", [True, False])
def test_two_mails_with_one_uid_are_not_put_together(
    account: Account, server: ScriptedImap, has_other_size: bool
) -> None:
    """The server was restored in between: same UIDVALIDITY, same UID, another mail, even one of the same size."""
    first = big(2 * MB, "Big")
    begin(account, server, first)
    second = big(3 * MB if has_other_size else 2 * MB, "Mix")
    assert (len(first) == len(second)) is not has_other_size
    date = '"02-Mar-2024 12:00:00 +0000"' if has_other_size else '"01-Mar-2024 12:00:00 +0000"'
    server.mails[2] = Mail(second, date=date)
    for _ in range(3):
        folder_sync.sync(account.pk)
    for place in MessagePlace.objects.filter(uid=2, is_complete=True):
        assert raw_store.open_raw(place.raw_digest) == second
    assert Message.objects.filter(subject="Mix", is_complete=True).count() == 1


def forged(of: bytes) -> bytes:
    """A small mail with the four fields by which the large one is known."""
    header = of[: of.index(b"MIME-Version")]
    return header + b"\r\nSend money.\r\n"


def test_a_forged_mail_does_not_take_the_row_of_a_large_one(
    account: Account, server: ScriptedImap, settings: object
) -> None:
    raw = big(2 * MB)
    settings.MAX_MESSAGE_BYTES = 1 * MB  # type: ignore[attr-defined]
    server.mails = {2: Mail(raw)}
    folder_sync.sync(account.pk)
    server.mails[3] = Mail(forged(raw))
    folder_sync.sync(account.pk)
    large, small = Message.objects.filter(subject="Big").order_by("variant")
    assert (large.is_complete, large.variant, large.body_text) == (False, 0, "")
    assert (small.is_complete, small.variant, small.body_text.strip()) == (True, 1, "Send money.")
    MessagePlace.objects.filter(message=large).update(fetch_requested_at=large.received_at)
    folder_sync.sync(account.pk)
    assert whole(account, raw)
    large.refresh_from_db()
    assert large.body_text.strip() == "See the file."


def test_nor_does_a_forged_large_one_vanish_in_the_row_of_a_small(
    account: Account, server: ScriptedImap, settings: object
) -> None:
    raw = big(2 * MB)
    settings.MAX_MESSAGE_BYTES = 1 * MB  # type: ignore[attr-defined]
    server.mails = {1: Mail(forged(raw))}
    folder_sync.sync(account.pk)
    server.mails[2] = Mail(raw)
    folder_sync.sync(account.pk)
    assert [row.is_complete for row in Message.objects.order_by("variant")] == [True, False]


def test_the_copy_in_another_folder_completes_it(account: Account, server: ScriptedImap, settings: object) -> None:
    raw = big(2 * MB)
    settings.MAX_MESSAGE_BYTES = 1 * MB  # type: ignore[attr-defined]
    server.mails = {2: Mail(raw), 3: Mail(raw, date='"05-Mar-2024 12:00:00 +0000"')}
    folder_sync.sync(account.pk)
    message = Message.objects.get()
    MessagePlace.objects.filter(uid=3).update(fetch_requested_at=message.received_at)
    folder_sync.sync(account.pk)
    assert Message.objects.get().is_complete
