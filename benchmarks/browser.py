"""A signed-in person without a browser: http, cookies, and the hidden fields of forms."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from html import unescape
from http.cookiejar import CookieJar

_HIDDEN = re.compile(r"<input[^>]*type=\"hidden\"[^>]*>")


class Person:
    """Speaks to the site at `base`, as http://127.0.0.1:8000; raises urllib.error.HTTPError for a refusal."""

    def __init__(self, base: str) -> None:
        self.base = base
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))

    def get(self, path: str) -> str:
        """The body of a page. Raises HTTPError for a status of 400 or more; waits a minute at most."""
        with self._opener.open(self.base + path, timeout=60) as answer:
            return str(answer.read().decode())

    def hidden(self, path: str) -> dict[str, str]:
        """The hidden fields of the page's forms."""
        found = {}
        for field in _HIDDEN.findall(self.get(path)):
            words = {name: unescape(value) for name, value in re.findall(r'(\w+)="([^"]*)"', field)}
            found[words.get("name", "")] = words.get("value", "")
        return found

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Where the site led to in the end."""
        content = urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(self.base + path, content, {"Referer": self.base + path})
        with self._opener.open(request, timeout=60) as answer:
            answer.read()
            return str(answer.geturl())

    def sign_in(self, user: str, password: str) -> None:
        """Sign in. Raises RuntimeError if the sign-in is refused."""
        path = "/login/"
        ended = self.post(path, self.hidden(path) | {"username": user, "password": password})
        if path in ended:
            raise RuntimeError("The sign-in was refused.")
