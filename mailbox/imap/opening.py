"""Opens a folder (EXAMINE) in as few round trips as possible: ID, CAPABILITY and ENABLE are sent in the same packet.

EXAMINE is repeated in another form when the server refuses a form that it offers. Raises the errors of imaplib and
imapclient.
"""

from __future__ import annotations

import imaplib
from typing import Any

from imapclient.exceptions import IMAPClientError

from mailbox.endpoints import Endpoint
from mailbox.imap import capabilities, folder_names
from mailbox.imap import fetch as imap_fetch
from mailbox.imap import select as imap_select
from mailbox.imap.select import KnownFolder

CLIENT_ID = '("name" "PRX-Email Site" "vendor" "PRX-Email" "version" "0.1")'


class FolderOpener:
    """Opens folders read-only on one connection, and remembers which extensions its server refused."""

    def __init__(self, client: Any, endpoint: Endpoint) -> None:
        self._client, self._endpoint = client, endpoint
        self._is_enabled = self._has_qresync = self._has_said_id = False

    def say_id(self) -> bool:
        """Queue ID (RFC 2971), once per connection, to be sent with the next command. Returns whether it was queued.

        Only where the server offers ID. NetEase (163.com) refuses to open folders before it. The answer is not
        awaited, and a refusal is ignored.
        """
        beneath = self._client._imap
        told = [imap_fetch.text(line).upper() for line in beneath.untagged_responses.get("CAPABILITY") or []]
        known = map(imap_fetch.text, self._client._cached_capabilities or ())
        if self._has_said_id or "ID" not in {*beneath.capabilities, *known, *" ".join(told).split()}:
            return False
        self._has_said_id = True
        with beneath.corked():
            beneath._command("ID", CLIENT_ID)
        return True

    def examine(self, folder: str, known: KnownFolder | None) -> tuple[dict[bytes, Any], KnownFolder | None]:
        """EXAMINE a folder: first with its name as the server has written it, and if refused, in other encodings.

        Returns the answer, and `known` if the answer reports the changes since it (QRESYNC), else None. When all
        encodings are refused, raises the first refusal.
        """
        client = self._client
        try:
            return self._examined_by_guess(folder, known)
        except (imaplib.IMAP4.error, IMAPClientError) as error:
            ways = folder_names.ways_to_write(folder)[1:]
            if isinstance(error, imaplib.IMAP4.abort) or not ways or not client.folder_encode:
                raise
            refusal = error
        for way in ways:
            client.written_names[folder] = way
            try:
                return self._examined(folder, known)
            except (imaplib.IMAP4.error, IMAPClientError) as error:
                if isinstance(error, imaplib.IMAP4.abort):
                    raise
        del client.written_names[folder]
        raise refusal

    def _examined_by_guess(self, folder: str, known: KnownFolder | None) -> tuple[dict[bytes, Any], KnownFolder | None]:
        """EXAMINE by the name's current encoding, with CAPABILITY in the same round trip if its answer is not known.

        The form of EXAMINE then follows a guess of the capabilities; it is repeated if the guess was wrong. Returns
        the same as examine().
        """
        client = self._client
        if not capabilities.ask(client, self._endpoint):
            return self._examined(folder, known)
        had_condstore = client.has_capability("CONDSTORE")
        try:
            answer, asked = self._examined(folder, known)
        except (imaplib.IMAP4.error, IMAPClientError) as error:
            if isinstance(error, imaplib.IMAP4.abort):
                raise
            was_wrong = capabilities.was_wrong(client)
            if not self.say_id() and not was_wrong:
                raise
            self._is_enabled = self._has_qresync = False
            return self._examined(folder, known)
        capabilities.learn(client, self._endpoint, answer)
        self.say_id()
        says_modseq = b"HIGHESTMODSEQ" in answer or b"NOMODSEQ" in answer
        if client.has_capability("CONDSTORE") and not had_condstore and not says_modseq:
            return self._examined(folder, known)
        return answer, asked

    def _examined(self, folder: str, known: KnownFolder | None) -> tuple[dict[bytes, Any], KnownFolder | None]:
        """EXAMINE by the capabilities as they are known now: with QRESYNC, CONDSTORE or neither. Returns the same as
        examine()."""
        enabling = self._enabling()
        if known is not None and self._has_qresync:
            answer = self._asked_for_changes(folder, known, enabling)
            if answer is not None:
                return answer, known
            enabling = None
        try:
            return imap_select.examine(self._client, folder, self._parameter(None), enabling), None
        except (imaplib.IMAP4.error, IMAPClientError) as error:
            if not self._parameter(None) or not imap_select.refuses_parameter(error):
                raise
            capabilities.distrust_condstore(self._endpoint)
            return imap_select.examine(self._client, folder, "", None), None

    def _enabling(self) -> str | None:
        self.speak_utf8_if_it_must_be()
        if self._is_enabled or self._client._imap.state != "AUTH":
            return None
        self._is_enabled = True
        tag = imap_select.enable_qresync(self._client)
        self._has_qresync = tag is not None
        return tag

    def _asked_for_changes(self, folder: str, known: KnownFolder, enabling: str | None) -> dict[bytes, Any] | None:
        try:
            return imap_select.examine(self._client, folder, self._parameter(known), enabling)
        except (imaplib.IMAP4.error, IMAPClientError) as error:
            if isinstance(error, imaplib.IMAP4.abort):
                raise
        self._has_qresync = False  # the server offers QRESYNC but refuses it: do without
        return None

    def _parameter(self, known: KnownFolder | None) -> str:
        if known is None and capabilities.is_condstore_refused(self._endpoint):
            return ""
        return imap_select.parameter_for(self._client, known, with_qresync=self._has_qresync)

    def speak_utf8_if_it_must_be(self) -> None:
        """ENABLE UTF8=ACCEPT on a server with UTF8=ONLY, which refuses other commands and modified UTF-7 (RFC 6855,
        6)."""
        client = self._client
        if client.folder_encode and client.has_capability("UTF8=ONLY") and client._imap.state == "AUTH":
            client._imap._simple_command("ENABLE", "UTF8=ACCEPT")
            client.folder_encode, client._imap._encoding = False, "utf-8"
