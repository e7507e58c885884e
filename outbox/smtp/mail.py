"""One mail as it is handed to a session, what the server said of it, and what its sender does meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outbox.smtp.replies import Reply


@dataclass(frozen=True)
class Envelope:
    mail_from: str
    rcpt_to: Sequence[str]
    smtputf8: bool = False
    envelope_id: str = ""  # what reports about it are to name (ENVID)
    dsn_parameters: str = ""  # of MAIL, as a program submitted them
    dsn_parameters_of: Mapping[str, str] = field(default_factory=dict)  # of RCPT, likewise, by address


@dataclass
class Delivery:
    """What the server said of one mail. `final`: None when it was not ended, because of `refused` or `stopped`.
    `surplus`: as in SmtpFailure."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    final: Reply | None = None
    stopped: bool = False  # before_dot said no: the mail was left without its end, so the server did not take it
    surplus: Sequence[Reply] = ()


@dataclass(frozen=True, eq=False)
class Mail:
    envelope: Envelope
    content: bytes
    secrets: Sequence[str] = ()  # of the content: blotted out of what the server says


class MailHooks:
    """What a sender does while a session carries one mail. What is raised in here ends that in the middle of it."""

    def envelope_sent(self) -> None:
        """MAIL, RCPT and DATA are sent (without PIPELINING: MAIL), and their answers are not read yet."""

    async def kept_waiting(self) -> None:
        """The answers take longer than GRACE_SECONDS, or the body is not taken at once. Called once a mail at most."""

    async def before_dot(self, delivery: Delivery) -> bool:
        """The body is with the kernel, without its end: commit "dot"; False when the mail must be left without it."""
        return True

    def after_dot(self) -> Mail | None:
        """The whole mail is with the server, and the answer is not read yet. Returns the next one, if there is to be
        one: its MAIL, RCPT and DATA are said as soon as the answer is yes, and `deliver` for it goes on from there.
        Must not raise."""
        return None
