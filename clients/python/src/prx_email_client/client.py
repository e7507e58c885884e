"""A client of the HTTP API. It repeats failed requests: each is idempotent or has an idempotency key."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.policy import SMTP
from email.utils import make_msgid
from typing import Any

import httpx

from prx_email_client.shapes import (
    Account,
    Alias,
    Completeness,
    Feature,
    Mail,
    MessageHead,
    Need,
    OutboxHead,
    SendState,
    Suppressed,
)

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between tries
LARGEST_PAGE = 500  # rows
LONGEST_KEY = 190  # characters; the API's limit


class ClientError(Exception):
    """A request failed. str() says why."""


class Refused(ClientError):
    """The site refused the request. `status`: the HTTP status. `code`: the API's error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Unreachable(ClientError):
    """The site did not respond. A mail may have been accepted: repeat the call with the same key or Message-ID."""


@dataclass
class Client:
    """A client for one token. Thread-safe. Close it, or use it as a context manager.

    timeout: seconds for each try. tries: the largest number of tries of a request. wait: sleeps between tries.
    """

    base_url: str
    token: str = field(repr=False)
    timeout: float = 30.0
    tries: int = 4
    transport: httpx.BaseTransport | None = None
    wait: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        self._http = httpx.Client(
            base_url=f"{self.base_url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=self.timeout,
            transport=self.transport,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def accounts(self) -> list[Account]:
        """The accounts that the token may see (scope read)."""
        return [_made(Account, each) for each in self._pages("/accounts", "after")]

    def send(self, mail: Mail, *, key: str = "") -> SendState:
        """Queue a mail that the site composes (scope send). Raises ClientError; ValueError for a key that is too long.

        key: the idempotency key, the same for the same mail; without it, each call queues another mail.
        """
        key = key or str(uuid.uuid4())
        if len(key) > LONGEST_KEY:
            raise ValueError(f"An idempotency key has {LONGEST_KEY} characters at most.")
        return _made(SendState, self._ask("POST", "/send", json=mail.as_json(), headers={"Idempotency-Key": key}))

    def submit(self, mail_from: str, rcpt_to: Sequence[str], message: Message | bytes) -> SendState:
        """Queue a whole mail as it is (scope send). `mail_from` and the mail's From are addresses of the account.

        Its Message-ID is the idempotency key. If a Message has none, one is added to the object, so that a later call
        with the same object is the same mail; bytes must have one. Raises ClientError.
        """
        if isinstance(message, Message):
            if not message["Message-ID"]:
                message["Message-ID"] = make_msgid(domain=mail_from.rpartition("@")[2] or None)
            message = message.as_bytes(policy=SMTP) if _is_modern(message) else message.as_bytes()
        content = base64.b64encode(message).decode("ascii")
        given = {"mail_from": mail_from, "rcpt_to": list(rcpt_to), "base64": content}
        return _made(SendState, self._ask("POST", "/submit", json=given))

    def state(self, outbox_id: int) -> dict[str, Any]:
        """A mail with its recipients and attempts (scope read)."""
        found: dict[str, Any] = self._ask("GET", f"/outbox/{outbox_id}")
        return found

    def messages(self, *, account: int | None = None) -> Iterator[MessageHead]:
        """Received messages, newest first; pages are fetched while the iterator is consumed (scope read)."""
        asked = {} if account is None else {"account": account}
        return (_made(MessageHead, each) for each in self._pages("/messages", "before", **asked))

    def search(self, query: str) -> Iterator[MessageHead]:
        """Search received messages, as on the search page: `from:ann has:attachment invoice` (scope read)."""
        return (_made(MessageHead, each) for each in self._pages("/messages/search", "before", q=query))

    def source(self, message: int) -> bytes:
        """The raw bytes of a received mail (scope read)."""
        return self._bytes(f"/messages/{message}/source")

    def attachment(self, message: int, position: int) -> bytes:
        """The decoded bytes of an attachment (scope read)."""
        return self._bytes(f"/messages/{message}/attachments/{position}")

    def outbox(self, **filters: str | int) -> Iterator[OutboxHead]:
        """Written mail, newest first, with the filters of the outbox page: state="retrying" (scope read)."""
        return (_made(OutboxHead, each) for each in self._pages("/outbox", "before", **filters))

    def suppressed(self, *, account: int | None = None) -> Iterator[Suppressed]:
        """The suppressed addresses, newest first (scope read)."""
        asked = {} if account is None else {"account": account}
        return (_made(Suppressed, each) for each in self._pages("/suppressed", "before", **asked))

    def suppress(self, account_id: int, address: str, words: str = "") -> Suppressed:
        """Put an address on an account's suppression list; a listed address is not changed (scope operate)."""
        given = {"account_id": account_id, "address": address, "words": words}
        return _made(Suppressed, self._ask("POST", "/suppressed", json=given))

    def unsuppress(self, suppressed_id: int) -> None:
        """Take an address off the list (scope operate)."""
        self._ask_once_gone(f"/suppressed/{suppressed_id}")

    def aliases(self, account_id: int) -> list[Alias]:
        """The account's aliases: further addresses from which it may send (scope read)."""
        return [_made(Alias, each) for each in self._ask("GET", f"/accounts/{account_id}/aliases")]

    def add_alias(self, account_id: int, email: str, display_name: str = "", signature: str = "") -> Alias:
        """Add an alias to an account (scope administer)."""
        given = {"email": email, "display_name": display_name, "signature": signature}
        headers = {"Idempotency-Key": str(uuid.uuid4())}  # shared by the tries of this call
        return _made(Alias, self._ask("POST", f"/accounts/{account_id}/aliases", json=given, headers=headers))

    def remove_alias(self, alias_id: int) -> None:
        """Remove an alias; mail from it that waits in the outbox is still sent (scope administer)."""
        self._ask_once_gone(f"/aliases/{alias_id}")

    def features(self) -> list[Feature]:
        """All feature flags (scope administer, for all accounts)."""
        return [_made(Feature, each) for each in self._ask("GET", "/features")]

    def set_feature(self, feature: str, percent: int) -> Feature:
        """Switch a feature on for a share of all accounts, always the same ones (scope administer, all accounts)."""
        return _made(Feature, self._ask("PUT", f"/features/{feature}", json={"percent": percent}))

    def set_feature_of(self, feature: str, account_id: int, on: bool | None) -> Feature:
        """Switch a feature on or off for one account; None: as for all (scope administer, for all accounts)."""
        return _made(Feature, self._ask("PUT", f"/features/{feature}/accounts/{account_id}", json={"on": on}))

    def completeness(self, account_id: int) -> Completeness:
        """The last comparison of the account's stored mail with its server (scope read)."""
        return _made(Completeness, self._ask("GET", f"/accounts/{account_id}/completeness"))

    def sync(self, account_id: int) -> None:
        """Queue a sync of an account now (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/sync")

    def pause(self, account_id: int) -> None:
        """Send nothing from an account until it is resumed; its mail is kept (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/pause")

    def resume(self, account_id: int) -> None:
        """Send mail of an account again, after pause() (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/resume")

    def needs(self) -> list[Need]:
        """The problems of the token's accounts that need a person (scope read)."""
        return [_made(Need, each) for each in self._ask("GET", "/health")["needs"]]

    def _ask_once_gone(self, path: str) -> None:
        """Send DELETE. A 404 counts as success only if an earlier try of this call got no response."""
        lost = 0

        def count(seconds: float) -> None:
            nonlocal lost
            lost += 1
            self.wait(seconds)

        try:
            self._answer("DELETE", path, wait=count)
        except Refused as error:
            if not (lost and error.status == httpx.codes.NOT_FOUND):
                raise

    def _bytes(self, path: str) -> bytes:
        return self._answer("GET", path).content

    def _pages(self, path: str, cursor: str, **asked: Any) -> Iterator[dict[str, Any]]:
        """The rows of a list; pages are fetched as needed. cursor: the parameter that gets a page's `next`."""
        place: dict[str, Any] = {}
        while True:
            page = self._ask("GET", path, params={"limit": LARGEST_PAGE} | asked | place)
            yield from page["items"]
            if page["next"] is None:
                return
            place = {cursor: page["next"]}

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        return self._answer(method, path, **request).json()["data"]

    def _answer(
        self, method: str, path: str, *, wait: Callable[[float], object] | None = None, **request: Any
    ) -> httpx.Response:
        """The successful response to a request, which is repeated if need be: it must be idempotent or have a key.

        Raises ClientError.
        """
        wait = wait or self.wait
        for number in range(self.tries):
            is_last = number == self.tries - 1
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if is_last:
                    raise Unreachable(f"{self.base_url} gave no answer: {error}") from error
                wait(FIRST_WAIT * 2**number)
                continue
            if response.is_success:
                return response
            if is_last or not (response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error):
                raise _refused(response)
            wait(_seconds(response, FIRST_WAIT * 2**number))
        raise ValueError("tries must be at least 1.")


def _is_modern(message: Message) -> bool:
    """Whether it is an EmailMessage. With a policy, as_bytes() of the older Message breaks lines in its own way."""
    return hasattr(message, "iter_attachments")


def _made(kind: type[Any], given: dict[str, Any]) -> Any:
    """An instance of a dataclass from JSON; unknown members, which a newer site may send, are ignored."""
    return kind(**{name: given[name] for name in kind.__dataclass_fields__})


def _seconds(response: httpx.Response, otherwise: float) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT) if text.isdecimal() else otherwise


def _refused(response: httpx.Response) -> Refused:
    try:
        error = response.json()["error"]
        return Refused(response.status_code, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):  # not the site's response, but that of a proxy
        return Refused(response.status_code, "", f"HTTP {response.status_code} {response.reason_phrase}")
