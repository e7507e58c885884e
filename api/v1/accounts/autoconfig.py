"""Finding the servers of an address, as the page that adds an account does. Workers ask the network, never this API."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Path, Router, Schema, Status
from pydantic import Field

from api.models import Scope
from api.tokens import TokenRefused
from api.v1.protocol.access import FAILURES, caller_of
from api.v1.protocol.answers import Answer, Asked, Number, Text, columns
from api.v1.protocol.idempotency import IDEMPOTENCY_KEY, Key, once
from mailbox.autoconfig.lookup import TooManyLookups, found_by
from mailbox.autoconfig.servers import Discovery, LookupStep, ServerSettings
from mailbox.models import SettingsLookup
from mailbox.views.accounts.autoconfig import FindForm, own_lookup, start_lookup, too_many_words
from mailbox.views.requests import Refused

router = Router(tags=["accounts"])


class NewLookup(Asked):
    """The address whose servers are to be found."""

    email: Text


class FoundServer(Schema):
    """A server that was found. `source`: preset, autoconfig, srv, mx or guess."""

    host: str
    port: int
    security: str
    user: str
    auth: str = Field(description="password or oauth: what its users sign in with.")
    source: str

    @classmethod
    def of(cls, server: ServerSettings | None, found: Discovery) -> FoundServer | None:
        if server is None:
            return None
        own = {name: getattr(server, name) for name in ("host", "port", "security", "user", "auth")}
        return cls(**own, source=str(found.sources[server.kind]))


class Step(Schema):
    """One query of the look-up. `outcome`: found, nothing, unusable, failed or skipped; `flaw`: why it is unusable."""

    source: str
    where: str
    outcome: str
    said: str
    flaw: str

    @classmethod
    def of(cls, step: LookupStep) -> Step:
        return cls(**{name: str(getattr(step, name)) for name in cls.model_fields})


class LookupState(Schema):
    """A look-up; it has found nothing before `finished_at`. Fields of the servers are those of a new account."""

    id: int
    email: str
    asked_at: datetime
    finished_at: datetime | None
    imap: FoundServer | None
    smtp: FoundServer | None
    preset: str = Field(description="The built-in provider, or empty.")
    steps: list[Step]

    @classmethod
    def of(cls, row: SettingsLookup) -> LookupState:
        found = found_by(row)
        servers = {kind: FoundServer.of(getattr(found, kind), found) for kind in ("imap", "smtp")}
        steps = [Step.of(each) for each in found.steps]
        return cls(**columns(cls, row), imap=servers["imap"], smtp=servers["smtp"], preset=found.preset, steps=steps)


@router.post("/autoconfig", response={202: Answer[LookupState], **FAILURES}, operation_id="find_settings")
def find_settings(
    request: HttpRequest, given: NewLookup, idempotency_key: Key = IDEMPOTENCY_KEY
) -> Status[Answer[LookupState]] | HttpResponse:
    """Have a worker look for the servers of an address: at a built-in provider, by its domain's autoconfiguration, in
    its DNS, at last under usual names, at public addresses only. Nothing is signed in to. At most 20 within ten minutes
    for each user: 429."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    form = FindForm({"email": given.email})
    if not form.is_valid():
        raise Refused(" ".join(str(each) for errors in form.errors.values() for each in errors))

    def begin() -> Status[Answer[LookupState]]:
        try:
            row = start_lookup(request, form.cleaned_data["email"].strip(), timezone.now())
        except TooManyLookups:
            raise TokenRefused(HTTPStatus.TOO_MANY_REQUESTS, too_many_words()) from None
        return Status(202, Answer(data=LookupState.of(row)))

    return once(request, idempotency_key, begin)


@router.get("/autoconfig/{pk}", response={200: Answer[LookupState], **FAILURES}, operation_id="get_settings")
def get_settings(request: HttpRequest, pk: Path[Number]) -> Answer[LookupState]:
    """A look-up of the token's user; kept for a day."""
    caller_of(request).demand_everywhere(Scope.ADMINISTER)
    return Answer(data=LookupState.of(own_lookup(request, pk)))
