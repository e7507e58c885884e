"""The tables of incoming mail: accounts, folders, messages, their sync state, and those of the features around them."""

from mailbox.models.access import AccountGrant, AuditEntry
from mailbox.models.accounts import Account
from mailbox.models.aliases import AccountAlias
from mailbox.models.completeness import Completeness
from mailbox.models.connection_tests import ConnectionTest
from mailbox.models.conversations import ConversationLink
from mailbox.models.exports import Export, ExportPart
from mailbox.models.features import Feature, FeatureSetting
from mailbox.models.hosts import DatabaseFailure, ProcessHeartbeat, ScheduleRun, StoreNote, TableSize
from mailbox.models.installation_health import (
    Counter,
    DeletionLook,
    PushHeartbeat,
    RestoreProof,
    StorageUse,
    StoreMiss,
    WorkerHeartbeat,
)
from mailbox.models.leases import Lease
from mailbox.models.lookups import SettingsLookup
from mailbox.models.messages import Attachment, Message, MessagePlace, RawMessage
from mailbox.models.oauth import OAuthApp, OAuthGrant, OAuthSignIn, SeenCertificate
from mailbox.models.personal_data import PersonSearch
from mailbox.models.pictures import ImageFetch, Preview, RemoteImage, TrustedSender
from mailbox.models.preferences import SavedFilters, UserPreference
from mailbox.models.readings import LaterReading
from mailbox.models.reparse import Reparse
from mailbox.models.retention import LegalHold, LetGo, RetentionRule
from mailbox.models.search import MessageSearch
from mailbox.models.sync import Folder, Quarantine, SurveyedUid, SyncRun, SyncRunFolder, SyncState
from mailbox.models.team_marks import MessageViewing, TeamMark
from mailbox.models.transports import Transport

__all__ = [
    "Account",
    "AccountAlias",
    "AccountGrant",
    "Attachment",
    "AuditEntry",
    "Completeness",
    "ConnectionTest",
    "ConversationLink",
    "Counter",
    "DatabaseFailure",
    "DeletionLook",
    "Export",
    "ExportPart",
    "Feature",
    "FeatureSetting",
    "Folder",
    "ImageFetch",
    "LaterReading",
    "Lease",
    "LegalHold",
    "LetGo",
    "Message",
    "MessagePlace",
    "MessageSearch",
    "MessageViewing",
    "OAuthApp",
    "OAuthGrant",
    "OAuthSignIn",
    "PersonSearch",
    "Preview",
    "ProcessHeartbeat",
    "PushHeartbeat",
    "Quarantine",
    "RawMessage",
    "RemoteImage",
    "Reparse",
    "RestoreProof",
    "RetentionRule",
    "SavedFilters",
    "ScheduleRun",
    "SeenCertificate",
    "SettingsLookup",
    "StorageUse",
    "StoreMiss",
    "StoreNote",
    "SurveyedUid",
    "SyncRun",
    "SyncRunFolder",
    "SyncState",
    "TableSize",
    "TeamMark",
    "Transport",
    "TrustedSender",
    "UserPreference",
    "WorkerHeartbeat",
]
