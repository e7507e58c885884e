"""A server that lies, refuses and hangs up at random: once it is honest, every mail is here once."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from mailbox.models import Account, Message, MessagePlace, Quarantine, SyncState, Transport
from mailbox.storage.raw_store import digest_of
from mailbox.sync import folder_sync, uidvalidity
from mailbox.sync.outcome import SyncOutcome
from tests.mailbox.sync.odd_server import account, server
from tests.mailbox.sync.synced import mail
from tests.servers.imap_script import Fault, HangUp, Mail, ScriptedImap, Talk

__all__ = ["account", "server"]
pytestmark = [pytest.mark.django_db, pytest.mark.wire, pytest.mark.long]
REFUSALS = ["NO", "NO [UNAVAILABLE] x", "BAD x", "NO [SERVERBUG] x", "NO [INUSE] x", "NO [OVERQUOTA] x", "OK"]
VANISHED = ["1:4294967295", "2,4:6", "9:3", "0", "1:*", ",", "18446744073709551616:99999999999999999999999", "3"]


class Liar:
    """Answers for `server`, as chance has it."""

    def __init__(self, server: ScriptedImap, chance: random.Random) -> None:
        self.server, self.chance = server, chance

    def faults(self) -> dict[str, Fault]:
        own = {"EXAMINE": self.examine, "SEARCH": self.search, "META": self.meta, "BODY": self.body}
        seldom = {step: self.seldom(lambda *_: False, 0.05) for step in ("HEADER", "LIST", "STATUS", "LOGIN")}
        return {step: self.seldom(fault, 0.1) for step, fault in own.items()} | seldom

    def seldom(self, otherwise: Fault, share: float) -> Fault:
        """Refuse this share of the commands, and hang up at as many; else as `otherwise`."""

        def fault(talk: Talk, tag: str, arguments: str) -> bool | None:
            dice = self.chance.random()
            if dice < share:
                talk.say(f"{tag} {self.chance.choice(REFUSALS)}")
                return True
            if dice < 2 * share:
                talk.send(self.chance.choice([b"", b"* BYE x\r\n", b"* 1 FET", b"* OK [ALERT] x\r\n"]))
                raise HangUp
            return otherwise(talk, tag, arguments)

        return fault

    def some(self, uids: list[int]) -> list[int]:
        """Some left out, some that are not there, some twice, in any order."""
        found = [uid for uid in uids if self.chance.random() < 0.8]
        if self.chance.random() < 0.3:
            found += [self.chance.choice([99, 2**32 - 1, 2**32, 0, 1]), *found[:2]]
        self.chance.shuffle(found)
        return found

    def examine(self, talk: Talk, tag: str, arguments: str) -> bool:
        choose, server = self.chance.choice, self.server
        number, top, modseq = len(server.mails), max(server.mails, default=0) + 1, server.highestmodseq or 1
        talk.say(
            f"* {choose([number, number, number, 0, max(number - 1, 0), number + 3, 2**32])} EXISTS",
            f"* OK [UIDVALIDITY {choose([1] * 8 + [2, 5])}] x",
            f"* OK [UIDNEXT {choose([top, top, top, top - 1, top + 5, 1, 2**32 - 1, 2**40, 'NIL'])}] x",
            f"* OK [HIGHESTMODSEQ {choose([modseq, modseq, 1, 10**6, 2**63])}] x",
        )
        if "QRESYNC" in arguments:
            talk.say(f"* VANISHED (EARLIER) {choose(VANISHED)}")
            talk.say(f"* 1 FETCH (FLAGS (\\Seen) UID {choose(range(1, 9))} MODSEQ (5))", "* 4 EXPUNGE")
        talk.say(f"{tag} OK [READ-ONLY] done")
        return True

    def search(self, talk: Talk, tag: str, arguments: str) -> bool:
        found = self.some(self.server.chosen(arguments.partition(" ")[2], talk))
        talk.say("* SEARCH " + " ".join(map(str, found)), f"{tag} OK")
        return True

    def meta(self, talk: Talk, tag: str, arguments: str) -> bool:
        choose = self.chance.choice
        for uid in self.some(self.server.chosen(arguments.split(" ")[0], talk)):
            each = self.server.mails.get(uid, Mail(b"x"))
            items = [
                f"UID {uid}",
                f"FLAGS ({choose([each.flags, 'UID 3'])})",
                f"INTERNALDATE {choose([each.date] * 4 + ['NIL'])}",
                f"RFC822.SIZE {choose([each.size] * 5 + [0, -5, 1, each.size + 1, 2**31])}",
            ]
            self.chance.shuffle(items)
            talk.say(f"* {choose(range(1, 9))} FETCH ({' '.join(items[: choose([3, 4, 4, 4])])})")
        talk.say(f"{tag} OK")
        return True

    def body(self, talk: Talk, tag: str, arguments: str) -> bool:
        if "<" in arguments:
            return False
        for uid in self.some(self.server.chosen(arguments.split(" ")[0], talk)):
            raw, dice = self.server.mails.get(uid, Mail(b"")).raw, self.chance.random()
            if dice < 0.2 or not raw:
                talk.say(f"* 1 FETCH (UID {uid} BODY[] {self.chance.choice(['NIL', chr(34) * 2])})", "* 3 EXPUNGE")
                continue
            talk.send(f"* 1 FETCH (UID {uid} BODY[] {{{len(raw)}}}\r\n".encode())
            if dice < 0.25:
                talk.send(raw[: len(raw) // 2])
                raise HangUp
            talk.send(raw + b")\r\n")
        talk.say(f"{tag} OK")
        return True


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_server_says_when_it_is_honest_all_mail_is_here_once(
    account: Account, server: ScriptedImap, seed: int
) -> None:
    chance, now = random.Random(seed), timezone.now()
    server.capabilities = chance.choice(["IMAP4rev1", "IMAP4rev1 CONDSTORE", "IMAP4rev1 CONDSTORE ENABLE QRESYNC"])
    server.highestmodseq = None if server.capabilities == "IMAP4rev1" else 10
    server.mails = {uid: Mail(mail(uid)) for uid in range(1, chance.randint(1, 13))}
    for round_number in range(chance.randint(1, 12)):
        server.faults = Liar(server, chance).faults() if chance.random() < 0.8 else {}
        now += timedelta(minutes=chance.choice([1, 5, 400]))
        run(account, now, chance.choice([3, 100]))
        server.mails[100 + round_number] = Mail(mail(100 + round_number), modseq=(server.highestmodseq or 0) + 1)
        server.mails.pop(chance.choice(list(server.mails)))
        server.highestmodseq = server.highestmodseq and server.highestmodseq + 1
    server.faults = {}
    for _ in range(6):  # as many comparisons of all UIDs, half a day apart
        now += timedelta(hours=12)
        for _ in range(4):
            Quarantine.objects.open().update(fetch_requested_at=now)
            outcome = run(account, now)
    assert outcome.ok
    there = sorted((uid, digest_of(each.raw)) for uid, each in server.mails.items())
    rows = MessagePlace.objects.present().filter(folder__account=account).order_by("uid")
    assert list(rows.values_list("uid", "raw_digest")) == there
    shown = Message.objects.visible().filter(account=account).values_list("raw_digest", flat=True)
    assert sorted(shown) == sorted({digest for _, digest in there})


def run(account: Account, now: datetime, max_messages: int = 100) -> SyncOutcome:
    """One sync, whatever the failures before it ask to wait for."""
    Transport.objects.update(next_allowed_at=None, needs_sign_in_since=None)
    SyncState.objects.update(next_allowed_at=None)
    outcome = folder_sync.sync(account.pk, max_messages=max_messages, now=now)
    uidvalidity.let_go_on(account.pk)
    return outcome
