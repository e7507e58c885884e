"""Retention rules and legal holds over the HTTP API. They concern all accounts, so they need a token for all."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, account_of, caller_of
from api.v1.protocol.answers import Answer, Asked, Limit, Number, Page, Text, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from api.v1.protocol.refusals import demand_valid
from mailbox.models import LegalHold, RetentionRule
from mailbox.views.pagination import cut
from mailbox.views.requests import Refused
from prx_email_site.retention import changes, kinds, sweep
from prx_email_site.retention.forms import LONGEST_DAYS, HoldForm, RuleForm

router = Router(tags=["retention"])


class Rule(Asked):
    """A rule as it is to be: what is removed after how many days."""

    what: RetentionRule.What
    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS, description="Older ones go; some kinds take 30 at least.")]
    account_id: Number | None = Field(default=None, description="null: of all accounts.")
    folder: Text = Field(default="", description="Of received mail alone: what lies in folders of this name only.")
    larger_than_mb: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Of mail alone: only larger than so many MiB."
    )


class RuleState(Schema):
    """A retention rule, and what it has removed."""

    id: int | None = Field(description="null: of the setting PRX_EMAIL_RETENTION.")
    what: str
    days: int
    account_id: int | None
    folder: str
    larger_than: int | None = Field(description="Bytes.")
    created_at: datetime | None
    removed: int = Field(description="What it removed so far.")
    last_removed_at: datetime | None

    @classmethod
    def of(cls, row: RetentionRule) -> RuleState:
        own = columns(cls, row)
        return cls(**own | ({} if row.pk else {"created_at": None}))


class PreviewState(Schema):
    """What a rule would remove now; nothing is removed."""

    number: int
    size: int | None = Field(description="Bytes; null where rows have no size.")
    held: int | None = Field(description="Kept by legal holds; null: too many to count.")
    is_more: bool = Field(description="There are more than `number`, and `size` is of as many.")


class Hold(Asked):
    """A legal hold on exactly one of account, address and message."""

    reason: Annotated[Text, Field(min_length=1, max_length=300)]
    account_id: Number | None = Field(default=None, description="All of its mail.")
    address: Annotated[Text, Field(max_length=320)] = Field(
        default="", description="All mail from or to it, in every account."
    )
    message_id: Annotated[int, Field(ge=1, le=2**62)] | None = Field(default=None, description="Of a received message.")


class HoldState(Schema):
    """A legal hold; `released_at` is null while it holds."""

    id: int
    account_id: int | None
    address: str
    message_id: int | None
    reason: str
    created_at: datetime
    released_at: datetime | None

    @classmethod
    def of(cls, row: LegalHold) -> HoldState:
        return cls(**columns(cls, row), message_id=row.message_id)


RULE = {200: Answer[RuleState], **FAILURES}
HOLD = {200: Answer[HoldState], **FAILURES}


def _administrator(request: HttpRequest) -> None:
    caller_of(request).demand_everywhere(Scope.ADMINISTER)


def _as_given(request: HttpRequest, given: Rule, row: RetentionRule | None = None) -> RetentionRule:
    """The rule with the given terms, not saved. Raises Refused, Http404."""
    if given.account_id is not None:
        account_of(request, given.account_id, Scope.ADMINISTER)
    form = RuleForm(given.model_dump(exclude={"account_id"}) | {"account": given.account_id}, instance=row)
    demand_valid(form)
    return form.rule()


@router.get("/retention/rules", response={200: Answer[list[RuleState]], **FAILURES}, operation_id="list_rules")
def list_rules(request: HttpRequest) -> Answer[list[RuleState]]:
    """The rules, at most 100, and those of the setting PRX_EMAIL_RETENTION."""
    _administrator(request)
    return Answer(data=[RuleState.of(row) for row in sweep.rules()])


@router.post("/retention/preview", response={200: Answer[PreviewState], **FAILURES}, operation_id="preview_rule")
def preview_rule(request: HttpRequest, given: Rule) -> Answer[PreviewState]:
    """The number and size of what a rule with these terms would remove now. Nothing is removed."""
    _administrator(request)
    request.changed_nothing = True  # type: ignore[attr-defined]
    found = kinds.preview(_as_given(request, given), timezone.now())
    return Answer(data=PreviewState(number=found.number, size=found.size, held=found.held, is_more=found.is_more))


@router.post("/retention/rules", response={201: Answer[RuleState], **FAILURES}, operation_id="create_rule")
def create_rule(
    request: HttpRequest, given: Rule, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[RuleState]] | HttpResponse:
    """Create a rule. Workers remove matching rows once a day, beginning in a day or two; that cannot be undone. Call
    /retention/preview before."""
    _administrator(request)

    def create() -> Status[Answer[RuleState]]:
        rule = _as_given(request, given)
        changes.set_rule(request, rule)
        return Status(201, Answer(data=RuleState.of(rule)))

    return once(request, idempotency_key, create)


def _rule(pk: int) -> Answer[RuleState]:
    return Answer(data=RuleState.of(get_object_or_404(RetentionRule, pk=pk)))


def _rule_unchanged(request: HttpRequest, pk: int) -> AbstractContextManager[None]:
    return unchanged(request, RetentionRule.objects.filter(pk=pk), lambda: _rule(pk))


@router.get("/retention/rules/{pk}", response=RULE, operation_id="get_rule")
def get_rule(request: HttpRequest, pk: Path[Number]) -> Answer[RuleState]:
    """One retention rule. Its ETag is for If-Match."""
    _administrator(request)
    return _rule(pk)


@router.put("/retention/rules/{pk}", response=RULE, operation_id="change_rule", openapi_extra=IF_MATCH)
def change_rule(request: HttpRequest, pk: Path[Number], given: Rule) -> Answer[RuleState]:
    """Replace a rule; absent members have their defaults. A removal by the old terms that is running stops. Heeds
    If-Match."""
    _administrator(request)
    with _rule_unchanged(request, pk):
        changes.set_rule(request, _as_given(request, given, get_object_or_404(RetentionRule, pk=pk)))
        return _rule(pk)


@router.delete(
    "/retention/rules/{pk}",
    response={200: Answer[None], **FAILURES},
    operation_id="remove_rule",
    openapi_extra=IF_MATCH,
)
def remove_rule(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """End a rule: it removes nothing more. Heeds If-Match."""
    _administrator(request)
    rule = get_object_or_404(RetentionRule.objects.select_related("account"), pk=pk)
    with _rule_unchanged(request, pk):
        changes.end_rule(request, rule)
    return Answer(data=None)


@router.get("/retention/holds", response={200: Answer[Page[HoldState]], **FAILURES}, operation_id="list_holds")
def list_holds(
    request: HttpRequest, standing: bool | None = None, limit: Limit = 50, before: Number | None = None
) -> Answer[Page[HoldState]]:
    """Legal holds, newest first. `standing`: true for those in force only, false for released ones only."""
    _administrator(request)
    rows = LegalHold.objects.order_by("-pk")
    rows = rows if standing is None else rows.filter(released_at__isnull=standing)
    rows = rows if before is None else rows.filter(pk__lt=before)
    page, last = cut(list(rows[: limit + 1]), limit)
    return Answer(data=Page(items=[HoldState.of(row) for row in page], next=str(last.pk) if last else None))


@router.post("/retention/holds", response={201: Answer[HoldState], **FAILURES}, operation_id="create_hold")
def create_hold(
    request: HttpRequest, given: Hold, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[HoldState]] | HttpResponse:
    """Create a legal hold: from now on no rule removes what it covers, whatever its age."""
    _administrator(request)
    data: dict[str, Any] = {"reason": given.reason, "address": given.address, "message_pk": given.message_id}
    if given.account_id is not None:
        data["account"] = account_of(request, given.account_id, Scope.ADMINISTER).email

    def create() -> Status[Answer[HoldState]]:
        form = HoldForm(data)
        demand_valid(form)
        hold = form.hold()
        try:
            changes.put_hold(request, hold)
        except changes.RemovedMeanwhile:
            raise Refused(gettext("What it names is gone: nothing of it can be kept.")) from None
        return Status(201, Answer(data=HoldState.of(hold)))

    return once(request, idempotency_key, create)


def _hold(pk: int) -> Answer[HoldState]:
    return Answer(data=HoldState.of(get_object_or_404(LegalHold, pk=pk)))


@router.get("/retention/holds/{pk}", response=HOLD, operation_id="get_hold")
def get_hold(request: HttpRequest, pk: Path[Number]) -> Answer[HoldState]:
    """One legal hold. Its ETag is for If-Match."""
    _administrator(request)
    return _hold(pk)


@router.post("/retention/holds/{pk}/release", response=HOLD, operation_id="release_hold", openapi_extra=IF_MATCH)
def release_hold(request: HttpRequest, pk: Path[Number]) -> Answer[HoldState]:
    """Release a hold: the next daily run may remove for good what it covered. Heeds If-Match, with the hold's ETag."""
    _administrator(request)
    hold = get_object_or_404(LegalHold.objects.select_related("account"), pk=pk)
    with unchanged(request, LegalHold.objects.filter(pk=pk), lambda: _hold(pk)):
        if not changes.release(request, hold):
            raise Conflict(gettext("It was over already."))
    return _hold(pk)
