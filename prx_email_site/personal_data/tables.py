"""For each table, the columns that may contain a person's address and what an erasure does with such rows; or why the
table is not searched.

A test fails for a new text column until it is listed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailbox.messages.legal_holds import COLUMNS as HEADERS


class Way(StrEnum):
    """What an erasure does with the rows of a table."""

    RECEIVED = "received"  # the mail is removed, and not fetched again
    PUT_ASIDE = "put aside"  # the quarantined message is removed, and not fetched again
    SENT = "sent"  # the row stays without its content
    REMOVE = "remove"
    MASK = "mask"  # the address is replaced
    KEEP = "keep"  # the row stays; the report lists it with the reason `why`


@dataclass(frozen=True)
class PersonalTable:
    """columns: a row with the address in one of these is the person's. mentions: texts that may only mention it."""

    label: str
    columns: tuple[str, ...]
    way: Way
    why: str = ""
    mentions: tuple[str, ...] = ()


SETTING = "people set it up: change or remove it on its page"
_TEXTS = ("subject", "snippet", "body_text", "body_html", "attached_text", "message_id", "in_reply_to")
_SENT_COLUMNS = ("to", "cc", "bcc", "header_from", "mail_from", "idempotency_key")
_SENT_TEXTS = (
    *("subject", "body_text", "body_html", "in_reply_to", "references_header", "error", "provider_message_id"),
    "dsn_parameters",
)
# Searched in this order: exports first, as they contain data of the other tables.
TABLES = (
    PersonalTable("mailbox.Export", ("query",), Way.REMOVE),
    PersonalTable("mailbox.Message", HEADERS, Way.RECEIVED, mentions=(*_TEXTS, "references_header", "attachments")),
    PersonalTable("mailbox.Quarantine", ("sender", "subject"), Way.PUT_ASIDE),
    PersonalTable("outbox.OutboxMessage", _SENT_COLUMNS, Way.SENT, mentions=_SENT_TEXTS),
    PersonalTable("outbox.OutboxRecipient", ("address", "reply", "dsn_parameters"), Way.MASK),
    PersonalTable("outbox.DeliveryAttempt", ("reply", "transcript"), Way.MASK),
    PersonalTable("outbox.DeliveryReport", ("address", "words", "reporter"), Way.MASK),
    PersonalTable("outbox.SentLookup", ("last_words",), Way.MASK),
    PersonalTable("outbox.SentCopy", ("error",), Way.MASK),
    PersonalTable("outbox.Draft", ("to", "cc", "bcc"), Way.REMOVE, mentions=("subject", "body_text")),
    PersonalTable("outbox.KnownAddress", ("address",), Way.REMOVE),
    PersonalTable("outbox.Operation", ("query", "skipped"), Way.MASK),
    PersonalTable("outbox.SavedReply", ("name", "text"), Way.MASK),
    PersonalTable("outbox.SendingSwitch", ("reason",), Way.MASK),
    PersonalTable(
        "outbox.SuppressedAddress",
        ("address",),
        Way.KEEP,
        "so that nobody writes to this person again: take it off the list where that is not wanted",
    ),
    PersonalTable("mailbox.TeamMark", ("note",), Way.MASK),
    PersonalTable("mailbox.AuditEntry", ("detail",), Way.MASK),
    PersonalTable("mailbox.TrustedSender", ("address",), Way.REMOVE),
    PersonalTable("mailbox.RemoteImage", ("address",), Way.REMOVE),
    PersonalTable("mailbox.SettingsLookup", ("email", "found"), Way.REMOVE),
    PersonalTable("mailbox.SavedFilters", ("filters",), Way.MASK),
    PersonalTable("mailbox.ConnectionTest", ("imap_reply", "smtp_reply"), Way.MASK),
    PersonalTable("mailbox.SyncState", ("last_error",), Way.MASK),
    PersonalTable("mailbox.SyncRunFolder", ("error", "note"), Way.MASK),
    PersonalTable("mailbox.LaterReading", ("error",), Way.MASK),
    PersonalTable("mailbox.RestoreProof", ("fault", "detail"), Way.MASK),
    PersonalTable(
        "mailbox.Folder", ("name",), Way.KEEP, "its server calls it so, and says it again at the next listing"
    ),
    PersonalTable("mailbox.LegalHold", ("address", "reason"), Way.KEEP, "that something was held is asked for later"),
    PersonalTable("mailbox.Account", ("email", "display_name", "signature"), Way.KEEP, SETTING),
    PersonalTable("mailbox.Transport", ("user", "last_reply", "alert"), Way.KEEP, SETTING),
    PersonalTable("mailbox.AccountAlias", ("email", "display_name", "signature"), Way.KEEP, SETTING),
    PersonalTable("mailbox.OAuthGrant", ("identity", "last_reply"), Way.KEEP, SETTING),
    PersonalTable("mailbox.OAuthSignIn", ("email", "settings", "error"), Way.KEEP, SETTING),
    PersonalTable("alerts.Event", ("detail",), Way.MASK),
    PersonalTable("alerts.AlertIncident", ("sentence", "translations"), Way.MASK),
    PersonalTable("alerts.AlertNotice", ("result",), Way.MASK),
    PersonalTable("alerts.WebhookDelivery", ("result",), Way.MASK),
    PersonalTable("alerts.AlertRule", ("address", "url"), Way.KEEP, SETTING),
    PersonalTable("alerts.Webhook", ("name", "url"), Way.KEEP, SETTING),
    PersonalTable("api.KeptAnswer", ("body",), Way.MASK),
    PersonalTable("api.Token", ("name",), Way.KEEP, SETTING),
    PersonalTable("people.PasswordRequest", ("email",), Way.REMOVE),
    PersonalTable("people.EmailChange", ("email",), Way.REMOVE),
    PersonalTable("auth.User", ("username", "first_name", "last_name", "email"), Way.KEEP, SETTING),
    PersonalTable("account.EmailAddress", ("email",), Way.KEEP, SETTING),
    PersonalTable("admin.LogEntry", ("object_repr", "change_message"), Way.MASK),
)
_CODE = "names of the code"
_OURS = "our own names of hosts, processes, schedules and settings"
_WITH_MESSAGE = "goes with its message"
_WITH_SENT = "goes when its mail is emptied"
# Whole tables ("app.Model"), or columns of the tables above ("app.Model.column"), and why they are not searched.
NOT_SEARCHED = {
    "auth.Permission": _CODE,
    "auth.Group": "names of roles",
    "auth.User.password": "a hash",
    "contenttypes.ContentType": _CODE,
    "sessions.Session": "not used",
    "axes.AccessFailureLog": "not written",
    "axes.AccessAttempt": "a lock on guessing: it ends within minutes",
    "axes.AccessLog": "not written",
    "account.EmailConfirmation": "a random key",
    "mfa.Authenticator": "encrypted keys",
    "socialaccount.SocialApp": "not used: providers are settings",
    "socialaccount.SocialAccount": "of a user of this site: it goes with the user",
    "socialaccount.SocialToken": "not written",
    "django_q.Task": "tasks carry numbers and times",
    "django_q.Success": "rows of django_q.Task",
    "django_q.Failure": "rows of django_q.Task; they go after 14 days",
    "django_q.Schedule": _CODE,
    "django_q.OrmQ": "tasks carry numbers and times",
    "admin.LogEntry.object_id": "a key",
    "mailbox.OAuthApp": "an application at a provider, no person",
    "mailbox.OAuthGrant.scope": "rights",
    "mailbox.OAuthSignIn.nonce": "random",
    "mailbox.ConnectionTest.imap_code": _CODE,
    "mailbox.ConnectionTest.smtp_code": _CODE,
    "mailbox.SyncState.last_error_code": _CODE,
    "mailbox.SyncRunFolder.error_code": _CODE,
    "mailbox.OAuthSignIn.callback": "our own address",
    "mailbox.SeenCertificate": "names of servers",
    "mailbox.Transport.host": "name of a server",
    "mailbox.Account.ca_certificate": "a certificate",
    "mailbox.AuditEntry.target": "kind and key of a row",
    "mailbox.AuditEntry.verb": _CODE,
    "mailbox.Completeness": "names of folders, numbers, digests; signed; written anew each night",
    "mailbox.Folder.delimiter": "a character",
    "mailbox.Folder.special_use": "a word of RFC 6154",
    "mailbox.Folder.mailbox_id": "the server's own key (RFC 8474)",
    "mailbox.SyncState.begun": "numbers",
    "mailbox.SyncRunFolder.folder_name": "as the folder's; the row goes after 14 days",
    "mailbox.RawMessage": "digests; bytes go with the raw store's sweep once nothing refers to them",
    "mailbox.Message.parse_defects": "names of defects",
    "mailbox.MessagePlace": _WITH_MESSAGE,
    "mailbox.Attachment": _WITH_MESSAGE,
    "mailbox.Export.after": "a time and a key",
    "mailbox.Export.accounts": "keys",
    "mailbox.Export.error": "our own sentences",
    "mailbox.ExportPart": "goes with its export; an erasure ends all exports",
    "mailbox.FeatureSetting": _CODE,
    "mailbox.PersonSearch": "its own address goes when it is over",
    "mailbox.ProcessHeartbeat": _OURS,
    "mailbox.DatabaseFailure": _OURS,
    "mailbox.ScheduleRun": _OURS,
    "mailbox.TableSize": _OURS,
    "mailbox.Lease": _OURS,
    "mailbox.WorkerHeartbeat": _OURS,
    "mailbox.StoreMiss": _OURS,
    "mailbox.StoreNote": _OURS,
    "mailbox.PushHeartbeat": _OURS,
    "mailbox.DeletionLook": _OURS,
    "mailbox.RemoteImage.content_type": "a type",
    "mailbox.RemoteImage.error": "goes with the row",
    "mailbox.Preview": "no text; the picture goes 30 days after it was asked for last",
    "mailbox.UserPreference": "a zone and a language",
    "mailbox.SavedFilters.key": "a key",
    "mailbox.Reparse": "numbers",
    "mailbox.RetentionRule": "name of a folder",
    "mailbox.LetGo": "a digest",
    "outbox.OutboxMessage.message_id": "made by a program for its mail: without it a bounce finds no mail",
    "outbox.OutboxMessage.private_part": _CODE,
    "outbox.OutboxMessage.claimed_by": _OURS,
    "outbox.OutboxMessage.former_status": _CODE,
    "outbox.OutboxMessage.failure_mode": _CODE,
    "outbox.OutboxMessage.error_code": _CODE,
    "outbox.OutboxAttachment": _WITH_SENT,
    "outbox.DeliveryAttempt.worker": _OURS,
    "outbox.DeliveryAttempt.failure_mode": _CODE,
    "outbox.DeliveryAttempt.message_id": "made here, of the account's domain: without it a bounce finds no mail",
    "outbox.DeliveryAttempt.prx_attempt": "random",
    "outbox.DeliveryReport.status_code": "a number",
    "outbox.AttachmentPolicy": "types",
    "outbox.Installation": _OURS,
    "outbox.Draft.start": "what it answers: a key",
    "outbox.Draft.page": "which opened page saved it last: a key",
    "outbox.Draft.text_format": _CODE,
    "outbox.Draft.send_at": "a time",
    "outbox.Draft.kept": "keys",
    "outbox.Draft.refused": "names of files; they go with the draft",
    "outbox.DraftFile": "goes with its draft",
    "outbox.KnownAddress.name": "goes with the row",
    "outbox.KnownAddress.name_key": "goes with the row",
    "outbox.Operation.in_flight": "keys",
    "outbox.SentLookup.found_in": "name of a folder",
    "outbox.SentCopy.folder": "name of a folder",
    "outbox.SuppressedAddress.words": "why the row is kept",
    "alerts.Event.kind": _CODE,
    "alerts.AlertRule.kinds": _CODE,
    "alerts.AlertIncident.key": "a kind and a key",
    "alerts.AlertIncident.path": "a page of ours",
    "alerts.AlertNotice.target": "a destination of alerts (AlertRule); it goes with its incident after 90 days",
    "alerts.Webhook.kinds": _CODE,
    "people.Session": "opaque; it ends with the sign-in",
    "people.SignInRules": _CODE,
    "people.PasswordRequest.client": "an address of the network",
    "people.PasswordRequest.address": "an address of the network",
    "api.Token.scopes": _CODE,
    "api.Token.networks": "addresses of the network",
    "api.Token.last_address": "an address of the network",
    "api.KeptAnswer.key": "what keeps a repeated request from acting twice; the row goes after 7 days",
    "api.KeptAnswer.fingerprint": "a digest",
    "api.RequestCount": "numbers",
    "mailbox.Quarantine.error": "our own and the server's words about a UID; it goes with the row",
}
