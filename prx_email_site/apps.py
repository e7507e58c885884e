from django.apps import AppConfig, apps
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class SiteConfig(AppConfig):
    """The app of the site, last of all: it knows every other one."""

    name = "prx_email_site"
    verbose_name = "PRX-Email Site"

    def ready(self) -> None:
        """Connect the schedules, the checks and the receivers of mailbox's signals, and start reporting."""
        from django.core.checks import Tags, register
        from django.db.models.signals import post_migrate

        from mailbox import signals
        from prx_email_site import checks, pooling, signal_receivers
        from prx_email_site.backup import unfinished
        from prx_email_site.list_exports import schedules as of_list_exports
        from prx_email_site.monitoring import reporting
        from prx_email_site.personal_data import schedules as of_personal_data
        from prx_email_site.retention import schedules as of_retention

        # Django sends post_migrate only for apps with models, which this one has not.
        migrated = apps.get_app_config("mailbox")
        for each in (of_retention, of_personal_data, of_list_exports):
            post_migrate.connect(each.make_schedules, sender=migrated, dispatch_uid=each.__name__)

        register(checks.unknown_variables, checks.ENVIRONMENT)
        register(checks.encryption_keys, checks.ENVIRONMENT)
        register(unfinished.no_restore_is_unfinished, checks.ENVIRONMENT)
        register(checks.data_folder_is_private, Tags.security)
        register(pooling.pooling_is_said, Tags.database)  # before each `migrate`, and at `check --database default`
        register(checks.metrics_token_is_long, Tags.security, deploy=True)
        register(checks.no_proxy_before_an_open_address, Tags.security, deploy=True)
        uid = "prx_email_site.signal_receivers"
        signals.credentials_changed.connect(signal_receivers.credentials_changed, dispatch_uid=uid)
        signals.messages_stored.connect(signal_receivers.messages_stored, dispatch_uid=uid)
        signals.delivery_ended.connect(signal_receivers.delivery_ended, dispatch_uid=uid)
        signals.connection_test_asked.connect(signal_receivers.connection_test_asked, dispatch_uid=uid)
        signals.waiting_mail_asked.connect(signal_receivers.waiting_mail_asked, dispatch_uid=uid)
        signals.outbox_rows_asked.connect(signal_receivers.outbox_rows_asked, dispatch_uid=uid)
        signals.outbox_figures_asked.connect(signal_receivers.outbox_figures_asked, dispatch_uid=uid)
        signals.conversation_asked.connect(signal_receivers.conversation_asked, dispatch_uid=uid)
        reporting.start()


class AdminConfig(DjangoAdminConfig):
    """Django's admin, by our own site class: see admin_site.py."""

    default_site = "prx_email_site.admin_site.PrxAdminSite"
