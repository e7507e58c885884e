"""Addresses of people: the own sessions, the rules of signing in."""

from django.urls import path

from people import own_sessions, rules

app_name = "people"
urlpatterns = [
    path("rules/", rules.rules, name="rules"),
    path("sign-out-everywhere/", own_sessions.sign_out_everywhere, name="sign_out_everywhere"),
]
