"""Rules of retention and legal holds over the HTTP API: as the page, by a token for all accounts."""

from __future__ import annotations

from typing import Any

import pytest

from mailbox import resting_batches
from mailbox.models import Account, AuditEntry, LegalHold, Message, RetentionRule
from prx_email_site.retention import forms, kinds, sweep
from tests.api.calling import Program, is_problem, program
from tests.retention.rules import NOW, OLD, rule, swept
from tests.rows import letter, store

__all__ = ["program"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]
RULES, HOLDS = "/retention/rules", "/retention/holds"


def test_a_rule_is_counted_set_changed_and_ended(program: Program, account: Account, settings: Any) -> None:
    settings.RETENTION_DAYS = {"runs": 7}
    held = store(account, letter("Held"), at=OLD)
    old = store(account, letter("Old"), at=OLD)
    assert program.post(HOLDS, {"message_id": held.pk, "reason": "Case 1"}).status_code == 201
    terms = {"what": "received", "days": 365, "account_id": account.pk}
    found = program.post("/retention/preview", terms).json()["data"]
    assert found == {"number": 1, "size": old.size, "held": 1, "is_more": False}
    assert not RetentionRule.objects.exists()
    assert AuditEntry.objects.filter(verb="use_token").count() == 1  # by the hold
    made = program.post(RULES, terms | {"larger_than_mb": 2}).json()["data"]
    assert made | {"created_at": 0} == {
        **{"id": made["id"], "what": "received", "days": 365, "account_id": account.pk, "folder": ""},
        **{"larger_than": 2 * 2**20, "created_at": 0, "removed": 0, "last_removed_at": None},
    }
    listed = [(each["id"], each["what"]) for each in program.get(RULES).json()["data"]]
    assert listed == [(made["id"], "received"), (None, "runs")]
    at = f"{RULES}/{made['id']}"
    etag = program.get(at).headers["ETag"]
    swept()
    assert Message.objects.count() == 2  # neither is larger
    changed = program.ask("put", at, terms, **{"if-match": etag})
    assert changed.json()["data"] == made | {"larger_than": None}
    assert is_problem(program.ask("delete", at, **{"if-match": etag}), 412, "Changed")
    swept()
    assert list(Message.objects.all()) == [held]
    assert program.get(at).json()["data"]["removed"] == 1
    assert program.ask("delete", at).status_code == 200
    assert is_problem(program.get(at), 404, "NotFound")
    verbs = AuditEntry.objects.filter(target=f"retention:{made['id']}").order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["retention_add", "retention_add", "retention_removed", "retention_end"]


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"what": "sent", "days": 7}, "days: From 30 to 36500 days."),
        ({"what": "activity", "days": 99, "folder": "INBOX"}, "Only received mail lies in folders."),
        ({"what": "drafts", "days": 99, "larger_than_mb": 1}, "Only mail has a size."),
        ({"what": "runs", "days": 99, "account_id": 1}, "A run is of many accounts"),
        ({"what": "everything", "days": 99}, "what"),
        ({"what": "runs", "days": 0}, "days"),
        ({"days": 99}, "what"),
    ],
)
def test_a_rule_that_says_nothing_sound_is_refused(
    program: Program, account: Account, given: dict[str, Any], refused: str
) -> None:
    given |= {"account_id": account.pk} if "account_id" in given else {}
    there = rule("runs", 90)
    for method, path in (("post", "/retention/preview"), ("post", RULES), ("put", f"{RULES}/{there.pk}")):
        answered = program.ask(method, path, given)
        assert is_problem(answered, 422, "Validation") and refused in answered.json()["detail"]
    assert RetentionRule.objects.get().days == 90


def test_a_hold_is_put_on_one_thing_and_released_once(program: Program, account: Account) -> None:
    message = store(account, letter("Old"), at=OLD)
    for wrong in (
        {"reason": "x"},
        {"reason": "x", "address": "bob@example.com", "account_id": account.pk},
        {"reason": "x", "address": "no address"},
        {"reason": "x", "message_id": message.pk + 1},
        {"reason": " ", "message_id": message.pk},
    ):
        assert is_problem(program.post(HOLDS, wrong), 422, "Validation")
    assert is_problem(program.post(HOLDS, {"reason": "x", "account_id": account.pk + 1}), 404, "NotFound")
    assert not LegalHold.objects.exists()
    made = [
        program.post(HOLDS, {"reason": "Case 1", **what}).json()["data"]["id"]
        for what in ({"message_id": message.pk}, {"account_id": account.pk}, {"address": "Eve@Example.com"})
    ]
    first = program.get(f"{HOLDS}/{made[0]}")
    assert (first.json()["data"]["message_id"], first.json()["data"]["released_at"]) == (message.pk, None)
    release = f"{HOLDS}/{made[0]}/release"
    assert is_problem(program.post(release, **{"if-match": '"stale"'}), 412, "Changed")
    assert program.post(release, **{"if-match": first.headers["ETag"]}).json()["data"]["released_at"]
    assert is_problem(program.post(release), 409, "Conflict")

    def listed(query: str) -> tuple[list[int], str | None]:
        page = program.get(f"{HOLDS}?{query}").json()["data"]
        return [each["id"] for each in page["items"]], page["next"]

    assert listed("standing=true") == ([made[2], made[1]], None)
    assert listed("standing=false") == ([made[0]], None)
    assert listed("limit=2") == ([made[2], made[1]], str(made[1]))
    assert listed(f"before={made[1]}") == ([made[0]], None)
    assert LegalHold.objects.get(pk=made[2]).address == "eve@example.com"


def test_at_the_most_rules_one_is_still_changed(
    program: Program, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MOST", 1)
    there = rule("runs", 90)
    given = {"what": "runs", "days": 60}
    assert is_problem(program.post(RULES, given), 422, "Validation")
    assert program.ask("put", f"{RULES}/{there.pk}", given).json()["data"]["days"] == 60


def test_a_rule_that_is_changed_while_it_removes_removes_no_more_by_its_old_terms(
    program: Program, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        store(account, letter(f"Old {number}"), at=OLD)
    there = rule("received")
    monkeypatch.setattr(resting_batches, "MOST_ROWS", 1)
    remove = kinds.KINDS["received"].remove

    def change_after(rows: Any, pks: list[int]) -> None:
        remove(rows, pks)
        RetentionRule.objects.filter(pk=there.pk).update(days=3650)

    monkeypatch.setitem(
        kinds.KINDS, "received", kinds.RetentionKind(**{**vars(kinds.KINDS["received"]), "remove": change_after})
    )
    sweep.remove_slice(NOW.isoformat())
    assert Message.objects.count() == 2
