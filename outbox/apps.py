from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate


class OutboxConfig(AppConfig):
    name = "outbox"
    verbose_name = "Outbox"

    def ready(self) -> None:
        from outbox.checks import message_id_domain
        from outbox.schedules import make_schedules

        checks.register(message_id_domain, checks.Tags.security, deploy=True)
        post_migrate.connect(make_schedules, sender=self, dispatch_uid="outbox.schedules.make_schedules")
