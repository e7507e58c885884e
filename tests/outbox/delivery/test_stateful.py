"""No sequence of sends, kills, refusals, clicks and clock jumps breaks the promises: real rows, a list as the server.

Attempts run interleaved, as in several processes: each may stop for good at any step, or go on when its row has long
been recovered, sent again, marked or cancelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mailbox.models import Account
from outbox.actions import transitions
from outbox.actions.transitions import AS_IT_IS
from outbox.delivery import claims, finalization, preparation, recovery
from outbox.delivery.claims import Claim
from outbox.delivery.outcomes import AttemptOutcome
from outbox.errors import OutboxError
from outbox.models import DeliveryAttempt, OutboxMessage, OutboxRecipient
from outbox.retry import policy as retry_policy
from outbox.retry.faults import Verdict
from outbox.retry.policy import RetryLimits
from outbox.smtp.replies import Reply

pytestmark = pytest.mark.django_db(transaction=True)
START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = RetryLimits(5, timedelta(days=5))
PEOPLE = ("ann@example.test", "bob@example.test")
REFUSALS = [Reply(450, "Greylisted"), Reply(550, "No such user")]


@dataclass(eq=False)
class Attempt:
    """One process on its way through a row."""

    claim: Claim
    to_try: list[str]
    accepted: list[str] = field(default_factory=list)
    refused: dict[str, Reply] = field(default_factory=dict)
    has_dot: bool = False  # the "dot" commit said yes: from here on the mail may go out
    taken: bool = False


class Outbox(RuleBasedStateMachine):
    account: Account  # set by the test
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        OutboxMessage.objects.all().delete()
        self.now = START
        self.delivered: Counter[tuple[int, str]] = Counter()
        self.again: Counter[int] = Counter()  # row -> "Send again" clicks
        self.decided: dict[int, str] = {}  # row -> what a person made of it for good
        self.marked: set[int] = set()
        self.queue_one()

    # --- The software -------------------------------------------------------------------------------------------
    @precondition(lambda self: OutboxMessage.objects.count() < 2)
    @rule()
    def queue_one(self) -> None:
        row = OutboxMessage.objects.create(
            account=self.account, to="x", subject="x", body_text="x", mail_from="a@b.c", mime_digest="0", mime_size=1,
            next_attempt_at=self.now,
        )  # fmt: skip
        OutboxMessage.objects.filter(pk=row.pk).update(created_at=self.now)
        OutboxRecipient.objects.bulk_create(OutboxRecipient(outbox=row, kind="to", address=each) for each in PEOPLE)

    @rule(target=attempts)
    def claim(self) -> Any:
        claim = claims.claim_next(self.account.pk, "w", lease_seconds=90, now=self.now)
        if claim is None:
            return multiple()
        return Attempt(claim, list(preparation.lacking(claim.outbox_id).to_try))

    @rule(
        attempt=attempts,
        answers=st.lists(st.sampled_from([None, None, None, *REFUSALS]), min_size=2, max_size=2),
        taken=st.sampled_from([True, True, False]),
    )
    def send(self, attempt: Attempt, answers: list[Reply | None], taken: bool) -> None:
        self.commit_dot(attempt, answers)
        if taken:
            self.the_server_takes_it(attempt)

    def commit_dot(self, attempt: Attempt, answers: list[Reply | None]) -> None:
        if attempt.has_dot or attempt.taken:
            return
        said = dict(zip(PEOPLE, answers, strict=True))
        refused = {who: reply for who in attempt.to_try if (reply := said[who])}
        accepted = [who for who in attempt.to_try if who not in refused]
        if not accepted:
            return
        attempt.has_dot = claims.commit_dot(
            attempt.claim, refused, [], lease_seconds=900, now=self.now, no_longer_refused=accepted
        )
        attempt.accepted, attempt.refused = accepted, refused

    @rule(attempt=attempts)
    def the_server_takes_it(self, attempt: Attempt) -> None:
        if attempt.has_dot and not attempt.taken:
            attempt.taken = True
            for who in attempt.accepted:
                self.delivered[attempt.claim.outbox_id, who] += 1

    @rule(attempt=consumes(attempts), verdict=st.sampled_from(list(Verdict)))
    def finalize(self, attempt: Attempt, verdict: Verdict) -> None:
        """The answer is read and written down; after "dot" it is what the server did, or unknown."""
        tried, now = attempt.claim.tried, self.now
        if attempt.has_dot and attempt.taken and verdict is not Verdict.UNCERTAIN:
            codes = [reply.code for reply in attempt.refused.values()]
            codes += [each.code for each in preparation.lacking(attempt.claim.outbox_id).refused_for_good.values()]
            settled = retry_policy.settle_answered(tried, codes, is_accepted=True, limits=LIMITS, now=now)
            outcome = AttemptOutcome(
                settled, "250 ok", 250, "accepted", accepted=attempt.accepted, refused=attempt.refused
            )
        elif verdict in (Verdict.ACCEPTED, Verdict.PARTIAL, Verdict.ABANDONED):
            if not attempt.has_dot:
                claims.release(attempt.claim, "left", now=now)
            return  # else: killed here
        elif verdict is Verdict.UNCERTAIN and not attempt.has_dot:
            return  # killed here: only "dot" makes an outcome unknown
        elif verdict is Verdict.THROTTLED:
            until = now + timedelta(seconds=60)
            outcome = AttemptOutcome(
                retry_policy.settle_throttled(tried, "Provider", until, limits=LIMITS, now=now), "421 wait"
            )
        else:
            outcome = AttemptOutcome(
                retry_policy.settle_failure(tried, verdict, "Provider", limits=LIMITS, now=now), "no"
            )
        finalization.finalize(attempt.claim, outcome, now=now)

    @rule(seconds=st.sampled_from([0, 91, 1000]))
    def sweep(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        recovery.recover(self.now)
        recovery.lift_outdated_sign_in_holds(self.now)

    @rule(seconds=st.sampled_from([1, 11, 91, 1000, 90_000, 500_000, -60, -4000]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # --- People -------------------------------------------------------------------------------------------------
    def click(self, act: Callable[..., OutboxMessage], n: int, **options: Any) -> int | None:
        pks = list(OutboxMessage.objects.order_by("pk").values_list("pk", flat=True))
        try:
            return act(pks[n % len(pks)], user=None, now=self.now, **options).pk
        except OutboxError:
            return None

    @rule(n=st.integers(0, 1), verb=st.sampled_from(["retry", "send_again", "mark_as_sent", "mark_as_sent", "cancel"]))
    def a_person_clicks(self, n: int, verb: str) -> None:
        getattr(self, verb)(n)

    def retry(self, n: int) -> None:
        self.click(transitions.ask_retry, n, now_anyway=True)

    def send_again(self, n: int) -> None:
        if pk := self.click(transitions.ask_again, n, seen=AS_IT_IS):
            self.again[pk] += 1

    def mark_as_sent(self, n: int) -> None:
        if pk := self.click(transitions.mark_as_sent, n, seen=AS_IT_IS):
            self.marked.add(pk)
            if OutboxMessage.objects.get(pk=pk).status == "sent":
                self.decided[pk] = "sent"

    def cancel(self, n: int) -> None:
        if pk := self.click(transitions.cancel, n):
            self.decided[pk] = "cancelled"

    # --- The promises -------------------------------------------------------------------------------------------
    @invariant()
    def nobody_gets_a_mail_twice_unless_a_person_chose_it(self) -> None:
        for (pk, who), copies in self.delivered.items():
            assert copies <= 1 + self.again[pk], (pk, who)

    @invariant()
    def what_is_sent_has_arrived_unless_a_person_said_so(self) -> None:
        for row in OutboxMessage.objects.sent():
            missing = [who for who in PEOPLE if not self.delivered[row.pk, who]]
            assert not missing or row.pk in self.marked, (row.pk, missing)

    @invariant()
    def what_a_person_decided_stays(self) -> None:
        now = dict(OutboxMessage.objects.filter(pk__in=self.decided).values_list("pk", "status"))
        assert now == self.decided

    @invariant()
    def only_data_makes_an_outcome_unknown(self) -> None:
        for row in OutboxMessage.objects.needs_decision():
            last = DeliveryAttempt.objects.filter(outbox=row).order_by("-number")[0]
            assert last.data_at is not None and last.outcome == Verdict.UNCERTAIN

    @invariant()
    def a_message_id_stands_for_one_number_of_retries(self) -> None:
        for pk, retries in OutboxMessage.objects.values_list("pk", "retries"):
            ids = set(DeliveryAttempt.objects.filter(outbox_id=pk).values_list("message_id", flat=True))
            assert ids <= {f"<outbox-{pk}-{n}@prx-email.local>" for n in range(retries + 1)}

    def teardown(self) -> None:
        """Everybody has died. What is known goes out by itself; the rest waits for a person or was decided by one."""
        while OutboxMessage.objects.sending().exists() or OutboxMessage.objects.waiting().exists():
            self.now += timedelta(days=40)
            recovery.recover(self.now)
            while claim := claims.claim_next(self.account.pk, "w", lease_seconds=90, now=self.now):
                attempt = Attempt(claim, list(preparation.lacking(claim.outbox_id).to_try))
                self.commit_dot(attempt, [None, None])
                self.the_server_takes_it(attempt)
                if attempt.to_try:
                    self.finalize(attempt, Verdict.ACCEPTED)
                else:
                    self.finalize(attempt, Verdict.PERMANENT)
        for row in OutboxMessage.objects.exclude(hold__in=["uncertain", "permanent", "sign_in", "gave_up"]):
            assert row.status in ("sent", "cancelled"), (row.pk, row.status, row.hold)
        self.nobody_gets_a_mail_twice_unless_a_person_chose_it()
        self.what_is_sent_has_arrived_unless_a_person_said_so()
        self.what_a_person_decided_stays()


def run(account: Account, examples: int, steps: int) -> None:
    machine = type("OutboxOfTheTest", (Outbox,), {"account": account})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks, database=None
    )
    run_state_machine_as_test(machine, settings=chosen)


@pytest.fixture
def account(make_account: Callable[..., Account]) -> Account:
    return make_account(imap_host="localhost", imap_port=1, smtp_host="localhost", smtp_port=1)


def test_no_short_history_breaks_the_promises(account: Account) -> None:
    run(account, examples=20, steps=25)


@pytest.mark.long
def test_no_long_history_breaks_the_promises(account: Account) -> None:
    run(account, examples=200, steps=40)
