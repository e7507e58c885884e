"""The lines of "Needs you": what needs a person, the most urgent first, each with the button that fixes it."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext, ngettext

from mailbox.accounts.condition import AccountNotice
from mailbox.localized import grouped, listed
from mailbox.models import WorkerHeartbeat
from mailbox.models.installation_health import DISK_FREE_PERCENT
from mailbox.views.accounts.account_row import AccountRow
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient

SHOWN_OF_A_KIND = 6
Held = dict[str, tuple[int, datetime | None]]


@dataclass(frozen=True)
class Need:
    """One line of "Needs you"."""

    tone: str
    sentence: str
    action: str = ""
    url: str = ""
    post: bool = False
    detail: str = ""
    reply: str = ""
    since: datetime | None = None
    since_words: str = ""  # words before the time, if not "since"
    paused_at: datetime | None = None  # the pause that the button ends, and no later one


def _grouped(count: int) -> dict[str, str]:
    return {"number": grouped(count)}


def sign_ins(rows: list[AccountRow]) -> list[Need]:
    """Servers that refused the credentials. They come first, as no mail comes or goes until a person helps."""
    return _of_rows(rows, lambda condition: condition.remedy.startswith("sign_in"))


def of_accounts(rows: list[AccountRow], *, workers_alive: bool) -> list[Need]:
    """Failing or late folders, and paused sending. Without workers all accounts stand still: another line says so."""

    def wanted(condition: AccountNotice) -> bool:
        stands_still = condition.kind in ("behind", "no_worker")
        return not condition.remedy.startswith("sign_in") and (workers_alive or not stands_still)

    return _of_rows(rows, wanted)


def _of_rows(rows: list[AccountRow], wanted: Callable[[AccountNotice], bool]) -> list[Need]:
    """The notices of these accounts that are `wanted`, by kind, and no more of a kind than a person reads."""
    by_kind: dict[str, list[Need]] = {}
    for row in rows:
        for condition in row.conditions:
            if condition.tone in ("needs", "broken") and wanted(condition):
                by_kind.setdefault(condition.label, []).append(_of_condition(row, condition))
    found: list[Need] = []
    for label, needs in by_kind.items():
        found += needs[:SHOWN_OF_A_KIND]
        if (rest := len(needs) - SHOWN_OF_A_KIND) > 0:
            words = ngettext("%(number)s more account: %(label)s", "%(number)s more accounts: %(label)s", rest)
            more = words % {"label": label, **_grouped(rest)}
            found.append(Need(needs[0].tone, more, gettext("Look"), reverse("mailbox:accounts")))
    return found


def _of_condition(row: AccountRow, condition: AccountNotice) -> Need:
    account = row.account
    action, url, post = gettext("Look"), reverse("mailbox:account", args=[account.pk]), False
    if condition.remedy.startswith("sign_in_") and row.may_administer:
        kind = condition.remedy.removeprefix("sign_in_")
        action, url = gettext("Sign in again"), reverse("mailbox:account_sign_in", args=[account.pk, kind])
    elif condition.remedy == "sync" and row.may_operate:
        action, url, post = gettext("Sync now"), reverse("mailbox:account_sync", args=[account.pk]), True
    elif condition.remedy == "go_on" and row.may_operate:
        action, url, post = gettext("Resume fetching"), reverse("mailbox:account_go_on", args=[account.pk]), True
    elif condition.remedy == "resume" and row.may_operate:
        action, url, post = gettext("Resume sending"), reverse("mailbox:account_resume", args=[account.pk]), True
    elif condition.remedy == "folders" and row.may_administer:
        action, url = gettext("Choose folders"), reverse("mailbox:account_folders", args=[account.pk])
    elif condition.remedy == "deletion" and row.may_administer:
        action, url = gettext("Decide"), reverse("account_delete", args=[account.pk])
    elif condition.remedy == "edit" and row.may_administer:
        action, url = gettext("Edit account"), reverse("mailbox:account_edit", args=[account.pk])
    return Need(
        condition.tone,
        f"{account.email}: {condition.label}",
        action,
        url,
        post,
        detail=condition.sentence,
        reply=condition.reply,
        paused_at=account.sending_paused_at if condition.remedy == "resume" else None,
        since=condition.since,
        since_words=gettext("last up to date") if condition.kind in ("sync_fails", "behind") else "",
    )


def of_outbox(rows: QuerySet[OutboxMessage], held: Held, restored: int = 0) -> list[Need]:
    """Uncertain sends (`restored`: so many by a restore) and failures. `held`: hold -> (number, time of the oldest)."""
    found = []
    tabs = reverse("outbox:list")
    count, oldest = held.get("uncertain", (0, None))
    if count:
        words = ngettext(
            "%(number)s send may or may not have gone out", "%(number)s sends may or may not have gone out", count
        ) % _grouped(count)
        detail = gettext("The connection or the worker was lost after the mail was handed over. Only you can decide.")
        if restored:
            said = gettext("Waited in the restored backup; may have gone out since: %(number)s. Only you can decide.")
            detail = said % _grouped(restored)
        found.append(
            Need("needs", words, gettext("Decide"), f"{tabs}?state=needs_decision", detail=detail, since=oldest)
        )
    codes = _codes(rows, [hold for hold in ("permanent", "gave_up") if hold in held])
    for hold in ("permanent", "gave_up"):
        count, oldest = held.get(hold, (0, None))
        if count:
            said = _ended(hold, count) % _grouped(count)
            url = f"{tabs}?state=failed_for_good&reason={hold}"
            found.append(Need("broken", said, gettext("Look"), url, detail=codes[hold], since=oldest))
    return found


def _ended(hold: str, count: int) -> str:
    if hold == "permanent":
        return ngettext("%(number)s send was refused for good", "%(number)s sends were refused for good", count)
    return ngettext(
        "%(number)s send was given up after days of trying",
        "%(number)s sends were given up after days of trying",
        count,
    )


def of_bounces(count: int, oldest: datetime | None) -> list[Need]:
    """Bounces that no person has acknowledged: mail that was accepted by a server and came back later."""
    if not count:
        return []
    words = ngettext("%(number)s mail bounced", "%(number)s mails bounced", count) % _grouped(count)
    detail = ngettext(
        "It was accepted and then returned: somebody did not get it. Open it, and say that you have seen it.",
        "They were accepted and then returned: somebody did not get them. Open each, and say that you have seen it.",
        count,
    )
    url = f"{reverse('outbox:list')}?mark=unseen"
    return [Need("broken", words, gettext("Look"), url, detail=detail, since=oldest)]


def of_complaints(count: int, oldest: datetime | None) -> list[Need]:
    """Complaints that no person has acknowledged: recipients told their provider that a mail is unwanted (RFC 5965)."""
    if not count:
        return []
    words = ngettext("%(number)s mail was called unwanted", "%(number)s mails were called unwanted", count)
    detail = gettext(
        "A recipient told their provider so. Providers refuse senders who go on: write to them again only if they ask."
    )
    url = f"{reverse('outbox:list')}?mark=unseen"
    return [Need("needs", words % _grouped(count), gettext("Look"), url, detail=detail, since=oldest)]


def _codes(rows: QuerySet[OutboxMessage], holds: list[str]) -> dict[str, str]:
    """hold -> the SMTP codes of its failed recipients with their numbers, in words; one query.

    The code is the recipient's own or, where the server refused the whole mail, that of its last attempt. Codes of
    recipients that were accepted do not count.
    """
    last = DeliveryAttempt.objects.filter(outbox=OuterRef("outbox"), number=OuterRef("outbox__last_attempt"))
    lacking = OutboxRecipient.objects.exclude(status=OutboxRecipient.Status.ACCEPTED).order_by()
    lacking = lacking.filter(outbox__in=rows.filter(status="failed", hold__in=holds))
    codes = lacking.annotate(code=Coalesce("reply_code", Subquery(last.values("reply_code")[:1])))
    tallies: dict[str, Tally[int]] = {hold: Tally() for hold in holds}
    counted = codes.filter(code__gte=300).values_list("outbox__hold", "code").annotate(Count("pk"))
    for hold, code, count in counted if holds else ():
        tallies[hold][code] += count
    return {hold: _tally_words(tally) for hold, tally in tallies.items()}


def _tally_words(tally: Tally[int]) -> str:
    if not tally:
        return ""
    said = listed(
        gettext("%(number)s with %(code)s") % {"code": code, "number": grouped(count)}
        for code, count in sorted(tally.items(), key=lambda each: (-each[1], each[0]))
    )
    return gettext("Recipients refused: %(codes)s.") % {"codes": said}


def of_quarantine(count: int, oldest: datetime | None) -> list[Need]:
    """The line of quarantined messages; none for 0. `oldest`: when the first of them failed."""
    if not count:
        return []
    words = ngettext(
        "%(number)s message could not be fetched or read", "%(number)s messages could not be fetched or read", count
    ) % _grouped(count)
    detail = gettext("The rest of the mail is not held up. Look at the errors and fetch them again.")
    url = reverse("mailbox:quarantine")
    return [Need("broken", words, gettext("Look"), url, detail=detail, since=oldest)]


def of_workers(alive: bool, last_seen: datetime | None, *, may_administer: bool) -> list[Need]:
    """The line that no worker runs; none if one does."""
    if alive:
        return []
    words = gettext("No worker is running: nothing is fetched and nothing is sent")
    detail = (
        gettext("Start them: “make run” starts both, “manage.py qcluster” the workers alone.")
        if may_administer
        else gettext("Tell whoever runs this site.")
    )
    return [Need("broken", words, detail=detail, since=last_seen, since_words=gettext("last seen"))]


def of_hosts(beats: list[WorkerHeartbeat], alive: list[WorkerHeartbeat]) -> list[Need]:
    """Hosts whose workers are gone while others run, and what live workers cannot reach (store, broker, disk)."""
    return [
        *_out_of_reach(
            _gone(beats, alive),
            "broken",
            gettext("The workers of %(hosts)s are gone; others work on"),
            gettext("Look at that host. Workers that are stopped in order are not missed."),
            gettext("last seen"),
        ),
        *_out_of_reach(
            [(beat.host, beat.store_failed_since) for beat in alive if beat.store_failed_since],
            "broken",
            gettext("%(hosts)s cannot write or read stored mail, and so fetches and sends nothing"),
            gettext("Look at its disk and data folder; its log says store_unusable and why."),
        ),
        *_out_of_reach(
            [(beat.host, beat.fetching_stopped_since) for beat in alive if beat.fetching_stopped_since],
            "broken",
            gettext("%(hosts)s fetches no mail: its disk is nearly full"),
            gettext("Sending goes on, and mail that is not fetched stays on its server. Give the disk more room."),
        ),
        *_out_of_reach(
            [(beat.host, beat.seen_at) for beat in alive if _is_nearly_full(beat)],
            "needs",
            gettext("The disk of %(hosts)s is nearly full"),
            gettext("Give its data folder or stored mail more room before it fetches no more mail."),
            gettext("last seen"),
        ),
        *_out_of_reach(
            [(beat.host, beat.broker_away_since) for beat in alive if beat.broker_away_since],
            "needs",
            gettext("%(hosts)s cannot reach Redis"),
            gettext("Work is handed to workers through the database meanwhile: nothing is lost, some comes later."),
        ),
    ]


def _gone(beats: list[WorkerHeartbeat], alive: list[WorkerHeartbeat]) -> list[tuple[str, datetime]]:
    """(host, last heartbeat) of hosts without live workers; none while no worker runs at all: another line says so."""
    here = {beat.host for beat in alive}
    last = {beat.host: beat.seen_at for beat in sorted(beats, key=attrgetter("seen_at")) if beat.host not in here}
    return list(last.items()) if alive else []


def _is_nearly_full(beat: WorkerHeartbeat) -> bool:
    """Whether the disk is nearly full; not when fetching has stopped because of it, which another line says."""
    free = beat.least_free_percent
    return beat.fetching_stopped_since is None and free is not None and free < DISK_FREE_PERCENT


def _out_of_reach(
    found: list[tuple[str, datetime]], tone: str, words: str, detail: str, since_words: str = ""
) -> list[Need]:
    if not found:
        return []
    hosts = listed(sorted({host for host, _since in found}))
    since = min(since for _host, since in found)
    return [Need(tone, words % {"hosts": hosts}, detail=detail, since=since, since_words=since_words)]


def of_restore(tried_at: datetime | None, detail: str) -> list[Need]:
    """The newest test of a restore, if it failed. `detail`: what was wrong, in English, from the command."""
    if tried_at is None or not detail:
        return []
    return [Need("broken", gettext("The last backup that was tried cannot be restored"), detail=detail, since=tried_at)]


def of_push(seen_at: datetime | None, *, is_missed: bool, may_administer: bool) -> list[Need]:
    """That no push process runs. `is_missed`: one should run and an account wants push. `seen_at`: last heartbeat."""
    if not is_missed:
        return []
    detail = (
        gettext("Mail is still looked for each minute. “make run” starts it with the rest, “manage.py idle” alone.")
        if may_administer
        else gettext("Mail is still looked for each minute. Tell whoever runs this site.")
    )
    said = gettext("Push is not running: new mail comes later")
    return [Need("needs", said, detail=detail, since=seen_at, since_words=gettext("last seen"))]


def of_switch(paused_at: datetime | None, reason: str, *, may_administer: bool) -> list[Need]:
    """The line that all sending is paused; none if it is not. Only administrators get the button."""
    if paused_at is None:
        return []
    kept = gettext("Mail is kept and goes out when sending is resumed.")
    detail = f"{reason.rstrip('.')}. {kept}" if reason else kept
    action, url = (gettext("Resume sending"), reverse("outbox:resume_sending")) if may_administer else ("", "")
    said = gettext("All sending is paused")
    return [Need("needs", said, action, url, True, detail=detail, since=paused_at, paused_at=paused_at)]
