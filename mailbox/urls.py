"""Addresses of accounts, messages and what was received."""

from mailbox.views import account_actions, account_edit, accounts, activity, folders
from mailbox.views import placeholder as views

from django.urls import URLPattern, path

app_name = "mailbox"
urlpatterns: list[URLPattern] = [
    path("messages/", views.placeholder, name="messages"),
    path("accounts/", accounts.accounts, name="accounts"),
    path("accounts/add/", account_edit.add, name="account_add"),
    path("accounts/<int:pk>/", accounts.account, name="account"),
    path("accounts/<int:pk>/runs/", accounts.runs, name="account_runs"),
    path("accounts/<int:pk>/edit/", account_edit.edit, name="account_edit"),
    path("accounts/<int:pk>/sign-in/<slug:kind>/", account_edit.sign_in_again, name="account_sign_in"),
    path("accounts/<int:pk>/sync/", account_actions.sync_now, name="account_sync"),
    path("accounts/<int:pk>/pause/", account_actions.pause_sending, name="account_pause"),
    path("accounts/<int:pk>/resume/", account_actions.resume_sending, name="account_resume"),
    path("accounts/<int:pk>/fetching/", account_actions.fetching, name="account_fetching"),
    path("accounts/<int:pk>/folders/", folders.folders, name="account_folders"),
    path("accounts/<int:pk>/folders/refresh/", folders.refresh_folders, name="account_folders_refresh"),
    path("accounts/<int:pk>/folders/listed/", folders.folders_listed, name="account_folders_listed"),
    path("activity/", activity.activity, name="activity"),
]
