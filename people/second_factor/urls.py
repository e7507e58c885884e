"""URLs of django-allauth's second factor pages that this site uses, with the names that allauth reverses."""

from allauth.account.views import reauthenticate
from allauth.mfa.base import views as base
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.urls import path

from people.second_factor.pages import AskPasskeyAgain

urlpatterns = [
    path("", base.index, name="mfa_index"),
    path("passkeys/", base.index, name="mfa_list_webauthn"),  # allauth redirects here after a passkey was removed
    path("sign-in/", base.authenticate, name="mfa_authenticate"),
    path("again/password/", reauthenticate, name="account_reauthenticate"),
    path("again/code/", base.reauthenticate, name="mfa_reauthenticate"),
    path("again/passkey/", AskPasskeyAgain.as_view(), name="mfa_reauthenticate_webauthn"),
    path("app/set-up/", totp.activate_totp, name="mfa_activate_totp"),
    path("app/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("passkeys/add/", webauthn.add_webauthn, name="mfa_add_webauthn"),
    path("passkeys/<int:pk>/remove/", webauthn.remove_webauthn, name="mfa_remove_webauthn"),
    path("recovery-codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("recovery-codes/make/", recovery_codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
]
