"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) for operations that create something other than mail.

The key, the new row and the response commit together, so a repeated request creates nothing, whenever the first one,
its process or its connection died. Mail has its key in its outbox row instead, for as long as the row exists.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext
from ninja import Header, Status
from pydantic import Field

from api.models import KeptAnswer
from api.v1.protocol.access import caller_of
from api.v1.protocol.answers import Answer
from api.v1.protocol.conditional import rendered
from mailbox.views.requests import Refused

KEPT = timedelta(days=7)
Key = Annotated[str | None, Field(min_length=1, max_length=190, pattern=r"^[!-~]+( +[!-~]+)*$")]
IDEMPOTENCY_KEY: Any = Header(None, alias="Idempotency-Key")  # type: ignore[type-arg]


def as_it_is(answer: Answer[Any]) -> Answer[Any]:
    """The answer itself."""
    return answer


def without_secret(answer: Answer[Any]) -> Answer[Any]:
    """The answer with null for its new secret, which is shown once and stored nowhere in the clear."""
    return Answer(data=answer.data.model_copy(update={"secret": None}))


def once(
    request: HttpRequest,
    key: str | None,
    create: Callable[[], Status[Any]],
    *,
    repeated: Callable[[Answer[Any]], Answer[Any]] = as_it_is,
) -> Status[Any] | HttpResponse:
    """Call `create` once for each key of this token; a repeated request gets the same response for seven days, or what
    `repeated` makes of it.

    A different request with the same key is refused (Refused). A concurrent one waits for the first. Without a key,
    `create` is called each time.
    """
    if not key:
        return create()
    token, now, asked = caller_of(request).token, timezone.now(), _fingerprint(request)
    with transaction.atomic():
        KeptAnswer.objects.filter(created_at__lt=now - KEPT).delete()
        kept, is_new = KeptAnswer.objects.get_or_create(
            token=token, key=key, defaults={"fingerprint": asked, "created_at": now}
        )
        if kept.fingerprint != asked:
            raise Refused(gettext("This Idempotency-Key belongs to another request."))
        body = kept.body
        if is_new:
            answered = create()
            body, kept.status = rendered(answered.value).decode(), answered.status_code
            kept.body = rendered(repeated(answered.value)).decode()
            kept.save(update_fields=["status", "body"])
    return HttpResponse(body, status=kept.status, content_type="application/json; charset=utf-8")


def _fingerprint(request: HttpRequest) -> str:
    """A keyed digest of the request. The body may contain a password, which must not be guessable from the table."""
    said = f"{request.method} {request.get_full_path()}\n".encode() + request.body
    return salted_hmac("api.idempotency", said, algorithm="sha256").hexdigest()
