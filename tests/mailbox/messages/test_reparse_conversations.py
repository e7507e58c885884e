"""Mail that is read again may belong to another conversation."""

from __future__ import annotations

import base64

import pytest

from mailbox.messages import conversations
from mailbox.models import Account, ConversationLink, Message
from tests.mailbox.messages.reparsed import run
from tests.rows import letter, store

pytestmark = pytest.mark.django_db


def test_a_mail_whose_references_are_read_otherwise_moves_with_its_answers(account: Account) -> None:
    root = store(account, letter("Root", Message_ID="<root@x>"))
    middle = store(account, letter("Middle", Message_ID="<middle@x>", References="<root@x>"))
    answer = store(account, letter("Answer", Message_ID="<answer@x>", References="<middle@x>"))
    other = store(account, letter("Other", Message_ID="<other@x>"))
    Message.objects.filter(pk=middle.pk).update(references_header="<other@x>", parser_version=None)
    ConversationLink.objects.all().delete()
    conversations.link_missing(10)
    assert set(conversations.members(other)) == {other, middle, answer}
    assert "  conversation: 2\n" in run()
    assert set(conversations.members(root)) == {root, middle, answer}
    assert set(conversations.members(other)) == {other}


def test_mails_that_were_linked_before_ids_were_read_in_every_form_are_linked_anew(account: Account) -> None:
    index = base64.b64encode(bytes(range(22))).decode()
    root = store(account, letter("Root", Message_ID="<root@x>", Thread_Index=index))
    loose = store(account, letter("Loose").replace(b"Subject:", b"In-Reply-To: root@x\nSubject:"))
    outlook = store(account, letter("RE: Root", Thread_Index=index))
    for mail in (loose, outlook):
        ConversationLink.objects.filter(pk=mail.pk).update(conversation=mail.pk, thread_key=None)
    ConversationLink.objects.update(thread_key=None)
    Message.objects.update(parser_version=None)
    assert "  conversation: 3\n" in run()
    assert set(conversations.members(root)) == {root, loose, outlook}
    Message.objects.update(parser_version=None)
    assert "conversation" not in run()  # they were linked anew, and are where they were


def test_a_mail_that_turns_out_to_refer_to_nothing_takes_its_answers_out(account: Account) -> None:
    middle = store(account, letter("Middle", Message_ID="<middle@x>"))
    answers = [store(account, letter("Answer", References="<middle@x>")) for _ in range(2)]
    Message.objects.filter(pk=middle.pk).update(in_reply_to="<other@x>", parser_version=None)
    other = store(account, letter("Other", Message_ID="<other@x>"))
    ConversationLink.objects.all().delete()
    conversations.link_missing(10)
    run()
    assert set(conversations.members(middle)) == {middle, *answers}
    assert set(conversations.members(other)) == {other}
