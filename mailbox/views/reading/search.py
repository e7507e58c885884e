"""The search page: results, the newest first, with matches highlighted."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from mailbox import features
from mailbox.messages.sender_name import name_first
from mailbox.models import Feature, Message
from mailbox.permissions import accounts_for
from mailbox.search.highlight import excerpt, highlight
from mailbox.search.query import OPERATORS, SearchQuery, parse
from mailbox.search.results import search
from mailbox.views.pagination import Cursor, limit_of, next_page
from mailbox.views.reading.messages import count_claims

SEARCHED = (Feature.INBOX_READ, Feature.INBOX_SEARCH)  # features that an account needs to be searched


@dataclass(frozen=True)
class ShownHit:
    """A result's lines as HTML: matches in <mark>, the rest escaped."""

    sender: SafeString
    subject: SafeString
    excerpt: SafeString


@require_safe
def search_messages(request: HttpRequest) -> HttpResponse:
    """A page of results; a query with problems is explained and not run."""
    limit, before = limit_of(request), Cursor.read(request.GET.get("before", ""))
    text = request.GET.get("q", "").replace("\0", "").strip()
    query = parse(text)
    seen = list(accounts_for(request.user).values_list("pk", flat=True))
    context = {
        "search_text": text,
        "search_query": urlencode({"q": text}) if text else "",
        "search_problems": query.problems,
        "unknown_operators": [f"{name[:40]}:" for name in dict.fromkeys(query.unknown)],
        "known_operators": [f"{name}:" for name in OPERATORS],
        "is_plain": query.is_plain,
        "is_first_page": before is None,
        "show_account": len(seen) > 1,
        "unread_accounts": len(
            features.those_off(*SEARCHED, among=seen, known=features.Rollouts.known_to(request.user))
        ),
    }
    if text and not query.problems:
        page = search(request.user, query, limit=limit, before=(before.at, before.pk) if before else None)
        rows = list(page.rows)
        count_claims(rows)
        for row in rows:
            row.shown = _shown(row, query)  # type: ignore[attr-defined]
        context |= {"rows": rows, "next_url": next_page(request, Cursor(*page.next)) if page.next else ""}
    return render(request, "mailbox/messages/search.html", context)


def _shown(row: Message, query: SearchQuery) -> ShownHit:
    return ShownHit(
        sender=shown_sender(row.sender, query),
        subject=highlight(row.subject, query, "subject"),
        excerpt=excerpt(row.body_start, query, otherwise=row.snippet),  # type: ignore[attr-defined]
    )


def shown_sender(sender: str, query: SearchQuery) -> SafeString:
    """The sender's name; with the address if the match is in the address only."""
    name, whole = highlight(name_first(sender), query, "from"), highlight(sender, query, "from")
    return name if "<mark>" in name or "<mark>" not in whole else whole
