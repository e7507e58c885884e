"""Converts the exceptions of imapclient and imaplib into errors of mailbox.errors."""

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
    """Raise a MailError for each exception of the libraries in the block.

    connecting, signing_in: the stage, which changes the meaning of a refusal. `from None` everywhere, since the text
    of the cause may contain secrets of the command.
    """
    try:
        yield
    except (imaplib.IMAP4.error, IMAPClientError) as error:
        if abort := abort_behind(error):
            words = server_words(abort, endpoint)
            if words.startswith("unexpected") and (connecting or signing_in):
                # The text is not quoted: it may be the banner of another service, which the user who entered the host
                # name may be unable to reach otherwise.
                raise NetworkError(f"{endpoint.host}:{endpoint.port} answered what is no IMAP.") from None
            if words.startswith(("socket error", "unexpected")):
                raise unreachable(_cause(abort), endpoint, connecting=connecting) from None
            raise _goodbye(words, endpoint) from None  # the words of a BYE
        if connecting:  # the greeting was a BYE, or is not IMAP
            if str(error) == "None":  # imaplib takes the greeting of a POP3 server ("+OK") for a continuation
                raise NetworkError(f"{endpoint.host}:{endpoint.port} answered what is no IMAP.") from None
            raise _goodbye(server_words(error, endpoint), endpoint) from None
        raise refused(server_words(error, endpoint), signing_in=signing_in) from None
    except (OSError, ssl.SSLError, UnicodeError) as error:
        raise unreachable(error, endpoint, connecting=connecting) from None
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        AssertionError,
        ArithmeticError,
        RecursionError,
    ) as error:
        words = server_words(error, endpoint)
        raise ProviderError(f"The server's answer makes no sense: {words}", reply=words) from None


@contextlib.contextmanager
def alerts_of_a_goodbye() -> Iterator[None]:
    """Add the [ALERT] of a greeting that is a BYE to the MailError: there is no connection that could hold it."""
    try:
        yield
    except MailError as error:
        if alert := alert_in(f"* BYE {error.reply}".encode()):
            error.alerts = (alert,)
        raise


@contextlib.contextmanager
def refused_where(is_empty: bool) -> Iterator[None]:
    """Ignore a ProviderError if the folder is empty, as some servers answer NO or BAD when there is nothing to find."""
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


def abort_behind(error: BaseException) -> BaseException | None:
    """The imaplib abort behind an exception, or None.

    imapclient reports a connection that ended during sign-in as a LoginError, as if the credentials were wrong.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, imaplib.IMAP4.abort):
        cause = cause.__context__
    return cause


def _cause(error: BaseException) -> BaseException:
    """The socket's error behind imaplib's abort, as it says what happened; else the abort itself."""
    inner = error.__context__
    return inner if isinstance(inner, OSError) else error
