"""Django's admin of accounts and their transports, and the registration of every table of this app."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailbox import permissions
from mailbox.accounts.credentials_change import FAILURES, SECRETS, announce_change, forget_failures
from mailbox.admin.forms import AccountAdminForm, TransportForm
from mailbox.admin.grants import GrantAdmin
from mailbox.admin.internals import TABLES as INTERNALS
from mailbox.admin.oauth import TABLES as OAUTH
from mailbox.admin.read_only import ModelAdmin, audit, register_tables
from mailbox.admin.records import TABLES as RECORDS
from mailbox.admin.shown_at import TOO_OLD, ShownAtForm, shown_at
from mailbox.localized import grouped, listed
from mailbox.models import Account, AccountGrant, Transport
from mailbox.permissions import Role
from mailbox.tasks import sync as sync_tasks


class AccountAdmin(ModelAdmin):
    """Adding and deleting an account lead to the site's own pages, which handle its secrets and its unsent mail."""

    form = AccountAdminForm
    list_display = ("email", "display_name", "imap", "smtp", "sync_enabled", "send_enabled", "push_enabled", "state")
    list_filter = ("sync_enabled", "send_enabled", "push_enabled", ("sending_paused_at", admin.EmptyFieldListFilter))
    search_fields = ("email", "display_name", "imap__host", "smtp__host")
    list_select_related = ("imap", "smtp")
    fields = (
        "email",
        "display_name",
        "signature",
        "ca_certificate",
        "imap_password",
        "imap_oauth_token",
        "smtp_password",
        "smtp_oauth_token",
        "sync_enabled",
        "send_enabled",
        "push_enabled",
        "sent_copy",
        "messages_per_minute",
        "imap",
        "smtp",
        "state",
    )
    readonly_fields = ("imap", "smtp", "state")
    actions = ("sync_now", "pause_sending", "resume_sending")
    action_form = ShownAtForm

    @admin.display(description=_("state"))
    def state(self, account: Account) -> str:
        said = [
            gettext("%(server)s needs sign-in") % {"server": each.get_kind_display()}
            for each in (account.imap, account.smtp)
            if each.needs_sign_in_since
        ]
        said += [gettext("sending paused")] if account.sending_paused_at else []
        return listed(said) or gettext("fine")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return permissions.has_role_somewhere(request.user, Role.OPERATOR)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return redirect("mailbox:account_add")

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not object_id.isascii() or not object_id.isdigit():
            raise Http404("No such account.")
        return redirect("account_delete", int(object_id))

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """Save, record it in the activity; with a new secret or certificate also forget the transport's failures."""
        super().save_model(request, obj, form, change)
        audit(request, "edit_account", obj, f"account:{obj.pk}", ", ".join(form.changed_data))
        for kind in ("imap", "smtp"):
            if {f"{kind}_password", f"{kind}_oauth_token", "ca_certificate"}.intersection(form.changed_data):
                transport = getattr(obj, kind)
                forget_failures(transport)
                transport.save(update_fields=[*SECRETS, *FAILURES])
                announce_change(obj.pk)

    def _operated(self, request: HttpRequest, queryset: QuerySet[Account]) -> list[Account]:
        """The selected accounts that the user may operate; a message tells how many others were skipped."""
        allowed = permissions.accounts_for(request.user, Role.OPERATOR)
        rows = list(queryset.filter(pk__in=allowed.values("pk")))
        if skipped := queryset.count() - len(rows):
            self.message_user(
                request,
                ngettext(
                    "%(number)s skipped: you may not operate it.",
                    "%(number)s skipped: you may not operate them.",
                    skipped,
                )
                % {"number": grouped(skipped)},
                messages.WARNING,
            )
        return rows

    @admin.action(description=_("Sync now"), permissions=["operate"])
    def sync_now(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        rows = self._operated(request, queryset)
        for account in rows:
            with transaction.atomic():
                sync_tasks.queue_sync(account.pk, request.user.pk)
                audit(request, "sync_now", account, f"account:{account.pk}")
        self.message_user(
            request,
            ngettext("A sync of %(number)s account is queued.", "A sync of %(number)s accounts is queued.", len(rows))
            % {"number": grouped(len(rows))},
        )

    @admin.action(description=_("Pause sending"), permissions=["operate"])
    def pause_sending(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        self._switch(request, queryset, paused=True)

    @admin.action(description=_("Resume sending"), permissions=["operate"])
    def resume_sending(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        self._switch(request, queryset, paused=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Account], *, paused: bool) -> None:
        changed, verb, seen = 0, "pause_sending" if paused else "resume_sending", shown_at(request)
        if seen is None:
            self.message_user(request, TOO_OLD, messages.WARNING)
            return
        for account in self._operated(request, queryset):
            # Resume only a pause that was made before the list was shown: this person has not seen a later one.
            state = {"sending_paused_at": None} if paused else {"sending_paused_at__lte": seen}
            row = Account.objects.filter(pk=account.pk, **state)
            with transaction.atomic():
                if row.update(sending_paused_at=timezone.now() if paused else None):
                    audit(request, verb, account, f"account:{account.pk}")
                    changed += 1
        self.message_user(
            request,
            (
                ngettext(
                    "Sending was paused for %(number)s account.", "Sending was paused for %(number)s accounts.", changed
                )
                if paused
                else ngettext(
                    "Sending was resumed for %(number)s account.",
                    "Sending was resumed for %(number)s accounts.",
                    changed,
                )
            )
            % {"number": grouped(changed)},
        )


class TransportAdmin(ModelAdmin):
    """Transports come and go with their account; here their server and secret change."""

    form = TransportForm
    list_display = ("__str__", "user", "security", "auth_method", "needs_sign_in_since", "failure_count")
    list_filter = ("kind", "security", ("needs_sign_in_since", admin.EmptyFieldListFilter))
    search_fields = ("host", "user")
    fields = ("host", "port", "security", "user", "new_password", "new_oauth_token", "secret_stored", "last_reply")
    readonly_fields = ("secret_stored", "last_reply")

    @admin.display(description=_("stored now"))
    def secret_stored(self, transport: Transport) -> str:
        return gettext("an OAuth token") if transport.auth_method == "oauth" else gettext("a password")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Transport | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Transport, form: Any, change: bool) -> None:
        """Save if anything changed: forget the failures, record it in the activity, and announce the change."""
        if not form.changed_data:
            return
        forget_failures(obj)
        super().save_model(request, obj, form, change)
        account = Account.objects.filter(**{f"{obj.kind}_id": obj.pk}).first()
        if account:
            audit(
                request, "edit_account", account, f"account:{account.pk}", f"{obj.kind}: {', '.join(form.changed_data)}"
            )
            announce_change(account.pk)


admin.site.register(Account, AccountAdmin)
admin.site.register(Transport, TransportAdmin)
admin.site.register(AccountGrant, GrantAdmin)
register_tables(
    {
        table: (RECORDS | INTERNALS | OAUTH)[table]
        for table in apps.get_app_config("mailbox").get_models()
        if not admin.site.is_registered(table)
    }
)
