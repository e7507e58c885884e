"""Passkeys in Chromium, by a virtual authenticator (CDP WebAuthn), under the site's own Content-Security-Policy."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Page, Route, expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PATIENCE = 60_000  # ms
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def test_a_passkey_is_added_and_signs_in(signed_in_page: Page, live_site: str) -> None:
    page = signed_in_page
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if "Content Security" in said.text else None)
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
    page.goto(f"{live_site}/second-factor/passkeys/add/")
    page.locator("[name=name]").fill("Laptop")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible(timeout=PATIENCE)
    user = Authenticator.objects.get(type="webauthn").user
    page.context.clear_cookies()
    page.goto(f"{live_site}/login/")
    page.fill("[name=username]", user.username)
    page.fill("[name=password]", "sign-in-please")
    page.click("main form button")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{live_site}/", timeout=PATIENCE)
    page.goto(f"{live_site}/second-factor/again/passkey/?next=/profile/")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{live_site}/profile/", timeout=PATIENCE)
    key = Authenticator.objects.get(type="webauthn")
    assert key.data["sign_count"] > key.wrap().authenticator_data.counter, "each signature is counted"
    key.data["sign_count"] += 100  # as a copy of the key has signed meanwhile
    key.save()
    page.goto(f"{live_site}/second-factor/again/passkey/?next=/profile/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.locator("main").get_by_text("The passkey was not taken.")).to_be_visible(timeout=PATIENCE)
    key.data["sign_count"] -= 100  # it is the one key again
    key.save()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{live_site}/profile/", timeout=PATIENCE)
    assert refused == []


def test_what_the_device_refuses_is_said_and_the_button_waits_for_its_script(
    signed_in_page: Page, live_site: str
) -> None:
    page = signed_in_page
    page.route("**/js/passkey*.js", lambda route: held.append(route))
    held: list[Route] = []
    page.goto(f"{live_site}/second-factor/passkeys/add/", wait_until="commit")
    button = page.get_by_role("button", name="Add a passkey")
    while not held:  # the page stands before its script is asked for
        page.wait_for_timeout(10)
    expect(button).to_be_disabled()
    held[0].continue_()
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": {**DEVICE, "isUserVerified": False}})
    page.locator("[name=name]").fill("Laptop")
    expect(page.locator("main").get_by_text("did not use the passkey")).to_be_hidden()
    button.click()
    expect(page.locator("main").get_by_text("did not use the passkey")).to_be_visible(timeout=PATIENCE)
    assert not Authenticator.objects.exists()
