from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class SiteConfig(AppConfig):
    name = "prx_email_site"
    verbose_name = "PRX-Email Site"

    def ready(self) -> None:
        from mailbox import signals
        from prx_email_site import receivers

        uid = "prx_email_site.receivers"
        signals.credentials_changed.connect(receivers.credentials_changed, dispatch_uid=uid)
        signals.messages_stored.connect(receivers.messages_stored, dispatch_uid=uid)
        signals.connection_test_asked.connect(receivers.connection_test_asked, dispatch_uid=uid)
        signals.conversation_asked.connect(receivers.conversation_asked, dispatch_uid=uid)


class AdminConfig(DjangoAdminConfig):
    """Django's admin, by our own site class: see admin_site.py."""

    default_site = "prx_email_site.admin_site.PrxAdminSite"
