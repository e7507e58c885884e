"""The admin site: Django's, behind our own sign-in, and without the admin pages of django-q2 and django-allauth."""

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

# django-q2, and django-allauth, whose tables contain second factors, which users manage on pages of this site.
OF_OTHERS = {"django_q", "account", "mfa", "socialaccount"}


class PrxAdminSite(admin.AdminSite):
    """Our tables, users and groups, and django-q2's failures.

    Left out on purpose: sessions, as a session key is equivalent to a sign-in; Django's log entries (shown as each
    row's history), permissions and content types; django-q2's other tables (see `register`).
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
        """Register models, except those of OF_OTHERS without a harmless admin class.

        django-q2's own admin could run any function by its dotted path, and submit tasks again.
        """
        models = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else list(model_or_iterable)
        harmless = getattr(admin_class, "is_harmless", False)
        kept = [model for model in models if harmless or model._meta.app_label not in OF_OTHERS]
        super().register(kept, admin_class, **options)

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to the site's sign-in page. Signed-in users who are not staff get 403 instead."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied(
                gettext("The administration is open to staff only; an administrator ticks “staff” for a user.")
            )
        return redirect_to_login(request.GET.get("next") or request.get_full_path())

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Refuse a NUL in the search term, for which PostgreSQL raises; Django's other look-ups refuse it already."""
        if "\x00" in request.GET.get("term", ""):
            raise BadRequest(gettext("No text holds a NUL character."))
        return super().autocomplete_view(request)
