"""A person's browser at the identity provider, without a browser: the form of the name, and the form of the consent."""

from __future__ import annotations

import http.cookiejar
import re
import urllib.parse
import urllib.request
from email.message import Message
from typing import IO, Any


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, request: Any, answer: Any, code: int, words: str, headers: Message) -> IO[bytes]:
        return answer  # type: ignore[no-any-return]

    http_error_301 = http_error_303 = http_error_307 = http_error_302  # type: ignore[assignment]


class Person:
    """Somebody with an address and a fresh browser."""

    def __init__(self, name: str, *, consents: bool = True) -> None:
        self.name, self.consents = name, consents
        self._browser = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), _NoRedirects()
        )

    def authorize(self, address: str) -> str:
        """Follow an authorization address to the end: the callback's address with `code` or `error`."""
        issuer = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(address))
        for _ in range(12):
            if not address.startswith(issuer):
                return address
            page, location = self._open(address)
            address = location or self._answer(address, page)
        raise RuntimeError("The provider leads nowhere.")

    def enter_code(self, address: str, user_code: str) -> None:
        """The device flow's page (RFC 8628, 3.3): type the code, agree, sign in, consent."""
        self._open(address)  # sets the cookies of the page
        page, location = self._open(address)
        fields = _fields(page) | {"user_code": user_code, "confirm": "yes"}
        page, location = self._open(address, fields)
        for _ in range(10):
            if location:
                page, location = self._open(location)
                address = self._at
            elif "/interaction/" in self._at:
                location = self._answer(self._at, page)
            else:
                return

    def _answer(self, address: str, page: str) -> str:
        if not self.consents:
            return self._open(f"{address}/abort")[1]
        prompt = _fields(page)["prompt"]
        more = {"login": self.name, "password": "any"} if prompt == "login" else {}
        return self._open(address, {"prompt": prompt, **more})[1]

    def _open(self, address: str, fields: dict[str, str] | None = None) -> tuple[str, str]:
        """The page's text, and where it leads."""
        body = urllib.parse.urlencode(fields).encode() if fields is not None else None
        self._at = address
        with self._browser.open(urllib.request.Request(address, body), timeout=10) as answer:
            location = answer.headers.get("Location", "")
            return answer.read().decode(), urllib.parse.urljoin(address, location) if location else ""


def _fields(page: str) -> dict[str, str]:
    return {
        re.search(r'name="([^"]*)"', each)[1]: re.search(r'value="([^"]*)"', each)[1]  # type: ignore[index]
        for each in re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
        if 'value="' in each
    }
