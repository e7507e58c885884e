from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AlertsConfig(AppConfig):
    name = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        from alerts.schedules import make_schedules

        post_migrate.connect(make_schedules, sender=self, dispatch_uid="alerts.schedules.make_schedules")
