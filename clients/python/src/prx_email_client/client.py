"""A client of the HTTP API. Every request that it repeats has the same effect once or many times."""

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
LONGEST_KEY = 190  # characters, as the API says


class ClientError(Exception):
    """A request that did not succeed; str() says why."""


class Refused(ClientError):
    """The site said no. `status` is HTTP's, `code` the API's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Unreachable(ClientError):
    """The site gave no answer. A mail may have been accepted: ask again with the same key or Message-ID."""


@dataclass
class Client:
    """`tries`: of one request at most. Safe to use from several threads. Close it, or use it as a context manager."""

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
        self._http.close()

    def accounts(self) -> list[Account]:
        """The accounts that the token may see (scope read)."""
        return [_made(Account, each) for each in self._pages("/accounts", "after")]

    def send(self, mail: Mail, *, key: str = "") -> SendState:
        """Have the site write and send this mail. `key`: the same for the same mail; without, each call is a mail."""
        key = key or str(uuid.uuid4())
        if len(key) > LONGEST_KEY:
            raise ValueError(f"An idempotency key has {LONGEST_KEY} characters at most.")
        return _made(SendState, self._ask("POST", "/send", json=mail.as_json(), headers={"Idempotency-Key": key}))

    def submit(self, mail_from: str, rcpt_to: Sequence[str], message: Message | bytes) -> SendState:
        """Have the site send this mail as it stands. `mail_from` is an address of the account, and so is its From.

        Its Message-ID is the idempotency key. One that is absent is written into `message`, so that the same object
        is the same mail also in a later call; bytes must have one.
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
        """Received messages, newest first, fetched page by page as they are taken (scope read)."""
        asked = {} if account is None else {"account": account}
        return (_made(MessageHead, each) for each in self._pages("/messages", "before", **asked))

    def search(self, query: str) -> Iterator[MessageHead]:
        """As the search page finds them: `from:ann has:attachment invoice` (scope read)."""
        return (_made(MessageHead, each) for each in self._pages("/messages/search", "before", q=query))

    def source(self, message: int) -> bytes:
        """A received mail's bytes as they came (scope read)."""
        return self._bytes(f"/messages/{message}/source")

    def attachment(self, message: int, position: int) -> bytes:
        """The decoded bytes of an attachment (scope read)."""
        return self._bytes(f"/messages/{message}/attachments/{position}")

    def outbox(self, **filters: str | int) -> Iterator[OutboxHead]:
        """Written mail, newest first, with the filters of the outbox page: state="retrying" (scope read)."""
        return (_made(OutboxHead, each) for each in self._pages("/outbox", "before", **filters))

    def suppressed(self, *, account: int | None = None) -> Iterator[Suppressed]:
        """The addresses not written to, newest first (scope read)."""
        asked = {} if account is None else {"account": account}
        return (_made(Suppressed, each) for each in self._pages("/suppressed", "before", **asked))

    def suppress(self, account_id: int, address: str, words: str = "") -> Suppressed:
        """Have an account write to an address no more; one that is listed stays as it is (scope operate)."""
        given = {"account_id": account_id, "address": address, "words": words}
        return _made(Suppressed, self._ask("POST", "/suppressed", json=given))

    def unsuppress(self, suppressed_id: int) -> None:
        """Have the address written to again (scope operate)."""
        self._ask_once_gone(f"/suppressed/{suppressed_id}")

    def aliases(self, account_id: int) -> list[Alias]:
        """The account's further addresses (scope read)."""
        return [_made(Alias, each) for each in self._ask("GET", f"/accounts/{account_id}/aliases")]

    def add_alias(self, account_id: int, email: str, display_name: str = "", signature: str = "") -> Alias:
        """Let mail come from this address, too (scope administer)."""
        given = {"email": email, "display_name": display_name, "signature": signature}
        headers = {"Idempotency-Key": str(uuid.uuid4())}  # for the tries of this call
        return _made(Alias, self._ask("POST", f"/accounts/{account_id}/aliases", json=given, headers=headers))

    def remove_alias(self, alias_id: int) -> None:
        """No new mail comes from it; what waits still goes out (scope administer)."""
        self._ask_once_gone(f"/aliases/{alias_id}")

    def features(self) -> list[Feature]:
        """All feature flags (scope administer, for all accounts)."""
        return [_made(Feature, each) for each in self._ask("GET", "/features")]

    def set_feature(self, feature: str, percent: int) -> Feature:
        """Have it on for a share of all accounts, the same ones each time (scope administer, for all accounts)."""
        return _made(Feature, self._ask("PUT", f"/features/{feature}", json={"percent": percent}))

    def set_feature_of(self, feature: str, account_id: int, on: bool | None) -> Feature:
        """For one account; None: as for all (scope administer, for all accounts)."""
        return _made(Feature, self._ask("PUT", f"/features/{feature}/accounts/{account_id}", json={"on": on}))

    def completeness(self, account_id: int) -> Completeness:
        """How the account's stored mail compares with its server (scope read)."""
        return _made(Completeness, self._ask("GET", f"/accounts/{account_id}/completeness"))

    def sync(self, account_id: int) -> None:
        """Have the workers fetch an account's mail now (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/sync")

    def pause(self, account_id: int) -> None:
        """Send nothing from an account until it is resumed; its mail is kept (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/pause")

    def resume(self, account_id: int) -> None:
        self._ask("POST", f"/accounts/{account_id}/resume")

    def needs(self) -> list[Need]:
        """What needs a person, of the token's accounts; none when all is well (scope read)."""
        return [_made(Need, each) for each in self._ask("GET", "/health")["needs"]]

    def _ask_once_gone(self, path: str) -> None:
        """DELETE; that it is not there is success only for a try behind one whose answer was lost."""
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
        """The rows of a list, page by page as they are taken. `cursor`: the parameter that bears a page's `next`."""
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
        """Only for requests that may be repeated: what is read, has an idempotency key, or is the same done twice."""
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
    """The older classes of the standard library break lines of their own when they are given a policy."""
    return hasattr(message, "iter_attachments")


def _made(kind: type[Any], given: dict[str, Any]) -> Any:
    """What a newer site says beside it is left out."""
    return kind(**{name: given[name] for name in kind.__dataclass_fields__})


def _seconds(response: httpx.Response, otherwise: float) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT) if text.isdecimal() else otherwise


def _refused(response: httpx.Response) -> Refused:
    try:
        error = response.json()["error"]
        return Refused(response.status_code, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):  # not the site: a proxy before it
        return Refused(response.status_code, "", f"HTTP {response.status_code} {response.reason_phrase}")
