"""Django's admin: every table, no secret, no task editing, and only what the role allows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from mailbox.admin import large_lists
from mailbox.models import Account, AccountGrant, AuditEntry, Folder
from outbox.admin import HIDDEN
from outbox.models import OutboxMessage
from tests.admin_pages import account, change, staff, superuser
from tests.rows import attempt, folder_of, letter, outbox_row, store

__all__ = ["account", "staff", "superuser"]
pytestmark = [pytest.mark.django_db, pytest.mark.pages]


@pytest.mark.parametrize("label", ["mailbox", "outbox", "alerts"])
def test_every_table_is_there_and_lists_without_error(superuser: Client, account: Account, label: str) -> None:
    store(account, letter())
    for model in apps.get_app_config(label).get_models():
        assert admin.site.is_registered(model), model
        response = superuser.get(reverse(f"admin:{label}_{model._meta.model_name}_changelist") + "?q=a")
        assert response.status_code == 200, model


def test_users_and_groups_are_there(superuser: Client) -> None:
    for model in (User, Group):
        assert superuser.get(reverse(f"admin:auth_{model._meta.model_name}_changelist")).status_code == 200


def test_nothing_of_django_q_can_be_edited_or_run(superuser: Client) -> None:
    for model in (Schedule, Success, Task, OrmQ):
        assert not admin.site.is_registered(model), model
    now = timezone.now()
    failure = Failure.objects.create(
        id="1", name="lost", func="os.system", started=now, stopped=now, success=False, result="no"
    )
    listed = superuser.get(reverse("admin:django_q_failure_changelist")).content.decode()
    assert "lost" in listed
    assert "Resubmit" not in listed
    assert superuser.get(change(failure)).status_code == 200
    assert superuser.post(change(failure), {"func": "os.abort"}).status_code == 403
    assert superuser.post(reverse("admin:django_q_failure_add"), {}).status_code == 403


def test_an_administrator_who_is_staff_gets_in_without_being_superuser(staff: Client, account: Account) -> None:
    assert staff.get(change(account)).status_code == 200
    assert staff.get(reverse("admin:auth_user_changelist")).status_code == 200


def test_only_a_superuser_makes_superusers(staff: Client, make_user: Callable[..., User]) -> None:
    own = User.objects.get()
    page = staff.get(change(own)).content.decode()
    assert 'name="is_superuser"' not in page
    typed = {"username": own.username, "is_staff": "on", "is_active": "on", "is_superuser": "on"}
    typed |= {
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "user_permissions": Permission.objects.first().pk,
    }  # type: ignore[union-attr]
    typed |= {f"account_grants-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS")}
    assert staff.post(change(own), typed).status_code == 302, "the form itself is saved"
    own.refresh_from_db()
    assert not own.is_superuser
    assert not own.user_permissions.exists()


def test_a_superuser_is_out_of_an_administrators_reach(staff: Client, make_user: Callable[..., User]) -> None:
    above = make_user("", "root")
    User.objects.filter(pk=above.pk).update(is_superuser=True)
    assert staff.post(change(above), {"username": "gone"}).status_code == 403
    url = reverse("admin:auth_user_password_change", args=[above.pk])
    assert staff.post(url, {"password1": "a-new-one-12", "password2": "a-new-one-12"}).status_code == 403


def test_who_gave_a_right_stands_in_the_activity(
    superuser: Client, account: Account, make_user: Callable[..., User]
) -> None:
    vera = make_user("", "vera")
    superuser.post(
        reverse("admin:mailbox_accountgrant_add"), {"user": vera.pk, "account": account.pk, "role": "operator"}
    )
    grant = AccountGrant.objects.get(user=vera)
    superuser.post(change(grant), {"user": vera.pk, "account": account.pk, "role": "viewer"})
    superuser.post(reverse("admin:mailbox_accountgrant_delete", args=[grant.pk]), {"post": "yes"})
    verbs = list(AuditEntry.objects.filter(account=account).order_by("pk").values_list("verb", flat=True))
    assert verbs == ["grant_rights", "grant_rights", "withdraw_rights"]
    assert "Role" in AuditEntry.objects.order_by("pk")[1].detail


def test_a_role_for_one_account_is_granted_with_the_user(superuser: Client, make_user: Callable[..., User]) -> None:
    page = superuser.get(change(make_user("", "vera"))).content.decode()
    assert "account_grants-TOTAL_FORMS" in page


def test_the_admin_asks_to_sign_in_on_our_own_page(client: Client) -> None:
    response = client.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0] == reverse("login") + "?next=/admin/"


def test_who_is_no_staff_is_told_so(client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(make_user("operator"))
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "staff only" in response.content.decode()


def is_a_word(model: Any) -> bool:
    """Django makes the name of the class by its capitals ("o auth app"), and the plural of it by an s."""
    name, plural = str(model._meta.verbose_name), str(model._meta.verbose_name_plural)
    has_wrong_plural = plural == f"{name}s" and re.search(r"(ch|sh|x|s|[^aeiou]y)$", name)
    return not (has_wrong_plural or re.search(r"\bo auth\b|\buids?$", f"{name}\n{plural}", re.MULTILINE))


def is_single(model: Any) -> bool:
    return model._meta.model_name in {
        *("installation", "sendingswitch", "attachmentpolicy", "deliverycall", "reportcursor", "addresscursor"),
        "eventnumbers",
    }


def test_every_table_is_shown_by_its_columns_under_a_name_that_is_a_word() -> None:
    for model, shown in admin.site._registry.items():
        assert shown.list_display != ("__str__",) or model is Group, model
        assert shown.list_filter or shown.search_fields or is_single(model) or model._meta.app_label == "outbox", model
        assert is_a_word(model), model


def test_what_is_not_in_the_admin_is_left_out_on_purpose() -> None:
    """Django's own bookkeeping; sessions, whose keys are signed in; django-q2's tables, which run any function; the
    counts of failed sign-ins and of requests for links, which hold names as they were typed; the counts of requests to
    the API, which are for Prometheus; and tokens, second factors and the rules of signing in, which have pages of their
    own that ask for the password again."""
    left_out = {model._meta.label for model in apps.get_models() if not admin.site.is_registered(model)}
    assert left_out == {
        *("admin.LogEntry", "auth.Permission", "contenttypes.ContentType", "sessions.Session"),
        *("people.Session", "axes.AccessAttempt", "axes.AccessAttemptExpiration", "axes.AccessFailureLog"),
        "axes.AccessLog",
        *("account.EmailAddress", "account.EmailConfirmation", "mfa.Authenticator"),
        *("socialaccount.SocialAccount", "socialaccount.SocialApp", "socialaccount.SocialToken"),
        *("api.Token", "api.RequestCount", "api.KeptAnswer", "people.SignInRules", "people.LastCode"),
        *("people.PasswordRequest", "people.EmailChange"),
        *("django_q.Task", "django_q.Success", "django_q.Schedule", "django_q.OrmQ"),
    }


def test_no_column_or_field_holds_a_secret_or_a_claim() -> None:
    hidden = {"password", "encrypted_password", "encrypted_oauth_token", "encrypted_secret", "token", "claim_token"}
    for model, shown in admin.site._registry.items():
        if model is User:  # Django shows the kind of its hash, never the hash
            continue
        there = {field.name for field in model._meta.fields if field.editable}
        left_out = set(shown.exclude or ())
        said = set(shown.fields) if shown.fields else there - left_out
        said -= HIDDEN if model is OutboxMessage else set()
        assert not said & hidden, model
        assert not set(shown.list_display) & hidden, model


def test_an_empty_value_has_a_word_in_the_filters(superuser: Client, account: Account) -> None:
    folder_of(account)
    Folder.objects.filter(pk=folder_of(account, "Sent").pk).update(special_use="\\Sent")
    assert "(none)" in superuser.get(reverse("admin:mailbox_folder_changelist")).content.decode()


def test_the_rows_that_belong_to_a_send_are_read_under_it(superuser: Client, account: Account) -> None:
    row = outbox_row(account, status="failed", hold="permanent")
    attempt(row, reply="550 5.1.1 No such user")
    page = superuser.get(change(row)).content.decode()
    assert "550 5.1.1 No such user" in page
    assert "ann@example.com" in page
    assert "Outbox recipients" in page


def test_a_long_list_is_not_counted_whole_and_says_so(
    superuser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_lists, "COUNTED_AT_MOST", 3)
    for number in range(5):
        AuditEntry.objects.create(account=account, verb="retry", target=f"outbox:{number}")
    response = superuser.get(reverse("admin:mailbox_auditentry_changelist"))
    assert response.context["cl"].result_count == 3
    assert "3+ audit entries" in " ".join(response.content.decode().split())
    few = superuser.get(reverse("admin:mailbox_auditentry_changelist"), {"q": "outbox:4"})
    assert "1 audit entry" in " ".join(few.content.decode().split())


def test_a_filter_offers_the_values_of_the_newest_rows(
    superuser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_lists, "LOOKED_AT", 2)
    for verb in ("cancel", "retry", "send"):
        AuditEntry.objects.create(account=account, verb=verb)
    page = superuser.get(reverse("admin:mailbox_auditentry_changelist")).content.decode()
    assert "?verb=retry" in page and "?verb=send" in page
    assert "?verb=cancel" not in page
