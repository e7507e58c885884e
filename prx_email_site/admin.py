"""The admin page of failed tasks, read-only. Nothing of django-q2 can be edited here."""

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from mailbox.admin.read_only import ReadOnlyAdmin


class FailureAdmin(ReadOnlyAdmin):
    """Failed tasks, the newest first."""

    list_display = ("name", "func", "started", "stopped", "short_result")
    list_filter = ("func",)
    search_fields = ("name", "func")
    fields = ("name", "func", "started", "stopped", "attempt_count", "result")
    ordering = ("-stopped",)

    @admin.display(description=_("result"))
    def short_result(self, failure: Model) -> str:
        """The beginning of the error."""
        return str(getattr(failure, "result", ""))[:160]


admin.site.register(apps.get_model("django_q", "Failure"), FailureAdmin)
