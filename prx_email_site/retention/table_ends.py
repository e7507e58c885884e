"""For every table, how its rows are removed or why they are kept. A test fails for a new table without a line here."""

from __future__ import annotations

from dataclasses import dataclass

from mailbox.models import RetentionRule

What = RetentionRule.What


@dataclass(frozen=True)
class With:
    """Rows are deleted with the row of another table that they belong to (a foreign key that cascades)."""

    table: str


@dataclass(frozen=True)
class ByRule:
    """Rows are kept until a retention rule removes them."""

    what: str


@dataclass(frozen=True)
class ByAge:
    """Rows are removed by age without a rule. `name`: a key of mailbox.deletions.BY_AGE."""

    name: str


@dataclass(frozen=True)
class Ends:
    """Rows are removed in another way, which `how` says."""

    how: str


@dataclass(frozen=True)
class Stays:
    """Rows are not removed, for this reason."""

    reason: str


SETTING = Stays("what people set up: it ends when they remove it")
ONE_ROW = Stays("one row for the whole installation")
DJANGO = Stays("Django's own list of what the code has; it does not grow by itself")

ENDS: dict[str, With | ByRule | ByAge | Ends | Stays] = {
    "admin.LogEntry": With("auth.User"),
    "auth.Permission": DJANGO,
    "auth.Group": DJANGO,
    "auth.Group_permissions": With("auth.Group"),
    "auth.User": SETTING,
    "auth.User_groups": With("auth.User"),
    "auth.User_user_permissions": With("auth.User"),
    "contenttypes.ContentType": DJANGO,
    "sessions.Session": Ends("not used: sessions are rows of people.Session"),
    "axes.AccessFailureLog": Ends("not written: the activity has who failed to sign in"),
    "axes.AccessAttempt": ByAge("records"),
    "axes.AccessAttemptExpiration": With("axes.AccessAttempt"),
    "axes.AccessLog": Ends("not written: the activity has who signed in"),
    "account.EmailAddress": With("auth.User"),
    "account.EmailConfirmation": With("account.EmailAddress"),
    "mfa.Authenticator": With("auth.User"),
    "socialaccount.SocialApp": SETTING,
    "socialaccount.SocialAccount": With("auth.User"),
    "socialaccount.SocialToken": With("socialaccount.SocialAccount"),
    "django_q.Task": Ends("django-q2 keeps the newest 200 that went well; failures by age (reports)"),
    "django_q.Success": Ends("rows of django_q.Task"),
    "django_q.Failure": ByAge("reports"),
    "django_q.Schedule": DJANGO,
    "django_q.OrmQ": Ends("removed when the task is done"),
    "mailbox.Account": SETTING,
    "mailbox.Transport": Ends("removed with the account that it belongs to"),
    "mailbox.AccountGrant": With("mailbox.Account"),
    "mailbox.AccountAlias": With("mailbox.Account"),
    "mailbox.FeatureSetting": SETTING,
    "outbox.SavedReply": SETTING,
    "mailbox.OAuthApp": SETTING,
    "mailbox.OAuthGrant": Ends("removed when no account uses it"),
    "mailbox.OAuthSignIn": Ends("a day after it began (mailbox.tasks.oauth_keep)"),
    "mailbox.SeenCertificate": Stays("a row a server: it is written over"),
    "mailbox.AuditEntry": ByRule(What.ACTIVITY),
    "mailbox.Completeness": With("mailbox.Account"),
    "mailbox.ConnectionTest": ByAge("records"),
    "mailbox.Export": Ends("seven days after it was made (mailbox.exports.writing.KEPT)"),
    "mailbox.ExportPart": With("mailbox.Export"),
    "mailbox.Folder": With("mailbox.Account"),
    "mailbox.SyncState": With("mailbox.Folder"),
    "mailbox.SurveyedUid": With("mailbox.Folder"),
    "mailbox.Quarantine": With("mailbox.Folder"),
    "mailbox.SyncRun": ByAge("reports"),
    "mailbox.SyncRunFolder": With("mailbox.SyncRun"),
    "mailbox.RawMessage": ByAge("raw store"),
    "mailbox.Message": ByRule(What.RECEIVED),
    "mailbox.MessagePlace": With("mailbox.Message"),
    "mailbox.Attachment": With("mailbox.Message"),
    "mailbox.ConversationLink": With("mailbox.Message"),
    "mailbox.LetGo": With("mailbox.Folder"),
    "mailbox.RetentionRule": SETTING,
    "mailbox.LegalHold": Stays("that something was held, and by whom it was released, is asked for later"),
    "mailbox.PersonSearch": Stays("that somebody was erased, without the address; other rows end in a day"),
    "mailbox.ProcessHeartbeat": ByAge("reports"),
    "mailbox.DatabaseFailure": ByAge("reports"),
    "mailbox.ScheduleRun": Stays("a row a schedule: it is written over"),
    "mailbox.TableSize": ByAge("reports"),
    "mailbox.Lease": With("mailbox.Account"),
    "mailbox.SettingsLookup": ByAge("reports"),
    "mailbox.Counter": ByAge("reports"),
    "mailbox.WorkerHeartbeat": ByAge("reports"),
    "mailbox.StoreMiss": ByAge("reports"),
    "mailbox.StoreNote": Ends("two days after its file is gone from the raw store"),
    "mailbox.PushHeartbeat": Ends("an hour after a push process was last heard of, by another one"),
    "mailbox.DeletionLook": Stays("a row a kind of removal: it is written over"),
    "mailbox.StorageUse": Stays("a row an account and kind: it is written over, and goes with the account"),
    "mailbox.RestoreProof": Ends("the newest fifty are kept"),
    "mailbox.ImageFetch": With("mailbox.Message"),
    "mailbox.RemoteImage": ByAge("pictures"),
    "mailbox.TrustedSender": With("auth.User"),
    "mailbox.Preview": ByAge("pictures"),
    "mailbox.UserPreference": With("auth.User"),
    "mailbox.SavedFilters": SETTING,
    "mailbox.LaterReading": With("mailbox.Message"),
    "mailbox.Reparse": ByAge("records"),
    "mailbox.MessageSearch": With("mailbox.Message"),
    "mailbox.TeamMark": With("mailbox.Message"),
    "mailbox.MessageViewing": With("mailbox.Message"),
    "outbox.OutboxMessage": ByRule(What.SENT),
    "outbox.OutboxRecipient": With("outbox.OutboxMessage"),
    "outbox.OutboxAttachment": With("outbox.OutboxMessage"),
    "outbox.OutboxCount": With("mailbox.Account"),
    "outbox.DeliveryAttempt": With("outbox.OutboxMessage"),
    "outbox.AttachmentPolicy": ONE_ROW,
    "outbox.SendingSwitch": ONE_ROW,
    "outbox.Installation": Stays("a row a host and data folder: it tells that a database was restored"),
    "outbox.Draft": ByRule(What.DRAFTS),
    "outbox.DraftFile": With("outbox.Draft"),
    "outbox.KnownAddress": With("mailbox.Account"),
    "outbox.AddressCursor": ONE_ROW,
    "outbox.Operation": ByAge("records"),
    "outbox.OperationRow": With("outbox.Operation"),
    "outbox.DeliveryReport": ByRule(What.REPORTS),
    "outbox.ReportCursor": ONE_ROW,
    "outbox.SentLookup": With("outbox.DeliveryAttempt"),
    "outbox.SentCopy": With("outbox.OutboxMessage"),
    "outbox.SuppressedAddress": Stays("who must not be written to: it ends when somebody takes it off"),
    "outbox.DeliveryCall": ONE_ROW,
    "outbox.SendPace": With("mailbox.Account"),
    "alerts.Event": ByAge("events"),
    "alerts.EventNumbers": ONE_ROW,
    "alerts.AlertRule": SETTING,
    "alerts.AlertIncident": ByAge("alerts"),
    "alerts.AlertNotice": With("alerts.AlertIncident"),
    "alerts.Webhook": SETTING,
    "alerts.Webhook_accounts": With("alerts.Webhook"),
    "alerts.WebhookDelivery": With("alerts.Event"),
    "people.Session": Ends("removed once a day when over (mailbox.tasks.prune): PRX_EMAIL_SESSION_IDLE_MINUTES"),
    "people.SignInRules": ONE_ROW,
    "people.LastCode": With("auth.User"),
    "people.PasswordRequest": Ends("after a day (people.tasks.answer_password_requests)"),
    "people.EmailChange": Ends("after a day (people.tasks.answer_password_requests)"),
    "api.Token": SETTING,
    "api.Token_accounts": With("api.Token"),
    "api.RequestCount": Stays("a row a route, method, class of status and bucket of time: a counter"),
    "api.KeptAnswer": ByAge("records"),
}
