from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class AlertsConfig(AppConfig):
    name = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        from alerts.events import triggers
        from alerts.schedules import make_schedules

        pre_migrate.connect(triggers.remove, sender=self, dispatch_uid="alerts.events.triggers.remove")
        post_migrate.connect(triggers.install, sender=self, dispatch_uid="alerts.events.triggers.install")
        post_migrate.connect(make_schedules, sender=self, dispatch_uid="alerts.schedules.make_schedules")
