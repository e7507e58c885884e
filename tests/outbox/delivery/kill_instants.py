"""The instants of an attempt at which the kill matrix ends a worker, and the worker that dies there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# The process kills itself at its n-th passage of an instant of its own code: before a call, inside it, or after it.
# A call of a coroutine is over when it has been awaited.
WORKER = """
import django, inspect, os, signal, socket, sys
django.setup()
from outbox.delivery import claims
from outbox.delivery import deliver as delivery
from outbox.delivery import finalization, preparation
from outbox.smtp import session as smtp
from outbox.smtp import mail_transaction as smtp_mail
from outbox.smtp import transport as smtp_wire
from outbox.delivery import sender
from django.db import connection
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def at(owner, name, when, passage):
    real, passed = getattr(owner, name), []
    def passes(point):
        if when == point and len(passed) == passage:
            die()
    def instead(*args, **kwargs):
        passed.append(1)
        passes("before")
        answer = real(*args, **kwargs)
        passes("after")
        return answer
    async def instead_awaited(*args, **kwargs):
        passed.append(1)
        passes("before")
        answer = await real(*args, **kwargs)
        passes("after")
        return answer
    setattr(owner, name, instead_awaited if inspect.iscoroutinefunction(real) else instead)
def mid_body(passage):
    real, bodies = smtp_wire.Wire.send, []
    async def send(self, octets, seconds, *waiting, **options):
        if isinstance(octets, memoryview) and b"Message-ID:" in bytes(octets[:40]):
            bodies.append(1)
            if len(bodies) == passage:
                await real(self, octets[: len(octets) // 2], seconds)
                die()
        await real(self, octets, seconds, *waiting, **options)
    smtp_wire.Wire.send = send
def at_the_end(passage, share):
    # In the write that ends the mail: before it, in its middle, just after it.
    real, ends = smtp_wire.Wire.send, []
    async def send(self, octets, seconds, *waiting, **options):
        if bytes(octets[-5:]) == b"\\r\\n.\\r\\n":
            ends.append(1)
            if len(ends) == passage:
                await real(self, octets[: int(len(octets) * share)], seconds)
                die()
        await real(self, octets, seconds, *waiting, **options)
    smtp_wire.Wire.send = send
def mid_envelope(passage):
    real, writes = smtp_wire.Wire.send, []
    async def send(self, octets, seconds, *waiting, **options):
        if bytes(octets[:4]) == b"MAIL":
            writes.append(1)
            if len(writes) == passage:
                await real(self, octets[: len(octets) // 2], seconds)
                die()
        await real(self, octets, seconds, *waiting, **options)
    smtp_wire.Wire.send = send
def ended_before_the_end(passage):
    real, ends = smtp.SmtpSession._write_end, []
    async def write_end(self, octets):
        ends.append(1)
        if len(ends) == passage:
            self._wire._socket.shutdown(socket.SHUT_RDWR)
        await real(self, octets)
    smtp.SmtpSession._write_end = write_end
def in_finalize(passage):
    # Inside the transaction that writes the outcome: after its UPDATE of the row, before its COMMIT.
    seen = []
    def wrapper(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if sql.startswith('UPDATE "outbox" ') and '"sent_at"' in sql:
            seen.append(1)
            if len(seen) == passage:
                die()
        return answer
    connection.execute_wrappers.append(wrapper)
smtp_mail.GRACE_SECONDS = {grace}
if {grace}:  # nor does a body that is not taken at once
    async def go_on_waiting(self):
        pass
    sender.SenderWatch.kept_waiting = go_on_waiting
else:  # each answer seems to be late: one that is there would be found behind the deadline, too
    async def seems_late(self, deadline):
        return False
    smtp_wire.Wire.has_line = seems_late
{instant}
delivery.deliver_account(int(sys.argv[1]))
"""


@dataclass(frozen=True)
class Instant:
    """Where the worker dies at its n-th passage. `unknown`: of which of the three rows only the server then knows the
    outcome: 0 of none, None when it depends on who was faster. `together`: outcome and next "dot" share a commit."""

    name: str
    code: str  # "" when the server holds the worker at a command and the test kills it
    command: str = ""
    unknown: Callable[[int, bool], int | None] = lambda n, together: 0
    passages: tuple[int, ...] = (1, 2, 3)


def the_one_before(n: int, together: bool) -> int:
    """Row n-1 is with the server, or answered just now; in either case its outcome is not written."""
    return n - 1


def the_one_before_if_not_written(n: int, together: bool) -> int:
    """Row n-1 is answered, and its outcome is written together with "dot" of row n, or alone before that."""
    return n - 1 if together else 0


def its_own(n: int, together: bool) -> int:
    return n


def the_next(n: int, together: bool) -> int | None:
    """The commit that writes row n's outcome holds "dot" of the next, whose end is not sent."""
    return (n + 1 if n < 3 else 0) if together else None


def held(n: int, together: bool) -> int | None:
    return n - 1 if together or n == 1 else None  # the outcome before is being written just now


INSTANTS = [
    Instant("before the claim", "at(claims, 'claim_some', 'before', {n})", passages=(1, 2)),
    Instant("in the claim", "at(claims, '_begin_attempts', 'after', {n})", passages=(1, 2)),
    Instant("after the claim", "at(preparation, 'lacking', 'before', {n})", unknown=the_one_before),
    Instant("while it reads the mail", "at(preparation.raw_store, 'open_raw', 'after', {n})", unknown=the_one_before),
    Instant("before it connects", "at(smtp_wire.Wire, 'connect', 'before', 1)", passages=(1,)),
    Instant("in TLS", "", "CONNECT", passages=(1,)),
    Instant("in EHLO", "", "EHLO", passages=(1,)),
    Instant("in AUTH", "", "AUTH", passages=(1,)),
    Instant("after AUTH", "at(smtp.SmtpSession, '_sign_in', 'after', 1)", passages=(1,)),
    Instant(
        "after the answer, before MAIL",
        "at(smtp.SmtpSession, '_send_envelope', 'before', {n})",
        unknown=the_one_before,
    ),
    Instant(
        "MAIL, RCPT and DATA are sent",
        "at(smtp.SmtpSession, '_hear_group', 'before', {groups} * ({n} - 1) + 1)",
        unknown=the_one_before,
    ),
    Instant("in the middle of MAIL, RCPT and DATA", "mid_envelope({n})", unknown=the_one_before),
    Instant("in MAIL", "", "MAIL", passages=(1,)),
    Instant("in RCPT", "", "RCPT", unknown=held),
    Instant("in DATA", "", "DATA", passages=(1,)),
    Instant("after DATA", "at(smtp.SmtpSession, '_write_mail', 'before', {n})", unknown=the_one_before_if_not_written),
    Instant("in the middle of the body", "mid_body({n})", unknown=the_one_before_if_not_written),
    Instant("after the body", "at(sender.Sender, 'commit_dot', 'before', {n})", unknown=the_one_before_if_not_written),
    Instant(
        'before "dot" of the joint commit',
        "at(claims, 'commit_dot', 'before', {n})",
        unknown=the_one_before_if_not_written,
    ),
    Instant(
        'in the "dot" commit',
        "at(claims, 'write_refused', 'after', 2 * {n} - 1)",
        unknown=the_one_before_if_not_written,
    ),
    Instant(
        'after "dot", before COMMIT', "at(claims, 'commit_dot', 'after', {n})", unknown=the_one_before_if_not_written
    ),
    Instant('after the "dot" commit', "at(sender.Sender, 'commit_dot', 'after', {n})", unknown=its_own),
    Instant("before the end is written", "at_the_end({n}, 0)", unknown=its_own),
    Instant("in the middle of the end", "at_the_end({n}, 0.5)", unknown=its_own),
    Instant("after the end is written", "at_the_end({n}, 1)", unknown=its_own),
    Instant("the next is read", "at(sender.Sender, 'prepare_following', 'before', {n})", unknown=its_own),
    Instant("after the final dot", "", ".", unknown=its_own),
    Instant("after the answer", "at(smtp.SmtpSession, '_final', 'after', {n})", unknown=its_own),
    Instant("before finalize", "at(finalization, 'finalize', 'before', {n})", unknown=its_own),
    Instant("in finalize", "in_finalize({n})", unknown=its_own),
    Instant("before the commit of finalize", "at(finalization, 'finalize', 'after', {n})", unknown=its_own),
    Instant("after finalize", "at(sender.Sender, '_written', 'after', {n} + 1)", unknown=the_next),
]
# Between the commit of the second mail's "dot" and its end the session ends, and it goes in a fresh one.
FRESH = [
    Instant(
        "the server has ended the session",
        "{ended}; at(claims, 'withdraw_dot', 'before', 1)",
        unknown=its_own,
    ),
    Instant("before the commit of that", "{ended}; at(claims, 'withdraw_dot', 'after', 1)", unknown=its_own),
    Instant("before it connects again", "{ended}; at(smtp_wire.Wire, 'connect', 'before', 2)"),
    Instant('"dot" again, before COMMIT', "{ended}; at(claims, 'commit_dot', 'after', 3)"),
    Instant('after "dot" again', "{ended}; at(sender.Sender, 'commit_dot', 'after', 3)", unknown=its_own),
]
SHORT = {
    "in the claim",
    "in TLS",
    "in RCPT",
    'after "dot", before COMMIT',
    'after the "dot" commit',
    "in the middle of the end",
    "in the middle of the body",
    "after the final dot",
    "in finalize",
    "after finalize",
}
