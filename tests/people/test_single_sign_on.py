"""Single sign-on at a real OpenID Connect provider: who gets in, as whom, with which role, and who does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mailbox.models import Account, AccountGrant, AuditEntry
from mailbox.permissions import accounts_for
from people.models import Session
from people.sign_in import step_up
from people.single_sign_on import protocol, roles
from people.single_sign_on.users import found_or_made
from tests.rows import NOWHERE
from tests.servers.oidc import OidcProvider
from tests.servers.oidc_browser import Person

pytestmark = [pytest.mark.django_db, pytest.mark.pages]
VERA, PASSWORD = "vera@example.test", "the-right-password"


def browser() -> Client:
    """The provider of the tests leads back to this machine alone."""
    return Client(headers={"host": "localhost:1"})


@pytest.fixture
def client() -> Client:
    return browser()


@pytest.fixture
def sign_on(oidc: OidcProvider, settings: Any) -> OidcProvider:
    settings.SSO_ISSUER, settings.OAUTH_ALLOW_HTTP = oidc.issuer, True
    settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = oidc.people
    settings.SSO_ROLES = {"cn=readers,dc=x": "viewer", "mail-ops": "operator", "mail-admins": "administrator"}
    oidc.control(claims={VERA: {"groups": ["others", "mail-ops"]}})
    return oidc


def away(client: Client, **more: str) -> str:
    answer = client.get(reverse("sso_begin"), more)
    assert answer.status_code == 302, answer.content
    return answer.headers["Location"]


def back(client: Client, address: str) -> Any:
    return client.get(reverse("sso_callback"), dict(parse_qsl(urlsplit(address).query)))


def sign_in(client: Client, name: str = VERA, **more: str) -> Any:
    return back(client, Person(name).authorize(away(client, **more)))


def signed_in(client: Client) -> User | None:
    return User.objects.filter(sessions__session_key=client.session.session_key or "").first()


def roles_of(user: User) -> list[str]:
    return sorted(user.groups.values_list("name", flat=True))


def is_refused(client: Client, answer: Any, sentence: str, status: int = 403) -> None:
    assert answer.status_code == status and sentence in answer.content.decode()
    assert signed_in(client) is None


def test_a_person_with_a_mapped_group_is_signed_in_as_a_new_user_with_its_role(
    client: Client, sign_on: OidcProvider
) -> None:
    assert reverse("sso_begin") in client.get(reverse("login")).content.decode()
    answer = sign_in(client, next="/profile/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/profile/")
    user = User.objects.get()
    assert signed_in(client) == user and roles_of(user) == ["operator"]
    assert (user.username, user.email, user.has_usable_password()) == (VERA, VERA, False)
    assert not (user.is_staff or user.is_superuser)
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert verbs == {"sign_on_connected", "roles_from_sign_on", "sign_in"}
    assert not SocialApp.objects.exists() and not SocialToken.objects.exists()


def test_the_way_away_holds_state_nonce_and_pkce_and_leads_nowhere_else_afterwards(
    client: Client, sign_on: OidcProvider
) -> None:
    sent = dict(parse_qsl(urlsplit(address := away(client, next="https://evil.example/")).query))
    assert sent["code_challenge_method"] == "S256" and len(sent["nonce"]) > 40 and sent["state"]
    assert sent["redirect_uri"].endswith("/sso/callback/") and "s3cret" not in address
    assert back(client, Person(VERA).authorize(address)).headers["Location"] == reverse("dashboard")


def test_an_answer_is_good_once_and_in_the_browser_that_asked(client: Client, sign_on: OidcProvider) -> None:
    address = Person(VERA).authorize(away(client))
    elsewhere = browser()
    is_refused(elsewhere, back(elsewhere, address), "belongs to no sign-in of this browser")
    back(client, address)
    client.logout()
    is_refused(client, back(client, address), "belongs to no sign-in of this browser")
    assert sign_on.token_requests("authorization_code") == [200]


def test_an_answer_to_another_question_is_refused_by_its_nonce(client: Client, sign_on: OidcProvider) -> None:
    first = away(client)
    session = client.session
    states = session["socialaccount_states"]
    next(iter(states.values()))[0]["nonce"] = "of another sign-in"
    session.save()
    is_refused(client, back(client, Person(VERA).authorize(first)), "did not say")
    assert not User.objects.exists()


def test_a_refused_consent_signs_nobody_in(client: Client, sign_on: OidcProvider) -> None:
    answer = back(client, Person(VERA, consents=False).authorize(away(client)))
    is_refused(client, answer, "was not given your consent")


def test_nobody_without_a_mapped_group_gets_in(client: Client, sign_on: OidcProvider) -> None:
    for groups in (["others"], [], "mail", None, {"mail-ops": 1}, [["mail-ops"]]):
        sign_on.control(claims={VERA: {"groups": groups}})
        is_refused(client, sign_in(client), "none of your groups there has a role")
    assert not User.objects.exists()


def test_groups_that_are_too_many_to_be_named_open_nothing_and_take_nothing_away(
    client: Client, sign_on: OidcProvider
) -> None:
    sign_in(client)
    for said in (True, "true"):
        sign_on.control(claims={VERA: {"hasgroups": said}})
        other = browser()
        is_refused(other, sign_in(other), "in so many groups")
    user = User.objects.get()
    assert roles_of(user) == ["operator"] and signed_in(client) == user
    assert roles.are_left_out({"_claim_names": {"groups": "src1"}})
    for said in ({"_claim_names": {"address": "src1"}}, {"_claim_names": "groups"}, {"groups": [], "hasgroups": True}):
        assert not roles.are_left_out(said)


def test_roles_follow_the_groups_up_and_down_and_out(
    client: Client, sign_on: OidcProvider, make_account: Callable[..., Account]
) -> None:
    sign_in(client)
    user = User.objects.get()
    sign_on.control(claims={VERA: {"groups": ["cn=readers,dc=x", "mail-admins"]}})
    sign_in(other := browser())
    assert roles_of(user) == ["administrator"]
    sign_on.control(claims={VERA: {"groups": "cn=readers,dc=x"}})
    sign_in(other)
    assert roles_of(user) == ["viewer"]
    AccountGrant.objects.create(user=user, account=make_account("ops@example.com", **NOWHERE), role="operator")
    sign_on.control(claims={VERA: {"groups": ["others"]}})
    third = browser()
    is_refused(third, sign_in(third), "none of your groups there has a role")
    assert roles_of(user) == [] and not Session.objects.filter(user=user).exists()
    assert not accounts_for(user).exists()  # so that no token of theirs opens anything
    assert AuditEntry.objects.filter(verb="sign_in_refused", target=f"user:{user.pk}").count() == 1


def test_an_existing_user_is_connected_by_a_verified_address_only(
    client: Client, sign_on: OidcProvider, make_user: Callable[..., User]
) -> None:
    User.objects.filter(pk=(user := make_user("viewer", "vera")).pk).update(email="Vera@Example.test")
    for said in (False, None, "true", 1):
        sign_on.control(claims={VERA: {"groups": ["mail-ops"], "email_verified": said}})
        is_refused(client, sign_in(client), "does not say that it was verified")
    sign_on.control(claims={VERA: {"groups": ["mail-ops"]}})
    sign_in(client)
    assert signed_in(client) == user and roles_of(user) == ["operator"]
    User.objects.update(email="elsewhere@example.test")  # once connected, it is the subject that counts
    sign_in(other := browser())
    assert signed_in(other) == user and SocialAccount.objects.count() == 1


def test_an_unverified_address_is_not_given_to_a_new_user(client: Client, sign_on: OidcProvider) -> None:
    sign_on.control(claims={VERA: {"groups": ["mail-ops"], "email_verified": False}})
    sign_in(client)
    assert User.objects.get().email == "" and signed_in(client)


def test_no_superuser_no_break_glass_user_and_none_of_two_is_taken_over(
    client: Client, sign_on: OidcProvider, make_user: Callable[..., User], settings: Any
) -> None:
    boss = User.objects.create_superuser("boss", VERA, PASSWORD)
    is_refused(client, sign_in(client), "signs in with its password")
    User.objects.filter(pk=boss.pk).update(is_superuser=False)
    settings.BREAK_GLASS_USER = "boss"
    is_refused(client, sign_in(client), "signs in with its password")
    User.objects.create_user("second", VERA)
    is_refused(client, sign_in(client), "Several users here have your address")
    assert not SocialAccount.objects.exists()


def test_a_new_user_gets_a_name_that_is_free_and_never_that_of_break_glass(db: None, settings: Any) -> None:
    settings.BREAK_GLASS_USER = "Boss"
    User.objects.create_user("BOSS-2", "other@example.test")
    assert found_or_made({"preferred_username": "b o:ss\x00", "email": 7}).username == "boss-3"
    assert found_or_made({"preferred_username": ":::", "email": VERA}).username == VERA
    assert found_or_made({}).username == "person"


def test_a_user_who_is_switched_off_is_refused_and_told(client: Client, sign_on: OidcProvider) -> None:
    sign_in(client)
    User.objects.update(is_active=False)
    other = browser()
    is_refused(other, sign_in(other), "switched your user off")


def test_a_second_factor_that_is_set_up_here_is_asked_for_after_the_sign_on(
    client: Client, sign_on: OidcProvider
) -> None:
    sign_in(client)
    TOTP.activate(User.objects.get(), "JBSWY3DPEHPK3PXP")
    other = browser()
    assert sign_in(other).headers["Location"] == reverse("mfa_authenticate")
    assert signed_in(other) is None


def test_whoever_has_no_password_proves_it_again_at_the_provider(
    client: Client, sign_on: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_on.control(claims={VERA: {"groups": ["mail-admins"]}})
    sign_in(client)
    real = step_up.now_seconds
    with monkeypatch.context() as later:
        later.setattr(step_up, "now_seconds", lambda: real() + 3600)
        answer = client.get(reverse("people:rules"))
    assert answer.headers["Location"].startswith(reverse("sso_begin"))
    address = client.get(answer.headers["Location"]).headers["Location"]
    asked = dict(parse_qsl(urlsplit(address).query))
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert back(client, Person(VERA).authorize(address)).headers["Location"] == reverse("people:rules")


def test_an_id_token_without_an_end_or_for_another_application_is_not_ours() -> None:
    good = {"aud": "us", "exp": 1_900_000_000}
    for said in (good, good | {"aud": ["us"]}, good | {"azp": "us"}, good | {"aud": ["us", "them"], "azp": "us"}):
        assert protocol.is_for_us(said, "us"), said
    for said in ({"aud": "us"}, good | {"exp": None}, good | {"azp": "them"}, good | {"aud": ["us", "them"]}):
        assert not protocol.is_for_us(said, "us"), said


def test_a_proof_of_before_is_none_though_the_way_to_the_provider_was_changed() -> None:
    asked_at = int(time.time())
    for auth_time in (asked_at - 7200, asked_at - 7200.5):
        assert not protocol.was_asked({"auth_time": auth_time}, asked_at)
    for said in ({"auth_time": asked_at - 60}, {"auth_time": asked_at}, {}, {"auth_time": "noon"}):
        assert protocol.was_asked(said, asked_at)
    assert protocol.was_asked({"auth_time": 1}, None), "nobody was to be asked again"


@pytest.mark.parametrize("behaves", [{"withhold": ["id_token"]}, {"withhold": ["access_token"]}, {"lose": 1}])
def test_an_answer_that_names_nobody_is_refused(
    client: Client, sign_on: OidcProvider, behaves: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sign_on.control(**behaves)
    address = Person(VERA).authorize(away(client))
    answer = back(client, address)
    assert answer.status_code in (403, 502) and signed_in(client) is None and not User.objects.exists()
    assert dict(parse_qsl(urlsplit(address).query))["code"] not in caplog.text


def test_a_document_of_another_issuer_and_a_provider_that_is_down_are_said(
    client: Client, sign_on: OidcProvider, settings: Any
) -> None:
    settings.SSO_ISSUER = sign_on.issuer.replace("127.0.0.1", "localhost")
    is_refused(client, client.get(reverse("sso_begin")), "did not say", 502)
    settings.SSO_ISSUER = "http://127.0.0.1:1"
    is_refused(client, client.get(reverse("sso_begin")), "does not answer", 502)


def test_the_break_glass_administrator_gets_in_while_the_provider_is_down(
    client: Client, sign_on: OidcProvider, make_user: Callable[..., User], settings: Any
) -> None:
    settings.SSO_ISSUER, settings.LOCAL_PASSWORDS, settings.BREAK_GLASS_USER = "http://127.0.0.1:1", False, "boss"
    boss, vera = make_user("administrator", "boss", PASSWORD), make_user("viewer", "vera", PASSWORD)
    client.post(reverse("login"), {"username": vera.username, "password": PASSWORD})
    assert signed_in(client) is None
    client.post(reverse("login"), {"username": "boss", "password": PASSWORD})
    assert signed_in(client) == boss
