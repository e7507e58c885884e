"""The admin site: Django's, with its name and without django-q2's Schedule and Task editing."""

from django.contrib import admin


class PrxAdminSite(admin.AdminSite):
    site_header = "PRX-Email administration"
    site_title = "PRX-Email"
    index_title = "Every table"
