"""SMTP submission: connect, TLS, sign-in; then any number of mails (mail_transaction). No models, no queries.

Not by smtplib: its `sendmail` hides partial refusals, and its `login` prefers CRAM-MD5. See also connection.
"""

from __future__ import annotations

import base64
import ssl

from django.conf import settings

from mailbox.endpoints import Endpoint
from mailbox.sasl import REFUSAL_ANSWERS, refuses_token, token_mechanism, token_response
from mailbox.tls import tls_context
from outbox.retry.faults import Kind, Phase
from outbox.smtp.blocking_calls import in_thread
from outbox.smtp.connection import SmtpFailure, SmtpTimeouts
from outbox.smtp.mail import Watch
from outbox.smtp.mail_transaction import MailTransaction, one_by_one
from outbox.smtp.replies import Reply
from outbox.smtp.transport import Wire

LONGEST_COMMAND = 512  # octets with CRLF (RFC 5321 4.5.3.1.4)
TOKEN_REFUSED = 535  # RFC 4954 6


class SmtpSession(MailTransaction):
    """One signed-in connection for any number of mails; `deliver` is in the base class."""

    greeting = ""  # the server's words at sign-in
    tls_version = ""  # as in "TLSv1.3"

    @classmethod
    async def open(
        cls, endpoint: Endpoint, *, patience: SmtpTimeouts, watch: Watch | None = None, signs_in: bool = True
    ) -> SmtpSession:
        """Connect, start TLS (always, with verification) and sign in. Raises SmtpFailure."""
        session = cls(endpoint, patience, watch or Watch())
        try:
            await session._secure()
            if signs_in:
                await session._enter(Phase.AUTH)
                await session._sign_in()
        except BaseException:
            session.drop()
            raise
        return session

    async def __aenter__(self) -> SmtpSession:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.quit()

    # --- Opening ------------------------------------------------------------------------------------------------
    async def _secure(self) -> None:
        endpoint = self._endpoint
        await self._enter(Phase.CONNECT)
        self._wire = await self._guarded(Wire.connect(endpoint, self._patience.connect, self._watch.waiting))
        if endpoint.security == "tls":
            await self._wrap()
        self._expect(await self._answer_to("(greeting)"), 220)
        await self._ehlo()
        if endpoint.security != "tls":
            await self._starttls()

    async def _wrap(self) -> None:
        await self._enter(Phase.TLS)
        wire = self._connected()
        try:
            context = await in_thread(lambda: tls_context(self._endpoint))  # reads files
        except (ssl.SSLError, ValueError) as error:
            raise self._failure(Kind.LOCAL, f"The account's extra CA certificate cannot be read: {error}") from error
        host, seconds = self._endpoint.host, self._patience.connect
        self.tls_version = await self._guarded(wire.wrap(context, host, seconds, self._watch.waiting))

    async def _starttls(self) -> None:
        if "starttls" not in self._extensions:
            # A wrong port, or an attacker who removed STARTTLS: never go on in clear text.
            raise self._failure(
                Kind.LOCAL, "The server does not offer STARTTLS, and nothing is sent without TLS: check host and port."
            )
        await self._enter(Phase.TLS)
        self._expect(await self._command("STARTTLS"), 220)
        if self._connected().has_unread():
            # Clear-text bytes after the 220 were injected by an attacker (CVE-2011-0411).
            raise self._failure(Kind.PROTOCOL, "The server sent more than its answer to STARTTLS.")
        await self._wrap()
        await self._ehlo()

    async def _ehlo(self) -> None:
        reply = await self._command(f"EHLO {settings.EHLO_NAME or self._connected().local_literal()}")
        self._expect(reply, 250)
        self._extensions.clear()
        # The first line too: some servers omit their name and have an extension there.
        for line in reply.text.splitlines():
            keyword, _, parameters = " ".join(line.replace(",", " ").split()).partition(" ")
            keyword, _, first = keyword.partition("=")  # "AUTH=LOGIN PLAIN" of old servers
            known = self._extensions.get(keyword.lower(), "")
            self._extensions[keyword.lower()] = " ".join(filter(None, [known, first, parameters]))
        if (self._endpoint.host, self._endpoint.port) in one_by_one:
            self._extensions.pop("pipelining", None)

    async def _sign_in(self) -> None:
        offered = set(self._extensions.get("auth", "").upper().split())
        endpoint = self._endpoint
        if endpoint.oauth_token is not None:
            reply = await self._by_token(token_mechanism(offered))
        elif "PLAIN" in offered:
            reply = await self._authenticate("PLAIN", f"\0{endpoint.user}\0{endpoint.password}")
        elif "LOGIN" in offered:
            reply = await self._authenticate("LOGIN", endpoint.user, endpoint.password or "")
        else:
            words = ", ".join(sorted(offered)) or "no sign-in at all"
            raise self._failure(Kind.LOCAL, f"The server offers neither AUTH PLAIN nor LOGIN (it offers {words}).")
        self._expect(reply, 235)
        self.greeting = str(reply)

    async def _authenticate(self, mechanism: str, *responses: str) -> Reply:
        """AUTH with its initial response; in two steps if the line would exceed 512 octets, which servers refuse (RFC
        4954 4). LOGIN has two responses, and no initial one."""
        shown = f"AUTH {mechanism}"
        line = f"{shown} {_b64(responses[0])}"
        at_once = len(responses) == 1 and len(line) + len("\r\n") <= LONGEST_COMMAND
        reply = await self._command(line if at_once else shown, shown)
        if at_once and reply.text:
            return reply  # an empty 334 asks for the response: some servers do not look at one in the command
        for response in responses:
            if reply.code == 334:
                reply = await self._command(_b64(response), "(secret)")
        return reply

    async def _by_token(self, mechanism: str) -> Reply:
        """Sign in with a token. A refusal is a 334 with base64 JSON, then, after our answer, 535: keep both texts."""
        reply = await self._authenticate(mechanism, token_response(mechanism, self._endpoint))
        if reply.code != 334:
            return reply
        try:
            details = base64.b64decode(reply.text, validate=True).decode("utf-8", "replace")
        except ValueError:
            details = reply.text
        try:
            final = await self._command(_b64(REFUSAL_ANSWERS[mechanism]), "(end of the refusal)")
        except SmtpFailure:
            if not refuses_token(details):
                raise
            final = Reply(TOKEN_REFUSED, "The server refused the token and ended the connection.")
        return Reply(final.code, self._clean(f"{final.text} {details}".strip()))


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
