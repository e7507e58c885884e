"""URLs of the pages of people, of one's own sessions and of the rules of signing in."""

from django.urls import path

from people.directory import invite_pages, pages, rules
from people.sessions import own_sessions

app_name = "people"
urlpatterns = [
    path("", pages.people, name="list"),
    path("<int:pk>/", pages.person, name="person"),
    path("invite/", invite_pages.invite, name="invite"),
    path("site-mail/", invite_pages.site_mail_page, name="site_mail"),
    path("<int:pk>/details/", pages.details, name="details"),
    path("<int:pk>/link/", invite_pages.link, name="link"),
    path("<int:pk>/withdraw/", invite_pages.withdraw, name="withdraw"),
    path("<int:pk>/role/", pages.role, name="role"),
    path("<int:pk>/grant/", pages.grant, name="grant"),
    path("<int:pk>/switch/", pages.switch, name="switch"),
    path("<int:pk>/end-sessions/", pages.end_sessions, name="end_sessions"),
    path("rules/", rules.rules, name="rules"),
    path("sign-out-everywhere/", own_sessions.sign_out_everywhere, name="sign_out_everywhere"),
]
