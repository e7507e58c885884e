"""Where this site's pages of second factors differ from django-allauth's."""

from __future__ import annotations

from typing import Any

from allauth.mfa.webauthn.views import ReauthenticateWebAuthnView
from django.http import HttpResponse


class AskPasskeyAgain(ReauthenticateWebAuthnView):  # type: ignore[misc]
    def form_invalid(self, form: Any) -> HttpResponse:
        """The page once more, which says so; allauth leads away without a word, and forgets where the person goes."""
        response: HttpResponse = self.render_to_response({**self.get_context_data(), "form": form})
        return response
