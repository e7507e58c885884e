"""Admin of OAuth: only looked at; secrets have pages of their own, where they are typed and never shown."""

from __future__ import annotations

from django.db.models import Model

from mailbox.admin.records import ReadOnlyAdmin
from mailbox.models import OAuthApp, OAuthGrant, OAuthSignIn, SeenCertificate


class AppAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "client_id", "secret_ends_on", "updated_at")
    list_filter = ("kind",)
    search_fields = ("name", "client_id")
    exclude = ("encrypted_client_secret", "encrypted_service_key")


class GrantAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "app", "flow", "expires_at", "refresh_expires_at", "failure")
    list_filter = ("flow", "failure")
    search_fields = ("identity",)
    list_select_related = ("app",)
    exclude = ("encrypted_access_token", "encrypted_refresh_token", "lease_token")


class SignInAdmin(ReadOnlyAdmin):
    list_display = ("email", "app", "asked_by", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("email",)
    list_select_related = ("app", "asked_by")
    exclude = ("encrypted_code", "encrypted_verifier", "state_digest", "session_digest", "nonce")


class CertificateAdmin(ReadOnlyAdmin):
    list_display = ("host", "port", "ends_at", "seen_at")
    search_fields = ("host",)


TABLES: dict[type[Model], type[ReadOnlyAdmin]] = {
    OAuthApp: AppAdmin,
    OAuthGrant: GrantAdmin,
    OAuthSignIn: SignInAdmin,
    SeenCertificate: CertificateAdmin,
}
