"""The second factor: asked for at each sign-in, counted with the other doors, required by role, encrypted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse, reverse_lazy

from mailbox.models import Account, AccountGrant, AuditEntry
from people.models import Session, SignInRules
from people.second_factor import used_codes
from people.sessions import expiry
from people.sign_in import step_up
from tests.rows import NOWHERE

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
PASSWORD, KEY = "the-right-password", "JBSWY3DPEHPK3PXP"


def code_now(key: str = KEY) -> str:
    return str(format_hotp_value(hotp_value(key, int(time.time()) // 30)))


def wrong_code() -> str:
    """None of the three that are right about now."""
    near = {str(format_hotp_value(hotp_value(KEY, int(time.time()) // 30 + off))) for off in range(-2, 3)}
    return next(each for each in (f"{n:06}" for n in range(10)) if each not in near)


@pytest.fixture
def vera(make_user: Callable[..., User]) -> User:
    cache.clear()  # codes that another test used
    return make_user("viewer", "vera", PASSWORD)


@pytest.fixture
def with_app(vera: User) -> User:
    TOTP.activate(vera, KEY)
    return vera


def sign_in(client: Client, password: str = PASSWORD, **more: str) -> Any:
    return client.post(reverse("login") + "?next=/profile/", {"username": "vera", "password": password, **more})


def is_signed_in(client: Client) -> bool:
    return Session.objects.filter(user__isnull=False, pk=client.session.session_key).exists()


def test_the_password_alone_opens_nothing(client: Client, with_app: User) -> None:
    assert sign_in(client).headers["Location"] == reverse("mfa_authenticate")
    assert not is_signed_in(client)
    assert client.get(reverse("dashboard")).status_code == 302
    assert not AuditEntry.objects.filter(verb="sign_in").exists()


def test_the_code_of_the_app_completes_the_sign_in_and_works_once(client: Client, with_app: User) -> None:
    code = code_now()
    sign_in(client, next="/profile/")
    answer = client.post(reverse("mfa_authenticate"), {"code": code})
    assert answer.headers["Location"] == "/profile/"
    assert is_signed_in(client)
    assert AuditEntry.objects.filter(verb="sign_in").count() == 1
    again = Client()
    sign_in(again)
    assert again.post(reverse("mfa_authenticate"), {"code": code}).status_code == 200
    assert not is_signed_in(again)


def test_a_used_code_opens_nothing_in_another_process_either(client: Client, with_app: User) -> None:
    code = code_now()
    sign_in(client)
    client.post(reverse("mfa_authenticate"), {"code": code})
    assert is_signed_in(client)
    for spelling in (code, f"{code[:3]} {code[3:]}"):
        cache.clear()  # another process has a cache of its own
        again = Client()
        sign_in(again)
        again.post(reverse("mfa_authenticate"), {"code": spelling})
        assert not is_signed_in(again)


def test_a_code_of_a_period_before_the_last_one_used_is_refused_and_a_later_one_taken(vera: User) -> None:
    assert [used_codes.claim(vera, period) for period in (7, 7, 6, 8)] == [True, False, False, True]


def test_a_recovery_code_stands_in_once(client: Client, with_app: User) -> None:
    code = RecoveryCodes.activate(with_app).get_unused_codes()[0]
    for works in (True, False):
        browser = Client()
        sign_in(browser)
        browser.post(reverse("mfa_authenticate"), {"code": code})
        assert is_signed_in(browser) is works


@pytest.mark.parametrize("door", ["at sign-in", "once more"])
def test_ten_wrong_codes_close_every_door(client: Client, with_app: User, door: str) -> None:
    if door == "at sign-in":
        sign_in(client)
    else:
        client.force_login(with_app)
    url = reverse("mfa_authenticate" if door == "at sign-in" else "mfa_reauthenticate")
    answers = [client.post(url, {"code": wrong_code()}).status_code for _ in range(10)]
    assert answers == [200] * 9 + [429]
    assert client.post(url, {"code": code_now()}).status_code == 429
    assert sign_in(Client()).status_code == 429


def test_ten_wrong_passwords_asked_once_more_close_every_door(client: Client, vera: User) -> None:
    client.force_login(vera)
    url = reverse("account_reauthenticate")
    answers = [client.post(url, {"password": "wrong"}).status_code for _ in range(10)]
    assert answers == [200] * 9 + [429]
    assert client.post(url, {"password": PASSWORD}).status_code == 429


def test_ten_refused_passkeys_close_every_door(client: Client, with_app: User) -> None:
    sign_in(client)
    forged = '{"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {}}'
    answers = [client.post(reverse("mfa_authenticate"), {"credential": forged}).status_code for _ in range(10)]
    assert answers == [200] * 9 + [429]


def test_secrets_are_stored_encrypted(
    client: Client, vera: User, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    client.force_login(vera)
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    key = re.search(r'<code class="said">(\w+)</code>', page)
    assert key is not None
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("mfa_activate_totp"), {"code": code_now(key[1])})
    rows = {row.type: row.data for row in Authenticator.objects.all()}
    assert rows.keys() == {"totp", "recovery_codes"}
    assert rows["totp"]["secret"].startswith("gAAAA") and key[1] not in str(rows)
    assert rows["recovery_codes"]["seed"].startswith("gAAAA")
    verbs = list(AuditEntry.objects.values_list("verb", flat=True))
    assert verbs.count("second_factor_added") == 2


def test_recovery_codes_are_shown_once(client: Client, with_app: User) -> None:
    client.force_login(with_app)
    client.post(reverse("mfa_generate_recovery_codes"))
    code = RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()[0]
    assert code in client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert code not in client.get(reverse("mfa_view_recovery_codes")).content.decode()


def require(role: str) -> None:
    SignInRules.objects.update_or_create(pk=1, defaults={"second_factor_role": role})


@pytest.mark.parametrize(
    ("demanded", "role", "is_led"),
    [("administrator", "administrator", True), ("administrator", "viewer", False), ("viewer", "operator", True)],
)
def test_whom_the_rules_demand_it_of_is_led_to_set_it_up(
    client: Client, make_user: Callable[..., User], demanded: str, role: str, is_led: bool
) -> None:
    require(demanded)
    client.force_login(make_user(role))
    answer = client.get(reverse("dashboard"))
    assert (answer.status_code == 302 and answer.headers["Location"] == reverse("mfa_index")) is is_led


def test_a_role_for_one_account_counts(client: Client, vera: User, make_account: Callable[..., Account]) -> None:
    require("administrator")
    client.force_login(vera)
    assert client.get(reverse("dashboard")).status_code == 200
    AccountGrant.objects.create(user=vera, account=make_account("a@example.com", **NOWHERE), role="administrator")
    assert client.get(reverse("dashboard")).status_code == 302


def test_the_last_required_factor_stays(client: Client, with_app: User) -> None:
    require("viewer")
    client.force_login(with_app)
    assert "this is the last one" in client.post(reverse("mfa_deactivate_totp")).content.decode()
    assert Authenticator.objects.filter(type="totp").exists()
    SignInRules.objects.all().delete()
    client.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.exists()


def test_the_admin_asks_for_the_second_factor_too(client: Client, make_user: Callable[..., User]) -> None:
    boss = make_user("administrator", "boss", PASSWORD)
    User.objects.filter(pk=boss.pk).update(is_staff=True, is_superuser=True)
    TOTP.activate(boss, KEY)
    url = client.get(reverse("admin:index")).headers["Location"]
    url = client.get(url).headers["Location"]
    client.post(url, {"username": "boss", "password": PASSWORD})
    assert client.get(reverse("admin:index")).status_code == 302
    client.logout()
    require("viewer")
    Authenticator.objects.all().delete()
    client.force_login(User.objects.get(pk=boss.pk))
    assert client.get(reverse("admin:index")).headers["Location"] == reverse("mfa_index")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def go(minutes: int) -> None:
        for module in (step_up, expiry):
            monkeypatch.setattr(module, "now_seconds", lambda: time.time() + 60 * minutes)

    return go


@pytest.mark.parametrize(
    "name", ["mailbox:account_add", "mailbox:account_import", "mailbox:providers", "alerts:add", "mfa_activate_totp"]
)
def test_secrets_keys_and_factors_ask_again_after_a_while(
    client: Client, make_user: Callable[..., User], later: Callable[[int], None], name: str
) -> None:
    client.force_login(make_user("administrator", "vera", PASSWORD))
    assert client.get(reverse(name)).status_code == 200
    later(16)
    answer = client.get(reverse(name))
    assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    answer = client.post(answer.headers["Location"], {"password": PASSWORD, "next": reverse(name)})
    assert answer.headers["Location"] == reverse(name)
    assert client.get(reverse(name)).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        reverse_lazy("mailbox:messages_csv"),
        *(f"/{page}?format=csv" for page in ("activity/", "quarantine/", "outbox/", "outbox/suppressed/")),
    ],
)
def test_lists_as_files_are_exports_too(
    client: Client, make_user: Callable[..., User], later: Callable[[int], None], url: str
) -> None:
    client.force_login(make_user("administrator", "vera", PASSWORD))
    assert client.get(url).headers["Content-Type"].startswith("text/csv")
    later(16)
    assert client.get(url).headers["Location"].startswith(reverse("account_reauthenticate"))


def test_a_form_that_was_opened_in_time_is_taken_and_an_old_one_is_not(
    client: Client, make_user: Callable[..., User], later: Callable[[int], None]
) -> None:
    client.force_login(make_user("administrator", "vera", PASSWORD))
    later(29)
    assert client.post(reverse("mailbox:account_add"), {"email": "no address"}).status_code == 200
    later(31)
    answer = client.post(reverse("mailbox:account_add"), {"email": "no address", "imap_password": "kept-nowhere"})
    assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert "kept-nowhere" not in str(dict(client.session))


def test_a_lost_factor_is_removed_from_the_command_line(client: Client, with_app: User) -> None:
    other = Client()
    other.force_login(with_app)
    call_command("remove_second_factor", "vera", stdout=StringIO())
    assert not Authenticator.objects.exists()
    assert not is_signed_in(other)
    assert sign_in(client).status_code == 302 and is_signed_in(client)
    with pytest.raises(CommandError, match="no user nobody"):
        call_command("remove_second_factor", "nobody")


def test_passwords_can_be_switched_off_but_for_one_person(
    client: Client, vera: User, make_user: Callable[..., User], settings: Any
) -> None:
    settings.LOCAL_PASSWORDS, settings.BREAK_GLASS_USER = False, "boss"
    make_user("administrator", "boss", PASSWORD)
    assert sign_in(client).status_code == 200 and not is_signed_in(client)
    client.post(reverse("login"), {"username": "boss", "password": PASSWORD})
    assert is_signed_in(client)
