"""Every fault at every command that sync says, those of sign-in, listing and leaving among them: nothing is lost."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailbox.models import Account, Folder, Message, Quarantine
from mailbox.sync import folder_sync
from tests.mailbox.sync.synced import mail
from tests.mailbox.sync.test_sync_faults import STEPS, account, bye, drop, garbage, half_a_line, silent, uids_stored
from tests.servers.certificates import Certificates
from tests.servers.imap_script import Box, Mail, ScriptedImap, Talk

pytestmark = [pytest.mark.django_db, pytest.mark.wire]
__all__ = ["account"]


def an_endless_line(talk: Talk, tag: str, arguments: str) -> bool:
    while not talk.stopped.is_set():
        talk.send(b"* OK " + b"x" * 60_000)
    return True


def no(talk: Talk, tag: str, arguments: str) -> bool:
    talk.say(f"{tag} NO [SERVERBUG] not now")
    return True


def bad(talk: Talk, tag: str, arguments: str) -> bool:
    talk.say(f"{tag} BAD what?")
    return True


FAULTS = [silent, bye, drop, garbage, half_a_line, an_endless_line, no, bad]


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedImap]:
    server = ScriptedImap(certificates, {uid: Mail(mail(uid)) for uid in range(1, 6)}, highestmodseq=5).start()
    server.capabilities = "IMAP4rev1 ENABLE CONDSTORE QRESYNC"
    server.boxes = {"Work": Box({1: Mail(mail(11))})}
    server.listed = ['() "/" INBOX', '() "/" Work']
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def impatient(settings: Any, account: Account, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A silent server costs a test little, and an endless line is cut soon; the call makes us patient again."""
    settings.CONNECT_TIMEOUT_SECONDS = settings.COMMAND_TIMEOUT_SECONDS = 0.4
    monkeypatch.setattr("mailbox.imap.transport.SLACK_BYTES", 1_000_000)

    def patient() -> None:
        settings.CONNECT_TIMEOUT_SECONDS = settings.COMMAND_TIMEOUT_SECONDS = 5

    return patient


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("step", ["CAPABILITY", "ENABLE", "LOGOUT"])
def test_a_fault_of_what_frames_a_run_loses_nothing(
    account: Account, server: ScriptedImap, impatient: Callable[[], None], step: str, fault: Callable[..., bool]
) -> None:
    server.faults[step] = fault
    outcome = folder_sync.sync(account.pk)
    assert outcome.ok or (step != "LOGOUT" and outcome.error_code in ("network", "provider"))
    assert uids_stored(account) == ([1, 2, 3, 4, 5] if outcome.ok else [])
    server.faults.clear()
    impatient()
    assert folder_sync.sync(account.pk).ok
    assert (uids_stored(account), Quarantine.objects.count()) == ([1, 2, 3, 4, 5], 0)


@pytest.mark.parametrize("step", STEPS)
def test_a_line_without_end_is_cut_at_every_command(
    account: Account, server: ScriptedImap, impatient: Callable[[], None], step: str
) -> None:
    impatient()  # the bytes end it, not the time
    server.faults[step] = an_endless_line
    outcome = folder_sync.sync(account.pk)
    assert (outcome.ok, outcome.error_code, uids_stored(account)) == (False, "network", [])
    server.faults.clear()
    assert folder_sync.sync(account.pk).ok
    assert uids_stored(account) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("step", ["LIST", "LSUB", "STATUS"])
@pytest.mark.in_part(3)
def test_a_fault_while_folders_are_listed_takes_none_away(
    account: Account, server: ScriptedImap, impatient: Callable[[], None], step: str, fault: Callable[..., bool]
) -> None:
    impatient()
    folder_sync.discover_folders(account.pk)
    folder_sync.sync(account.pk, "Work")
    account.refresh_from_db()
    server.listed = server.listed if step != "STATUS" else ['() "/" INBOX']  # asked of what LIST leaves out
    server.faults[step] = fault
    try:
        folder_sync.discover_folders(account.pk)
    except Exception as error:  # told to whoever asked
        assert type(error).__module__ == "mailbox.errors", error
    assert (Folder.objects.filter(gone_at=None).count(), Message.objects.visible().count()) == (2, 1)
