"""Schemas of requests and responses about accounts. Passwords and tokens are accepted, but never returned."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field

from api.v1.protocol.answers import Asked, Number, Text, Time, columns
from api.v1.protocol.conditional import REVISION, revision_of
from mailbox.accounts.condition import AccountNotice
from mailbox.accounts.troubleshooting import about
from mailbox.models import Account, Completeness, ConnectionTest, Transport
from mailbox.models.account_words import SentCopyChoice

Port = Annotated[int, Field(ge=1, le=65535)]
Secret = Annotated[Text | None, Field(description="Exactly one of password and oauth_token. Never answered.")]


class AccountState(Schema):
    """An account in a list. `..._needs_sign_in_since`: null unless the server refused the sign-in. `deleting_since`:
    its deletion goes on; `deletion_stopped_at`: a legal hold or new mail stopped it, and a person decides."""

    id: int
    email: str
    display_name: str
    fetches_mail: bool
    sends_mail: bool
    sending_paused_at: datetime | None
    imap_needs_sign_in_since: datetime | None
    smtp_needs_sign_in_since: datetime | None
    deleting_since: datetime | None
    deletion_stopped_at: datetime | None

    @classmethod
    def of(cls, row: Account) -> AccountState:
        return cls(**_state(row))


def _state(row: Account) -> dict[str, Any]:
    return {
        "id": row.pk,
        "email": row.email,
        "display_name": row.display_name,
        "fetches_mail": row.sync_enabled,
        "sends_mail": row.send_enabled,
        "sending_paused_at": row.sending_paused_at,
        "imap_needs_sign_in_since": row.imap.needs_sign_in_since,
        "smtp_needs_sign_in_since": row.smtp.needs_sign_in_since,
        "deleting_since": row.deleting_since,
        "deletion_stopped_at": row.deletion_stopped_at,
    }


class TransportState(Schema):
    """One server of an account. `security`: tls, or starttls."""

    host: str
    port: int
    security: str
    user: str
    auth_method: str = Field(description="password or oauth")

    @classmethod
    def of(cls, row: Transport) -> TransportState:
        return cls(**columns(cls, row), auth_method=row.auth_method)


class AccountWhole(AccountState):
    """An account with its servers and settings, without secrets. `messages_per_minute`: null for no limit."""

    imap: TransportState
    smtp: TransportState
    signature: str
    ca_certificate: str
    sent_copy: str
    push: bool
    messages_per_minute: int | None
    created_at: datetime
    revision: str = REVISION

    @classmethod
    def of(cls, row: Account) -> AccountWhole:
        own: dict[str, Any] = {
            "ca_certificate": row.ca_certificate,
            "push": row.push_enabled,
            "created_at": row.created_at,
        }
        own |= {name: getattr(row, name) for name in ("signature", "sent_copy", "messages_per_minute")}
        own |= {"imap": TransportState.of(row.imap), "smtp": TransportState.of(row.smtp)}
        own["revision"] = revision_of(_hidden(row.imap), _hidden(row.smtp))
        return cls(**_state(row), **own)


def _hidden(row: Transport) -> tuple[object, ...]:
    """Not the tokens of its grant: those are renewed hourly, and nobody changed the account."""
    secrets = (row.encrypted_password, row.encrypted_oauth_token, row.grant_id)
    return (*secrets, row.oauth_expires_at, row.private_host_allowed)


class TransportChange(Asked):
    """Absent members stay as they are."""

    host: Text | None = None
    port: Port | None = None
    user: Text | None = None
    password: Secret = None
    oauth_token: Secret = None


class SmtpChange(TransportChange):
    """Absent members stay as they are."""

    security: Literal["", "tls", "starttls"] | None = Field(
        default=None, description="Empty: tls on 465, else starttls."
    )
    same_as_imap: bool = Field(default=False, description="Sign in with IMAP's user name and secret.")


class AccountChange(Asked):
    """Absent members stay as they are. A change of host, port or CA certificate needs the secret again."""

    email: Text | None = None
    display_name: Text | None = None
    signature: Text | None = None
    imap: TransportChange = TransportChange()
    smtp: SmtpChange = SmtpChange()
    ca_certificate: Text | None = Field(
        default=None, description="PEM, for a server that no public authority vouches for."
    )
    sent_copy: SentCopyChoice | None = None
    fetches_mail: bool | None = None
    sends_mail: bool | None = None
    push: bool | None = None
    messages_per_minute: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None, description="0: no limit."
    )

    def form_data(self) -> dict[str, Any]:
        """The given members under the names of the page's form."""
        given = self.model_dump(exclude_none=True)
        renamed = {"fetches_mail": "sync_enabled", "sends_mail": "send_enabled", "push": "push_enabled"}
        found = {renamed.get(name, name): value for name, value in given.items() if not isinstance(value, dict)}
        for kind in ("imap", "smtp"):
            found |= {f"{kind}_{name}": value for name, value in given.get(kind, {}).items()}
        found["smtp_same"] = found.pop("smtp_same_as_imap", False)
        if found.get("messages_per_minute") == 0:
            found["messages_per_minute"] = None
        return found


class NewAccount(AccountChange):
    """A new account. Absent members have the defaults of the page's form."""

    email: Text
    imap: TransportChange
    smtp: SmtpChange


class Notice(Schema):
    """One notice about an account; the first is the most urgent."""

    tone: Literal["broken", "needs", "waiting", "fine"]
    kind: str
    label: str
    sentence: str
    reply: str = Field(description="The server's own words.")
    advice: str
    since: datetime | None
    until: datetime | None

    @classmethod
    def of(cls, notice: AccountNotice) -> Notice:
        return cls(**{name: getattr(notice, name) for name in cls.model_fields})


class SideOfTest(Schema):
    """The result at one server. `reply`: the server's own words."""

    ok: bool | None = Field(description="null while it runs.")
    reply: str
    code: str
    advice: str


class TestState(Schema):
    """A connection test: a sign-in at both servers by a worker."""

    id: int
    account_id: int
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None = Field(description="null while it runs.")
    imap: SideOfTest
    smtp: SideOfTest

    @classmethod
    def of(cls, row: ConnectionTest) -> TestState:
        imap = _side(row.imap_ok, row.imap_reply, row.imap_code)
        return cls(**columns(cls, row), imap=imap, smtp=_side(row.smtp_ok, row.smtp_reply, row.smtp_code))


def _side(ok: bool | None, reply: str, code: str) -> SideOfTest:
    return SideOfTest(ok=ok, reply=reply, code=code, advice=about(code, reply) if ok is False else "")


class SeenAt(Asked):
    """Which stopped folders a decision is about."""

    stopped_before: Time | None = Field(default=None, description="Folders stopped later stay stopped; absent: now.")


class FolderChoice(Asked):
    """The folders to change; others stay as they are."""

    synced: list[Number] = Field(default=[], max_length=5_000)
    not_synced: list[Number] = Field(default=[], max_length=5_000)


class ComparedFinding(Schema):
    """`what`: missing, hidden, size, damaged, lost, other_bytes; or, for differences that the next sync removes,
    waiting, expunged. `remedy`: fetch, hide (the next sync does it), stored, kept, restore."""

    uid: int
    what: str
    remedy: str
    stored_size: int | None
    stated_size: int | None


class ComparedFolder(Schema):
    """`stored` of `on_server` messages are stored here. At most 100 findings are listed; all are counted. With an
    `error` the folder was not compared, or only a part of it."""

    folder: str
    uidvalidity: int | None
    at: str
    on_server: int
    stored: int
    let_go: int
    quarantined: int
    header_only: int = 0
    waiting: int
    expunged: int
    sampled: int
    differ: int
    error: str
    findings: list[ComparedFinding]


class CompletenessReport(Schema):
    """`not_compared`: number of folders with an error, whose differences `differ` may not count. `not_chosen`: number
    of the account's folders that are not synced, and so not compared."""

    account: str
    started_at: str | None
    finished_at: str
    folders: list[ComparedFolder]
    differ: int
    not_compared: int = 0
    not_chosen: int = 0


class SignedReport(Schema):
    """`signature`: of `report` as JSON in ASCII with sorted keys and no spaces; key and signature in base64."""

    report: CompletenessReport
    algorithm: Literal["Ed25519"]
    public_key: str
    signature: str


class CompletenessState(Schema):
    """`document`: null until the first comparison. `error`: why the last comparison was not completed."""

    finished_at: datetime | None
    differ: int
    error: str
    document: SignedReport | None

    @classmethod
    def of(cls, row: Completeness | None) -> CompletenessState:
        if row is None:
            return cls(finished_at=None, differ=0, error="", document=None)
        document = row.document or None
        return cls(finished_at=row.finished_at, differ=row.differing, error=row.error, document=document)
