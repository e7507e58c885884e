"""The pages: counted by table first, exported or erased after a question, by administrators of all accounts alone."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mailbox.exports import requests as exports
from mailbox.models import Account, Export, LegalHold, Message, PersonSearch
from outbox.models import SuppressedAddress
from prx_email_site.personal_data import requests
from prx_email_site.personal_data.tasks import person_export_slice, person_slice, person_sweep
from tests.personal_data.everywhere import EVE, NOW, fill, where_it_stands

pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("administrator")


@pytest.fixture
def browser(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def looked_for(browser: Client) -> PersonSearch:
    browser.post("/personal-data/", {"address": f" {EVE.upper()} ", "key": str(uuid.uuid4())})
    search = PersonSearch.objects.get()
    while PersonSearch.objects.at_work().exists():
        person_slice(search.pk)
    search.refresh_from_db()
    return search


def test_it_is_counted_then_asked_about_then_erased(browser: Client, account: Account, user: User) -> None:
    fill(account, user)
    assert browser.post("/personal-data/", {"address": "nobody", "key": str(uuid.uuid4())}).status_code == 422
    search = looked_for(browser)
    address = f"/personal-data/{search.pk}/"
    page = browser.get(address).content.decode()
    assert "to be removed" in page and "only mentions" in page and EVE in page
    kept = SuppressedAddress.objects.get(address=EVE)
    assert f'stay: so that nobody writes to this person again <span class="muted small">(row {kept.pk})' in page
    assert EVE in browser.get("/personal-data/").content.decode()
    question = browser.post(f"{address}erase/", {"mentions": "1"}).content.decode()
    assert "Erase all that is stored of" in question and Message.objects.filter(sender_address=EVE).exists()
    browser.post(f"{address}erase/", {"mentions": "1", "confirmed": "1"})
    while PersonSearch.objects.at_work().exists():
        person_slice(search.pk)
    page = browser.get(address).content.decode()
    assert "Signed report" in page and EVE not in page
    assert browser.get(f"{address}report.json").json()["report"]["person"] == search.digest
    assert where_it_stands(EVE) == {"outbox.SuppressedAddress.address"}
    assert browser.post(f"{address}erase/", {"confirmed": "1"}).status_code == 403


def test_an_export_of_a_person_is_for_administrators_alone(
    browser: Client, account: Account, user: User, make_user: Callable[..., User]
) -> None:
    fill(account, user)
    search = looked_for(browser)
    response = browser.post(f"/personal-data/{search.pk}/export/", {"key": str(uuid.uuid4())})
    export = Export.objects.get()
    assert response.headers["Location"] == f"/exports/{export.pk}/"
    person_export_slice(export.pk)
    assert "Download" in browser.get(f"/exports/{export.pk}/").content.decode()
    export.refresh_from_db()
    names = zipfile.ZipFile(io.BytesIO(b"".join(exports.pieces(export)))).namelist()
    assert len([name for name in names if name.endswith(".eml")]) == 2 and "person.json" in names
    operator = make_user("operator")
    Export.objects.update(user=operator, finished_at=None)
    browser.force_login(operator)
    assert browser.get(f"/exports/{export.pk}/file/").status_code == 403
    assert browser.get("/personal-data/").status_code == 403
    person_export_slice(export.pk)
    export.refresh_from_db()
    assert export.error


def test_a_hold_is_said_instead_of_the_button(browser: Client, account: Account, user: User) -> None:
    fill(account, user)
    search = looked_for(browser)
    LegalHold.objects.create(address=EVE, reason="Case 1")
    page = browser.get(f"/personal-data/{search.pk}/").content.decode()
    assert "A legal hold stands on this address" in page
    assert "to be removed" not in page and "to lose the address" not in page
    browser.post(f"/personal-data/{search.pk}/erase/", {"confirmed": "1"})
    search.refresh_from_db()
    assert search.state == "counted"


def test_what_stands_still_is_taken_up_and_an_address_is_forgotten_after_a_day(
    account: Account, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = requests.begin(EVE, user, uuid.uuid4(), NOW)
    PersonSearch.objects.update(moved_at=NOW - timedelta(minutes=5))
    queued: list[int] = []
    monkeypatch.setattr(requests, "queue_slice", queued.append)
    assert person_sweep()["searches"] == 1 and queued == [search.pk]
    person_slice(search.pk)
    PersonSearch.objects.update(state="counted", moved_at=NOW - timedelta(days=2))
    assert person_sweep()["forgotten"] == 1
