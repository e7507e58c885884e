"""JSON about addresses for the script of the compose page: completions, and the parsed items of a field.

Without the script, people type whole addresses and the form shows errors.
"""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from mailbox.mime.addresses import Mailbox, Typed, read_typed
from mailbox.permissions import Role, require_role_somewhere
from mailbox.views.requests import number_of, signed_in_user
from outbox.compose.address_book import suggest
from outbox.compose.addresses import sentence

LONGEST = 20_000  # characters of a field, as in the form
CHIPS = 100  # a mail has no more recipients


@require_http_methods(["GET", "HEAD", "POST"])
def addresses(request: HttpRequest) -> JsonResponse:
    """GET: completions of `?q=`, for `?account=` only if given. POST: the items of the field `typed`, parsed.

    The field is in the body, as URLs are logged and addresses must not be.
    """
    if request.method == "POST":
        require_role_somewhere(request.user, Role.OPERATOR)
        items = read_typed(request.POST.get("typed", "")[:LONGEST])
        return JsonResponse({"items": [_chip(item) for item in items[:CHIPS]], "more": max(0, len(items) - CHIPS)})
    found = suggest(signed_in_user(request), request.GET.get("q", ""), number_of(request, "account"))
    said = [
        {"name": each.name, "address": each.address, "value": str(Mailbox(each.name, each.address))} for each in found
    ]
    return JsonResponse({"addresses": said})


def _chip(item: Typed) -> dict[str, str]:
    """An item as JSON. value: the address as it would be sent, or the typed text if it has a `problem`."""
    if item.mailbox:
        return {"name": item.mailbox.name, "address": item.mailbox.address, "value": str(item.mailbox), "problem": ""}
    problem = sentence(gettext("Recipients"), item.problem) if item.problem else ""
    return {"name": "", "address": item.text[:100], "value": item.text, "problem": problem}
