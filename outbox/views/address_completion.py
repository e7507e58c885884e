"""Completion of addresses: JSON for the compose page's own script; without it one types them."""

from __future__ import annotations

from email.utils import formataddr

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from mailbox.views.requests import number_of, signed_in_user
from outbox.compose.address_book import suggest


@require_safe
def addresses(request: HttpRequest) -> JsonResponse:
    """`?q=` what is typed so far, `?account=` to ask one account's correspondents only."""
    found = suggest(signed_in_user(request), request.GET.get("q", ""), number_of(request, "account"))
    said = [{"name": each.name, "address": each.address, "value": _value(each.name, each.address)} for each in found]
    return JsonResponse({"addresses": said})


def _value(name: str, address: str) -> str:
    """As it is put into the field. formataddr quotes what must be; it would encode what is not ASCII."""
    if not name:
        return address
    if name.isascii():
        return formataddr((name, address))
    return f'"{name}" <{address}>' if not set('"\\') & set(name) else address
