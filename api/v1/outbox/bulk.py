"""Bulk actions on all mails that match a filter: counted first, then done by workers, as on the page."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext
from ninja import Path, Router, Status

from api.models import Scope
from api.tokens import Caller
from api.v1.outbox.outbox_shapes import Bulk, Estimated, OperationState
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Number
from api.v1.protocol.conditional import IF_MATCH, unchanged
from api.v1.protocol.errors import Conflict
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.permissions import Role, has_role_everywhere
from mailbox.views.requests import Refused
from outbox.actions import bulk as actions_bulk
from outbox.actions import estimate
from outbox.actions.estimate import BulkQuestion
from outbox.actions.filters import OutboxFilters
from outbox.models import Operation
from outbox.views.lists.bulk import begin_operation

router = Router(tags=["outbox"])
BEGUN = {200: Answer[Estimated], 202: Answer[OperationState], **FAILURES}
STATE = {200: Answer[OperationState], **FAILURES}


@router.post("/outbox/bulk", response=BEGUN, operation_id="bulk")
def bulk(
    request: HttpRequest, given: Bulk, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[Estimated]] | Status[Answer[OperationState]] | HttpResponse:
    """Do an action on all mails that match. With `dry_run`: 200 with an estimate and a `question`. An action that is
    begun with that question skips mails that are new or changed since; 409 if more match now than the estimate said."""
    filters, user = _filters(request, given), caller_of(request).token.user
    if given.dry_run:
        request.changed_nothing = True  # type: ignore[attr-defined]
        asked, found = _ask(filters, given, request)
        return Status(200, Answer(data=Estimated.of(found, asked.sealed())))

    def begin() -> Status[Answer[OperationState]]:
        asked = _of_dry_run(given, filters) if given.question else _ask(filters, given, request)[0]
        operation = begin_operation(asked, user)
        if operation is None:
            raise Conflict(gettext("More match now than the dry run said: ask again."))
        return Status(202, Answer(data=OperationState.of(operation)))

    return once(request, idempotency_key, begin)


def _filters(request: HttpRequest, given: Bulk) -> OutboxFilters:
    """The filters, limited to the token's accounts if it is bound to some, as workers know only its user."""
    caller = caller_of(request)
    operated = caller.accounts(Scope.OPERATE)
    account = given.filter.account
    if account is not None and not operated.filter(pk=account).exists():
        raise Http404
    among = None if caller.token.all_accounts else set(operated.values_list("pk", flat=True))
    return given.filter.filters(among)


def _ask(filters: OutboxFilters, given: Bulk, request: HttpRequest) -> tuple[BulkQuestion, estimate.BulkEstimate]:
    user = caller_of(request).token.user
    return estimate.ask(filters, given.action, user, timezone.now(), estimate.operated_by(user))


def _of_dry_run(given: Bulk, filters: OutboxFilters) -> BulkQuestion:
    asked = BulkQuestion.unsealed(given.question)
    if asked is None or (asked.query, asked.verb) != (filters.query(), given.action):
        raise Refused(gettext("The question is of no dry run of this action and filter within the last day."))
    return asked


@router.get("/outbox/operations/{pk}", response=STATE, operation_id="get_operation")
def get_operation(request: HttpRequest, pk: Path[Number]) -> Answer[OperationState]:
    """The progress and the results of a bulk action."""
    return Answer(data=OperationState.of(_found(caller_of(request), pk, Scope.READ)))


@router.post("/outbox/operations/{pk}/stop", response=STATE, operation_id="stop_operation", openapi_extra=IF_MATCH)
def stop_operation(request: HttpRequest, pk: Path[Number]) -> Answer[OperationState]:
    """Stop a bulk action; changes that it made stay. Heeds If-Match."""
    caller = caller_of(request)
    operation, user = _found(caller, pk, Scope.OPERATE), caller.token.user
    if operation.user_id != user.pk and not has_role_everywhere(user, Role.OPERATOR):
        raise Http404

    def read() -> Answer[OperationState]:
        return Answer(data=OperationState.of(get_object_or_404(Operation, pk=pk)))

    with unchanged(request, Operation.objects.filter(pk=pk), read):
        if not actions_bulk.stop(operation, user, timezone.now()):
            raise Conflict(gettext("It was over already."))
        return Answer(data=OperationState.of(operation))


def _found(caller: Caller, pk: int, scope: Scope) -> Operation:
    """The operation, if the token's user made it or may view all accounts, as on its page. Raises Http404.

    Its numbers reveal something of all its accounts, so a token for some accounts sees only operations limited to them.
    """
    accounts, user = caller.accounts(scope), caller.token.user
    operation = Operation.objects.filter(pk=pk).first()
    if operation is None or not (operation.user_id == user.pk or has_role_everywhere(user, Role.VIEWER)):
        raise Http404
    if not caller.token.all_accounts:
        about = OutboxFilters.of_query(operation.query).accounts
        if not about or not about <= set(accounts.values_list("pk", flat=True)):
            raise Http404
    return operation
