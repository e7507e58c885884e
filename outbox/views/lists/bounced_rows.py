"""Bounces and complaints in the outbox list: their reasons, and the button that acknowledges those of a page."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages as notices
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from mailbox.localized import grouped
from mailbox.models import audit_part
from mailbox.permissions import Role, require_role_somewhere
from mailbox.views.pagination import MAX_LIMIT
from mailbox.views.requests import back_to, signed_in_user
from outbox.bounces import matching as bounces_matching
from outbox.models import DeliveryReport
from outbox.models.messages import OutboxQuerySet
from outbox.views.mail.actions import number_in
from outbox.views.row_view import RowView
from outbox.views.visible_rows import seen_by

BOUNCE_MARKS = ("bounced", "unseen")


def with_bounces(rows: OutboxQuerySet) -> OutboxQuerySet:
    """Annotate each row with its newest proven bounce or complaint, else the newest, and with the pk of the newest.

    So a forged report that comes later does not take the place of the true one.
    """
    reports = DeliveryReport.objects.filter(outbox=OuterRef("pk"), action__in=DeliveryReport.TO_BE_SEEN)
    told = reports.order_by("-is_proven", "-pk")
    return rows.annotate(
        report_action=Subquery(told.values("action")[:1]),
        report_code=Subquery(told.values("status_code")[:1]),
        report_words=Subquery(told.values("words")[:1]),
        report_proven=Subquery(told.values("is_proven")[:1]),
        report_pk=Subquery(reports.order_by("-pk").values("pk")[:1]),
    )


def unseen_of(rows: Iterable[RowView]) -> list[str]:
    """The values of the page's button, "row.report": with the newest report shown, so that later ones stay unseen."""
    return [f"{each.row.pk}.{each.row.report_pk}" for each in rows if each.may_operate]  # type: ignore[attr-defined]


@require_POST
def acknowledge_listed(request: HttpRequest) -> HttpResponse:
    """Acknowledge the bounces and complaints that a page of the list showed."""
    require_role_somewhere(request.user, Role.OPERATOR)
    shown: dict[int, int] = {}
    for value in request.POST.getlist("seen")[:MAX_LIMIT]:
        key, _point, report = value.partition(".")
        if (pk := number_in(key)) is not None and (last := number_in(report)) is not None:
            shown[pk] = last
    number = _acknowledge(request, shown)
    words = ngettext("%(number)s mail noted as seen.", "%(number)s mails noted as seen.", number)
    (notices.success if number else notices.warning)(request, words % {"number": grouped(number)})
    return redirect(back_to(request, reverse("outbox:list")))


def _acknowledge(request: HttpRequest, shown: dict[int, int]) -> int:
    """How many mails were noted as seen. `shown`: outbox pk -> pk of the newest report shown."""
    user = signed_in_user(request)
    rows = list(seen_by(request, Role.OPERATOR).filter(pk__in=shown).defer("body_text", "body_html"))
    if len(rows) == 1:
        return int(bool(bounces_matching.acknowledge(rows[0], user=user, last_shown=shown[rows[0].pk])))
    with audit_part.one_click(user, "ticked_acknowledge_bounce", len(rows)) as click:
        for row in rows:
            click.done += bool(bounces_matching.acknowledge(row, user=user, last_shown=shown[row.pk]))
    return click.done
