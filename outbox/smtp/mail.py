"""The data of one mail for a session, the server's answers, and the Watch of its sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outbox.retry.faults import Phase
from outbox.smtp.replies import Reply


@dataclass
class Delivery:
    """The server's answers to one mail. final: to its end; None if that was not written, since all were refused."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    final: Reply | None = None


@dataclass(frozen=True, eq=False)
class Mail:
    """One mail for a session: its envelope (RFC 5321 2.3.1), with addr-specs without angle brackets, and its content.

    content: header and body; line ends and dots are put right when it is written. secrets: parts of the content that
    are removed from the server's words.
    """

    mail_from: str
    rcpt_to: Sequence[str]
    content: bytes
    secrets: Sequence[str] = ()
    smtputf8: bool = False
    envelope_id: str = ""  # ENVID (RFC 3461, 4.4)
    dsn_parameters: str = ""  # of MAIL, as a program submitted them
    dsn_parameters_of: Mapping[str, str] = field(default_factory=dict)  # recipient -> those of RCPT


class Watch:
    """Observes a session, and acts at points in the transfer of a mail; the session calls it. Override what matters.

    An exception ends the transfer at that point.
    """

    async def reached(self, phase: Phase) -> None:
        """A phase begins."""

    def heard(self, phase: Phase, command: str, reply: str) -> None:
        """The server has answered; secrets were removed from both texts."""

    async def waiting(self) -> None:
        """Called every few seconds while the session waits for a reply or a write."""

    async def kept_waiting(self) -> None:
        """The answers take longer than GRACE_SECONDS, or the kernel does not take the body at once."""

    async def before_dot(self, delivery: Delivery) -> None:
        """The kernel has the body without its end: commit "dot". After an exception the end is not written."""

    async def after_dot(self) -> None:
        """The whole mail was written; its answer was not read yet. Must not raise."""
