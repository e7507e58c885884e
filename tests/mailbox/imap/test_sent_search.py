"""Which folder holds sent mail, and what it takes to say that a mail lies there."""

from __future__ import annotations

import pytest

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError
from mailbox.imap import sent_search
from mailbox.imap.sent_search import AttemptHeaders
from mailbox.imap.session import ImapSession, ListedFolder
from tests.servers import MAILBOX_PASSWORD
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.imap_script import Mail, ScriptedImap, Talk

STAMP = AttemptHeaders("<outbox-7-0@example.com>", "5d1e")
HEADER = b"Message-ID: <outbox-7-0@example.com>\r\nX-PRX-Attempt: 5d1e\r\nSubject: Hello\r\n\r\n"


def folder(name: str, special_use: str = "", *, selectable: bool = True, delimiter: str = "/") -> ListedFolder:
    return ListedFolder(name, delimiter, special_use, selectable)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ([folder("INBOX"), folder("Sent")], "Sent"),
        ([folder("Sent"), folder("Elsewhere", "\\Sent")], "Elsewhere"),
        ([folder("INBOX.Sent Items", delimiter=".")], "INBOX.Sent Items"),
        ([folder("Gesendet")], "Gesendet"),
        ([folder("Sent Messages"), folder("Sent")], "Sent"),
        ([folder("Sent", "\\Sent", selectable=False), folder("Old/sent")], "Old/sent"),
        ([folder("INBOX"), folder("Sentences"), folder("Absent")], None),
        ([], None),
    ],
)
def test_the_folder_for_sent_mail_is_the_marked_one_else_one_of_a_common_name(
    listed: list[ListedFolder], found: str | None
) -> None:
    assert sent_search.sent_folder(listed) == found


def test_all_mail_is_looked_in_after_sent() -> None:
    listed = [folder("[Gmail]/All Mail", "\\All"), folder("[Gmail]/Sent Mail", "\\Sent"), folder("INBOX")]
    assert sent_search.folders_to_look_in(listed) == ["[Gmail]/Sent Mail", "[Gmail]/All Mail"]
    assert sent_search.folders_to_look_in([folder("INBOX")]) == []


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace(b"5d1e", b"5d1f"),
        HEADER.replace(b"X-PRX-Attempt: 5d1e\r\n", b""),
        HEADER.replace(b"outbox-7-0", b"outbox-7-1"),
        HEADER.replace(b"Message-ID: <outbox", b"Message-ID: <other> <outbox"),
        HEADER.replace(b"5d1e", b"5d1e5d1e"),
        b"\xff\x00\r\n\r\nX-PRX-Attempt: 5d1e",
        b"",
    ],
)
def test_anything_but_both_marks_proves_nothing(header: bytes) -> None:
    assert STAMP.match(HEADER)
    assert not STAMP.match(header)


def test_a_real_server_tells_the_attempt_from_an_earlier_one_of_the_same_mail(dovecot: Dovecot, mail_user: str) -> None:
    dovecot.create_folder(mail_user, "Sent")
    dovecot.append(mail_user, "Sent", HEADER.replace(b"5d1e", b"aaaa") + b"Hello\r\n")
    endpoint = Endpoint(
        "localhost", dovecot.imap_port, "tls", mail_user, MAILBOX_PASSWORD, ca_certificate=dovecot.ca_pem
    )
    with ImapSession.open(endpoint, connect_timeout=10, command_timeout=10) as session:
        assert not sent_search.find(session, "Sent", STAMP)
        dovecot.append(mail_user, "Sent", HEADER + b"Hello\r\n")
        assert sent_search.find(session, "Sent", STAMP)
    assert dovecot.flags(mail_user, "Sent") == {1: set(), 2: set()}  # looking marks nothing as read


def test_a_message_that_the_server_refuses_hides_no_other_and_proves_nothing(certificates: Certificates) -> None:
    server = ScriptedImap(certificates, mails={1: Mail(HEADER), 2: Mail(HEADER)}).start()
    server.faults["SEARCH"] = lambda talk, *_: talk.say("* SEARCH 1 2")

    def refuse(talk: Talk, tag: str, arguments: str) -> bool:
        if arguments.startswith("1 "):
            talk.say(f"{tag} NO [SERVERBUG] Message cannot be read")
        return arguments.startswith("1 ")

    server.faults["BODY"] = refuse
    endpoint = Endpoint("localhost", server.port, "tls", "u", "p", ca_certificate=certificates.ca_pem)
    with ImapSession.open(endpoint, connect_timeout=5, command_timeout=5) as session:
        assert sent_search.find(session, "INBOX", STAMP)
        server.mails[2] = Mail(HEADER.replace(b"5d1e", b"5d1f"))
        with pytest.raises(MailError, match="cannot be read"):
            sent_search.find(session, "INBOX", STAMP)
    server.stop()
