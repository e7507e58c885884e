"""Recipients that only one copy of a mail names are known of the mail, whichever copy its row was made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailbox.messages.other_recipients import MOST, only_in
from mailbox.mime import message as mime_message
from mailbox.models import Account, LegalHold, Message, MessagePlace
from mailbox.sync import folder_sync
from tests.mailbox.messages.reparsed import run
from tests.mailbox.sync.synced import mail
from tests.personal_data.everywhere import erased, where_it_stands
from tests.retention.rules import rule, swept
from tests.rows import NOWHERE, folder_of, letter, store
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.django_db
SECRET, EVE = "Eve <eve@example.net>", "eve@example.net"


@pytest.mark.parametrize("folders", [("INBOX", "Sent"), ("INBOX", "INBOX"), ("Sent", "INBOX")])
def test_a_hold_and_an_erasure_find_who_stands_in_one_copy_alone(
    make_account: Callable[..., Account], dovecot: Dovecot, folders: tuple[str, str]
) -> None:
    """To oneself and a Bcc: what arrives has no Bcc, the copy in Sent has; in one batch, or one before the other."""
    account = make_account()
    dovecot.doveadm("mailbox", "create", "-u", account.email, "Sent")
    for name, copy in zip(folders, (mail(1), mail(1, Bcc=SECRET)), strict=True):
        dovecot.append(account.email, name, copy)
    for name in ("INBOX", "Sent"):
        folder_of(account, name)
        assert folder_sync.sync(account.pk, name).ok
    row = Message.objects.get()
    assert row.places.count() == 2 and EVE in f"{row.bcc}{row.other_recipients}"

    hold = LegalHold.objects.create(address=EVE, reason="Case 1")
    rule("received", days=1, account=account)
    swept()
    assert Message.objects.exists()
    hold.delete()
    assert erased(EVE).found["mailbox.Message"] == {"removed": 1}
    assert not MessagePlace.objects.exists() and where_it_stands(EVE) == set()


def test_what_was_stored_before_is_found_when_it_is_read_again(
    make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    account = make_account()
    for copy in (mail(1, Cc="carl@example.com"), mail(1, Cc="Carl@EXAMPLE.com", Bcc=SECRET), mail(2)):
        dovecot.append(account.email, "INBOX", copy)
        assert folder_sync.sync(account.pk).ok
    Message.objects.update(other_recipients=None)
    for _ in range(2):
        run("--all")
        assert list(Message.objects.order_by("subject").values_list("other_recipients", flat=True)) == [
            f"{SECRET}, ",
            None,
        ]


def test_what_anybody_may_send_again_and_again_is_bounded(make_account: Callable[..., Account]) -> None:
    row = store(make_account(**NOWHERE), letter(Bcc="x@example.org"))
    copy = mime_message.parse(letter(Cc="y@example.org, X@example.org"))
    assert only_in(copy, row) == "y@example.org, "
    row.other_recipients = "y@example.org, " * MOST
    assert only_in(mime_message.parse(letter(Cc="z@example.org")), row) == ""
