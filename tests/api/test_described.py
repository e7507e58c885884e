"""What the schema does not say of an operation is refused, by each of them; what it says of conditions holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from ninja.openapi.schema import OpenAPISchema
from pydantic import BaseModel

from alerts.models import AlertRule, Webhook
from api.models import Token
from api.v1.protocol.described import EachAnswerOnce
from api.v1.site import api
from mailbox.models import Account, LegalHold, Message, RetentionRule
from outbox.models import OutboxMessage, SendingSwitch
from tests.api.calling import V1, Program, is_problem, ops
from tests.api.operations import operations
from tests.rows import outbox_row
from tests.test_every_address import undone

__all__ = ["ops"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
# They ask for something or make something: nothing is there yet that could have changed.
WITHOUT_CONDITION = {
    *("create_account", "add_alias", "send", "submit", "reply", "suppress", "import_suppressed", "create_export"),
    *("test_account", "sync_account", "refresh_folders", "fetch_message", "fetch_again", "go_on", "bulk"),
    *("preview_rule", "create_rule", "create_hold", "invite", "sign_out_person"),
    *("add_webhook", "test_webhook", "deliver_again", "add_alert_rule", "test_alert_rule"),
    *(
        "create_draft",
        "add_saved_reply",
        "fill_saved_reply",
        "reparse",
        "find_settings",
        "find_person",
        "export_person",
    ),
}
NO_OBJECTS = (b"[]", b"null", b"1", b'"x"', b"", b"\xff", b"{", b"[" * 100_000, b'{"x": ' + b"9" * 5_000 + b"}")


@pytest.fixture
def program(make_user: Callable[..., User]) -> Program:
    return Program(make_user("administrator"), per_minute=100_000)


@pytest.fixture
def schema() -> dict[str, Any]:
    found = Client().get(f"{V1}/openapi.json").json()
    operations = [each for methods in found["paths"].values() for each in methods.values()]
    by_name = {each["operationId"]: each for each in operations}
    assert len(by_name) == len(operations)  # OpenAPI 3.1: unique among all operations
    return by_name


def parameters(operation: dict[str, Any], place: str) -> dict[str, Any]:
    return {each["name"]: each["schema"] for each in operation.get("parameters", []) if each["in"] == place}


def raw(program: Program, method: str, path: str, body: bytes, content_type: str = "application/json") -> Any:
    headers = {"authorization": f"Bearer {program.secret}"}
    return getattr(program.client, method)(f"{V1}{path}", data=body, content_type=content_type, headers=headers)


def shapes(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for each in base.__subclasses__():
        yield from (each, *shapes(each))


def test_no_two_schemas_have_one_name(schema: dict[str, Any]) -> None:
    """The description would have the one in place of the other."""
    ours = {each for each in shapes() if each.__module__.partition(".")[0] in ("api", "prx_email_site")}
    names = Counter(each.__name__ for each in ours)
    assert [name for name, number in names.items() if number > 1] == [] and names["SendState"] == 1


def test_a_parameter_that_an_operation_has_not_is_refused(
    program: Program, ops: Account, subtests: pytest.Subtests
) -> None:
    """A misspelt filter would list all instead of some."""
    for name, each in operations(ops).items():
        with subtests.test(name), undone():
            path = f"{each.path}{'&' if '?' in each.path else '?'}acount=1"
            answered = program.ask(each.method, path, each.body)
            assert is_problem(answered, 422, "Validation") and "acount" in answered.json()["detail"]
    without_token = Client().get(f"{V1}/accounts?acount=1")
    assert is_problem(without_token, 401, "Unauthorized")


def test_a_body_that_is_not_as_described_is_refused(program: Program, ops: Account, subtests: pytest.Subtests) -> None:
    """Another type, no object, or a member that is misspelt."""
    for name, each in operations(ops).items():
        if each.body is None:
            continue
        with subtests.test(name), undone():
            said = json.dumps(each.body).encode()
            for other in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
                assert is_problem(raw(program, each.method, each.path, said, other), 415, "WrongType")
            for body in NO_OBJECTS:
                answered = raw(program, each.method, each.path, body)
                assert answered.status_code in (400, 422) and is_problem(answered, answered.status_code, "Validation")
            answered = program.ask(each.method, each.path, each.body | {"dryrun": True})
            assert is_problem(answered, 422, "Validation") and "dryrun" in answered.json()["detail"]
    assert not SendingSwitch.objects.filter(paused_at__isnull=False).exists()


def test_a_misspelt_filter_of_a_bulk_action_means_nothing_instead_of_all(program: Program, ops: Account) -> None:
    row = outbox_row(ops)
    answered = program.post("/outbox/bulk", {"action": "cancel", "filter": {"acount": 999}})
    assert is_problem(answered, 422, "Validation")
    assert OutboxMessage.objects.get(pk=row.pk).status == "pending"


def test_whatever_changes_something_heeds_the_etag_of_it(
    program: Program, ops: Account, schema: dict[str, Any], subtests: pytest.Subtests
) -> None:
    """A stale one changes nothing; where there is none to compare with, it is refused."""
    heeding = {name for name, each in schema.items() if "If-Match" in parameters(each, "header")}
    assert heeding.isdisjoint(WITHOUT_CONDITION)
    table = operations(ops)
    changing = {name for name, each in table.items() if each.method != "get"}
    assert changing == heeding | WITHOUT_CONDITION
    before = state()
    for name in sorted(changing):
        with subtests.test(name):
            answered = program.ask(table[name].method, table[name].path, table[name].body, **{"if-match": '"stale"'})
            due = (412, "Changed") if name in heeding else (422, "Validation")
            assert is_problem(answered, *due)
            assert state() == before


def state() -> list[Any]:
    of_mail = (Account, Message, OutboxMessage, SendingSwitch, RetentionRule, LegalHold)
    models = (*of_mail, User, User.groups.through, Webhook, AlertRule)
    rows = [list(model._default_manager.order_by("pk").values()) for model in models]
    return [*rows, set(Token.objects.values_list("pk"))]  # each use of one is noted in its row


def seen_at(paths: dict[str, Any], path: str) -> str:
    """The path with a GET that what this path changes is read at: itself, or the nearest one above."""
    while path and "get" not in paths.get(path, {}):
        path = path.rpartition("/")[0]
    return path


def test_what_is_still_as_it_was_seen_is_changed(program: Program, ops: Account, subtests: pytest.Subtests) -> None:
    """Whatever heeds If-Match, with the ETag of the row's own GET. Of another account it is not there, stale or not."""
    paths, table = Client().get(f"{V1}/openapi.json").json()["paths"], operations(ops)
    elsewhere = Program(program.user, accounts=[], per_minute=100_000)
    for path, method, each in ((path, *pair) for path, methods in paths.items() for pair in methods.items()):
        name = each["operationId"]
        if "If-Match" not in parameters(each, "header"):
            assert method not in ("put", "patch", "delete"), name
            continue
        asked = table[name]
        with subtests.test(name), undone():
            if name == "delete_account":
                OutboxMessage.objects.update(status="cancelled", hold="")
            above = path.count("/") - seen_at(paths, path).count("/")
            etag = program.get(asked.path.rsplit("/", above)[0]).headers["ETag"]
            other = elsewhere.ask(asked.method, asked.path, asked.body, **{"if-match": '"stale"'})
            assert other.status_code == (404 if asked.of == "account" else 403)
            changed = program.ask(asked.method, asked.path, asked.body, **{"if-match": etag})
            assert changed.status_code in (200, 202), changed.content


@pytest.mark.parametrize("path", ["/accounts/{pk}/pause", "/accounts/{pk}/resume", "/sending/pause", "/sending/resume"])
def test_a_pause_that_was_made_meanwhile_is_seen_first(program: Program, ops: Account, path: str) -> None:
    asked = path.format(pk=ops.pk)
    where = asked.rpartition("/")[0]
    body = {} if where == "/sending" else None
    etag = program.get(where).headers["ETag"]
    assert program.post(f"{where}/pause", body).status_code == 200
    assert is_problem(program.post(asked, body, **{"if-match": etag}), 412, "Changed")
    now = program.get(where).headers["ETag"]
    assert program.post(asked, body, **{"if-match": now}).status_code == 200


def lists(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in schema.items():
        if "limit" in (found := parameters(each, "query")):
            yield name, found


def test_every_list_takes_1_to_500_rows_and_goes_on_by_a_cursor(
    program: Program, ops: Account, schema: dict[str, Any], subtests: pytest.Subtests
) -> None:
    table, found = operations(ops), dict(lists(schema))
    paged = {name for name, each in schema.items() if "Answer_Page_" in json.dumps(each["responses"])}
    assert paged <= set(found) and len(paged) > 8
    for name, stated in found.items():
        with subtests.test(name):
            assert (stated["limit"]["minimum"], stated["limit"]["maximum"]) == (1, 500)
            assert {"before", "after"} & set(stated) and not {"offset", "page"} & set(stated)
            path = f"{table[name].path}{'&' if '?' in table[name].path else '?'}limit="
            assert {program.get(f"{path}{number}").status_code for number in (1, 500)} == {200}
            for wrong in ("0", "501", "-1", "x"):
                assert is_problem(program.get(f"{path}{wrong}"), 422, "Validation")


def test_each_kind_of_answer_is_described_once_however_many_operations_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import_module("prx_email_site.urls")  # registers the API's addresses, which must be before its schema
    described: list[Any] = []
    describe = OpenAPISchema._create_schema_from_model

    def counted(self: OpenAPISchema, model: Any, *args: Any, **kwargs: Any) -> Any:
        if model.__name__ == "NinjaResponseSchema":
            described.append(model.model_fields["response"].annotation)
        return describe(self, model, *args, **kwargs)

    monkeypatch.setattr(OpenAPISchema, "_create_schema_from_model", counted)
    paths = EachAnswerOnce(api, V1)["paths"]
    places = sum(len(each["responses"]) for methods in paths.values() for each in methods.values())
    assert len(described) == len(set(described)) < 100 < 1_000 < places


@pytest.mark.long
def test_the_schema_is_as_ninja_writes_it() -> None:
    assert EachAnswerOnce(api, V1) == OpenAPISchema(api, V1)
