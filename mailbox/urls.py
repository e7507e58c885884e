"""Addresses of accounts, messages and what was received."""

from django.urls import URLPattern, path

from mailbox.views import placeholder as views

app_name = "mailbox"
urlpatterns: list[URLPattern] = [
    path("messages/", views.placeholder, name="messages"),
    path("accounts/", views.placeholder, name="accounts"),
]
