"""Requests to the site. Failed ones are repeated: each is idempotent or has an idempotency key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between tries
LARGEST_PAGE = 500  # rows


class ClientError(Exception):
    """A request failed. str() says why."""


class Refused(ClientError):
    """The site refused the request. `status`: the HTTP status. `code`: the API's error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Unreachable(ClientError):
    """The site did not respond. A mail may have been accepted: repeat the call with the same key or Message-ID."""


class EventsMissed(ClientError):
    """Events were removed before they were read: read the state anew, then go on with `after`."""

    def __init__(self, after: int) -> None:
        super().__init__(f"Events were removed before they were read; those that are left begin behind {after}.")
        self.after = after


@dataclass
class Calls:
    """The requests of one token. Thread-safe. Close it, or use it as a context manager.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def _ask_once_gone(self, path: str, **request: Any) -> None:
        """Send DELETE. A 404 counts as success only if an earlier try of this call got no response."""
        tries = Tries(self.wait)
        try:
            self._answer("DELETE", path, wait=tries.wait_counted, **request)
        except Refused as error:
            if not (tries.lost and error.status == httpx.codes.NOT_FOUND):
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


@dataclass
class Tries:
    """Counts the tries of a call that got no response, or one that may be a proxy's."""

    wait: Callable[[float], object]
    lost: int = 0

    def wait_counted(self, seconds: float) -> None:
        self.lost += 1
        self.wait(seconds)


def made(kind: type[T], given: Any) -> T:
    """An instance of a dataclass from JSON; unknown members, which a newer site may send, are ignored. Another kind,
    such as dict: the JSON itself."""
    found: T = kind(**{each.name: given[each.name] for each in fields(kind)}) if is_dataclass(kind) else given
    return found


def _seconds(response: httpx.Response, otherwise: float) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT) if text.isdecimal() else otherwise


def _refused(response: httpx.Response) -> Refused:
    try:
        error = response.json()["error"]
        return Refused(response.status_code, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):  # not the site's response, but that of a proxy
        return Refused(response.status_code, "", f"HTTP {response.status_code} {response.reason_phrase}")
