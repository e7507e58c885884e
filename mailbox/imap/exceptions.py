"""What imapclient and imaplib raise, as errors of ours."""

from __future__ import annotations

import contextlib
import imaplib
import ssl
from collections.abc import Iterator

from imapclient.exceptions import IMAPClientError

from mailbox.endpoints import Endpoint
from mailbox.errors import MailError, NetworkError, ProviderError
from mailbox.imap.response_lines import alert_in
from mailbox.imap.responses import refused, server_words, unreachable


@contextlib.contextmanager
def failures(endpoint: Endpoint, *, connecting: bool = False, signing_in: bool = False) -> Iterator[None]:
    """Turn what the libraries raise into MailErrors. `from None`: the cause's text may hold the command's secrets."""
    try:
        yield
    except (imaplib.IMAP4.error, IMAPClientError) as error:
        if abort := _abort(error):
            words = server_words(abort, endpoint)
            if words.startswith("unexpected") and (connecting or signing_in):
                # Not quoted: it may be any service's banner, and whoever chose the host may read it nowhere else.
                raise NetworkError(f"{endpoint.host}:{endpoint.port} answered what is no IMAP.") from None
            if words.startswith(("socket error", "unexpected")):
                raise unreachable(_cause(abort), endpoint, connecting=connecting) from None
            raise _goodbye(words, endpoint) from None  # the words of a BYE
        if connecting:  # the greeting was a BYE, or none of IMAP's
            raise _goodbye(server_words(error, endpoint), endpoint) from None
        raise refused(server_words(error, endpoint), signing_in=signing_in) from None
    except (OSError, ssl.SSLError, UnicodeError) as error:
        raise unreachable(error, endpoint, connecting=connecting) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError) as error:
        words = server_words(error, endpoint)
        raise ProviderError(f"The server's answer makes no sense: {words}", reply=words) from None


@contextlib.contextmanager
def alerts_of_a_goodbye() -> Iterator[None]:
    """A greeting that is a BYE leaves nothing but its words."""
    try:
        yield
    except MailError as error:
        if alert := alert_in(f"* BYE {error.reply}".encode()):
            error.alerts = (alert,)
        raise


@contextlib.contextmanager
def refused_where(is_empty: bool) -> Iterator[None]:
    """Some servers say NO or BAD where there is nothing to find in a folder."""
    try:
        yield
    except ProviderError as error:
        if not is_empty or type(error) is not ProviderError:
            raise


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
