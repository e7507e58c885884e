"""Addresses of accounts, messages and what was received."""

from django.urls import URLPattern, path

from mailbox.views import account_actions, account_edit, accounts, activity, folders, oauth, oauth_providers, quarantine
from mailbox.views import autoconfig as views_autoconfig
from mailbox.views import reparse as views_reparse
from mailbox.views.reading import (
    message,
    message_parts,
    message_print,
    messages,
    new_messages,
    previews,
    remote_images,
    search,
    team_marks,
)

app_name = "mailbox"
urlpatterns: list[URLPattern] = [
    path("messages/", messages.messages, name="messages"),
    path("messages/new/", new_messages.new_messages, name="messages_new"),
    path("messages/search/", search.search_messages, name="search"),
    path("messages/senders/", remote_images.trusted_senders, name="trusted_senders"),
    path("messages/<int:pk>/", message.message, name="message"),
    path("messages/<int:pk>/html/", message_parts.html, name="message_html"),
    path("messages/<int:pk>/html/measured/", message_parts.measured_html, name="message_html_measured"),
    path("messages/<int:pk>/images/", remote_images.message_images, name="message_images"),
    path("messages/<int:pk>/team/", team_marks.team_marks, name="message_team"),
    path("messages/<int:pk>/print/", message_print.message_print, name="message_print"),
    path("messages/<int:pk>/source.eml", message_parts.eml, name="message_eml"),
    path("messages/<int:pk>/fetch/", quarantine.fetch_message, name="message_fetch"),
    path("messages/<int:pk>/attachments/<int:position>/", message_parts.attachment, name="message_attachment"),
    path("messages/<int:pk>/attachments/<int:position>/preview/", previews.message_preview, name="message_preview"),
    path("messages/<int:pk>/attachments/<int:position>/picture/", previews.message_picture, name="message_picture"),
    path(
        "messages/<int:pk>/attachments/<int:position>/remove/",
        message_parts.remove_attachment,
        name="message_attachment_remove",
    ),
    path("quarantine/", quarantine.quarantine, name="quarantine"),
    path("quarantine/<int:pk>/fetch/", quarantine.fetch_quarantined, name="quarantine_fetch"),
    path("quarantine/readings/<int:pk>/", quarantine.read_again, name="read_again"),
    path("accounts/", accounts.accounts, name="accounts"),
    path("accounts/add/", account_edit.add, name="account_add"),
    path("accounts/add/find/", views_autoconfig.find, name="account_find"),
    path("accounts/add/find/<int:pk>/", views_autoconfig.found, name="account_found"),
    path("accounts/<int:pk>/", accounts.account, name="account"),
    path("accounts/<int:pk>/runs/", accounts.runs, name="account_runs"),
    path("accounts/<int:pk>/edit/", account_edit.edit, name="account_edit"),
    path("accounts/<int:pk>/sign-in/<slug:kind>/", account_edit.sign_in_again, name="account_sign_in"),
    path("accounts/<int:pk>/sync/", account_actions.sync_now, name="account_sync"),
    path("accounts/<int:pk>/pause/", account_actions.pause_sending, name="account_pause"),
    path("accounts/<int:pk>/go-on/", account_actions.go_on, name="account_go_on"),
    path("accounts/<int:pk>/resume/", account_actions.resume_sending, name="account_resume"),
    path("accounts/<int:pk>/fetching/", account_actions.fetching, name="account_fetching"),
    path("accounts/<int:pk>/folders/", folders.folders, name="account_folders"),
    path("accounts/<int:pk>/folders/refresh/", folders.refresh_folders, name="account_folders_refresh"),
    path("accounts/<int:pk>/folders/listed/", folders.folders_listed, name="account_folders_listed"),
    path("accounts/<int:pk>/oauth/", oauth.begin_for_account, name="oauth_begin"),
    path("accounts/oauth/begin/", oauth.begin_new, name="oauth_begin_new"),
    path("accounts/oauth/callback/", oauth.callback, name="oauth_callback"),
    path("accounts/oauth/<int:pk>/", oauth.under_way, name="oauth_sign_in"),
    path("providers/", oauth_providers.providers_list, name="providers"),
    path("providers/add/", oauth_providers.add_provider, name="provider_add"),
    path("providers/<int:pk>/", oauth_providers.other_provider, name="provider"),
    path("providers/<int:pk>/remove/", oauth_providers.remove_provider, name="provider_remove"),
    path("providers/<slug:kind>/", oauth_providers.known_provider, name="provider_known"),
    path("stored-mail/", views_reparse.stored_mail, name="stored_mail"),
    path("activity/", activity.activity, name="activity"),
]
