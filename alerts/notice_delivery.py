"""Sends notices: claims each, sends it by mail (through our own outbox) or webhook, and stores the result."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_noop

from alerts import http_post
from alerts.models import AlertNotice, Channel, Kind
from alerts.models.incidents import LONGEST_WAIT
from alerts.problems.problem import ALERT_KEY
from mailbox.credentials import DecryptionFailed
from mailbox.logs import event
from mailbox.plain_words import without_controls
from outbox import api
from outbox.compose.build import Request
from outbox.compose.create import SendRequest

logger = logging.getLogger(__name__)
CLAIMED = timedelta(minutes=5)  # longer than any attempt; if a worker dies, another may claim the notice after this
WAITS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=20), timedelta(hours=1), LONGEST_WAIT)
AT_ONCE = 50  # notices in one run
_NO_MARKUP = {ord("<"): "\u2039", ord(">"): "\u203a", ord("["): "(", ord("]"): ")"}


@dataclass(frozen=True)
class DeliveryResult:
    """The result of one attempt to send a notice; `result` is a sentence."""

    is_sent: bool
    result: str
    may_try_again: bool = True


def send_due(now: datetime, *, foreground: bool = False, network: http_post.WebhookNetwork = http_post.OUTSIDE) -> int:
    """Send the notices that are due; return how many were attempted. `foreground`: send mail in this process instead of
    queueing it, as no worker may be running.

    A destination that failed is asked for one notice in a run: each try may take half a minute, and others wait.
    """
    tried, failing = 0, set[str]()
    for pk, target in list(AlertNotice.objects.due(now).values_list("pk", "target")):
        if tried == AT_ONCE:
            break
        if target not in failing and AlertNotice.objects.claim(pk, now, timezone.now() + CLAIMED):
            notice = AlertNotice.objects.select_related("incident", "rule", "rule__user", "rule__sender").get(pk=pk)
            try:
                told = _try(notice, foreground=foreground, network=network)
            except Exception as error:  # a fault of ours with one notice keeps none of the others
                logger.exception("alert_crashed", extra={"fields": {"notice": pk}})
                told = DeliveryResult(False, f"Unexpected {type(error).__name__}: see the log.")
            _store_result(notice, told)
            tried += 1
            if not told.is_sent and told.may_try_again:
                failing.add(target)
    return tried


def _store_result(notice: AlertNotice, told: DeliveryResult) -> None:
    """Store the result, unless the notice is no longer waiting."""
    now = timezone.now()
    row = AlertNotice.objects.filter(pk=notice.pk, state=AlertNotice.State.WAITING)
    if told.is_sent:
        row.update(state=AlertNotice.State.SENT, result=told.result[:300], ended_at=now)
    elif not told.may_try_again or notice.tries > len(WAITS):
        row.update(state=AlertNotice.State.FAILED, result=told.result[:300], ended_at=now)
    else:
        row.update(result=told.result[:300], next_try_at=now + WAITS[notice.tries - 1])
    event(logger, "alert_told", notice=notice.pk, rule=notice.rule_id, sent=told.is_sent, tries=notice.tries)


def _try(notice: AlertNotice, *, foreground: bool, network: http_post.WebhookNetwork) -> DeliveryResult:
    if not notice.rule.is_on and notice.phase != AlertNotice.Phase.TEST:
        return DeliveryResult(False, gettext_noop("The alert was switched off."), may_try_again=False)
    if notice.rule.channel == Channel.MAIL:
        return _mail(notice, foreground=foreground)
    return _post(notice, network)


def _mail(notice: AlertNotice, *, foreground: bool) -> DeliveryResult:
    """Send the notice by mail. The idempotency key ensures one mail, however often the request is repeated, for example
    after a process was killed."""
    rule, incident, to = notice.rule, notice.incident, notice.rule.mail_address
    if not to:
        return DeliveryResult(
            False, gettext_noop("The user has no mail address; enter one in the administration."), may_try_again=False
        )
    if rule.sender is None:
        return DeliveryResult(False, gettext_noop("No account is chosen to send alerts from."), may_try_again=False)
    if incident and incident.key == f"{Kind.SIGN_IN}:smtp:{rule.sender_id}":
        return DeliveryResult(
            False, gettext_noop("The account that sends this alert is the one that cannot send."), may_try_again=False
        )
    write = api.send_request if foreground else api.queue_request
    key = f"{ALERT_KEY}{notice.pk}"
    mail = Request(to, subject_of(notice), text_of(notice), auto_submitted=True)
    answer = write(rule.sender.pk, SendRequest(mail, idempotency_key=key))
    if answer.data is not None:  # the outbox has the mail and retries it by itself
        return DeliveryResult(True, f"In the outbox of {rule.sender.email} as number {answer.data.outbox_id}.")
    return DeliveryResult(False, answer.error.message if answer.error else gettext_noop("The outbox did not take it."))


def _post(notice: AlertNotice, network: http_post.WebhookNetwork) -> DeliveryResult:
    try:
        body = payload_of(notice)
        identity = http_post.identified(str(notice.pk), notice.rule.secret, body)
        return DeliveryResult(True, http_post.post(notice.rule.url, body, identity, network))
    except http_post.WebhookFailed as error:
        return DeliveryResult(False, str(error), may_try_again=not error.is_final)
    except DecryptionFailed as error:
        return DeliveryResult(False, str(error))


def subject_of(notice: AlertNotice) -> str:
    """The subject of the notice's mail, in English, one line of at most 200 characters."""
    if notice.incident is None:
        return "PRX-Email: a test of your alerts"
    begins = "Over: " if notice.phase == AlertNotice.Phase.END else ""
    return without_controls(f"PRX-Email: {begins}{notice.incident.sentence}")[:200]


def text_of(notice: AlertNotice) -> str:
    """The text of the notice's mail, in English; times are in UTC."""
    incident = notice.incident
    if incident is None:
        return f"This is a test: alerts of this site reach you.\n\n{settings.BASE_URL}/alerts/\n"
    lines = [without_controls(incident.sentence), "", f"Since: {incident.opened_at:%Y-%m-%d %H:%M:%S} UTC"]
    if incident.closed_at:
        lines += [f"Over since: {incident.absent_since or incident.closed_at:%Y-%m-%d %H:%M:%S} UTC"]
    lines += ["", f"{settings.BASE_URL}{incident.path}", "", f"Who is notified of what: {settings.BASE_URL}/alerts/"]
    return "\n".join(lines) + "\n"


def payload_of(notice: AlertNotice) -> bytes:
    """The JSON body for a webhook. Chat systems show its `text`: there a server's words must not call people, nor
    disguise a link (<!channel>, <https://other.example|this page>)."""
    incident = notice.incident
    names = {"begin": "incident.opened", "end": "incident.closed", "test": "test"}
    url = f"{settings.BASE_URL}{incident.path if incident else '/alerts/'}"
    words: dict[str, object] = {
        "delivery": notice.pk,
        "event": names[notice.phase],
        "text": f"{subject_of(notice).translate(_NO_MARKUP)} {url}",
        "url": url,
        "site": settings.BASE_URL,
    }
    if incident:
        words |= {
            "incident": incident.pk,
            "kind": incident.kind,
            "account": incident.account_id,
            "sentence": incident.sentence,
            "opened_at": incident.opened_at.isoformat(),
            "closed_at": incident.closed_at.isoformat() if incident.closed_at else None,
        }
    return json.dumps(words).encode()
