"""Runs, incidents, activity, health, quarantine and what is done to a message, by the HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from alerts.models import AlertIncident, Kind
from alerts.problems.find import find_of_accounts, find_problems
from api.models import Scope
from mailbox.models import Account, AuditEntry, SyncRun, SyncRunFolder, WorkerHeartbeat
from outbox.models import SendingSwitch
from tests.api.calling import Program, is_problem, ops, program, sales
from tests.rows import folder_of, letter_with, outbox_row, store

__all__ = ["ops", "program", "sales"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def items(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["data"]["items"]
    return found


def test_runs_go_on_at_their_cursor(program: Program, ops: Account, sales: Account) -> None:
    run = SyncRun.objects.create(trigger="click")
    for account in (ops, sales):
        for number in range(2):
            named = {"folder_name": f"Folder {number}", "error": f"of {account.email}"}
            SyncRunFolder.objects.create(run=run, account=account, folder=folder_of(account), ok=False, **named)
    first = program.get("/runs?limit=3").json()["data"]
    second = items(program.get(f"/runs?limit=3&before={first['next']}"))
    assert [len(first["items"]), len(second)] == [3, 1]
    assert (second[0]["run_id"], second[0]["trigger"]) == (str(run.run_id), "click")
    assert {each["account_id"] for each in items(program.get(f"/runs?account={ops.pk}"))} == {ops.pk}


def test_incidents_are_told_open_or_over(program: Program, ops: Account) -> None:
    now = timezone.now()
    shared = {"kind": "sign_in", "sentence": "?", "opened_at": now, "present_since": now}
    over = AlertIncident.objects.create(key="a", closed_at=now, account=ops, **shared)
    there = AlertIncident.objects.create(key="b", **shared)
    assert [each["id"] for each in items(program.get("/incidents"))] == [there.pk, over.pk]
    assert [each["id"] for each in items(program.get("/incidents?open=true"))] == [there.pk]
    assert [each["id"] for each in items(program.get("/incidents?open=false"))] == [over.pk]


def test_health_tells_of_the_tokens_accounts_and_of_the_site_only_to_who_administers_it(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=now)
    for account in (ops, sales):
        outbox_row(account, status="failed", hold="uncertain")
    chief = make_user("administrator")
    found = Program(chief, accounts=[sales]).get("/health").json()["data"]
    assert {each["account_id"] for each in found["needs"]} == {sales.pk}
    assert {"uncertain"} <= {each["kind"] for each in found["needs"]}
    assert (found["is_well"], found["workers_alive"], found["sending_paused"]) == (False, True, False)
    everywhere = [each for each in find_problems(now).found if each.account_id == sales.pk]
    own = find_of_accounts([sales.pk], now)
    assert [(each.key, each.sentence, each.path) for each in own] == [
        (each.key, each.sentence, each.path) for each in everywhere
    ]
    SendingSwitch.objects.update_or_create(pk=1, defaults={"paused_at": now})
    WorkerHeartbeat.objects.all().delete()
    assert [each.kind for each in find_of_accounts([], now)] == [Kind.WORKERS]
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=now)
    assert [each.kind for each in find_of_accounts([], now)] == [Kind.PAUSED]
    SendingSwitch.objects.update(paused_at=None)
    readers = Program(chief, scopes=[Scope.READ]).get("/health").json()["data"]["needs"]
    everything = Program(chief).get("/health").json()["data"]["needs"]
    assert None not in {each["account_id"] for each in readers}
    assert None in {each["account_id"] for each in everything}


def test_the_activity_holds_nothing_of_another_account(
    make_user: Callable[..., User], ops: Account, sales: Account
) -> None:
    chief, other = make_user("administrator"), make_user("operator", "other")
    rows = {
        name: AuditEntry.objects.create(verb=verb, user=user, account=account).pk
        for name, verb, user, account in (
            ("ours", "sync_now", other, sales),
            ("theirs", "sync_now", other, ops),
            ("own", "change_profile", chief, None),
            ("of nobody", "sign_in", other, None),
        )
    }

    def shown(**terms: Any) -> set[str]:
        found = {each["id"] for each in items(Program(chief, **terms).get("/activity"))}
        return {name for name, pk in rows.items() if pk in found}

    assert shown(accounts=[sales]) == {"ours"}
    assert shown(scopes=[Scope.READ]) == {"ours", "theirs", "own"}
    assert shown() == set(rows)
    found = items(Program(chief).get("/activity?who=OTHER&verb=sync_now&limit=1"))
    assert (found[0]["who"], found[0]["words"]) == ("other", "asked for a sync")


@pytest.mark.parametrize(
    "asked", ["verb=none", "day=2026-02-30", "day=9999-12-31", "account=0", "before=x", "limit=501"]
)
def test_what_no_activity_has_is_refused(program: Program, asked: str) -> None:
    assert is_problem(program.get(f"/activity?{asked}"), 422, "Validation")


def test_marks_of_the_team_are_changed_on_condition(
    program: Program, make_user: Callable[..., User], ops: Account
) -> None:
    bob = make_user("operator", "bob")
    path = f"/messages/{store(ops, letter_with(b'x', 'a.txt')).pk}/team"
    etag = program.get(path).headers["ETag"]
    changed = program.ask("put", path, {"assigned_to": bob.username, "note": "Ask"}, **{"if-match": etag})
    assert changed.json()["data"] | {"changed_at": None} == {
        "assigned_to": "bob",
        "note": "Ask",
        "done_at": None,
        "changed_at": None,
    }
    assert is_problem(program.ask("put", path, {"done": True}, **{"if-match": etag}), 412, "Changed")
    assert is_problem(program.ask("put", path, {"assigned_to": "stranger"}), 422, "Validation")
    assert program.ask("put", path, {"done": True}).json()["data"]["assigned_to"] is None


def test_an_attachment_is_removed_only_while_it_is_the_one_that_was_seen(program: Program, ops: Account) -> None:
    message = store(ops, letter_with(b"%PDF-1.4", "report.pdf"))
    path = f"/messages/{message.pk}/attachments/0"
    etag = program.get(path).headers["ETag"]
    assert is_problem(program.ask("delete", path, **{"if-match": '"other"'}), 412, "Changed")
    assert program.ask("delete", path, **{"if-match": f'"other", {etag}'}).status_code == 200
    assert is_problem(program.get(path), 404, "NotFound")
    assert program.get(f"/messages/{message.pk}").json()["data"]["attachments"] == []
    assert is_problem(program.post(f"/messages/{message.pk}/fetch"), 409, "Conflict")
