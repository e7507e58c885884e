"""SMTP submission, phase by phase: connect, tls, auth, mail, rcpt, data, accepted. No models, no queries.

Not by smtplib: its `sendmail` hides partial refusals, its `login` prefers CRAM-MD5, and see smtp_conversation.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from mailbox.endpoints import Endpoint, tls_context, xoauth2
from types import TracebackType

from outbox.retry import Kind, Phase
from outbox.smtp_conversation import Conversation, Patience, SmtpFailure, Watch
from outbox.smtp_replies import Reply
from outbox.smtp_wire import Lost, Wire

CHUNK = 64 * 1024
_LONG_LINE = re.compile(rb"[^\n]{1000}")  # 998 and CRLF are the most (RFC 5321 4.5.3.1.6)


@dataclass(frozen=True)
class Envelope:
    mail_from: str
    rcpt_to: Sequence[str]
    smtputf8: bool = False


@dataclass
class Delivery:
    """What the server said of one mail. `final` is None when DATA was not sent, because of `refused` or `stopped`."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    final: Reply | None = None
    stopped: bool = False  # before_data said no: nothing was sent


class SmtpSession(Conversation):
    """One signed-in connection that carries any number of mails."""

    def __init__(self, endpoint: Endpoint, patience: Patience, watch: Watch) -> None:
        super().__init__(endpoint, patience, watch)
        self._extensions: dict[str, str] = {}  # EHLO keyword, lower case -> its parameters
        self.greeting = ""  # the server's words at sign-in

    @classmethod
    def open(cls, endpoint: Endpoint, *, patience: Patience, watch: Watch | None = None) -> SmtpSession:
        """Connect, begin TLS (always, and verified), sign in; raises SmtpFailure."""
        session = cls(endpoint, patience, watch or Watch())
        try:
            session._begin()
        except BaseException:
            session.drop()
            raise
        return session

    def __enter__(self) -> SmtpSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Opening ------------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        endpoint = self._endpoint
        self._enter(Phase.CONNECT)
        self._wire = self._guarded(lambda: Wire.connect(endpoint.host, endpoint.port, self._patience.connect))
        if endpoint.security == "tls":
            self._wrap()
        self._enter(Phase.CONNECT if endpoint.security != "tls" else Phase.TLS)
        self._expect("", self._read(), 220)
        self._ehlo()
        if endpoint.security != "tls":
            self._starttls()
        self._enter(Phase.AUTH)
        self._sign_in()

    def _wrap(self) -> None:
        self._enter(Phase.TLS)
        wire = self._connected()
        try:
            context = tls_context(self._endpoint)
        except (ssl.SSLError, ValueError) as error:
            raise self._failure(Kind.LOCAL, f"The account's extra CA certificate cannot be read: {error}") from error
        self._guarded(lambda: wire.wrap(context, self._endpoint.host, self._patience.connect))

    def _starttls(self) -> None:
        if "starttls" not in self._extensions:
            # Either a wrong port or someone in the middle who removed it: never go on in the clear.
            raise self._failure(
                Kind.LOCAL, "The server does not offer STARTTLS, and nothing is sent without TLS: check host and port."
            )
        self._enter(Phase.TLS)
        self._expect("STARTTLS", self._command("STARTTLS"), 220)
        if self._connected().has_unread():
            # Bytes in the clear behind the 220 are somebody else's (CVE-2011-0411).
            raise self._failure(Kind.PROTOCOL, "The server sent more than its answer to STARTTLS.")
        self._wrap()
        self._ehlo()

    def _ehlo(self) -> None:
        name = self._connected().local_literal()
        reply = self._command(f"EHLO {name}")
        self._expect("EHLO", reply, 250)
        self._extensions.clear()
        for line in reply.text.splitlines()[1:]:
            keyword, _, parameters = line.strip().partition(" ")
            keyword, _, first = keyword.partition("=")  # "AUTH=LOGIN PLAIN" of old servers
            known = self._extensions.get(keyword.lower(), "")
            self._extensions[keyword.lower()] = " ".join(filter(None, [known, first, parameters]))

    def _sign_in(self) -> None:
        offered = set(self._extensions.get("auth", "").upper().split())
        endpoint = self._endpoint
        if endpoint.oauth_token is not None:
            reply = self._xoauth2(endpoint.user, endpoint.oauth_token)
        elif "PLAIN" in offered:
            reply = self._command(
                f"AUTH PLAIN {_b64(f'{chr(0)}{endpoint.user}{chr(0)}{endpoint.password}')}", "AUTH PLAIN"
            )
        elif "LOGIN" in offered:
            reply = self._login(endpoint.user, endpoint.password or "")
        else:
            words = ", ".join(sorted(offered)) or "no sign-in at all"
            raise self._failure(Kind.LOCAL, f"The server offers neither AUTH PLAIN nor LOGIN (it offers {words}).")
        self._expect("AUTH", reply, 235)
        self.greeting = str(reply)

    def _login(self, user: str, password: str) -> Reply:
        reply = self._command("AUTH LOGIN")
        for secret in (user, password):
            if reply.code != 334:
                break
            reply = self._command(_b64(secret), "(secret)")
        return reply

    def _xoauth2(self, user: str, token: str) -> Reply:
        """A refusal comes as 334 with JSON in base64, and the 535 only after an empty answer; keep both words."""
        reply = self._command(f"AUTH XOAUTH2 {_b64(xoauth2(user, token))}", "AUTH XOAUTH2")
        if reply.code != 334:
            return reply
        try:
            details = base64.b64decode(reply.text, validate=True).decode("utf-8", "replace")
        except ValueError:
            details = reply.text
        final = self._command("", "(empty)")
        return Reply(final.code, self._clean(f"{final.text} {details}".strip()))

    # --- One mail -----------------------------------------------------------------------------------------------
    def deliver(self, envelope: Envelope, content: bytes, before_data: Callable[[Delivery], bool]) -> Delivery:
        """Send one mail. `before_data` commits "data"; when it answers False the mail is left.

        Raises SmtpFailure. A refused recipient is no failure but part of the answer. `is_open` then says whether the
        session can carry another mail: after a lost or late answer it cannot, since what arrives next would be taken
        for the answer to the next mail.
        """
        delivery = Delivery()
        try:
            self._envelope(envelope, content, delivery)
            if not delivery.accepted:
                self._reset()
                return delivery
            if not before_data(delivery):
                delivery.stopped = True
                self._reset()
                return delivery
            delivery.final = self._data(content)
        except SmtpFailure as failure:
            failure.refused = delivery.refused
            if failure.fault.kind in (Kind.REPLY, Kind.LOCAL) and failure.fault.code != 421:
                self._reset()
            else:
                self.drop()
            raise
        self._enter(Phase.ACCEPTED)
        return delivery

    def _envelope(self, envelope: Envelope, content: bytes, delivery: Delivery) -> None:
        self._enter(Phase.MAIL)
        self._expect(
            "MAIL", self._command(f"MAIL FROM:<{envelope.mail_from}>{self._parameters(envelope, content)}"), 250
        )
        self._enter(Phase.RCPT)
        for address in envelope.rcpt_to:
            reply = self._command(f"RCPT TO:<{address}>")
            if reply.code in (250, 251, 252):
                delivery.accepted.append(address)
            elif reply.code == 421:  # the server closes: this is no word on the recipient
                self._expect("RCPT", reply, 250)
            elif reply.code >= 400:
                delivery.refused[address] = reply
            else:
                raise self._failure(Kind.PROTOCOL, str(reply))

    def _parameters(self, envelope: Envelope, content: bytes) -> str:
        parameters = ""
        if "size" in self._extensions:
            limit = self._extensions["size"].split()
            if limit and limit[0].isdigit() and 0 < int(limit[0]) < len(content):
                raise self._failure(
                    Kind.LOCAL, f"The mail has {len(content)} bytes and the server takes at most {limit[0]}: send less."
                )
            parameters += f" SIZE={len(content)}"
        if _LONG_LINE.search(content):
            raise self._failure(Kind.LOCAL, "The mail has a line of more than 998 bytes and cannot be sent as it is.")
        if not content.isascii() and "8bitmime" in self._extensions:
            parameters += " BODY=8BITMIME"
        if envelope.smtputf8:
            if "smtputf8" not in self._extensions:
                raise self._failure(
                    Kind.LOCAL, "The server does not offer SMTPUTF8, which an address of this mail needs: use another."
                )
            parameters += " SMTPUTF8"
        return parameters

    def _data(self, content: bytes) -> Reply:
        self._phase = Phase.DATA  # from here on, silence is uncertainty
        self._expect("DATA", self._command("DATA"), 354)
        wire = self._connected()
        try:
            for chunk in _chunks(_dot_stuffed(content) + b".\r\n"):
                wire.send(chunk, self._left())
                self._watch.waiting()
        except (Lost, OSError) as error:
            # A server that has had enough may have said so before it closed; then nothing was taken for certain.
            if (said := wire.last_words()) and said.code >= 400:
                self._note("(body)", said)
                raise self._refusal(said) from error
            raise self._failure(Kind.NETWORK, f"The connection was lost while the mail was sent: {error}") from error
        reply = self._read(self._patience.final_dot)
        self._note("(end of mail)", reply)
        if 200 <= reply.code < 300:
            return reply
        raise self._refusal(reply)

    def _reset(self) -> None:
        """RSET, so that the next mail starts afresh; a session that does not take it is closed."""
        try:
            is_clean = self._command("RSET").code == 250
        except SmtpFailure:
            is_clean = False
        if not is_clean:
            self.drop()


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _dot_stuffed(content: bytes) -> bytes:
    """CRLF line ends, a dot doubled at a line's start (RFC 5321 4.5.2), CRLF at the end."""
    if re.search(rb"(?<!\r)\n|\r(?!\n)", content):  # a bare CR or LF is how mails are smuggled: none goes out
        content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(b"\r\n.", b"\r\n..")


def _chunks(content: bytes) -> list[memoryview]:
    view = memoryview(content)
    return [view[start : start + CHUNK] for start in range(0, len(view), CHUNK)]
