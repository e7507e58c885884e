"""Remote images of a message: blocked until the user asks, once or always for a sender; shown from our own copy."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages as notices
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from mailbox.models import ImageFetch, Message, RemoteImage, TrustedSender
from mailbox.pictures import remote_images
from mailbox.tasks import pictures as pictures_tasks
from mailbox.views.activity.audit import record
from mailbox.views.reading.message_lookup import find_message
from mailbox.views.requests import signed_in_user

TRUSTED_AT_MOST = 1_000  # trusted senders of one user


@dataclass(frozen=True)
class RemoteImages:
    """The state of a message's remote images. `is_shown`: the frame shows those that were fetched."""

    count: int
    is_trusted: bool = False
    is_waiting: bool = False
    is_shown: bool = False
    fetched: int = 0
    failures: tuple[tuple[int, str], ...] = ()


def images_of(request: HttpRequest, message: Message) -> RemoteImages:
    """The state of the images. For a trusted sender, images that were not fetched yet are requested."""
    addresses = remote_images.addresses_of(message)
    if not addresses:
        return RemoteImages(0)
    is_trusted = remote_images.is_trusted(request.user, message)
    fetch = ImageFetch.objects.filter(pk=message.pk).first()
    if is_trusted and (fetch is None or fetch.finished_at is None):
        _ask(request, message)
        return RemoteImages(len(addresses), is_trusted, is_waiting=True)
    if fetch is None or not (is_trusted or request.GET.get("images") == "1"):
        return RemoteImages(len(addresses), is_trusted)
    if fetch.finished_at is None:
        return RemoteImages(len(addresses), is_trusted, is_waiting=True)
    rows = list(RemoteImage.objects.filter(message=message).defer("address"))
    return RemoteImages(
        len(addresses),
        is_trusted,
        is_shown=True,
        fetched=sum(not row.error for row in rows),
        failures=tuple(remote_images.failures(rows)),
    )


def _ask(request: HttpRequest, message: Message) -> None:
    if remote_images.ask(message, signed_in_user(request).pk, now=timezone.now()):
        pictures_tasks.queue_image_fetch(message.pk)


@require_http_methods(["GET", "HEAD", "POST"])
def message_images(request: HttpRequest, pk: int) -> HttpResponse:
    """POST: request the images, with `always` for this sender from now on. GET: the notice that waits for them.

    Every reader of the mail may request them, as it is that reader whom the sender may track.
    """
    message = find_message(request, pk)
    here = f"{reverse('mailbox:message', args=[pk])}?view=html&images=1"
    if request.method == "POST":
        with transaction.atomic():
            if request.POST.get("always") and message.sender_address:
                _trust(request, message)
            _ask(request, message)
            record(request, "load_images", f"message:{pk}", message.account)
        return redirect(here)
    images = images_of(request, message)
    if request.headers.get("HX-Request") and not images.is_waiting:
        return HttpResponse(headers={"HX-Redirect": here})
    return render(request, "mailbox/messages/_images.html", {"message": message, "images": images})


def _trust(request: HttpRequest, message: Message) -> None:
    user, address = signed_in_user(request), message.sender_address[:320]
    if TrustedSender.objects.filter(user=user).count() >= TRUSTED_AT_MOST:
        notices.error(
            request,
            gettext("You trust %(number)s senders already. Remove some of them first.") % {"number": TRUSTED_AT_MOST},
        )
        return
    TrustedSender.objects.bulk_create([TrustedSender(user=user, address=address)], ignore_conflicts=True)
    record(request, "trust_sender", f"message:{message.pk}", message.account, address)
    notices.success(
        request,
        gettext("Images in mail that says it is from %(address)s are loaded for you from now on.")
        % {"address": address},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def trusted_senders(request: HttpRequest) -> HttpResponse:
    """The senders whose images this user always sees. POST `remove` removes one."""
    user = signed_in_user(request)
    own = TrustedSender.objects.filter(user=user)
    if request.method == "POST":
        given = request.POST.get("remove", "")
        row = own.filter(pk=int(given)).first() if given.isascii() and given.isdigit() and len(given) < 19 else None
        if row is not None:
            with transaction.atomic():
                row.delete()
                record(request, "distrust_sender", "trusted_senders", detail=row.address)
            notices.success(
                request,
                gettext("Images from %(address)s are blocked again until you ask for them.") % {"address": row.address},
            )
        return redirect("mailbox:trusted_senders")
    return render(request, "mailbox/messages/trusted_senders.html", {"rows": own[:TRUSTED_AT_MOST]})
