"""Addresses of the pages about the API; `v1.site` has those that programs ask."""

from django.urls import path

from api import documentation, views

app_name = "api"
urlpatterns = [
    path("api/", documentation.show, name="documentation"),
    path("tokens/", views.show, name="tokens"),
    path("tokens/<int:pk>/end/", views.end, name="token_end"),
]
