"""The page of the API's documentation: all operations listed, those of one subject in full."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from api.documentation import _with_code

pytestmark = pytest.mark.django_db


def test_each_listed_operation_is_in_full_where_its_link_leads(viewer: Client) -> None:
    first = viewer.get("/api/").content.decode()
    links = re.findall(r'<a class="mono wraps" href="([^"#]*)#(\w+)">', first)
    pages = {query: viewer.get(f"/api/{query}").content.decode() for query, _name in links}
    assert len(links) > 100 and len(pages) > 10
    assert [name for query, name in links if f'id="{name}"' not in pages[query]] == []
    assert [query for query, page in pages.items() if "`" in page] == []


def test_the_long_list_is_folded_away_below_the_subjects(viewer: Client) -> None:
    page = viewer.get("/api/?about=people").content.decode()
    tabs = re.search(r'<nav class="tabs".*?</nav>', page, re.DOTALL)
    assert tabs and re.findall(r'href="([^"]+)" aria-current="page"', tabs[0]) == ["?about=people"]
    folded = re.search(r"<details class=\"panel\">.*?</details>", page, re.DOTALL)
    assert folded and folded[0].count("<li>") > 100 and "<details open" not in page
    outside = page.replace(folded[0], "")
    assert outside.count('<a class="mono wraps"') == 0 and 'id="list_people"' in outside


def test_a_subject_that_is_not_there_is_no_page(viewer: Client) -> None:
    assert viewer.get("/api/?about=nothing").status_code == 404


def test_what_stands_between_backticks_is_code_and_all_else_is_escaped() -> None:
    assert str(_with_code({"description": "`a&b` is\n<i>not</i>"})) == "<code>a&amp;b</code> is &lt;i&gt;not&lt;/i&gt;"


def test_nobody_reads_it_who_is_not_signed_in(client: Client, make_user: Callable[..., Any]) -> None:
    assert client.get("/api/?about=people").status_code == 302
