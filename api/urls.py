"""Addresses under /tokens/."""

from django.urls import path

from api import views

app_name = "api"
urlpatterns = [
    path("tokens/", views.show, name="tokens"),
    path("tokens/<int:pk>/end/", views.end, name="token_end"),
]
