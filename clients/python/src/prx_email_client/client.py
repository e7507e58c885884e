"""What programs ask for most, as methods with typed answers; all else is asked for by its path (Resources)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from email.policy import SMTP
from email.utils import make_msgid
from typing import Any

import httpx

from prx_email_client.calls import LARGEST_PAGE, EventsMissed, Refused, Tries, made
from prx_email_client.resources import Resources
from prx_email_client.shapes import (
    Account,
    Alias,
    Completeness,
    Event,
    Feature,
    Mail,
    MessageHead,
    Need,
    OutboxHead,
    Reply,
    SendState,
    Suppressed,
)

LONGEST_KEY = 190  # characters; the API's limit


class Client(Resources):
    """A client for one token, thread-safe. Close it, or use it as a context manager."""

    def accounts(self) -> list[Account]:
        """The accounts that the token may see (scope read)."""
        return [made(Account, each) for each in self._pages("/accounts", "after")]

    def send(self, mail: Mail, *, key: str = "") -> SendState:
        """Queue a mail that the site composes (scope send). Raises ClientError; ValueError for a key that is too long.

        key: the idempotency key, the same for the same mail; without it, each call queues another mail.
        """
        return self._queue("/send", mail, key)

    def reply(self, reply: Reply, *, key: str = "") -> SendState:
        """Queue a reply to a received message of the account; as send() (scope send)."""
        return self._queue("/reply", reply, key)

    def _queue(self, path: str, mail: Mail | Reply, key: str) -> SendState:
        key = key or str(uuid.uuid4())
        if len(key) > LONGEST_KEY:
            raise ValueError(f"An idempotency key has {LONGEST_KEY} characters at most.")
        return made(SendState, self._ask("POST", path, json=mail.as_json(), headers={"Idempotency-Key": key}))

    def submit(self, mail_from: str, rcpt_to: Sequence[str], message: Message | bytes) -> SendState:
        """Queue a whole mail as it is (scope send). `mail_from` and the mail's From are addresses of the account.

        Its Message-ID is the idempotency key. If a Message has none, one is added to the object, so that a later call
        with the same object is the same mail; bytes must have one. Raises ClientError.
        """
        if isinstance(message, Message):
            if not message["Message-ID"]:
                message["Message-ID"] = make_msgid(domain=mail_from.rpartition("@")[2] or None)
            message = message.as_bytes(policy=SMTP) if _is_modern(message) else message.as_bytes()
        content = base64.b64encode(message).decode("ascii")
        given = {"mail_from": mail_from, "rcpt_to": list(rcpt_to), "base64": content}
        return made(SendState, self._ask("POST", "/submit", json=given))

    def state(self, outbox_id: int) -> dict[str, Any]:
        """A mail with its recipients and attempts (scope read)."""
        found: dict[str, Any] = self._ask("GET", f"/outbox/{outbox_id}")
        return found

    def messages(self, *, account: int | None = None) -> Iterator[MessageHead]:
        """Received messages, newest first; pages are fetched while the iterator is consumed (scope read)."""
        asked = {} if account is None else {"account": account}
        return (made(MessageHead, each) for each in self._pages("/messages", "before", **asked))

    def search(self, query: str) -> Iterator[MessageHead]:
        """Search received messages, as on the search page: `from:ann has:attachment invoice` (scope read)."""
        return (made(MessageHead, each) for each in self._pages("/messages/search", "before", q=query))

    def source(self, message: int) -> bytes:
        """The raw bytes of a received mail (scope read)."""
        return self._bytes(f"/messages/{message}/source")

    def attachment(self, message: int, position: int) -> bytes:
        """The decoded bytes of an attachment (scope read)."""
        return self._bytes(f"/messages/{message}/attachments/{position}")

    def outbox(self, **filters: str | int) -> Iterator[OutboxHead]:
        """Written mail, newest first, with the filters of the outbox page: state="retrying" (scope read)."""
        return (made(OutboxHead, each) for each in self._pages("/outbox", "before", **filters))

    def retry(self, outbox_id: int) -> SendState:
        """Have a queued or failed mail tried now; refused before its next attempt is due (scope operate)."""
        return self._act(outbox_id, "retry", ("sending", "sent"), now_anyway=False)

    def send_now(self, outbox_id: int) -> SendState:
        """As retry(), also before its next attempt is due, which is recorded (scope operate)."""
        return self._act(outbox_id, "retry", ("sending", "sent"), now_anyway=True)

    def cancel(self, outbox_id: int) -> SendState:
        """Cancel a queued or failed mail, for good (scope operate)."""
        return self._act(outbox_id, "cancel", ("cancelled",))

    def _act(self, outbox_id: int, action: str, became: Sequence[str], **given: Any) -> SendState:
        """Act on a mail. If an earlier try of this call got no response and the mail is refused now, its state says
        whether that try did it; this needs the scope read."""
        tries, request = Tries(self.wait), {"json": given} if given else {}
        try:
            answer = self._answer("POST", f"/outbox/{outbox_id}/{action}", wait=tries.wait_counted, **request)
        except Refused as error:
            if not (tries.lost and error.status == httpx.codes.UNPROCESSABLE_ENTITY):
                raise
            found = self.state(outbox_id)
            if found["status"] not in became:
                raise
            return made(SendState, found | {"outbox_id": outbox_id, "next_attempt_at": None})
        return made(SendState, answer.json()["data"])

    def last_event(self) -> int:
        """The number of the newest event: `after` for those that come from now on (scope read)."""
        return int(self._ask("GET", "/events")["next"])

    def events(
        self,
        after: int,
        *,
        kinds: Sequence[str] = (),
        reached: Callable[[int], object] = lambda number: None,
        again_after: float | None = None,
    ) -> Iterator[Event]:
        """Events with a number above `after`, in order (scope read). Raises EventsMissed if some were removed unread.

        kinds: only these, such as "outbox.sent"; empty: all. reached: called with the number to resume from, each time
        when all events before were consumed; keep it, as events of other kinds and accounts count, too. again_after:
        seconds after which to ask for more at the end, for ever; None: stop there.
        """
        while True:
            page = self._ask("GET", "/events", params={"after": after, "limit": LARGEST_PAGE, "kind": list(kinds)})
            found = [made(Event, each) for each in page["items"]]
            if not page["is_gapless"]:
                raise EventsMissed(found[0].number - 1 if found else page["next"])
            yield from found
            after = page["next"]
            reached(after)
            if page["is_all"]:
                if again_after is None:
                    return
                self.wait(again_after)

    def suppressed(self, *, account: int | None = None) -> Iterator[Suppressed]:
        """The suppressed addresses, newest first (scope read)."""
        asked = {} if account is None else {"account": account}
        return (made(Suppressed, each) for each in self._pages("/suppressed", "before", **asked))

    def suppress(self, account_id: int, address: str, words: str = "") -> Suppressed:
        """Put an address on an account's suppression list; a listed address is not changed (scope operate)."""
        given = {"account_id": account_id, "address": address, "words": words}
        return made(Suppressed, self._ask("POST", "/suppressed", json=given))

    def unsuppress(self, suppressed_id: int) -> None:
        """Take an address off the list (scope operate)."""
        self._ask_once_gone(f"/suppressed/{suppressed_id}")

    def aliases(self, account_id: int) -> list[Alias]:
        """The account's aliases: further addresses from which it may send (scope read)."""
        return [made(Alias, each) for each in self._ask("GET", f"/accounts/{account_id}/aliases")]

    def add_alias(self, account_id: int, email: str, display_name: str = "", signature: str = "") -> Alias:
        """Add an alias to an account (scope administer)."""
        given = {"email": email, "display_name": display_name, "signature": signature}
        headers = {"Idempotency-Key": str(uuid.uuid4())}  # shared by the tries of this call
        return made(Alias, self._ask("POST", f"/accounts/{account_id}/aliases", json=given, headers=headers))

    def remove_alias(self, alias_id: int) -> None:
        """Remove an alias; mail from it that waits in the outbox is still sent (scope administer)."""
        self._ask_once_gone(f"/aliases/{alias_id}")

    def features(self) -> list[Feature]:
        """All feature flags (scope administer, for all accounts)."""
        return [made(Feature, each) for each in self._ask("GET", "/features")]

    def set_feature(self, feature: str, percent: int) -> Feature:
        """Switch a feature on for a share of all accounts, always the same ones (scope administer, all accounts)."""
        return made(Feature, self._ask("PUT", f"/features/{feature}", json={"percent": percent}))

    def set_feature_of(self, feature: str, account_id: int, on: bool | None) -> Feature:
        """Switch a feature on or off for one account; None: as for all (scope administer, for all accounts)."""
        return made(Feature, self._ask("PUT", f"/features/{feature}/accounts/{account_id}", json={"on": on}))

    def completeness(self, account_id: int) -> Completeness:
        """The last comparison of the account's stored mail with its server (scope read)."""
        return made(Completeness, self._ask("GET", f"/accounts/{account_id}/completeness"))

    def sync(self, account_id: int) -> None:
        """Queue a sync of an account now (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/sync")

    def pause(self, account_id: int) -> None:
        """Send nothing from an account until it is resumed; its mail is kept (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/pause")

    def resume(self, account_id: int) -> None:
        """Send mail of an account again, after pause() (scope operate)."""
        self._ask("POST", f"/accounts/{account_id}/resume")

    def needs(self) -> list[Need]:
        """The problems of the token's accounts that need a person (scope read)."""
        return [made(Need, each) for each in self._ask("GET", "/health")["needs"]]


def _is_modern(message: Message) -> bool:
    """Whether it is an EmailMessage. With a policy, as_bytes() of the older Message breaks lines in its own way."""
    return hasattr(message, "iter_attachments")
