"""What a screen reader lists without the page around it: each table has a name, each button of a row its row's name."""

from __future__ import annotations

from collections import defaultdict
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mailbox.models import Account, Folder, Transport
from tests.filled_pages import WHO_SEES_MOST, Rows, accounts, addresses, person, probes_ask_in_this_thread, rows

__all__ = ["accounts", "person", "probes_ask_in_this_thread", "rows"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
EMPTY = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
ROWS = ("tr", "li")


class Names(HTMLParser):
    """The ids of a page, the attributes of its tables, and the rows in which each name of a button stands."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.tables: list[dict[str, str | None]] = []
        self.buttons: dict[str, set[int]] = defaultdict(set)
        self._open: list[tuple[str, int]] = []  # (tag, its number) of the elements around
        self._number = 0
        self._said: list[str] | None = None  # within a button of a row
        self._is_of_its_row = False  # whether the button says more than is seen
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._number += 1
        self.ids.add(given.get("id") or "")
        if tag == "table":
            self.tables.append(given)
        if tag not in EMPTY:
            self._open.append((tag, self._number))
        is_button = tag == "button" or (tag == "a" and "button" in (given.get("class") or "").split())
        if is_button and any(each in ROWS for each, _number in self._open):
            self._said, self._is_of_its_row = [], "aria-label" in given or "aria-describedby" in given
        self._is_of_its_row |= "visually-hidden" in (given.get("class") or "").split()

    def handle_endtag(self, tag: str) -> None:
        if tag not in {each for each, _number in self._open}:
            return
        while self._open.pop()[0] != tag:
            pass
        if tag in ("button", "a") and self._said is not None:
            row = next(number for each, number in reversed(self._open) if each in ROWS)
            if not self._is_of_its_row:
                self.buttons[" ".join("".join(self._said).split())].add(row)
            self._said = None

    def handle_data(self, data: str) -> None:
        if self._said is not None:
            self._said.append(data)

    def nameless_tables(self) -> int:
        return sum(
            not each.get("aria-label") and each.get("aria-labelledby") not in self.ids - {""} for each in self.tables
        )

    def names_of_many_rows(self) -> list[str]:
        """What several rows' buttons are called alike, with nothing of their row in it."""
        return [name for name, rows in self.buttons.items() if len(rows) > 1]


@WHO_SEES_MOST
def test_each_table_and_each_button_of_a_row_has_a_name(client: Client, person: User, rows: Rows) -> None:
    now = timezone.now()
    Transport.objects.filter(account_by_imap__email__in=("ops0@example.com", "ops1@example.com")).update(
        needs_sign_in_since=now
    )
    Folder.objects.filter(account__email__in=("ops2@example.com", "ops3@example.com")).update(sync_enabled=False)
    Account.objects.update(folders_listed_at=now)
    client.force_login(person)
    tables, faults = 0, list[str]()
    for url in [*addresses(rows), f"/messages/{rows['message']}/?view=headers"]:
        response = client.get(url)
        if response.status_code != 200 or not response["Content-Type"].startswith("text/html"):
            continue
        names = Names(response.content.decode())
        tables += len(names.tables)
        faults += [f"{url}: {number} tables without a name"] if (number := names.nameless_tables()) else []
        faults += [f"{url}: several rows have “{name}”" for name in names.names_of_many_rows()]
    assert tables > 40
    assert faults == []
