"""Settings for all accounts: the attachment policy, and the switch that pauses all sending."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from api.models import Scope
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Asked, Text, Time
from api.v1.protocol.conditional import IF_MATCH, unchanged
from mailbox.views.requests import Refused
from outbox.models import AttachmentPolicy, SendingSwitch
from outbox.policy_form import PolicyForm
from outbox.views.attachments.attachments import save_policy
from outbox.views.sending_switch import pause_all, resume_all

router = Router(tags=["policy"])
Size = Annotated[int, Field(ge=1, le=2**40, description="Bytes.")]


class Policy(Asked):
    """Which files may be attached. The size is in bytes, types are as in application/pdf."""

    max_size_bytes: Size
    allowed_content_types: Annotated[list[Text], Field(min_length=1, max_length=500)]


class Switch(Schema):
    """Whether all sending is paused."""

    paused_at: datetime | None = Field(description="null: mail goes out.")
    reason: str


class Pause(Asked):
    """Why sending is paused, for those who wonder."""

    reason: Annotated[Text, Field(max_length=300)] = ""


class Resume(Asked):
    """Which pause to end; null: whichever there is."""

    paused_at: Time | None = Field(default=None, description="Only this pause: one that was made since stays.")


SWITCH = {200: Answer[Switch], **FAILURES}


@router.get("/policy", response={200: Answer[Policy], **FAILURES}, operation_id="get_policy")
def get_policy(request: HttpRequest) -> Answer[Policy]:
    """Which files may be attached to a mail. Needs the scope send."""
    caller_of(request).accounts(Scope.SEND)
    return _policy()


def _policy() -> Answer[Policy]:
    row = AttachmentPolicy.current()
    types = row.allowed_content_types
    return Answer(data=Policy(max_size_bytes=row.max_size_bytes, allowed_content_types=types))


@router.put("/policy", response={200: Answer[Policy], **FAILURES}, operation_id="change_policy", openapi_extra=IF_MATCH)
def change_policy(request: HttpRequest, given: Policy) -> Answer[Policy]:
    """Change the attachment policy for mail written from now on. Heeds If-Match."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    with unchanged(request, AttachmentPolicy.objects.filter(pk=1), _policy):
        data = {"max_size": f"{given.max_size_bytes} bytes", "types": "\n".join(given.allowed_content_types)}
        form = PolicyForm(data, instance=AttachmentPolicy.current())
        if not form.is_valid():
            raise Refused(" ".join(str(each) for errors in form.errors.values() for each in errors))
        save_policy(request, form)
        return _policy()


@router.get("/sending", response=SWITCH, operation_id="get_sending")
def get_sending(request: HttpRequest) -> Answer[Switch]:
    """Whether sending of all accounts is paused, and why."""
    caller_of(request).accounts(Scope.READ)
    return _switch()


def _switch() -> Answer[Switch]:
    row = SendingSwitch.current()
    return Answer(data=Switch(paused_at=row.paused_at, reason=row.reason))


@router.post("/sending/pause", response=SWITCH, operation_id="pause_all_sending", openapi_extra=IF_MATCH)
def pause_all_sending(request: HttpRequest, given: Pause) -> Answer[Switch]:
    """Pause sending of all accounts; mail waits in the outbox until it is resumed. Heeds If-Match."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    with unchanged(request, SendingSwitch.objects.filter(pk=1), _switch):
        pause_all(request, given.reason)
        return _switch()


@router.post("/sending/resume", response=SWITCH, operation_id="resume_all_sending", openapi_extra=IF_MATCH)
def resume_all_sending(request: HttpRequest, given: Resume) -> Answer[Switch]:
    """Resume sending of all accounts. Heeds If-Match."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    with unchanged(request, SendingSwitch.objects.filter(pk=1), _switch):
        resume_all(request, given.paused_at or SendingSwitch.current().paused_at)
        return _switch()
