"""The page that has workers make a file of a list that is too long to be made while its reader waits."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages as notices
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from mailbox.exports import requests, writing
from mailbox.exports.list_pages import TITLES
from mailbox.models import Export
from mailbox.views.csv_export import MOST
from mailbox.views.requests import signed_in_user
from prx_email_site.list_exports.lists import LISTS
from prx_email_site.list_exports.tasks import queue_slice


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, name: str) -> HttpResponse:
    """`name` is one of LISTS; the query has its filters. Its first page is read, which refuses what the list does."""
    kind = LISTS.get(name)
    if kind is None:
        raise Http404("There is no such list.")
    kind.read(request, None, timezone.now())
    if request.method == "POST":
        try:
            key = uuid.UUID(request.POST.get("key", ""))
        except ValueError:
            notices.warning(request, gettext("Press the button again."))
        else:
            return redirect("mailbox:export", _begin(request, name, key).pk)
    context = {
        "title": TITLES[name],
        "back": f"{reverse(kind.page)}?{request.GET.urlencode()}",
        "is_filtered": any(request.GET.values()),
        "key": uuid.uuid4(),
        "most": MOST,
        "kept_days": writing.KEPT.days,
    }
    return render(request, "list_export.html", context)


def _begin(request: HttpRequest, name: str, key: uuid.UUID) -> Export:
    """Create the export and queue it; the same form sent twice makes one."""
    user, now = signed_in_user(request), timezone.now()
    query = request.GET.copy()
    query["list"] = name
    values: dict[str, Any] = {"what": Export.What.LIST, "form": Export.Form.CSV, "query": query.urlencode()}
    values |= {"asked_at": now, "moved_at": now}
    with transaction.atomic():
        export, is_new = Export.objects.get_or_create(key=key, user=user, defaults=values)
        if is_new:
            requests.note("export_asked", export, user)
            queue_slice(export.pk)
    return export
