from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class SiteConfig(AppConfig):
    name = "prx_email_site"
    verbose_name = "PRX-Email Site"


class AdminConfig(DjangoAdminConfig):
    """Django's admin, by our own site class: see admin_site.py."""

    default_site = "prx_email_site.admin_site.PrxAdminSite"
