"""Completion of addresses: JSON for the compose page's own script; without it one types them."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from mailbox.mime.addresses import Mailbox
from mailbox.views.requests import number_of, signed_in_user
from outbox.compose.address_book import suggest


@require_safe
def addresses(request: HttpRequest) -> JsonResponse:
    """`?q=` what is typed so far, `?account=` to ask one account's correspondents only."""
    found = suggest(signed_in_user(request), request.GET.get("q", ""), number_of(request, "account"))
    said = [
        {"name": each.name, "address": each.address, "value": str(Mailbox(each.name, each.address))} for each in found
    ]
    return JsonResponse({"addresses": said})
