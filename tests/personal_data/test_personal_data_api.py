"""A person's data by the API: counted first, exported or erased only when asked for by name."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from api.models import Scope
from mailbox.models import Account, AuditEntry, Export, LegalHold, PersonSearch
from prx_email_site.personal_data.tasks import person_export_slice, person_slice
from tests.api.calling import Program, is_problem, program
from tests.personal_data.everywhere import EVE, fill, where_it_stands

__all__ = ["program"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def worked() -> None:
    while search := PersonSearch.objects.at_work().first():
        person_slice(search.pk)


def looked_for(program: Program) -> str:
    asked = program.post("/persons", {"address": f" {EVE.upper()} "}, **{"idempotency-key": "k"})
    assert asked.status_code == 202 and asked.json()["data"]["state"] == "counting"
    again = program.post("/persons", {"address": f" {EVE.upper()} "}, **{"idempotency-key": "k"})
    assert again.json() == asked.json() and PersonSearch.objects.count() == 1
    at = f"/persons/{asked.json()['data']['id']}"
    assert is_problem(program.post(f"{at}/erase", {"address": EVE}), 409, "Conflict")
    assert is_problem(program.post(f"{at}/export"), 409, "Conflict")
    worked()
    return at


def test_it_is_erased_only_with_the_address_once_more(program: Program, account: Account, user: User) -> None:
    fill(account, user)
    at = looked_for(program)
    found = program.get(at)
    counted = found.json()["data"]
    assert (counted["state"], counted["address"], counted["why_not"]) == ("counted", EVE, "")
    assert any(line["table"] == "messages" and line["number"] for line in counted["lines"])
    before = where_it_stands(EVE)
    for body in ({}, {"address": ""}, {"address": "other@example.com"}):
        assert is_problem(program.post(f"{at}/erase", body), 422, "Validation")
    assert is_problem(program.post(f"{at}/erase", {"address": EVE}, **{"if-match": '"x"'}), 412, "Changed")
    assert where_it_stands(EVE) == before and PersonSearch.objects.get().state == "counted"
    assert is_problem(program.get(f"{at}/report"), 404, "NotFound")
    etag = {"if-match": found.headers["ETag"]}
    assert program.post(f"{at}/erase", {"address": EVE, "mentions": True}, **etag).status_code == 202
    worked()
    assert where_it_stands(EVE) == {"outbox.SuppressedAddress.address"}
    assert program.get(f"{at}/report").json()["data"]["report"]["person"] == counted["digest"]
    listed = program.get("/persons").json()["data"]["items"]
    assert [(each["state"], each["address"]) for each in listed] == [("erased", "")]
    assert is_problem(program.post(f"{at}/erase", {"address": EVE}), 409, "Conflict")
    assert AuditEntry.objects.filter(verb="use_token", detail=f"p: /api/v1{at}/erase").count() == 1
    assert is_problem(program.post("/persons", {"address": "nobody"}), 422, "Validation")


def test_what_is_held_is_not_erased(program: Program, account: Account, user: User) -> None:
    fill(account, user)
    at = looked_for(program)
    LegalHold.objects.create(address=EVE, reason="Case 1")
    assert "legal hold" in program.get(at).json()["data"]["why_not"]
    refused = program.post(f"{at}/erase", {"address": EVE})
    assert is_problem(refused, 409, "Conflict") and "legal hold" in refused.json()["detail"]
    assert PersonSearch.objects.get().state == "counted"


def test_an_export_is_fetched_by_tokens_that_administer_alone(
    program: Program, account: Account, user: User, make_user: Callable[..., User]
) -> None:
    fill(account, user)
    at = looked_for(program)
    made = program.post(f"{at}/export", **{"idempotency-key": "e"}).json()["data"]
    assert program.post(f"{at}/export", **{"idempotency-key": "e"}).json()["data"] == made
    export = Export.objects.get(pk=made["id"])
    person_export_slice(export.pk)
    answered = program.get(f"/exports/{export.pk}/file")
    names = zipfile.ZipFile(io.BytesIO(answered.getvalue())).namelist()
    assert "person.json" in names and len([name for name in names if name.endswith(".eml")]) == 2
    operating = Program(make_user("administrator"), scopes=[Scope.OPERATE, Scope.READ])
    for path in (f"/exports/{export.pk}", f"/exports/{export.pk}/file"):
        assert is_problem(operating.get(path), 404, "NotFound")
        assert is_problem(Program(make_user("operator")).get(path), 404, "NotFound")
    assert is_problem(operating.ask("delete", f"/exports/{export.pk}"), 404, "NotFound")


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("administrator")
