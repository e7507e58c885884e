"""The pages to sign in, to sign out and to change one's own password."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from mailbox.localized import grouped
from mailbox.models import AuditEntry
from people.sign_in import audit
from people.sign_in.refusals import closed_for_a_while


class SignIn(LoginView):
    """Sign-in by name and password. allauth asks for the second factor, if the user has one, before the session
    belongs to the user."""

    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Tell the page which ways to sign in there are."""
        return super().get_context_data(
            has_sign_on=bool(settings.SSO_ISSUER),
            sign_on_label=settings.SSO_LABEL or gettext("Sign in with your company's sign-on"),
            passwords_are_off=bool(settings.SSO_ISSUER) and not settings.LOCAL_PASSWORDS,
            **kwargs,
        )

    def form_valid(self, form: Any) -> HttpResponse:
        """Go on after a right password: to the second factor, or signed in."""
        user = form.get_user()
        login = Login(user=user, redirect_url=self.get_redirect_url() or None)
        return cast(HttpResponse, perform_password_login(self.request, {"username": user.get_username()}, login))


class SignOut(LogoutView):
    """Sign-out; the answer also tells the browser to delete cached pages, which may show mail, and cookies."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Sign out, with Clear-Site-Data in the answer."""
        response = super().post(request, *args, **kwargs)
        response.headers["Clear-Site-Data"] = '"cache", "cookies"'
        return response


def locked_out(request: HttpRequest, credentials: dict[str, Any] | None = None, *_: Any) -> HttpResponse:
    """The page after too many failures by name or by address.

    It is the same whether or not the name exists or the password is right, as the password is not checked.
    """
    minutes = settings.SIGN_IN_LOCK_MINUTES
    sentence = ngettext(
        "Too many passwords were wrong. Try again in %(number)s minute.",
        "Too many passwords were wrong. Try again in %(number)s minutes.",
        minutes,
    )
    advice = gettext("Whoever is signed in already is not affected. An administrator can end this sooner.")
    title = gettext("Sign-in is closed for a while")
    return closed_for_a_while(request, title, sentence % {"number": grouped(minutes)}, advice, minutes)


class GuardedPasswordForm(PasswordChangeForm):
    """Checks the old password by `authenticate`, so that wrong ones count toward the same limit as at sign-in."""

    request: HttpRequest

    def clean_old_password(self) -> str:
        """The old password. Raises ValidationError if it is wrong; that counts as a failed sign-in."""
        given = self.cleaned_data["old_password"]
        checked = authenticate(self.request, username=self.user.get_username(), password=given)
        if checked is None:
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        self._checked = checked.password  # the sign-in may have hashed it anew
        return cast(str, given)

    def hash_new_password(self) -> None:
        """Hash the new password of a valid form, for swap(): that takes half a second, too long for a transaction of
        SQLite, which has one writer."""
        self.user.set_password(self.cleaned_data["new_password1"])

    def swap(self) -> bool:
        """Save the new hash; False when the old password is no longer the user's: a link has set another meanwhile,
        which ends the sessions of whoever knows the old one, or the user was deleted."""
        shown = User.objects.filter(pk=self.user.pk, password=self._checked)
        return shown.update(password=self.user.password) == 1


class ChangePassword(PasswordChangeView):
    """Change one's own password. This ends the user's other sessions (Django's session hash)."""

    form_class = GuardedPasswordForm
    success_url = reverse_lazy("dashboard")

    def get_form(self, form_class: Any = None) -> PasswordChangeForm:
        """The form, which needs the request to count failures by address."""
        form = super().get_form(form_class)
        cast(GuardedPasswordForm, form).request = self.request
        return form

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        """Save the new password and record it."""
        user, guarded = cast(User, self.request.user), cast(GuardedPasswordForm, form)
        guarded.hash_new_password()
        with transaction.atomic():
            is_ours = guarded.swap()
            if is_ours:
                AuditEntry.objects.create(user=user, verb="change_password", target=audit.target_of(user))
                update_session_auth_hash(self.request, user)
        if not is_ours:
            form.add_error("old_password", form.error_messages["password_incorrect"])
            return self.form_invalid(form)
        messages.success(self.request, _("Your password was changed. Other sessions of yours were signed out."))
        return redirect(self.get_success_url())
