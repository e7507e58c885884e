"""Lists of administration by the HTTP API ask the database as often for many rows as for few."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts import incidents
from alerts.models import AlertRule, Event, Webhook, WebhookDelivery
from mailbox.models import Account, AccountGrant, StorageUse
from tests.api.calling import Program, program
from tests.rows import NOWHERE

__all__ = ["program"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


def add_rows(account: Account, user: User) -> int:
    """One row more of everything that is listed, with all that belongs to it; returns the webhook's pk."""
    now = timezone.now()
    AccountGrant.objects.create(user=user, account=account, role="viewer")
    Program(user, accounts=[account])
    webhook = Webhook.objects.create(name="crm", url="https://hooks.example.com/", all_accounts=False)
    webhook.accounts.set([account])
    for _ in range(2):
        event = Event.objects.create(kind="outbox.sent", account=account)
        WebhookDelivery.objects.create(webhook=webhook, event=event, next_try_at=now)
    rule = AlertRule.objects.create(channel="mail", user=user, sender=account, account=account)
    incidents.ask_for_test(rule, now)
    StorageUse.objects.create(account=account, kind="received", items=1, size=9, counted_at=now)
    return webhook.pk


def test_lists_cost_as_many_queries_for_many_rows_as_for_few(
    program: Program,
    make_user: Callable[..., User],
    make_account: Callable[..., Account],
    subtests: pytest.Subtests,
) -> None:
    def more(number: int) -> int:
        return add_rows(make_account(f"a{number}@example.com", **NOWHERE), make_user("viewer", f"person-{number}"))

    def cost(path: str) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as asked:
            answered = program.get(path)
        assert answered.status_code == 200
        # Now and then it writes, too: the use of the token.
        questions = [each for each in asked if each["sql"].startswith("SELECT")]
        return len(questions), len(answered.json()["data"]["items"])

    paths = ["/people", "/tokens", "/webhooks", f"/webhooks/{more(0)}/deliveries", "/alert-rules", "/storage"]
    few = {path: cost(path) for path in paths}
    for number in range(1, 6):
        more(number)
    WebhookDelivery.objects.update(webhook=Webhook.objects.earliest("pk"))
    for path, (queries, rows) in few.items():
        with subtests.test(path):
            later, more_rows = cost(path)
            assert more_rows >= rows + 5 and later == queries
