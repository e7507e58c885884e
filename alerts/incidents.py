"""Turns problems into incidents and incidents into notices.

Each transition is one conditional UPDATE, so that two concurrent runs notify once.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from alerts.models import AlertIncident, AlertNotice, AlertRule, Channel, Kind
from alerts.problems.find import Problems
from alerts.problems.problem import Problem
from mailbox.clocks import is_due

# How long a problem must last before anybody is notified: many are over after another attempt or two.
TELL_AFTER = {
    Kind.WORKERS: timedelta(0),  # their heartbeat has been missing for 90 s already
    Kind.BEHIND: timedelta(minutes=2),
    Kind.SIGN_IN: timedelta(minutes=1),
    Kind.HOST: timedelta(minutes=2),  # a restart takes less time
    Kind.PUSH: timedelta(minutes=2),
    Kind.PAUSED: timedelta(minutes=10),  # the person who paused it knows of it, and usually resumes it soon
}
# An incident ends when its problem was absent for this time, so that one that comes and goes notifies once.
CALM = timedelta(minutes=5)
# When the problem has grown (another mail failed), people are notified again, at most this often.
AGAIN = timedelta(hours=1)


def update(problems: Problems, now: datetime) -> None:
    """Open, update and close incidents by the problems found, and write the notices that are due."""
    found = {each.key: each for each in problems.found}
    rows = {row.key: row for row in AlertIncident.objects.open()}
    for key, problem in found.items():
        if key in rows:
            _still_there(rows[key], problem, now)
    _open([each for key, each in found.items() if key not in rows], now)
    for key, row in rows.items():
        if key not in found and row.kind not in problems.unknown:
            _gone(row, now)
    rules = list(AlertRule.objects.filter(is_on=True).select_related("user", "sender"))
    for row in AlertIncident.objects.open().filter(alerted_at=None, absent_since=None).order_by("pk"):
        if is_due(row.present_since, TELL_AFTER.get(Kind(row.kind), timedelta(0)), now):
            _tell(row, rules, now)


def _open(problems: list[Problem], now: datetime) -> None:
    """Open an incident for each problem. If another run inserts the same key first, the unique constraint skips it."""
    AlertIncident.objects.bulk_create([_incident(each, now) for each in problems], ignore_conflicts=True)


def _incident(problem: Problem, now: datetime) -> AlertIncident:
    sentence, translations = problem.stored()
    return AlertIncident(
        key=problem.key,
        kind=problem.kind,
        account_id=problem.account_id,
        sentence=sentence,
        translations=translations,
        path=problem.path,
        count=problem.count,
        newest=problem.newest,
        opened_at=now,
        present_since=now,
    )


def _still_there(row: AlertIncident, problem: Problem, now: datetime) -> None:
    this = AlertIncident.objects.open().filter(pk=row.pk)
    if row.absent_since is not None:
        this.update(absent_since=None, present_since=now)
    is_more = problem.newest > row.newest or problem.count > row.count
    if row.alerted_at is None:
        if is_more:
            sentence, translations = problem.stored()
            more = {"count": problem.count, "newest": problem.newest}
            this.update(sentence=sentence, translations=translations, **more)
    elif is_more and is_due(row.alerted_at, AGAIN, now):
        # The notice no longer tells all: a new incident replaces this one, whose end is not notified.
        with transaction.atomic():
            if this.update(closed_at=now):
                _open([problem], now)


def _gone(row: AlertIncident, now: datetime) -> None:
    this = AlertIncident.objects.open().filter(pk=row.pk)
    if row.absent_since is None:
        this.filter(absent_since=None).update(absent_since=now)
    elif is_due(row.absent_since, CALM, now):
        with transaction.atomic():
            if this.filter(absent_since=row.absent_since).update(closed_at=now) and row.alerted_at:
                _write(_told_of(row), row, AlertNotice.Phase.END, now)


def _told_of(row: AlertIncident) -> list[AlertRule]:
    """The rules whose notice of the beginning was sent or is waiting."""
    began = row.notices.filter(phase="begin", state__in=["sent", "waiting"], rule__is_on=True)
    return [notice.rule for notice in began.select_related("rule", "rule__user")]


def _tell(row: AlertIncident, rules: list[AlertRule], now: datetime) -> None:
    """Mark the incident as notified and write the notices, in one transaction: if the process is killed before the
    commit, the next run does both."""
    with transaction.atomic():
        this = AlertIncident.objects.open().filter(pk=row.pk, alerted_at=None, absent_since=None)
        if this.update(alerted_at=now):
            wanted = [rule for rule in rules if rule.wants(row.kind, row.account_id)]
            _write(wanted, row, AlertNotice.Phase.BEGIN, now)


def _write(rules: list[AlertRule], row: AlertIncident, phase: str, now: datetime) -> None:
    AlertNotice.objects.bulk_create(
        [
            AlertNotice(incident=row, rule=rule, phase=phase, target=target_of(rule), next_try_at=now, created_at=now)
            for rule in rules
        ],
        ignore_conflicts=True,
    )


def target_of(rule: AlertRule) -> str:
    """The key of a rule's destination: two rules with the same one notify once. It has a digest, since a webhook's URL
    may be long and contain a secret."""
    place = rule.mail_address.lower() if rule.channel == Channel.MAIL else rule.url
    return f"{rule.channel}:{hashlib.sha256((place or str(rule.pk)).encode()).hexdigest()}"


def ask_for_test(rule: AlertRule, now: datetime) -> AlertNotice:
    """Create a test notice, to see whether it arrives."""
    return AlertNotice.objects.create(
        rule=rule, phase=AlertNotice.Phase.TEST, target=target_of(rule), next_try_at=now, created_at=now
    )


def forget(before: datetime) -> int:
    """Delete incidents that ended before this time, with their notices, and older tests; return how many rows."""
    old = Q(closed_at__lt=before)
    removed, _ = AlertIncident.objects.filter(old).delete()
    tests, _ = AlertNotice.objects.filter(incident=None, created_at__lt=before).delete()
    return removed + tests
