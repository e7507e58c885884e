"""The admin site: Django's, behind our own sign-in, and without django-q2's Schedule and Task editing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Model
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

# django-q2, and django-allauth, whose tables hold second factors: people manage them on pages of this site.
OF_OTHERS = {"django_q", "account", "mfa", "socialaccount"}


class PrxAdminSite(admin.AdminSite):
    """Every table of ours, users and groups, and django-q2's failures.

    Left out on purpose: sessions, whose keys are as good as a sign-in; Django's own bookkeeping (log entries, which
    stand under each row as its history, permissions, content types); django-q2's other tables, see `register`.
    """

    site_header = _("PRX-Email administration")
    site_title = "PRX-Email"
    index_title = _("Every table")
    enable_nav_sidebar = False

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[admin.ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Refuse django-q2's own admin: its schedules run any dotted function, its tasks can be submitted again."""
        models = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else list(model_or_iterable)
        harmless = getattr(admin_class, "is_harmless", False)
        kept = [model for model in models if harmless or model._meta.app_label not in OF_OTHERS]
        super().register(kept, admin_class, **options)

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """One sign-in page for everything; who is signed in and no staff is told so instead of asked again."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied(
                gettext("The administration is open to staff only; an administrator ticks “staff” for a user.")
            )
        return redirect_to_login(request.GET.get("next") or request.get_full_path())

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """PostgreSQL raises for a NUL in a text, which Django's other look-ups refuse before they ask."""
        if "\x00" in request.GET.get("term", ""):
            raise BadRequest(gettext("No text holds a NUL character."))
        return super().autocomplete_view(request)
