"""What the site is at each provider: typed on a page that says what to do there, or of the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AuditEntry, OAuthApp, OAuthGrant
from mailbox.oauth import apps, discovery
from mailbox.oauth.protocol import ClientId
from tests.rows import NOWHERE
from tests.servers.oidc import OidcProvider

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
SECRET = "the-clients-own-secret"
CALLBACK = "https://mail.example.test/accounts/oauth/callback/"


def address_of(kind: str) -> str:
    return reverse("mailbox:provider_known", args=[kind])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("google", ["console.cloud.google.com", "https://mail.google.com/", "Web application"]),
        (
            "microsoft",
            [
                "entra.microsoft.com",
                "https://outlook.office.com/IMAP.AccessAsUser.All",
                "https://outlook.office.com/SMTP.Send",
                "copy its value (not its ID)",
            ],
        ),
        ("yahoo", ["developer.yahoo.com"]),
    ],
)
def test_the_page_says_what_to_type_there_with_the_callback_to_copy(
    administrator: Client, settings: Any, kind: str, says: list[str]
) -> None:
    settings.BASE_URL = "https://mail.example.test"
    page = administrator.get(address_of(kind)).content.decode()
    assert f'<code id="callback">{CALLBACK}</code>' in page and 'data-copy="callback"' in page
    assert [each for each in says if each not in page] == []


def test_id_and_secret_are_kept_and_the_secret_is_encrypted_and_never_shown(administrator: Client) -> None:
    page = address_of("microsoft")
    given = {"client_id": "our-id", "client_secret": f" {SECRET}\n", "tenant": "contoso.example"}
    assert administrator.post(page, given | {"secret_ends_on": "2027-05-01"}).status_code == 302
    row = OAuthApp.objects.get()
    assert (row.client_id, row.client_secret, row.tenant) == ("our-id", SECRET, "contoso.example")
    assert SECRET not in str(OAuthApp.objects.values().get()) and str(row.secret_ends_on) == "2027-05-01"
    shown = administrator.get(page).content.decode()
    assert SECRET not in shown and "A client secret is stored, encrypted." in shown
    administrator.post(page, given | {"client_secret": "", "client_id": "another"})
    row.refresh_from_db()
    assert (row.client_id, row.client_secret) == ("another", SECRET), "left empty, it stays"
    assert AuditEntry.objects.filter(verb="edit_provider").count() == 2


@pytest.mark.parametrize("tenant", ["a/../b", "a b", "tenant?x=1", "a@b", "{tenantid}"])
def test_a_tenant_is_no_path(administrator: Client, tenant: str) -> None:
    answer = administrator.post(address_of("microsoft"), {"client_id": "id", "tenant": tenant})
    assert answer.status_code == 200 and not OAuthApp.objects.exists()


def test_the_environment_goes_before_what_is_stored(administrator: Client, settings: Any) -> None:
    assert apps.configured() == []
    settings.OAUTH_CLIENTS = {"google": ("id-of-environment", SECRET)}
    [app] = apps.configured()
    app.client_id, app.client_secret = "stored", "the-stored-secret"
    app.save()
    assert apps.client_of(app) == ClientId("id-of-environment", SECRET)
    page = administrator.get(address_of("google")).content.decode()
    assert "come from the environment" in page and SECRET not in page


def test_an_address_is_offered_the_provider_that_opens_it(settings: Any) -> None:
    settings.OAUTH_CLIENTS = dict.fromkeys(("google", "microsoft", "yahoo"), ("id", SECRET))
    wanted = {
        ("ann@gmail.com", "imap.gmail.com"): "google",
        ("ann@contoso.example", "Outlook.Office365.com."): "microsoft",
        ("ann@yahoo.com", "imap.mail.yahoo.com"): "yahoo",
        ("ann@example.org", "imap.example.org"): None,
        ("ann@gmail.com.example", "imap.gmail.com.example"): None,
    }
    found = {asked: apps.app_for(*asked) for asked in wanted}
    assert {asked: app.kind if app else None for asked, app in found.items()} == wanted
    google = apps.of_kind("google")
    google.domains = "example.org"
    google.save()
    assert apps.app_for("Ann@Example.ORG") == google


@pytest.mark.parametrize("host", ["imap.corp.example", "SMTP.Corp.example"])
def test_a_provider_is_offered_by_its_hosts_in_any_case(app: OAuthApp, host: str) -> None:
    app.servers = {"imap_host": "IMAP.Corp.example", "smtp_host": "Smtp.corp.example"}
    app.save()
    assert apps.app_for("ann@elsewhere.example", host) == app


def test_a_document_that_cannot_be_read_says_why_and_leaves_what_was_read(app: OAuthApp, oidc: OidcProvider) -> None:
    document = app.document
    OAuthApp.objects.update(discovery_url=f"{oidc.issuer}/nothing/.well-known/openid-configuration")
    app.refresh_from_db()
    assert not discovery.read(app)
    app.refresh_from_db()
    assert "404" in app.discovery_error and app.document == document and app.is_configured
    OAuthApp.objects.update(discovery_url=oidc.discovery)
    app.refresh_from_db()
    assert discovery.read(app) and OAuthApp.objects.get().discovery_error == ""


def test_a_provider_that_accounts_sign_in_by_stays(
    administrator: Client, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    app = OAuthApp.objects.create(kind="discovery", name="Example", document={"issuer": "https://x.example"})
    grant = OAuthGrant(app=app, flow="person")
    grant.access_token = "access"
    grant.save()
    make_account("ann@example.test", **NOWHERE, imap_password=None, imap_grant=grant)
    page = administrator.post(reverse("mailbox:provider_remove", args=[app.pk]), follow=True)
    assert "Accounts still sign in by Example" in page.content.decode() and OAuthApp.objects.exists()
    Account.objects.get().delete()
    administrator.post(reverse("mailbox:provider_remove", args=[app.pk]))
    assert not OAuthApp.objects.exists()
    viewer = Client()
    viewer.force_login(make_user("operator"))
    assert viewer.get(address_of("google")).status_code == 403
