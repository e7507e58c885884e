"""What a user does with the own sign-in."""

from typing import cast

from django.contrib import messages
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.utils.translation import gettext

from mailbox.models import AuditEntry


class ChangePassword(PasswordChangeView):
    """The own password; the other sessions of the user end with it (Django's session hash)."""

    success_url = reverse_lazy("dashboard")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        user = cast(User, self.request.user)
        AuditEntry.objects.create(user=user, verb="change_password", target=f"user:{user.pk}")
        messages.success(self.request, gettext("Your password was changed. Other sessions of yours were signed out."))
        return super().form_valid(form)
