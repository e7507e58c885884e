"""Reads what an attempt needs from the database and the raw store, before the session is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mailbox.db import statements
from mailbox.storage import out_of_reach, raw_store
from outbox.compose import build as compose_build
from outbox.compose import private_part
from outbox.delivery import claims_sql
from outbox.delivery.claims import Claim
from outbox.errors import ErrorCode
from outbox.models import DeliveryAttempt
from outbox.retry.classification import is_for_now
from outbox.retry.faults import Fault, Kind, Phase, Verdict
from outbox.smtp.mail import Mail
from outbox.smtp.replies import Reply

AWAY_WORDS = "Nothing was sent; it goes out by itself once the raw store can be read again."
GONE_WORDS = (
    "Nothing was sent. If this worker has a data folder of its own (PRX_EMAIL_DATA_DIR), give it the one of the site "
    "and of the other workers, or name a store they share (PRX_EMAIL_RAW_STORAGE)."
)
REFUSED = "451 4.3.0 drill: the provider was made to refuse on purpose; nothing was sent."
DRILLS = {
    "network": Fault(Phase.CONNECT, Kind.NETWORK, "drill: the network was made to fail on purpose; nothing was sent."),
    "provider": Fault(Phase.CONNECT, Kind.REPLY, REFUSED, 451),
}


@dataclass(frozen=True)
class Recipients:
    """The recipients to try, and those that an earlier attempt found refused for good.

    Read before the session begins: between the server's answer and finalize, no query may fail.
    """

    to_try: Sequence[str]
    refused_before: frozenset[str]  # those of `to_try` with a transient refusal
    refused_for_good: Mapping[str, Reply]
    dsn_parameters: Mapping[str, str]  # of those who have any, as a program submitted them


@dataclass(frozen=True)
class PreparedAttempt:
    """A claimed row with everything that its attempt needs, read before the session is used.

    mail: None if there is a fault, or nobody to send it to. fault: the reason why nothing must be sent. code: its error
    code.
    """

    claim: Claim
    recipients: Recipients
    mail: Mail | None = None
    fault: Fault | None = None
    code: ErrorCode | None = None
    looks: int = 0  # failed attempts to read the stored mail, this one included
    is_gone: bool = False  # the raw store works, and does not have the file


def lacking(pk: int) -> Recipients:
    """The envelope recipients of the next attempt: neither accepted nor refused for good."""
    found = statements.rows(claims_sql.LACKING, [pk])
    refused = {address: Reply(code or 450, words) for address, status, code, words, _ in found if status == "refused"}
    for_good = {address: reply for address, reply in refused.items() if not is_for_now(reply.code, reply.text)}
    to_try = [address for address, *_ in found if address not in for_good]
    dsn_parameters = {address: parameters for address, *_, parameters in found if parameters}
    return Recipients(to_try, frozenset(refused.keys() - for_good.keys()), for_good, dsn_parameters)


def prepare(claim: Claim, read: Callable[[], bytes]) -> PreparedAttempt:
    """Read what the attempt of a claimed row needs. Raises database errors; a missing raw file is a `fault`.

    read: returns the frozen mail, or raises as raw_store.open_raw does.
    """
    recipients = lacking(claim.outbox_id)
    work = PreparedAttempt(claim, recipients)
    if claim.failure_mode:
        return replace(work, fault=DRILLS[claim.failure_mode])
    if not recipients.to_try:
        return work
    try:
        frozen, secrets = private_part.filled(read(), claim.private_part, recipients.to_try)
    except raw_store.RawOutOfReach as error:
        out_of_reach.note(error.segment)
        gone = isinstance(error.__cause__, FileNotFoundError)
        fault = Fault(Phase.CLAIM, Kind.AWAY, f"{error}. {GONE_WORDS if gone else AWAY_WORDS}")
        ended = DeliveryAttempt.objects.filter(outbox_id=claim.outbox_id, phase=Phase.CLAIM.value)
        looks = 1 + ended.filter(outcome__in=(Verdict.TRANSIENT, Verdict.PERMANENT)).count()
        return replace(work, fault=fault, code=ErrorCode.STORAGE, looks=looks, is_gone=gone)
    except (raw_store.RawMissing, private_part.NothingToSay) as error:
        code = ErrorCode.STORAGE if isinstance(error, raw_store.RawMissing) else None
        return replace(work, fault=Fault(Phase.CLAIM, Kind.LOCAL, str(error)), code=code)
    mail = Mail(
        claim.mail_from,
        recipients.to_try,
        compose_build.stamped(frozen, claim.message_id, claim.prx_attempt),
        secrets,
        claim.needs_smtputf8,
        claim.prx_attempt,
        claim.dsn_parameters,
        recipients.dsn_parameters,
    )
    return replace(work, mail=mail)
