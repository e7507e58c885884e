"""Read-only admin of OAuth's tables. Secrets are typed on pages of their own and never shown."""

from __future__ import annotations

from django.db.models import Model

from mailbox.admin.read_only import ReadOnlyTable
from mailbox.models import OAuthApp, OAuthGrant, OAuthSignIn, SeenCertificate

TABLES: dict[type[Model], ReadOnlyTable] = {
    OAuthApp: ReadOnlyTable(
        ("name", "kind", "client_id", "secret_ends_on", "updated_at"),
        filters=("kind",),
        search=("name", "client_id"),
        hidden=("encrypted_client_secret", "encrypted_service_key"),
    ),
    OAuthGrant: ReadOnlyTable(
        ("__str__", "app", "flow", "expires_at", "refresh_expires_at", "failure"),
        filters=("flow", "failure"),
        search=("identity",),
        hidden=("encrypted_access_token", "encrypted_refresh_token", "lease_token"),
    ),
    OAuthSignIn: ReadOnlyTable(
        ("email", "app", "asked_by", "status", "created_at"),
        filters=("status",),
        search=("email",),
        hidden=("encrypted_code", "encrypted_verifier", "state_digest", "session_digest", "nonce"),
    ),
    SeenCertificate: ReadOnlyTable(("host", "port", "ends_at", "seen_at"), search=("host",)),
}
