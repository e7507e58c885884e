"""The pages of exports: a question with a number first, then the file for whoever may read all of it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mailbox.models import Account, AuditEntry, Export, Quarantine
from tests.api.calling import Program, is_problem
from tests.mailbox.exports.asking import asked, made, mails, operator
from tests.rows import folder_of, letter, store

__all__ = ["operator"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.fixture
def browser(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def test_a_list_leads_to_a_question_and_the_question_to_a_file(browser: Client, account: Account) -> None:
    mails(account)
    address = f"/messages/export/?account={account.pk}"
    assert address in browser.get(f"/messages/?account={account.pk}").content.decode()
    page = browser.get(address).content.decode()
    assert "3 messages" in page and "ops@example.com" in page and not Export.objects.exists()
    key = re.findall(r'name="key" value="([^"]+)"', page)[0]
    for _ in range(2):  # sent twice it is one
        browser.post(address, {"form": "zip", "key": key})
    export = Export.objects.get()
    under_way = browser.get(f"/exports/{export.pk}/").content.decode()
    assert "Under way" in under_way and browser.get(f"/exports/{export.pk}/file/").status_code == 302
    made(export)
    assert "Download" in browser.get(f"/exports/{export.pk}/").content.decode()
    response = browser.get(f"/exports/{export.pk}/file/")
    content = b"".join(response.streaming_content)  # type: ignore[attr-defined]
    assert len(zipfile.ZipFile(io.BytesIO(content)).namelist()) == 5
    assert response["Content-Length"] == str(len(content))
    manifest = b"".join(browser.get(f"/exports/{export.pk}/manifest.csv").streaming_content)  # type: ignore[attr-defined]
    assert manifest.count(b"ops@example.com") == 3
    assert [each.verb for each in AuditEntry.objects.order_by("pk")] == ["export_asked", "export_downloaded"]
    assert "ops@example.com" in browser.get("/exports/").content.decode()
    assert "Remove this export?" in browser.post(f"/exports/{export.pk}/remove/").content.decode()
    browser.post(f"/exports/{export.pk}/remove/", {"confirmed": "1"})
    assert not Export.objects.exists()


def test_what_is_no_list_and_no_form_is_refused(browser: Client, account: Account) -> None:
    assert browser.get("/messages/export/?team=nobody").status_code == 400
    assert browser.get("/messages/export/?account=99999").status_code == 403
    page = browser.post("/messages/export/", {"form": "pdf", "key": "no key"})
    assert "Choose the form" in page.content.decode() and not Export.objects.exists()


def test_nobody_else_has_it_and_nobody_without_all_its_accounts(
    browser: Client, account: Account, operator: User, client: Client
) -> None:
    mails(account, 1)
    made(export := asked(operator))
    operator.groups.clear()
    assert browser.get(f"/exports/{export.pk}/").status_code == 200
    assert browser.get(f"/exports/{export.pk}/file/").status_code == 403
    stranger = User.objects.create_user("stranger")
    client.force_login(stranger)
    for what in ("", "file/", "manifest.csv"):
        assert client.get(f"/exports/{export.pk}/{what}").status_code == 403


def test_a_program_asks_for_it_and_fetches_it_in_parts(account: Account, operator: User) -> None:
    program = Program(operator)
    mails(account)
    asked_for = program.post("/exports", {"form": "mbox", "account_id": account.pk})
    export = Export.objects.get(pk=asked_for.json()["data"]["id"])
    at = f"/exports/{export.pk}"
    assert is_problem(program.get(f"{at}/file"), 409, "Conflict")
    content = made(export)
    assert program.get(at).json()["data"]["done"] == 3
    whole = program.get(f"{at}/file")
    assert b"".join(whole) == content
    part = program.get(f"{at}/file", Range="bytes=5-9")
    assert (part.status_code, b"".join(part)) == (206, content[5:10])
    assert is_problem(program.post("/exports", {"form": "zip", "q": "larger:x"}), 422, "Validation")
    assert is_problem(program.post("/exports", {"form": "zip", "account_id": 99999}), 404, "NotFound")
    Export.objects.update(what="person")
    assert is_problem(program.get(at), 404, "NotFound")


def test_lists_come_as_csv_that_no_spreadsheet_takes_for_formulas(
    browser: Client, account: Account, operator: User, make_user: Callable[..., User]
) -> None:
    evil = store(account, letter("=1+1", From="ann@example.com"))
    Quarantine.objects.create(account=account, folder=folder_of(account), uid=7, uidvalidity=1, error="x", subject="@x")
    browser.force_login(make_user("viewer"))
    for query in ("", f"?account={account.pk}", f"?folder={folder_of(account).pk}"):
        lines = b"".join(browser.get(f"/messages/list.csv{query}")).decode()
        assert "'=1+1" in lines and evil.message_id in lines and lines.count("ops@example.com") == 1
    assert "list.csv" in browser.get("/messages/").content.decode()
    assert browser.get("/messages/list.csv?team=nobody").status_code == 400
    assert "'@x" in b"".join(browser.get("/quarantine/?format=csv")).decode()
    browser.force_login(make_user(""))
    assert b"ops@example.com" not in b"".join(browser.get("/messages/list.csv"))
