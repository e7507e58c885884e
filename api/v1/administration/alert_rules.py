"""Alert rules, which tell somebody what needs a person: list, add, change, test, remove.

A webhook's URL may contain a secret, so answers name its host alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from alerts import forms as alert_forms
from alerts import views as alert_views
from alerts.forms import AlertForm
from alerts.models import AlertNotice, AlertRule, Channel, Kind
from api.models import Scope
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text, columns
from api.v1.protocol.conditional import IF_MATCH, REVISION, changing, revision_of, unchanged
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once, without_secret
from api.v1.protocol.refusals import demand_valid
from mailbox.views.pagination import cut

router = Router(tags=["alerts"])


class RuleChange(Asked):
    """What changes; absent members stay as they are. Members of the other channel are dropped; a user takes the place
    of an address, and an address that of a user."""

    channel: Channel = Channel.MAIL
    user_id: Number | None = Field(default=None, description="Of mail: a user, at the address the user has then.")
    address: Annotated[Text, Field(max_length=320)] = Field(default="", description="Of mail: without a user.")
    sender_id: Number | None = Field(default=None, description="Of mail: the account that sends it.")
    url: Annotated[Text, Field(max_length=2000)] = ""
    secret: Annotated[Text, Field(max_length=200)] = Field(
        default="", description="Of a webhook: at least 16 characters. A new rule without one gets one."
    )
    account_id: Number | None = Field(default=None, description="null: of all accounts.")
    kinds: list[Kind] = Field(default=[], description="Empty: everything that needs a person.")
    is_on: bool = True


class NewRule(RuleChange):
    """A rule to add."""

    channel: Channel


class AlertRuleState(Schema):
    """An alert rule as it is set."""

    id: int
    channel: str
    user_id: int | None
    address: str
    sender_id: int | None
    host: str = Field(description="Of the webhook's URL.")
    account_id: int | None
    kinds: list[str]
    is_on: bool
    created_at: datetime
    secret_set_at: datetime | None
    revision: str = REVISION

    @classmethod
    def fields(cls, row: AlertRule) -> dict[str, Any]:
        """The values of a row."""
        keys = {"user_id": row.user_id, "sender_id": row.sender_id}
        shown = {"host": urlsplit(row.url).hostname or "", "revision": revision_of(row.url, row.encrypted_secret)}
        return columns(cls, row) | keys | shown


class RuleAdded(AlertRuleState):
    """A new rule. `secret`: the one that was made for its webhook, shown this once; null for others."""

    secret: str | None


class NoticeState(Schema):
    """A notice to a rule's destination: that an incident began or ended, or a test. `result`: of the last attempt."""

    id: int
    incident_id: int | None
    phase: str
    state: str
    tries: int
    next_try_at: datetime
    result: str
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: AlertNotice) -> NoticeState:
        names = ("phase", "state", "tries", "next_try_at", "result", "created_at", "ended_at")
        return cls(id=row.pk, incident_id=row.incident_id, **{name: getattr(row, name) for name in names})


class RuleLine(AlertRuleState):
    """A rule in a list, with its last notice."""

    last: NoticeState | None


RULE = {200: Answer[AlertRuleState], **FAILURES}
# Members of the body by other names than the form's.
NAMES = {"user_id": "user", "sender_id": "sender", "account_id": "account"}


def _found(request: HttpRequest, pk: int) -> AlertRule:
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return get_object_or_404(AlertRule.objects.select_related("user", "sender", "account"), pk=pk)


def _state(request: HttpRequest, pk: int) -> Answer[AlertRuleState]:
    return Answer(data=AlertRuleState(**AlertRuleState.fields(_found(request, pk))))


def _unchanged(request: HttpRequest, pk: int) -> AbstractContextManager[None]:
    return unchanged(request, AlertRule.objects.filter(pk=pk), lambda: _state(request, pk))


def _given(given: RuleChange) -> dict[str, Any]:
    named = given.model_dump(mode="json", exclude_unset=True)
    return {NAMES.get(name, name): value for name, value in named.items()}


def _saved(request: HttpRequest, form: AlertForm) -> AlertRule:
    demand_valid(form)
    return alert_views.save_rule(request, form)


@router.get("/alert-rules", response={200: Answer[Page[RuleLine]], **FAILURES}, operation_id="list_alert_rules")
def list_alert_rules(request: HttpRequest, limit: Limit = 50, before: Number | None = None) -> Answer[Page[RuleLine]]:
    """The alert rules, newest first, each with its last notice."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    rows = AlertRule.objects.order_by("-pk")
    rows = rows if before is None else rows.filter(pk__lt=before)
    page, last = cut(alert_views.with_last_notice(rows[: limit + 1]), limit)
    items = [
        RuleLine(**AlertRuleState.fields(row), last=NoticeState.of(notice) if notice else None) for row, notice in page
    ]
    return Answer(data=Page(items=items, next=str(last[0].pk) if last else None))


@router.post("/alert-rules", response={201: Answer[RuleAdded], **FAILURES}, operation_id="add_alert_rule")
def add_alert_rule(
    request: HttpRequest, given: NewRule, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[RuleAdded]] | HttpResponse:
    """Add a rule. A secret that is made for its webhook is in this answer alone, and in none that repeats it for the
    same key."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)

    def create() -> Status[Answer[RuleAdded]]:
        is_made = given.channel == Channel.WEBHOOK and not given.secret
        made = alert_forms.new_secret() if is_made else None
        row = _saved(request, AlertForm({"is_on": True} | _given(given) | ({"secret": made} if made else {})))
        return Status(201, Answer(data=RuleAdded(**AlertRuleState.fields(row), secret=made)))

    return once(request, idempotency_key, create, repeated=without_secret)


@router.get("/alert-rules/{pk}", response=RULE, operation_id="get_alert_rule")
def get_alert_rule(request: HttpRequest, pk: Path[Number]) -> Answer[AlertRuleState]:
    """One alert rule. Its ETag is for If-Match."""
    return _state(request, pk)


@router.patch("/alert-rules/{pk}", response=RULE, operation_id="change_alert_rule", openapi_extra=IF_MATCH)
def change_alert_rule(request: HttpRequest, pk: Path[Number], given: RuleChange) -> Answer[AlertRuleState]:
    """Change the given members. Heeds If-Match."""
    _found(request, pk)
    with changing(request, AlertRule.objects.filter(pk=pk), lambda: _state(request, pk)):
        row = _found(request, pk)
        form = AlertForm(rule=row)
        kept = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
        kept["secret"] = ""  # the form suggests one where none is stored; a program would never learn it
        changed = _given(given)
        kept |= {other: "" for name, other in (("user", "address"), ("address", "user")) if changed.get(name)}
        _saved(request, AlertForm(kept | changed, rule=row))
        return _state(request, pk)


@router.delete(
    "/alert-rules/{pk}",
    response={200: Answer[None], **FAILURES},
    operation_id="remove_alert_rule",
    openapi_extra=IF_MATCH,
)
def remove_alert_rule(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """Remove a rule: it notifies nobody any more. Heeds If-Match."""
    row = _found(request, pk)
    with _unchanged(request, pk):
        alert_views.remove_rule(request, row)
    return Answer(data=None)


@router.post("/alert-rules/{pk}/test", response={202: Answer[NoticeState], **FAILURES}, operation_id="test_alert_rule")
def test_alert_rule(
    request: HttpRequest, pk: Path[Number], idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[NoticeState]] | HttpResponse:
    """Send a test notice; the list of rules has its result."""
    row = _found(request, pk)

    def begin() -> Status[Answer[NoticeState]]:
        return Status(202, Answer(data=NoticeState.of(alert_views.begin_test(request, row))))

    return once(request, idempotency_key, begin)
