"""Addresses of people: the own sessions."""

from django.urls import path

from people import own_sessions

app_name = "people"
urlpatterns = [
    path("sign-out-everywhere/", own_sessions.sign_out_everywhere, name="sign_out_everywhere"),
]
