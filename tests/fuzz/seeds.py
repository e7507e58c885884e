"""What fuzzing begins with: the recipes of the tests, as one file each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tests.mailbox.mime import odd_mail_files, test_addresses
from tests.outbox.bounces import report_forms
from tests.outbox.retry import provider_sentences

_MAIL = Path(__file__).parents[1] / "mail"
_EVERY = 5  # of the odd mails: they differ in their texts, too
_GREETING = b"* OK [CAPABILITY IMAP4rev1 LIST-EXTENDED SPECIAL-USE NAMESPACE CONDSTORE ID] ready\r\n"
_IMAP = (
    b"P" + _GREETING, b"~~ OK done\r\n",
    b'* LIST (\\HasNoChildren) "/" "A&-B"\r\n* LIST (\\Noselect) NIL {3}\r\nabc\r\n~~ OK\r\n',
    b'* NAMESPACE (("" "/")) NIL (("#shared/" "/"))\r\n~~ OK\r\n', b'* LIST () "/" "#shared/x"\r\n~~ OK\r\n',
    b"* CAPABILITY IMAP4rev1 QRESYNC ENABLE X-GM-EXT-1\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n"
    b"* OK [UIDNEXT 4] x\r\n* OK [HIGHESTMODSEQ 9] x\r\n~~ OK done\r\n",
    b"* SEARCH 1 2 3 (MODSEQ 5)\r\n* ESEARCH (TAG \"~~\") UID ALL 1:3\r\n~~ OK\r\n",
    b'* 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE "01-Mar-2024 12:00:00 +0000" RFC822.SIZE 5 '
    b'X-GM-LABELS ("\\\\Inbox" {2}\r\nab))\r\n'
    b"* 2 FETCH (FLAGS (\\Deleted))\r\n~~ OK\r\n",
    b"* 1 FETCH (UID 1 BODY[] {5}\r\nab\r\nc)\r\n* 9 EXPUNGE\r\n~~ OK\r\n", b"* OK [ALERT] full\r\n* BYE gone\r\n",
    b"* VANISHED (EARLIER) 1:9,11\r\n* 3 FETCH (UID 3 MODSEQ (7) FLAGS ())\r\n~~ NO [SERVERBUG] later\r\n",
)  # fmt: skip
_SMTP = (
    b"P220 mx.example.com ESMTP\r\n",
    b"250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-DSN\r\n250 AUTH PLAIN LOGIN\r\n",
    b"235 2.7.0 ok\r\n", b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go on\r\n", b"", b"250 2.0.0 queued\r\n",
    b"250 ok\r\n250 ok\r\n354 go on\r\n", b"", b"421 4.4.2 timeout\r\n", b"221 bye\r\n",
)  # fmt: skip


def seeds(target: str) -> Iterator[bytes]:
    mails = [path.read_bytes() for path in sorted(_MAIL.glob("*.eml"))]
    reports = [*report_forms.FAILED.values(), *report_forms.DELAYED.values(), report_forms.complaint()]
    lists = [*test_addresses.RECEIVED, *test_addresses.TAKEN, *test_addresses.REFUSED]
    sentences = [case.said.replace("\n", "\r\n").encode() for case in provider_sentences.CASES]
    if target in ("mime", "linear"):
        yield from (mail[:6000] for mail in mails)
        odd = [mail.raw for mail in odd_mail_files.odd_mails()[::_EVERY]]
        yield from odd if target == "mime" else (bytes(5) + each for each in odd[::4])
    if target == "addresses":
        yield from (each[0].encode("utf-8", "surrogateescape") for each in lists)
    if target in ("bounces", "linear"):
        yield from reports if target == "bounces" else (b"\4\0\0\0\x20" + each for each in reports)
    if target == "imap":
        yield b"\0".join(_IMAP)
        yield from (
            b"\0".join((*_IMAP[:count], b"~~ BAD no\r\n", *_IMAP[count + 1 :])) for count in range(1, len(_IMAP))
        )
    if target == "smtp":
        yield b"\0".join(_SMTP)
        yield b"\0".join((b"S220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n", *_SMTP[1:]))
        yield b"\0".join((*_SMTP[:2], b"334 eyJ9\r\n", b"535 5.7.8 no\r\n")).replace(b"P220", b"T220")
        for number, said in enumerate(sentences):
            yield b"\0".join((*_SMTP[: number % len(_SMTP)], said + b"\r\n", *_SMTP[number % len(_SMTP) + 1 :]))


def write(target: str, folder: Path) -> int:
    """Returns how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {hashlib.sha1(seed).hexdigest(): seed for seed in seeds(target)}  # as libFuzzer names its own
    for name, seed in given.items():
        (folder / name).write_bytes(seed)
    return len(given)
