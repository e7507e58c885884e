"""allauth's forms of the second factor; failed attempts count together with those at the sign-in page (django-axes)."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ReauthenticateForm as AllauthPassword
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm, AuthenticateWebAuthnForm, ReauthenticateWebAuthnForm
from allauth.mfa.webauthn.internal.auth import parse_authentication_response
from axes.handlers.proxy import AxesProxyHandler
from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from people.second_factor import sign_counts, used_codes
from people.sign_in.pages import locked_out


class Guarded(forms.Form):
    """A form that is refused after PRX_EMAIL_SIGN_IN_FAILURES failures, by name or by address, at any of the forms."""

    user: User

    def full_clean(self) -> None:
        """Clean the form, unless too many attempts failed; count a failure. Raises ImmediateHttpResponse when
        locked."""
        if self.is_bound:
            self._stop_when_locked()
        super().full_clean()
        if self.is_bound and self.errors:
            self._count()
            self._stop_when_locked()

    def _credentials(self) -> dict[str, Any]:
        return {"username": self.user.get_username()}

    def _stop_when_locked(self) -> None:
        if not AxesProxyHandler.is_allowed(context.request, self._credentials()):
            raise ImmediateHttpResponse(locked_out(context.request, self._credentials()))

    def _count(self) -> None:
        user_login_failed.send(sender=__name__, credentials=self._credentials(), request=context.request)


class _Code(Guarded):
    authenticator: Authenticator

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["code"]
        field.label, field.widget.attrs = _("Code"), {"autocomplete": "one-time-code", "autofocus": True}
        field.help_text = _("Six digits of your authenticator app, or one of your recovery codes.")

    def clean_code(self) -> str:
        """Refuse a correct code that was used before, as a wrong one; it counts as a failure."""
        code = str(super().clean_code())  # type: ignore[misc]
        if self.authenticator.type == Authenticator.Type.TOTP and not used_codes.use(self.authenticator, code):
            raise get_adapter().validation_error("incorrect_code")
        return code


class Code(_Code, AuthenticateForm):  # type: ignore[misc]
    """The code of an app or a recovery code, after the password."""


class CodeAgain(_Code, ReauthenticateForm):  # type: ignore[misc]
    """The same code, for the reauthentication of somebody who is signed in."""


class NewApp(ActivateTOTPForm):  # type: ignore[misc]
    """The first code of an authenticator app, which activates it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].label = _("Code")

    def clean_code(self) -> str:
        """Mark the code that activates the new app as used, so that it cannot be used to sign in."""
        code = str(super().clean_code())
        if (period := used_codes.period_of(self.secret, code)) is not None:
            used_codes.claim(self.user, period)
        return code


class NewPasskey(AddWebAuthnForm):  # type: ignore[misc]
    """A new passkey and its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name")


class _Counting(Guarded):
    def clean_credential(self) -> Authenticator:
        said = self.cleaned_data["credential"]
        authenticator = super().clean_credential()  # type: ignore[misc]
        count = parse_authentication_response(said).response.authenticator_data.counter
        if not sign_counts.claim(authenticator, count):
            raise get_adapter().validation_error("incorrect_code")
        return authenticator


class Passkey(_Counting, AuthenticateWebAuthnForm):  # type: ignore[misc]
    """A passkey, after the password."""


class PasskeyAgain(_Counting, ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """A passkey, for the reauthentication of somebody who is signed in."""


class PasswordAgain(AllauthPassword):  # type: ignore[misc]
    """Reauthentication by password. `authenticate` counts a failure itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["password"]
        field.label, field.help_text = _("Password"), ""
        field.widget = forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True})

    def clean_password(self) -> str:
        """The password. Raises ValidationError if it is wrong, ImmediateHttpResponse once too many were."""
        try:
            return str(super().clean_password())
        except ValidationError:
            if not AxesProxyHandler.is_allowed(context.request, {"username": self.user.get_username()}):
                raise ImmediateHttpResponse(locked_out(context.request)) from None
            raise
