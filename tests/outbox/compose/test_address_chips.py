"""What was understood of a field of addresses is said by the one reader of addresses, to whoever may write mail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account
from tests.rows import NOWHERE

pytestmark = pytest.mark.django_db
ADDRESSES = "/outbox/addresses/"


@pytest.fixture
def operator(client: Client, make_user: Callable[..., User], make_account: Callable[..., Account]) -> Client:
    make_account(**NOWHERE)
    client.force_login(make_user("operator"))
    return client


def test_pasted_addresses_are_shown_one_by_one_and_what_is_none_says_why(operator: Client) -> None:
    typed = 'Last, First <a@example.com>; "B, C" <b@example.com>\nwrong@@example.com\nc@example.com'
    items = operator.post(ADDRESSES, {"typed": typed}).json()["items"]
    understood = [item["address"] for item in items if not item["problem"]]
    assert understood == ["a@example.com", "b@example.com", "c@example.com"]
    assert items[0]["name"] == "Last, First"
    wrong = [item for item in items if item["problem"]]
    assert len(wrong) == 1 and wrong[0]["value"] == "wrong@@example.com"


def test_what_a_chip_leaves_in_the_field_is_read_as_the_same_addresses(operator: Client) -> None:
    items = operator.post(ADDRESSES, {"typed": "Last, First <a@example.com>; b@example.com"}).json()["items"]
    again = operator.post(ADDRESSES, {"typed": ", ".join(item["value"] for item in items)}).json()["items"]
    assert again == items


def test_a_list_without_end_is_cut_and_says_how_many_more(operator: Client) -> None:
    answer = operator.post(ADDRESSES, {"typed": ",".join(f"u{n}@example.com" for n in range(130))}).json()
    assert (len(answer["items"]), answer["more"]) == (100, 30)


def test_only_who_may_write_mail_is_answered(client: Client, make_user: Callable[..., User]) -> None:
    assert client.post(ADDRESSES, {"typed": "a@example.com"})["Location"].startswith(reverse("login"))
    client.force_login(make_user("viewer"))
    assert client.post(ADDRESSES, {"typed": "a@example.com"}).status_code == 403
