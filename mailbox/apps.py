from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class MailboxConfig(AppConfig):
    name = "mailbox"
    verbose_name = "Mailboxes"

    def ready(self) -> None:
        from mailbox import permissions, schedules
        from mailbox.db import failures

        failures.start()
        # After auth's own receiver, which makes the permissions: receivers run in the order of connection, and
        # django.contrib.auth stands above us in INSTALLED_APPS. With the last app, when all permissions are there.
        last = [config for config in apps.get_app_configs() if config.models_module][-1]
        post_migrate.connect(permissions.make_groups, sender=last, dispatch_uid="mailbox.permissions.make_groups")
        post_migrate.connect(schedules.make_schedules, sender=self, dispatch_uid="mailbox.schedules.make_schedules")
