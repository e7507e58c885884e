"""One IMAP connection: TLS from the first byte, read-only but for append(). The only user of imapclient and imaplib.

Every socket error and every refusal leaves here as a MailError, without credentials in its text.
"""

from __future__ import annotations

import contextlib
import imaplib
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from mailbox import imap_fetch
from mailbox.endpoints import Endpoint, tls_context, xoauth2
from mailbox.errors import MailError, NetworkError, ProviderError
from mailbox.imap_fetch import FetchedMessage, FolderStatus, ListedFolder, MessageMeta
from mailbox.imap_replies import refused, server_words, unreachable
from mailbox.imap_wire import Client
from types import TracebackType
from typing import Any, Self

from imapclient.exceptions import IMAPClientError
from imapclient.imapclient import SocketTimeout

# Yahoo cuts a SEARCH to 1,000 results without a word: an answer that long is asked again in halves.
TRUNCATED_SEARCH = 1000
MAX_UID = 2**32 - 1  # RFC 3501, 9: nz-number
META_CHUNK = 500  # UIDs in one command: keeps its line below the 8,000 octets of RFC 7162, 4
BODY_CHUNK_BYTES = 8 * 1024 * 1024
HEADER_LIMIT = 1024 * 1024
__all__ = ["FetchedMessage", "FolderStatus", "ImapSession", "ListedFolder", "MessageMeta"]


class ImapSession:
    """A signed-in connection. Use it as a context manager; leaving it signs out."""

    def __init__(self, client: Any, endpoint: Endpoint, greeting: str) -> None:
        self._client = client
        self._endpoint = endpoint
        self.greeting = greeting  # the server's words after sign-in

    @classmethod
    def open(cls, endpoint: Endpoint, *, connect_timeout: float, command_timeout: float) -> ImapSession:
        """Connect and sign in (RFC 3501 LOGIN, or XOAUTH2); raises NetworkError, SignInRefused or Throttled.

        The time-outs are seconds of silence; a whole command may take twice as long, and longer for what it brings.
        """
        with _errors(endpoint, connecting=True):
            client = Client(
                endpoint.host,
                port=endpoint.port,
                ssl=True,
                ssl_context=tls_context(endpoint),
                timeout=SocketTimeout(connect_timeout, command_timeout),
            )
        client.normalise_times = False  # else INTERNALDATE comes naive, in this machine's zone
        client._imap.debug = 0  # 5 by default: formats every line, the password's among them
        try:
            with _errors(endpoint, signing_in=True):
                greeting = _sign_in(client, endpoint)
        except MailError:
            _close(client)
            raise
        return cls(client, endpoint, greeting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(politely=not isinstance(error, NetworkError))

    def close(self, *, politely: bool = True) -> None:
        """Sign out, unless the connection is known to be broken, and let go of the socket. Never raises."""
        if politely:
            with contextlib.suppress(OSError, imaplib.IMAP4.error, IMAPClientError):
                self._client.logout()
                return
        _close(self._client)

    def list_folders(self) -> list[ListedFolder]:
        """All folders, with their special use where the server states it (RFC 6154)."""
        with self._errors():
            rows = self._client.list_folders()
        return [imap_fetch.listed(flags, delimiter, name) for flags, delimiter, name in rows]

    def examine(self, folder: str) -> FolderStatus:
        """Open the folder read-only (EXAMINE), so that nothing we do can change it."""
        with self._errors():
            if self._client.has_capability("CONDSTORE"):
                answer = self._examine_with_condstore(folder)
            else:
                answer = self._client.select_folder(folder, readonly=True)
        uidvalidity = answer.get(b"UIDVALIDITY")
        if not uidvalidity:
            raise ProviderError(f"The server states no UIDVALIDITY for {folder}, so its UIDs cannot be relied on.")
        return FolderStatus(
            uidvalidity=uidvalidity,
            uidnext=answer.get(b"UIDNEXT"),
            exists=answer.get(b"EXISTS", 0),
            highestmodseq=answer.get(b"HIGHESTMODSEQ"),
        )

    def _examine_with_condstore(self, folder: str) -> Any:
        """RFC 7162, 3.1.8; imapclient has no way to say it, and Dovecot states HIGHESTMODSEQ only when it is said."""
        beneath = self._client._imap
        beneath.untagged_responses = {}
        beneath.is_readonly = True
        status, lines = beneath._simple_command("EXAMINE", self._client._normalise_folder(folder), "(CONDSTORE)")
        if status != "OK":
            beneath.state = "AUTH"
            self._client._checkok("examine", status, lines)
        beneath.state = "SELECTED"
        return self._client._process_select_response(beneath.untagged_responses)

    def search_uids(self, low: int, high: int) -> list[int]:
        """The UIDs of the open folder from low to high, sorted, none outside; whole even where SEARCH is cut."""
        if low > high:
            return []
        with self._errors():
            found = self._client.search(["UID", f"{low}:{high}"])
        # A range that ends above the last UID may be answered with the last message, as "n:*" is (RFC 3501, 6.4.8).
        uids = sorted({uid for uid in map(int, found) if low <= uid <= high})
        if len(found) == TRUNCATED_SEARCH and high - low >= TRUNCATED_SEARCH:
            middle = (low + min(high, max(uids[-1], low + 1))) // 2
            return self.search_uids(low, middle) + self.search_uids(middle + 1, high)
        return uids

    def fetch_meta(self, uids: Sequence[int]) -> list[MessageMeta]:
        """Flags, date and size of these messages, in the order of `uids`, without those that are gone or undated."""
        metas: list[MessageMeta] = []
        for chunk in _chunks(uids):
            answer = imap_fetch.rows(self._fetch(imap_fetch.uid_set(chunk), "(UID FLAGS INTERNALDATE RFC822.SIZE)"))
            found = [imap_fetch.meta(uid, answer[uid]) for uid in chunk if uid in answer]
            metas += [meta for meta in found if meta is not None]
        return metas

    def fetch_flags(self, uids: Sequence[int]) -> dict[int, tuple[str, ...]]:
        """The flags of these messages; those that are gone, or whose flags the server left out, are not in it."""
        flags = {}
        for chunk in _chunks(uids):
            wanted = set(chunk)
            answer = imap_fetch.rows(self._fetch(imap_fetch.uid_set(chunk), "(UID FLAGS)"))
            flags.update({uid: row.flags for uid, row in answer.items() if uid in wanted and row.flags is not None})
        return flags

    def fetch_changed_flags(self, low: int, high: int, since: int) -> dict[int, tuple[str, ...]]:
        """The flags that changed after this mod-sequence, of UIDs low to high (RFC 7162, 3.1.4.1: CHANGEDSINCE)."""
        answer = imap_fetch.rows(self._fetch(f"{low}:{high}", "(UID FLAGS)", 0, f"(CHANGEDSINCE {since})"))
        return {uid: row.flags for uid, row in answer.items() if low <= uid <= high and row.flags is not None}

    def fetch_messages(self, metas: Sequence[MessageMeta]) -> Iterator[FetchedMessage]:
        """The whole messages (BODY.PEEK[]), at most 8 MB or one message a command; those that are gone are left out."""
        for chunk in imap_fetch.by_bytes(metas, BODY_CHUNK_BYTES):
            bodies = self._fetch_bodies([meta.uid for meta in chunk], sum(meta.size for meta in chunk))
            for meta in chunk:
                raw = bodies.pop(meta.uid, None)
                if raw is not None:
                    yield FetchedMessage(meta, raw, is_complete=True)

    def _fetch_bodies(self, uids: Sequence[int], expected_bytes: int) -> dict[int, bytes]:
        bodies = imap_fetch.pair_bodies(self._fetch(imap_fetch.uid_set(uids), "(UID BODY.PEEK[])", expected_bytes))
        odd = [uid for uid in uids if uid not in bodies]  # a body as a quoted string, or a message that is gone
        if odd:
            with self._errors(), self._expecting(expected_bytes):
                answer = self._client.fetch(odd, ["BODY.PEEK[]"])
            bodies.update({uid: row[b"BODY[]"] for uid, row in answer.items() if row.get(b"BODY[]") is not None})
        return bodies

    def _fetch(self, uid_set: str, items: str, expected_bytes: int = 0, modifier: str = "") -> list[Any]:
        """UID FETCH by the imaplib object beneath: imapclient's parser takes four times the CPU for the same bytes."""
        beneath = self._client._imap
        with self._errors(), self._expecting(expected_bytes):
            tag = beneath._command("UID", "FETCH", uid_set, items, *([modifier] if modifier else []))
            status, answer = beneath._command_complete("UID", tag)
            self._client._checkok("fetch", status, answer)
            _, answer = beneath._untagged_response(status, answer, "FETCH")
        return list(answer)

    @contextlib.contextmanager
    def _expecting(self, expected_bytes: int) -> Iterator[None]:
        self._client._imap.expected_bytes = expected_bytes
        try:
            yield
        finally:
            self._client._imap.expected_bytes = 0

    def fetch_header(self, meta: MessageMeta) -> FetchedMessage:
        """Only the header (at most 1 MB of it) of a message; raises ProviderError when the server gives none."""
        with self._errors():
            answer = self._client.fetch([meta.uid], [f"BODY.PEEK[HEADER]<0.{HEADER_LIMIT}>"])
        row = answer.get(meta.uid, {})
        raw = next((value for key, value in row.items() if key.startswith(b"BODY[HEADER]") and value is not None), None)
        if raw is None:
            raise ProviderError("The server did not give the header of the message.")
        return FetchedMessage(meta, raw[:HEADER_LIMIT], is_complete=False)

    def append(self, folder: str, raw: bytes, flags: Sequence[str], when: datetime) -> None:
        """Put a message into a folder: the copy in Sent, the only thing we write on a server."""
        with self._errors():
            self._client.append(folder, raw, flags, when.astimezone(UTC))

    def find_message_id(self, folder: str, message_id: str) -> list[int]:
        """The UIDs in the folder whose Message-ID header contains this; the folder is opened read-only."""
        self.examine(folder)
        with self._errors():
            return sorted(int(uid) for uid in self._client.search(["HEADER", "Message-ID", message_id]))

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return _errors(self._endpoint)


@contextlib.contextmanager
def _errors(endpoint: Endpoint, *, connecting: bool = False, signing_in: bool = False) -> Iterator[None]:
    """Turn what the libraries raise into MailErrors. `from None`: the cause's text may hold the command's secrets."""
    try:
        yield
    except (imaplib.IMAP4.error, IMAPClientError) as error:
        if abort := _abort(error):
            words = server_words(abort, endpoint)
            if words.startswith(("socket error", "unexpected")):
                raise unreachable(_cause(abort), endpoint, connecting=connecting) from None
            raise _goodbye(words, endpoint) from None  # the words of a BYE
        if connecting:  # the greeting was a BYE, or none of IMAP's
            raise _goodbye(server_words(error, endpoint), endpoint) from None
        raise refused(server_words(error, endpoint), signing_in=signing_in) from None
    except (OSError, ssl.SSLError, UnicodeError) as error:
        raise unreachable(error, endpoint, connecting=connecting) from None
    except (ValueError, TypeError, KeyError, IndexError, AssertionError) as error:
        words = server_words(error, endpoint)
        raise ProviderError(f"The server's answer makes no sense: {words}", reply=words) from None


def _goodbye(words: str, endpoint: Endpoint) -> MailError:
    meaning = refused(words, signing_in=False)
    if type(meaning) is ProviderError:
        return NetworkError(f"{endpoint.host}:{endpoint.port} ended the connection: {words}", reply=words)
    return meaning


def _abort(error: BaseException) -> BaseException | None:
    """The end of the connection, where imapclient tells it as a refused sign-in: that asks for other credentials."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, imaplib.IMAP4.abort):
        cause = cause.__context__
    return cause


def _cause(error: BaseException) -> BaseException:
    """imaplib wraps a socket's error in its own abort; the first is the one that says what happened."""
    inner = error.__context__
    return inner if isinstance(inner, OSError) else error


def _sign_in(client: Any, endpoint: Endpoint) -> str:
    if endpoint.oauth_token:
        return _sign_in_by_token(client, endpoint.user, endpoint.oauth_token)
    password = endpoint.password or ""
    if any(ord(character) < 32 for character in password):
        raise IMAPClientError("The password has a line break or control character in it.")
    if endpoint.user.isascii() and password.isascii():
        answer = client.login(endpoint.user, password)
    else:
        # A quoted string is ASCII (RFC 3501, 4.3); other characters go as literals, in UTF-8.
        words = [_quoted(client, endpoint.user), _quoted(client, password)]
        status, lines = client._raw_command(b"LOGIN", words, uid=False)
        client._checkok("login", status, lines)
        client._imap.state = "AUTH"
        answer = lines[0]
    return imap_fetch.text(answer)


def _quoted(client: Any, word: str) -> bytes:
    return str(client._imap._quote(word)).encode() if word.isascii() else word.encode()


def _sign_in_by_token(client: Any, user: str, token: str) -> str:
    """AUTHENTICATE XOAUTH2. A refusal comes as a challenge with JSON in it, to be answered with an empty line before
    the server says NO (Google, "XOAUTH2 Mechanism", error response); its JSON says more than the NO does."""
    challenges: list[bytes] = []

    def answer(challenge: bytes) -> str:
        if challenge.strip():
            challenges.append(challenge)
            return ""
        return xoauth2(user, token)

    try:
        answered = client.sasl_login("XOAUTH2", answer)
    except (IMAPClientError, imaplib.IMAP4.error) as error:
        if challenges and not isinstance(error, imaplib.IMAP4.abort):
            raise IMAPClientError(f"{error} {imap_fetch.text(challenges[-1])}") from None
        raise
    return imap_fetch.text(answered)


def _close(client: Any) -> None:
    with contextlib.suppress(OSError, imaplib.IMAP4.error, IMAPClientError):
        client.shutdown()


def _chunks(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(uids), META_CHUNK):
        yield uids[start : start + META_CHUNK]
