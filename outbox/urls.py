"""Addresses of the outbox and of attachments both ways."""

from django.urls import URLPattern, path

from mailbox.views import placeholder as views

app_name = "outbox"
urlpatterns: list[URLPattern] = [
    path("", views.placeholder, name="list"),
    path("attachments/", views.placeholder, name="attachments"),
    path("resume/", views.placeholder, name="resume_sending"),
]
