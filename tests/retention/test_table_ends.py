"""What table_ends states is done: of each table that ends by age, an old row goes and a younger one stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Model
from django.utils import timezone
from django_q.models import Schedule

from alerts import tasks as alert_tasks
from api.models import Token
from mailbox.models import Account, ConnectionTest, ImageFetch, OAuthApp, OAuthSignIn, RestoreProof
from mailbox.storage import sweeping
from mailbox.tasks import export_sweep, oauth_keep, pictures
from mailbox.tasks import sync as sync_tasks
from outbox.models import Operation, OperationRow
from people.models import EmailChange, PasswordRequest
from people.tasks import answer_password_requests
from prx_email_site.retention import records, table_ends
from prx_email_site.retention.table_ends import ByAge, Ends
from tests.rows import NOWHERE, letter, outbox_row, store

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Aged:
    """Rows of a table with this time; `by` removes those older than `age` at the time that it is given."""

    by: Callable[[datetime], object]
    age: timedelta
    time: str
    fields: dict[str, Any] = field(default_factory=dict)
    each: tuple[str, ...] = ()  # columns that differ from row to row


def alerts_pruned(now: datetime) -> None:
    alert_tasks.incidents.forget(now - alert_tasks.KEPT)
    alert_tasks.numbers.forget(now - alert_tasks.EVENTS_KEPT)


NOW = timezone.now()
BEFORE = NOW - 1000 * DAY  # a time that no rule looks at
LOCKED = timedelta(minutes=settings.SIGN_IN_LOCK_MINUTES)
REPORTS, RECORDS = sync_tasks._prune, records._prune
AGED: dict[str, Aged] = {
    "django_q.Failure": Aged(
        REPORTS, 14 * DAY, "stopped", {"name": "a", "func": "a", "started": BEFORE, "success": False}, ("id",)
    ),
    "mailbox.SyncRun": Aged(REPORTS, 14 * DAY, "started_at"),
    "mailbox.DatabaseFailure": Aged(REPORTS, 14 * DAY, "last_at", {"kind": "waited"}, ("host",)),
    "mailbox.ProcessHeartbeat": Aged(
        REPORTS, DAY, "seen_at", {"role": "web", "pid": 1, "started_at": BEFORE, "silent_at": BEFORE}, ("host",)
    ),
    "mailbox.WorkerHeartbeat": Aged(REPORTS, DAY, "seen_at", {"cluster_pid": 1, "started_at": BEFORE}, ("host",)),
    "mailbox.StoreMiss": Aged(REPORTS, DAY, "last_at", {"first_at": BEFORE}, ("host",)),
    "mailbox.SettingsLookup": Aged(REPORTS, DAY, "asked_at", {"email": "a@example.com", "asked_by": User}),
    "mailbox.Counter": Aged(REPORTS, 400 * DAY, "hour", {"account": Account, "name": "sends"}),
    "mailbox.TableSize": Aged(REPORTS, 400 * DAY, "day", {"size": 1, "measured_at": BEFORE}, ("table",)),
    "mailbox.RawMessage": Aged(
        sweeping.sweep, DAY, "stored_at", {"segment": "2026/a", "offset": 0, "length": 1}, ("digest",)
    ),
    "mailbox.Preview": Aged(pictures._forget_pictures, 30 * DAY, "asked_at", {"position": 0}, ("digest",)),
    "alerts.Event": Aged(alerts_pruned, 7 * DAY, "created_at", {"kind": "message.new"}, ("number",)),
    "alerts.AlertIncident": Aged(
        alerts_pruned,
        90 * DAY,
        "closed_at",
        {"kind": "store", "opened_at": BEFORE, "present_since": BEFORE, "absent_since": BEFORE},
        ("key",),
    ),
    "axes.AccessAttempt": Aged(RECORDS, LOCKED, "attempt_time", {"failures_since_start": 1}),
    "api.KeptAnswer": Aged(RECORDS, 7 * DAY, "created_at", {"token": Token}, ("key",)),
    "mailbox.Reparse": Aged(RECORDS, 400 * DAY, "finished_at"),
    "outbox.Operation": Aged(RECORDS, 400 * DAY, "finished_at", {"verb": "retry", "upto_pk": 0}),
}
IN_CASES_OF_THEIR_OWN = {"mailbox.RemoteImage", "mailbox.ConnectionTest"}


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account("ops@example.com", **NOWHERE)


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user("administrator")


def test_each_table_that_ends_by_age_has_a_case() -> None:
    by_age = {label for label, end in table_ends.ENDS.items() if isinstance(end, ByAge)}
    assert by_age == AGED.keys() | IN_CASES_OF_THEIR_OWN


@pytest.mark.parametrize("label", AGED)
def test_an_old_row_goes_and_a_younger_one_stays(label: str, account: Account, user: User) -> None:
    case, model = AGED[label], apps.get_model(label)
    model._base_manager.all().delete()
    given = {Account: account, User: user}
    if Token in case.fields.values():
        given[Token] = Token.objects.create(user=user, name="a", digest="a", expires_at=NOW)
    fields = {name: given.get(value, value) for name, value in case.fields.items()}
    for number, time in enumerate((NOW - case.age - HOUR, NOW - case.age + timedelta(minutes=1)), start=1):
        at = time.date() - (number == 1) * DAY if case.time == "day" else time
        row = model._base_manager.create(**fields, **{case.time: at}, **dict.fromkeys(case.each, number))
        model._base_manager.filter(pk=row.pk).update(**{case.time: at})  # where a default is added by itself
    case.by(NOW)
    assert list(model._base_manager.values_list(case.time, flat=True)) == [at]


def test_tests_of_connections_go_but_the_newest_of_each_account(
    make_account: Callable[..., Account], account: Account
) -> None:
    other = make_account("other@example.com", **NOWHERE)
    times = [(account, 20), (account, 15), (account, 13), (other, 30), (other, 29)]
    rows = [ConnectionTest.objects.create(account=of, requested_at=NOW - days * DAY) for of, days in times]
    records._prune(NOW)
    assert {row.pk for row in ConnectionTest.objects.all()} == {rows[2].pk, rows[4].pk}


def test_a_bulk_action_goes_with_all_of_its_rows_and_one_that_goes_on_stays(account: Account) -> None:
    mail, values = outbox_row(account), {"verb": "retry", "upto_pk": 0, "asked_at": BEFORE, "moved_at": BEFORE}
    over, going = Operation.objects.create(**values, finished_at=BEFORE), Operation.objects.create(**values)
    rows = [OperationRow(operation=each, outbox=mail, attempt=1) for each in (over, going) for _ in range(120)]
    OperationRow.objects.bulk_create(rows)
    records._prune(NOW)
    assert list(Operation.objects.all()) == [going] and OperationRow.objects.count() == 120
    assert type(mail).objects.filter(pk=mail.pk).exists()


def test_remote_images_go_a_week_after_they_were_asked_for(account: Account) -> None:
    for days in (8, 6):
        message = store(account, letter())
        ImageFetch.objects.create(message=message, asked_at=NOW - days * DAY)
        message.remote_images.create(address="https://example.com/a", address_digest="a")
    pictures._forget_pictures(NOW)
    assert [row.message_id for row in apps.get_model("mailbox.RemoteImage").objects.all()] == [message.pk]


def ends_of_rows(user: User) -> dict[str, tuple[Callable[[], object], list[Model]]]:
    """label -> (the task that ends its rows, an old row and a younger one), for what ends in a way of its own."""
    times = (timezone.now() - DAY - HOUR, timezone.now() - DAY + HOUR)
    changes = [EmailChange.objects.create(user=of, email="a@example.com", asked_at=at) for of, at in _each(user, times)]
    asked = [PasswordRequest.objects.create(email="a@example.com", answered_at=at) for at in times]
    for row, at in zip(asked, times, strict=True):
        PasswordRequest.objects.filter(pk=row.pk).update(asked_at=at)
    app = OAuthApp.objects.create(kind="google", name="Google")
    failed = {"app": app, "asked_by": user, "status": OAuthSignIn.Status.FAILED}
    sign_ins = [OAuthSignIn.objects.create(**failed, created_at=at, state_digest=str(at)) for at in times]
    exports = [
        apps.get_model("mailbox.Export").objects.create(form="zip", user=user, finished_at=BEFORE, ends_at=at)
        for at in (timezone.now() - HOUR, timezone.now() + HOUR)
    ]
    return {
        "people.EmailChange": (answer_password_requests, [*changes]),
        "people.PasswordRequest": (answer_password_requests, [*asked]),
        "mailbox.OAuthSignIn": (oauth_keep, [*sign_ins]),
        "mailbox.Export": (export_sweep, [*exports]),
    }


def _each(user: User, times: tuple[datetime, datetime]) -> list[tuple[User, datetime]]:
    other = User.objects.create(username="another")
    return [(user, times[0]), (other, times[1])]


def test_what_ends_in_a_way_of_its_own_does_so_by_the_task_that_is_named(user: User) -> None:
    ends = ends_of_rows(user)
    for label, (task, (old, young)) in ends.items():
        assert isinstance(table_ends.ENDS[label], Ends)
        task()
        assert list(apps.get_model(label)._base_manager.all()) == [young], label
        assert old.pk != young.pk
    run = set(Schedule.objects.values_list("func", flat=True))
    assert {"people.tasks.answer_password_requests", "mailbox.tasks.oauth_keep", "mailbox.tasks.export_sweep"} <= run
    assert {"prx_email_site.retention.records.prune", "mailbox.tasks.prune"} <= run


def test_fifty_proofs_of_restores_are_kept() -> None:
    for number in range(52):
        RestoreProof.note(RestoreProof(proven_at=NOW + number * HOUR))
    assert RestoreProof.objects.count() == 50
    assert RestoreProof.objects.order_by("pk").values_list("proven_at", flat=True)[0] == NOW + 2 * HOUR


def test_records_wait_for_a_second_look(account: Account) -> None:
    Operation.objects.create(verb="retry", upto_pk=0, finished_at=BEFORE)
    records.prune()
    assert Operation.objects.count() == 1
