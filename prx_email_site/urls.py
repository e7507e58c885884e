"""The URLs of the site. All views require sign-in (LoginRequiredMiddleware), except those with login_not_required."""

from django.contrib import admin
from django.urls import include, path

from api.v1 import site as api_v1
from outbox.views import account_delete, connection_test
from outbox.views.writing import trial_mail
from people.links import pages as links
from people.sign_in import pages as sign_in
from people.single_sign_on import pages as sso
from prx_email_site import context_processors, keyboard, profile
from prx_email_site.dashboard import views as dashboard
from prx_email_site.list_exports import pages as list_exports
from prx_email_site.monitoring import health_checks, metrics, system_api, system_page
from prx_email_site.personal_data import api as personal_data_api
from prx_email_site.personal_data import pages as personal_data
from prx_email_site.retention import api as retention_api
from prx_email_site.retention import pages as retention

handler400 = "prx_email_site.error_pages.bad_request"
handler403 = "prx_email_site.error_pages.forbidden"
handler404 = "prx_email_site.error_pages.not_found"
handler500 = "prx_email_site.error_pages.server_error"

urlpatterns = [
    # First, as programs ask most often: each pattern before it is tried for each of their requests.
    path("api/v1/", api_v1.urls(retention_api.router, system_api.router, personal_data_api.router)),
    path("", dashboard.dashboard, name="dashboard"),
    path("charts/", dashboard.charts, name="charts"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("login/", sign_in.SignIn.as_view(), name="account_login"),  # the name by which allauth knows it
    path("sso/", sso.begin, name="sso_begin"),
    path("sso/callback/", sso.callback, name="sso_callback"),
    path("second-factor/", include("people.second_factor.urls")),
    path("logout/", sign_in.SignOut.as_view(), name="logout"),
    path("password/forgotten/", links.forgotten_password, name="password_forgotten"),
    path("password/link/<str:purpose>/<int:pk>/<str:token>/", links.link, name="password_link"),
    path("password/new/", links.new_password, name="password_new"),
    path("profile/email/", links.email, name="email"),
    path("profile/email/<str:token>/", links.email_confirm, name="email_confirm"),
    path("password/", sign_in.ChangePassword.as_view(), name="password_change"),
    path("people/", include("people.urls")),
    path("profile/", profile.profile, name="profile"),
    path("badges/", context_processors.badges, name="badges"),
    path("keyboard/", keyboard.keyboard, name="keyboard"),
    path("health/live/", health_checks.live, name="health_live"),
    path("health/ready/", health_checks.ready, name="health_ready"),
    path("health/workers/", health_checks.workers, name="health_workers"),
    path("metrics", metrics.metrics, name="metrics"),
    path("system/", system_page.system, name="system"),
    path("retention/", retention.retention, name="retention"),
    path("retention/rules/", retention.add_rule, name="retention_rule_add"),
    path("retention/rules/<int:pk>/remove/", retention.remove_rule, name="retention_rule_remove"),
    path("retention/holds/", retention.add_hold, name="retention_hold_add"),
    path("retention/holds/<int:pk>/release/", retention.release_hold, name="retention_hold_release"),
    path("lists/<str:name>/export/", list_exports.new, name="list_export"),
    path("personal-data/", personal_data.searches, name="personal_data"),
    path("personal-data/<int:pk>/", personal_data.search, name="personal_data_search"),
    path("personal-data/<int:pk>/export/", personal_data.export, name="personal_data_export"),
    path("personal-data/<int:pk>/erase/", personal_data.erase, name="personal_data_erase"),
    path("personal-data/<int:pk>/report.json", personal_data.report, name="personal_data_report"),
    path("admin/", admin.site.urls),
    path("accounts/<int:pk>/test/", connection_test.start, name="connection_test_start"),
    path("accounts/<int:pk>/delete/", account_delete.delete, name="account_delete"),
    path("accounts/tests/<int:pk>/", connection_test.show, name="connection_test"),
    path("accounts/<int:pk>/test-mail/", trial_mail.test_mail, name="test_mail"),
    path("accounts/test-mails/<int:pk>/", trial_mail.followed, name="test_mail_sent"),
    path("alerts/", include("alerts.urls")),
    path("", include("api.urls")),
    path("outbox/", include("outbox.urls")),
    path("", include("mailbox.urls")),
]
