"""The recipients of a row's next attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailbox.db import statements
from outbox.delivery import claims_sql
from outbox.retry.classification import is_for_now
from outbox.smtp.replies import Reply


@dataclass(frozen=True)
class Recipients:
    """The recipients to try, and those that an earlier attempt found refused for good.

    Read before the session begins: between the server's answer and finalize, no query may fail.
    """

    to_try: Sequence[str]
    refused_before: frozenset[str]  # those of `to_try` with a transient refusal
    refused_for_good: Mapping[str, Reply]
    dsn_parameters: Mapping[str, str]  # of those who have any, as a program submitted them


def lacking(pk: int) -> Recipients:
    """The envelope recipients of the next attempt: neither accepted nor refused for good."""
    found = statements.rows(claims_sql.LACKING, [pk])
    refused = {address: Reply(code or 450, words) for address, status, code, words, _ in found if status == "refused"}
    for_good = {address: reply for address, reply in refused.items() if not is_for_now(reply.code, reply.text)}
    to_try = [address for address, *_ in found if address not in for_good]
    dsn_parameters = {address: parameters for address, *_, parameters in found if parameters}
    return Recipients(to_try, frozenset(refused.keys() - for_good.keys()), for_good, dsn_parameters)
