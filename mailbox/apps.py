from django.apps import AppConfig
from django.db.models.signals import post_migrate


class MailboxConfig(AppConfig):
    name = "mailbox"
    verbose_name = "Mailboxes"

    def ready(self) -> None:
        from mailbox import access

        # dispatch after auth's own receiver, which makes the permissions: receivers run in the order of connection,
        # and django.contrib.auth stands above us in INSTALLED_APPS.
        post_migrate.connect(access.make_groups, sender=self, dispatch_uid="mailbox.access.make_groups")
