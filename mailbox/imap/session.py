"""One IMAP connection over implicit TLS. Only append() writes to the server.

Every socket error and every NO, BAD or BYE is raised as a MailError whose text contains no credentials.
"""

from __future__ import annotations

import contextlib
import hashlib
import imaplib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from imapclient.exceptions import IMAPClientError
from imapclient.imapclient import SocketTimeout

from mailbox.chunks import chunks
from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, NetworkError, ProviderError
from mailbox.imap import fetch as imap_fetch
from mailbox.imap import listing
from mailbox.imap import search as imap_search
from mailbox.imap import select as imap_select
from mailbox.imap.around_refusals import rows_around
from mailbox.imap.authenticate import sign_in
from mailbox.imap.exceptions import alerts_of_a_goodbye, failures, refused_where
from mailbox.imap.fetch import (
    FetchedMessage,
    FlagsAndLabels,
    FolderStatus,
    ListedFolder,
    MessageMeta,
    flags_and_labels_of,
)
from mailbox.imap.listing import FolderIdentity
from mailbox.imap.opening import FolderOpener
from mailbox.imap.select import KnownFolder
from mailbox.imap.transport import ImapClient
from mailbox.tls import tls_context

META_CHUNK = 500  # UIDs in one command, so that its line stays below 8,000 octets (RFC 7162, 4)
BODY_CHUNK_BYTES = 8 * 1024 * 1024
HEADER_LIMIT = 1024 * 1024
COMPARED_HEADER = 64 * 1024
HEADER_CHUNK = 100  # headers in one command
META_ITEMS = "UID FLAGS INTERNALDATE RFC822.SIZE"
__all__ = [
    "FetchedMessage",
    "FolderIdentity",
    "FolderStatus",
    "ImapSession",
    "KnownFolder",
    "ListedFolder",
    "MessageMeta",
]


class ImapSession:
    """A signed-in connection. As a context manager it sends LOGOUT and closes the socket on exit."""

    def __init__(self, client: Any, endpoint: Endpoint, greeting: str) -> None:
        self._client = client
        self._endpoint = endpoint
        self._opener = FolderOpener(client, endpoint)
        self._is_empty = False  # EXAMINE said "0 EXISTS" of the open folder
        self.greeting = greeting  # the server's text when sign-in succeeded

    @classmethod
    def open(cls, endpoint: Endpoint, *, connect_timeout: float, command_timeout: float) -> ImapSession:
        """Connect and sign in by password or OAuth token. Raises NetworkError, SignInRefused or Throttled.

        connect_timeout, command_timeout: seconds without a byte from the server. A whole command may take twice
        command_timeout, and longer in proportion to the bytes that arrive (see transport.SocketReader).
        """
        with alerts_of_a_goodbye(), failures(endpoint, connecting=True):
            client = ImapClient(
                endpoint.host,
                port=endpoint.port,
                ssl=True,
                ssl_context=tls_context(endpoint),
                timeout=SocketTimeout(connect_timeout, command_timeout),
                public_only=endpoint.public_only,
            )
        client.normalise_times = False  # otherwise INTERNALDATE is a naive datetime in this machine's time zone
        client._imap.debug = 0  # imapclient sets 5, which formats every line, also the one with the password
        try:
            with failures(endpoint, signing_in=True):
                greeting = sign_in(client, endpoint)
        except MailError as error:
            error.alerts = tuple(client._imap.alerts)
            _close(client)
            raise
        session = cls(client, endpoint, greeting)
        with failures(endpoint):
            session._opener.say_id()
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(politely=not isinstance(error, NetworkError))

    def close(self, *, politely: bool = True) -> None:
        """Send LOGOUT and close the socket. Never raises. politely=False: no LOGOUT, as the connection is broken.

        The answer to LOGOUT is not awaited: nothing depends on it, and it costs a round trip.
        """
        if politely:
            with contextlib.suppress(OSError, imaplib.IMAP4.error, IMAPClientError):
                self._client._imap._command("LOGOUT")
        _close(self._client)

    def list_folders(self) -> list[ListedFolder]:
        """List all folders, with special use (RFC 6154) and subscription where the server states them."""
        with self._errors():
            self._client.capabilities()
            self._opener.say_id()
            self._opener.speak_utf8_if_it_must_be()
            return listing.list_folders(self._client)

    def identity_of(self, folder: str) -> FolderIdentity:
        """UIDVALIDITY, UIDNEXT and MAILBOXID of a folder, by which a renamed folder is recognised.

        Raises ProviderError when the server has no folder of this name.
        """
        with self._errors():
            return listing.identity_of(self._client, folder)

    @property
    def has_gmail_labels(self) -> bool:
        """Whether folders are Gmail's labels, and each message is in All Mail, Junk or Trash."""
        with self._errors():
            return bool(self._client.has_capability("X-GM-EXT-1"))

    def examine(self, folder: str, known: KnownFolder | None = None) -> FolderStatus:
        """Open the folder read-only (EXAMINE), so that no later command can change it.

        known: the stored state. With it, a server that has QRESYNC (RFC 7162) also reports the changes since then.
        Raises ProviderError also when the server states no UIDVALIDITY or no EXISTS.
        """
        with self._errors():
            answer, asked = self._opener.examine(folder, known)
            if not 0 < (answer.get(b"UIDVALIDITY") or 0) <= imap_fetch.MAX_NUMBER:
                raise ProviderError(f"The server states no UIDVALIDITY for {folder}, so its UIDs cannot be relied on.")
            if answer.get(b"EXISTS") is None:  # read as 0, the folder's mail would silently never be fetched
                raise ProviderError(f"The server does not say how many messages {folder} has.")
            self._is_empty = answer[b"EXISTS"] == 0
            return imap_select.status_of(answer, asked)

    @property
    def alerts(self) -> list[str]:
        """Texts that the server sent as [ALERT] on this connection, which must be shown to the user (RFC 3501, 7.1)."""
        return list(self._client._imap.alerts)

    def search_uids(self, low: int, high: int) -> list[int]:
        """The UIDs from low to high that the open folder has, sorted; complete also where SEARCH is truncated."""
        return imap_search.uncut(self._search, low, high)

    def _search(self, low: int, high: int) -> list[int]:
        with refused_where(self._is_empty), self._errors():
            # Some servers answer a range above the last UID with the last message, as for "n:*" (RFC 3501, 6.4.8).
            return imap_search.uids(self._client, "UID", f"{low}:{high}", low=low, high=high)
        return []

    def fetch_meta(self, uids: Sequence[int]) -> dict[int, MessageMeta]:
        """Flags, INTERNALDATE and size by UID, in the order of `uids`, without messages that are gone.

        A message whose data the server refuses has its UID alone: fetching it later shows whether the server refuses
        the message itself.
        """
        metas = {}
        for chunk in chunks(uids, META_CHUNK):
            answer, refused = rows_around(lambda some: self._rows(some, META_ITEMS), chunk)
            answer |= {uid: imap_fetch.FetchRow() for uid in refused}
            metas.update({uid: imap_fetch.meta(uid, answer[uid]) for uid in chunk if uid in answer})
        return metas

    def fetch_range(self, low: int, high: int) -> dict[int, MessageMeta]:
        """The messages from UID low to high, by UID in ascending order, in one FETCH without a SEARCH before it."""
        answer = imap_fetch.rows(self._fetch(f"{low}:{high}", self._items(META_ITEMS)))
        return {uid: imap_fetch.meta(uid, answer[uid]) for uid in sorted(answer) if low <= uid <= high}

    def fetch_flags(self, uids: Sequence[int]) -> dict[int, FlagsAndLabels]:
        """Flags and labels by UID, without messages that are gone or whose flags the server omits or refuses."""
        flags = {}
        for chunk in chunks(uids, META_CHUNK):
            wanted = set(chunk)
            answer, _ = rows_around(lambda some: self._rows(some, "UID FLAGS"), chunk)
            read = {uid: flags_and_labels_of(row) for uid, row in answer.items() if uid in wanted}
            flags.update({uid: found for uid, found in read.items() if found})
        return flags

    def fetch_known_uids(self, uids: Sequence[int]) -> set[int]:
        """Those of these UIDs that the folder has, including messages for which the server refuses FETCH."""
        found: set[int] = set()
        for chunk in chunks(uids, META_CHUNK):
            answer, refused = rows_around(lambda some: self._rows(some, "UID FLAGS"), chunk)
            found.update((answer.keys() | refused) & set(chunk))
        return found

    def _rows(self, uids: Sequence[int], items: str) -> dict[int, imap_fetch.FetchRow]:
        return imap_fetch.rows(self._fetch(imap_fetch.uid_set(uids), self._items(items)))

    def fetch_changed_flags(self, low: int, high: int, since: int) -> dict[int, FlagsAndLabels]:
        """Flags and labels that changed after mod-sequence `since`, of UIDs low to high (CHANGEDSINCE, RFC 7162,
        3.1.4.1)."""
        asked = self._fetch(f"{low}:{high}", self._items("UID FLAGS"), 0, f"(CHANGEDSINCE {since})")
        answer = imap_fetch.rows(asked)
        return {uid: found for uid, row in answer.items() if low <= uid <= high and (found := flags_and_labels_of(row))}

    def fetch_header_digests(self, uids: Sequence[int]) -> dict[int, tuple[FlagsAndLabels, str]]:
        """By UID: flags and labels, and the SHA-256 of the header's first 64 kB.

        A longer header is cut, so its digest does not match that of the whole header. Messages that are gone, or for
        which the server refuses the header, are left out.
        """
        found: dict[int, tuple[FlagsAndLabels, str]] = {}
        items = self._items(f"UID FLAGS BODY.PEEK[HEADER]<0.{COMPARED_HEADER}>")

        def headers(some: Sequence[int]) -> dict[int, tuple[FlagsAndLabels, bytes]]:
            return imap_fetch.pair_headers(self._fetch(imap_fetch.uid_set(some), items))

        for chunk in chunks(uids, HEADER_CHUNK):
            answer, _ = rows_around(headers, chunk)
            for uid in set(chunk).intersection(answer):
                flags, header = answer[uid]
                found[uid] = (flags, hashlib.sha256(header).hexdigest())
        return found

    def _items(self, items: str) -> str:
        return f"({items} X-GM-LABELS)" if self.has_gmail_labels else f"({items})"

    def fetch_messages(self, metas: Sequence[MessageMeta]) -> Iterator[FetchedMessage]:
        """Fetch whole messages (BODY.PEEK[]), at most 8 MB or one larger message per command. Messages that are gone
        are left out."""
        for chunk in imap_fetch.by_bytes(metas, BODY_CHUNK_BYTES):
            bodies = self._fetch_bodies([meta.uid for meta in chunk], sum(meta.size for meta in chunk))
            for meta in chunk:
                raw = bodies.pop(meta.uid, None)
                if raw or (raw is not None and not meta.size):  # an empty body of a message with a size is no answer
                    yield FetchedMessage(meta, raw, is_complete=True)

    def _fetch_bodies(self, uids: Sequence[int], expected_bytes: int) -> dict[int, bytes]:
        bodies = imap_fetch.pair_bodies(self._fetch(imap_fetch.uid_set(uids), "(UID BODY.PEEK[])", expected_bytes))
        odd = [uid for uid in uids if uid not in bodies]  # a body as a quoted string, or a message that is gone
        if odd:
            with self._errors(), self._expecting(expected_bytes):
                answer = self._client.fetch(odd, ["BODY.PEEK[]"])
            found = {uid: row.get(b"BODY[]") for uid, row in answer.items()}
            # imapclient takes NIL for an atom where it is in small letters (RFC 3501, 9: any case).
            bodies.update({uid: raw for uid, raw in found.items() if raw is not None and raw.upper() != b"NIL"})
        return bodies

    def _fetch(self, uid_set: str, items: str, expected_bytes: int = 0, modifier: str = "") -> list[Any]:
        """UID FETCH by imapclient's inner imaplib object: imapclient's parser needs four times the CPU.

        expected_bytes: size of the literals asked for, which the transport's limit allows for.
        """
        with refused_where(self._is_empty), self._errors(), self._expecting(expected_bytes):
            status, answer = self._client._imap.uid("FETCH", uid_set, items, *([modifier] if modifier else []))
            self._client._checkok("fetch", status, answer)
            return list(answer)
        return []

    @contextlib.contextmanager
    def _expecting(self, expected_bytes: int) -> Iterator[None]:
        self._client._imap.expected_bytes = expected_bytes
        try:
            yield
        finally:
            self._client._imap.expected_bytes = 0

    def fetch_header(self, meta: MessageMeta) -> FetchedMessage:
        """Fetch only a message's header, at most 1 MB of it. Raises ProviderError when the server gives none."""
        with self._errors():
            answer = self._client.fetch([meta.uid], [f"BODY.PEEK[HEADER]<0.{HEADER_LIMIT}>"])
        row = answer.get(meta.uid, {})
        raw = next((value for key, value in row.items() if key.startswith(b"BODY[HEADER]") and value is not None), None)
        if raw is None:
            raise ProviderError("The server did not give the header of the message.")
        return FetchedMessage(meta, raw[:HEADER_LIMIT], is_complete=False)

    def append(self, folder: str, raw: bytes, flags: Sequence[str], when: datetime) -> None:
        """Store a message in a folder (APPEND). Used for the copy in Sent alone, our only write to a server."""
        with self._errors():
            self._client.append(folder, raw, flags, when.astimezone(UTC))

    def find_message_id(self, folder: str, message_id: str) -> list[int]:
        """UIDs of the messages whose Message-ID header contains this text. Opens the folder read-only."""
        self.examine(folder)
        with self._errors():
            return imap_search.uids(self._client, "HEADER", "Message-ID", imap_search.quoted(message_id))

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return failures(self._endpoint)


def _close(client: Any) -> None:
    with contextlib.suppress(OSError, imaplib.IMAP4.error, IMAPClientError):
        client.shutdown()
