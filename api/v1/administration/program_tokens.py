"""Tokens of programs: list and end. None is made here: see docs/decisions.md."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema
from pydantic import Field

from api import tokens
from api.models import Scope, Token
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Limit, Number, Page, columns
from api.v1.protocol.conditional import IF_MATCH, unchanged
from mailbox.views.pagination import cut

router = Router(tags=["tokens"])


class TokenState(Schema):
    """A token of a program, without the token itself, which is stored nowhere."""

    id: int
    user_id: int
    username: str
    name: str
    scopes: list[str]
    account_ids: list[int] | None = Field(description="null: all that the user may use. Empty: none any more.")
    networks: list[str] = Field(description="Empty: from everywhere.")
    per_minute: int
    created_at: datetime
    expires_at: datetime

    @classmethod
    def fields(cls, row: Token) -> dict[str, Any]:
        """The values of a row."""
        accounts = None if row.all_accounts else sorted(each.pk for each in row.accounts.all())
        named = {"user_id": row.user_id, "username": row.user.get_username(), "account_ids": accounts}
        return columns(cls, row) | named


class TokenUse(TokenState):
    """A token in a list, with its last use (up to five seconds old)."""

    last_used_at: datetime | None
    last_address: str


@router.get("/tokens", response={200: Answer[Page[TokenUse]], **FAILURES}, operation_id="list_tokens")
def list_tokens(request: HttpRequest, limit: Limit = 50, before: Number | None = None) -> Answer[Page[TokenUse]]:
    """The tokens of all users, newest first, expired ones too."""
    caller_of(request).demand_everywhere(Scope.PEOPLE)
    rows = Token.objects.select_related("user").prefetch_related("accounts").order_by("-pk")
    rows = rows.filter(pk__lt=before) if before is not None else rows
    page, last = cut(list(rows[: limit + 1]), limit)
    items = [TokenUse(**TokenState.fields(row) | columns(TokenUse, row)) for row in page]
    return Answer(data=Page(items=items, next=str(last.pk) if last else None))


@router.get("/tokens/{pk}", response={200: Answer[TokenState], **FAILURES}, operation_id="get_token")
def get_token(request: HttpRequest, pk: Path[Number]) -> Answer[TokenState]:
    """One token. Its ETag is for If-Match."""
    return Answer(data=TokenState(**TokenState.fields(_found(request, pk))))


@router.delete(
    "/tokens/{pk}", response={200: Answer[None], **FAILURES}, operation_id="end_token", openapi_extra=IF_MATCH
)
def end_token(request: HttpRequest, pk: Path[Number]) -> Answer[None]:
    """End a token: programs that use it are refused from now on. It may be the one that asks. Heeds If-Match."""
    found = _found(request, pk)
    with unchanged(request, Token.objects.filter(pk=pk), lambda: get_token(request, pk)):
        tokens.end(found, by=caller_of(request).token.user)
    return Answer(data=None)


def _found(request: HttpRequest, pk: int) -> Token:
    caller_of(request).demand_everywhere(Scope.PEOPLE)
    return get_object_or_404(Token.objects.select_related("user"), pk=pk)
