"""This site's changes to django-allauth's pages of second factors."""

from __future__ import annotations

from typing import Any

from allauth.mfa.webauthn.views import ReauthenticateWebAuthnView
from django.http import HttpResponse


class AskPasskeyAgain(ReauthenticateWebAuthnView):  # type: ignore[misc]
    """Reauthentication by a passkey; a failure shows its reason."""

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show the form again with its error. allauth redirects without a message and loses the `next` address."""
        response: HttpResponse = self.render_to_response({**self.get_context_data(), "form": form})
        return response
