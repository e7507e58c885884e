"""The page of one message: tabs for HTML, text, headers and source; its folders; its buttons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django.db.models import Exists, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mailbox.mime import message as mime_message
from mailbox.models import AccountGrant, Attachment, Message
from mailbox.models.messages import MessageQuerySet
from mailbox.permissions import Role, has_role_everywhere
from mailbox.search import gmail_labels
from mailbox.storage import raw_store
from mailbox.views.pagination import FirstRows
from mailbox.views.reading import message_parts, parse_warnings, previews
from mailbox.views.reading.conversation import conversation_of
from mailbox.views.reading.invitations import events_of
from mailbox.views.reading.message_lookup import find_message
from mailbox.views.reading.remote_images import RemoteImages, images_of
from mailbox.views.reading.team_marks import asked_of_team, team_of
from mailbox.views.requests import number_of, signed_in_user

SOURCE_SHOWN_BYTES = 200_000
TEXT_SHOWN_CHARACTERS = 200_000  # a browser needs half a minute to lay out two million without a line break
ATTACHMENTS_SHOWN = 100  # on one page; `?files=` is the position of the first
HEADERS_SHOWN = 500
HEADERS_SHOWN_CHARACTERS = 200_000  # of all that are shown; the first is always one of them
VIEWS = {"html": "HTML", "text": _("Text"), "headers": _("Headers"), "source": _("Source")}


@dataclass(frozen=True)
class MessageTab:
    """A tab of the page, and the query string that opens it."""

    label: str
    query: str
    current: bool


@dataclass(frozen=True)
class Files:
    """One page of a message's attachments. `next`: position of the first on the next page; None: no more."""

    listed: list[Attachment]
    count: int
    following: int | None
    is_first: bool

    @property
    def is_all(self) -> bool:
        """Whether this page shows all attachments."""
        return self.is_first and self.following is None


def _files_of(request: HttpRequest, row: Message) -> Files:
    """Read only the rows of this page, as a mail may have tens of thousands of attachments."""
    there = row.attachment_rows.filter(removed_at=None).order_by("position")
    first = number_of(request, "files") or 0
    page = list(there.filter(position__gte=first)[: ATTACHMENTS_SHOWN + 1])
    following = page[ATTACHMENTS_SHOWN].position if len(page) > ATTACHMENTS_SHOWN else None
    is_all = not first and following is None
    return Files(page[:ATTACHMENTS_SHOWN], len(page) if is_all else there.count(), following, not first)


@require_safe
def message(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one message: 404 if the user may not see its account, 403 where reading is switched off."""
    user = signed_in_user(request)
    grants = AccountGrant.objects.filter(user=user, account=OuterRef("account"))
    asked = {
        **asked_of_team(user),
        "granted_role": Subquery(grants.values("role")[:1]),
        "has_others": Exists(_others(OuterRef)),
    }
    row: Any = find_message(request, pk, also=asked)
    shown = _view(request, row)
    places = list(row.places.present().select_related("folder").order_by("folder__name", "uid"))
    files = _files_of(request, row)
    previews.set_states(files.listed)
    context = {
        "message": row,
        "view": shown,
        "tabs": [MessageTab(str(label), f"?view={name}", name == shown) for name, label in VIEWS.items()],
        "places": places,
        "labels": gmail_labels.shown(places),
        "fetch_requested": any(place.fetch_requested_at for place in places if not place.is_complete),
        "attachments": files.listed,
        "attachment_count": files.count,
        "files": files,
        "events": events_of(row, files.listed if files.is_all else row.attachment_rows.filter(removed_at=None)),
        "signatures": parse_warnings.signatures(row.parse_defects),
        "defects": parse_warnings.sentences(row.parse_defects),
        "others": FirstRows(
            _others(lambda name: getattr(row, name)).order_by("variant") if row.has_others else [], 100
        ),
        "may_operate": has_role_everywhere(request.user, Role.OPERATOR)
        or row.granted_role in (Role.OPERATOR, Role.ADMINISTRATOR),
        "conversation": conversation_of(row),
        "team": team_of(request, row),
        "is_measured": message_parts.is_measured(row),
        "images": images_of(request, row) if shown == "html" else RemoteImages(0),
        **_content(row, shown),
    }
    return render(request, "mailbox/messages/detail.html", context)


def _view(request: HttpRequest, row: Message) -> str:
    asked = request.GET.get("view", "")
    if asked in VIEWS:
        return asked
    if row.body_html:
        return "html"
    return "text" if row.is_complete else "headers"


def _others(of: Callable[[str], Any]) -> MessageQuerySet:
    """Variants: other mails with the same Message-ID and different content. `of`: column name -> this mail's value."""
    same = Message.objects.visible().listed().filter(account=of("account_id"), message_id=of("message_id"))
    return same.exclude(pk=of("pk"))


def _first_headers(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    characters = accumulate(len(name) + len(value) for name, value in headers[:HEADERS_SHOWN])
    fit = sum(each <= HEADERS_SHOWN_CHARACTERS for each in characters)
    return list(headers[: max(1, fit)])


def _content(row: Message, shown: str) -> dict[str, Any]:
    """The context of the tab `shown`. Opens the raw message only for tabs that need it."""
    if shown == "html":
        return {}  # the frame loads it from a URL of its own
    if shown == "text":
        cut = len(row.body_text) > TEXT_SHOWN_CHARACTERS
        return {"text": row.body_text[:TEXT_SHOWN_CHARACTERS], "text_is_cut": cut}
    try:
        raw = raw_store.map_raw(row.raw_digest)[0]
    except raw_store.RawOutOfReach:
        raise
    except raw_store.RawMissing as missing:
        return {"missing": str(missing)}
    if shown == "headers":
        headers = mime_message.header_lines(raw)
        return {"headers": _first_headers(headers), "header_count": len(headers)}
    source = raw[:SOURCE_SHOWN_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
    return {"source": source, "source_is_cut": len(raw) > SOURCE_SHOWN_BYTES, "source_size": len(raw)}
